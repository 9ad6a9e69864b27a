//! Which types of two files are one column.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types: a few of many")]

use arrow::datatypes::{DataType, TimeUnit};

/// The type behind a dictionary or runs.
pub(super) fn plain(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

/// The type that holds the values of both; `None` where they contradict each other.
pub(super) fn united(one: &DataType, other: &DataType) -> Option<DataType> {
    match (plain(one), plain(other)) {
        (_, DataType::Null) => Some(one.clone()),
        (DataType::Null, _) => Some(other.clone()),
        (a, b) if a == b => Some(one.clone()),
        (a, b) if a.is_string() && b.is_string() => Some(one.clone()),
        (a, b) if a.is_binary() && b.is_binary() => Some(one.clone()),
        (a, b) if a.is_numeric() && b.is_numeric() => number(a, b),
        (DataType::Timestamp(a, zone), DataType::Timestamp(b, other)) => {
            Some(DataType::Timestamp(*a.max(b), zone.clone().or_else(|| other.clone())))
        }
        (DataType::Timestamp(..), DataType::Date32 | DataType::Date64) => Some(one.clone()),
        (DataType::Date32 | DataType::Date64, DataType::Timestamp(..)) => Some(other.clone()),
        (DataType::Date32 | DataType::Date64, DataType::Date32 | DataType::Date64) => Some(one.clone()),
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time32(_) | DataType::Time64(_)) => {
            Some(DataType::Time64(TimeUnit::Nanosecond))
        }
        (a, b) => a.equals_datatype(b).then(|| one.clone()),
    }
}

fn number(a: &DataType, b: &DataType) -> Option<DataType> {
    if a.is_floating() || b.is_floating() {
        let is_small = |kind: &DataType| matches!(kind, DataType::Float16 | DataType::Float32);
        return Some(if is_small(a) && is_small(b) { DataType::Float32 } else { DataType::Float64 });
    }
    let ((before_a, scale_a), (before_b, scale_b)) = (digits(a)?, digits(b)?);
    if a.is_decimal() || b.is_decimal() {
        let (before, scale) = (before_a.max(before_b), scale_a.max(scale_b));
        return match u8::try_from(before + i16::from(scale)).ok()? {
            precision @ ..=38 => Some(DataType::Decimal128(precision, scale)),
            precision @ ..=76 => Some(DataType::Decimal256(precision, scale)),
            _ => None,
        };
    }
    if a.is_signed_integer() == b.is_signed_integer() {
        return Some(if before_a >= before_b { a.clone() } else { b.clone() });
    }
    let unsigned = if a.is_unsigned_integer() { a } else { b };
    Some(if *unsigned == DataType::UInt64 { DataType::Decimal128(20, 0) } else { DataType::Int64 })
}

/// Digits before the point, and behind it.
fn digits(kind: &DataType) -> Option<(i16, i8)> {
    match kind {
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((i16::from(*precision) - i16::from(*scale), *scale)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_one_kind_unite_and_others_contradict() {
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let zoned = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        for (one, other, expected) in [
            (DataType::Null, DataType::Int32, Some(DataType::Int32)),
            (text.clone(), DataType::Utf8View, Some(text.clone())),
            (DataType::Int16, DataType::Int64, Some(DataType::Int64)),
            (DataType::UInt32, DataType::Int32, Some(DataType::Int64)),
            (DataType::UInt64, DataType::Int8, Some(DataType::Decimal128(20, 0))),
            (DataType::Int64, DataType::Float32, Some(DataType::Float64)),
            (DataType::Decimal128(12, 2), DataType::Decimal128(10, 4), Some(DataType::Decimal128(14, 4))),
            (DataType::Decimal128(38, 10), DataType::Int64, Some(DataType::Decimal128(38, 10))),
            (
                zoned.clone(),
                DataType::Timestamp(TimeUnit::Microsecond, None),
                Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ),
            (DataType::Date32, zoned.clone(), Some(zoned.clone())),
            (DataType::Int64, DataType::Utf8, None),
            (text, DataType::Date32, None),
            (DataType::Boolean, DataType::Int8, None),
            (DataType::Time32(TimeUnit::Second), zoned, None),
        ] {
            assert_eq!(united(&one, &other), expected, "{one} and {other}");
        }
    }
}
