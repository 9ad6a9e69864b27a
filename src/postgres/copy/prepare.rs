//! Which Arrow array writes which PostgreSQL type, and how.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, GenericStringArray, OffsetSizeTrait};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use super::arrays;
use super::field::{Bytes, Check, Coded, Constant, Fixed, Made, NULL, Prepared, Strings, nulls};
use super::numeric::{write_i128, write_i256};
use super::spelled;
use super::types::PgType;
use super::{DAY_MICROS, EPOCH_DAYS, EPOCH_MICROS};

/// PostgreSQL's first and first-too-late timestamp, in microseconds since 2000-01-01.
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// PostgreSQL's first and first-too-late date, in days since 2000-01-01.
const DATES: std::ops::Range<i64> = -2_451_545..2_145_031_949;

/// The writer of an array as a PostgreSQL type; `None` when the pair is not supported.
pub(super) fn prepare(array: &ArrayRef, pg: PgType) -> Prepared {
    match array.data_type() {
        DataType::Null => return Some(Box::new(Constant(NULL.to_vec()))),
        DataType::Dictionary(key, _) => return dictionary(array, key, pg),
        _ => {}
    }
    match pg {
        PgType::Bool => boolean(array),
        PgType::Int2 => integer(array, i16::to_be_bytes),
        PgType::Int4 => integer(array, i32::to_be_bytes),
        PgType::Int8 => integer(array, i64::to_be_bytes),
        PgType::Float4 => float4(array),
        PgType::Float8 => float8(array),
        PgType::Numeric | PgType::Decimal(..) => numeric(array),
        PgType::Text | PgType::Varchar | PgType::Bpchar | PgType::Json | PgType::Name | PgType::AsText => {
            text(array, b"")
        }
        PgType::Jsonb => text(array, b"\x01"),
        PgType::Uuid => uuid(array),
        PgType::Bytea => bytea(array),
        PgType::Date => date(array),
        PgType::Time => time(array),
        PgType::Timestamp | PgType::Timestamptz => timestamp(array),
        PgType::Oid => integer(array, u32::to_be_bytes),
        PgType::Inet => spelled::inet(array, false),
        PgType::Cidr => spelled::inet(array, true),
        PgType::Interval => spelled::interval(array),
        // One byte of PostgreSQL's own catalogs.
        PgType::Char => None,
        PgType::Array(element) => arrays::list(array, element, prepare),
    }
}

fn fixed<T: ArrowPrimitiveType, const W: usize>(
    array: &ArrayRef,
    convert: impl Fn(T::Native) -> Option<[u8; W]> + Send + 'static,
) -> Prepared {
    let array = array.as_primitive_opt::<T>()?;
    let values = array.values().clone();
    Some(Box::new(Fixed { nulls: nulls(array), get: move |row| convert(values[row]) }))
}

fn boolean(array: &ArrayRef) -> Prepared {
    let array = array.as_boolean_opt()?;
    let values = array.values().clone();
    Some(Box::new(Fixed { nulls: nulls(array), get: move |row| Some([u8::from(values.value(row))]) }))
}

fn integer<N, const W: usize>(array: &ArrayRef, bytes: impl Fn(N) -> [u8; W] + Copy + Send + 'static) -> Prepared
where
    N: TryFrom<i8> + TryFrom<i16> + TryFrom<i32> + TryFrom<i64>,
    N: TryFrom<u8> + TryFrom<u16> + TryFrom<u32> + TryFrom<u64>,
{
    macro_rules! checked {
        ($type:ty) => {
            fixed::<$type, W>(array, move |v| N::try_from(v).ok().map(bytes))
        };
    }
    match array.data_type() {
        DataType::Int8 => checked!(Int8Type),
        DataType::Int16 => checked!(Int16Type),
        DataType::Int32 => checked!(Int32Type),
        DataType::Int64 => checked!(Int64Type),
        DataType::UInt8 => checked!(UInt8Type),
        DataType::UInt16 => checked!(UInt16Type),
        DataType::UInt32 => checked!(UInt32Type),
        DataType::UInt64 => checked!(UInt64Type),
        _ => None,
    }
}

fn float4(array: &ArrayRef) -> Prepared {
    match array.data_type() {
        DataType::Int8 => fixed::<Int8Type, 4>(array, |v| Some(f32::from(v).to_be_bytes())),
        DataType::Int16 => fixed::<Int16Type, 4>(array, |v| Some(f32::from(v).to_be_bytes())),
        DataType::UInt8 => fixed::<UInt8Type, 4>(array, |v| Some(f32::from(v).to_be_bytes())),
        DataType::UInt16 => fixed::<UInt16Type, 4>(array, |v| Some(f32::from(v).to_be_bytes())),
        DataType::Float16 => fixed::<Float16Type, 4>(array, |v| Some(v.to_f32().to_be_bytes())),
        DataType::Float32 => fixed::<Float32Type, 4>(array, |v| Some(v.to_be_bytes())),
        _ => None,
    }
}

fn float8(array: &ArrayRef) -> Prepared {
    match array.data_type() {
        DataType::Int8 => fixed::<Int8Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::Int16 => fixed::<Int16Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::Int32 => fixed::<Int32Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::UInt8 => fixed::<UInt8Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::UInt16 => fixed::<UInt16Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::UInt32 => fixed::<UInt32Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::Float16 => fixed::<Float16Type, 8>(array, |v| Some(v.to_f64().to_be_bytes())),
        DataType::Float32 => fixed::<Float32Type, 8>(array, |v| Some(f64::from(v).to_be_bytes())),
        DataType::Float64 => fixed::<Float64Type, 8>(array, |v| Some(v.to_be_bytes())),
        _ => None,
    }
}

fn decimal<T: ArrowPrimitiveType>(array: &ArrayRef, scale: i8, widen: fn(T::Native) -> i128) -> Prepared {
    let array = array.as_primitive_opt::<T>()?;
    let values = array.values().clone();
    Some(Box::new(Made::new(nulls(array), move |row, out: &mut Vec<u8>| {
        write_i128(widen(values[row]), scale, out);
        Ok(())
    })))
}

fn numeric(array: &ArrayRef) -> Prepared {
    match *array.data_type() {
        DataType::Int8 => decimal::<Int8Type>(array, 0, i128::from),
        DataType::Int16 => decimal::<Int16Type>(array, 0, i128::from),
        DataType::Int32 => decimal::<Int32Type>(array, 0, i128::from),
        DataType::Int64 => decimal::<Int64Type>(array, 0, i128::from),
        DataType::UInt8 => decimal::<UInt8Type>(array, 0, i128::from),
        DataType::UInt16 => decimal::<UInt16Type>(array, 0, i128::from),
        DataType::UInt32 => decimal::<UInt32Type>(array, 0, i128::from),
        DataType::UInt64 => decimal::<UInt64Type>(array, 0, i128::from),
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, scale, i128::from),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, scale, i128::from),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, scale, |v| v),
        DataType::Decimal256(_, scale) => {
            let array = array.as_primitive_opt::<Decimal256Type>()?;
            let values = array.values().clone();
            let make = move |row: usize, out: &mut Vec<u8>| write_i256(values[row], scale, out);
            Some(Box::new(Made::new(nulls(array), make)))
        }
        _ => None,
    }
}

fn strings<B: Bytes + Array + Clone + 'static>(array: &B, prefix: &'static [u8], check: Check) -> Prepared {
    Some(Box::new(Strings { nulls: nulls(array), values: array.clone(), prefix, check }))
}

fn string<O: OffsetSizeTrait>(array: &GenericStringArray<O>, prefix: &'static [u8]) -> Prepared {
    let offsets = array.offsets();
    let (start, end) = (offsets[0].as_usize(), offsets[array.len()].as_usize());
    // One scan over all values is far cheaper than one a value. Only those of this slice: the buffer may be far longer.
    let has_nul = array.value_data()[start..end].contains(&0);
    strings(array, prefix, if has_nul { Check::Nul } else { Check::Nothing })
}

fn text(array: &ArrayRef, prefix: &'static [u8]) -> Prepared {
    match array.data_type() {
        DataType::Utf8 => string(array.as_string_opt::<i32>()?, prefix),
        DataType::LargeUtf8 => string(array.as_string_opt::<i64>()?, prefix),
        DataType::Utf8View => strings(array.as_string_view_opt()?, prefix, Check::Nul),
        // Impala writes text as bytes.
        DataType::Binary => strings(array.as_binary_opt::<i32>()?, prefix, Check::Utf8),
        DataType::LargeBinary => strings(array.as_binary_opt::<i64>()?, prefix, Check::Utf8),
        DataType::BinaryView => strings(array.as_binary_view_opt()?, prefix, Check::Utf8),
        _ => None,
    }
}

fn bytea(array: &ArrayRef) -> Prepared {
    match array.data_type() {
        DataType::Binary => strings(array.as_binary_opt::<i32>()?, b"", Check::Nothing),
        DataType::LargeBinary => strings(array.as_binary_opt::<i64>()?, b"", Check::Nothing),
        DataType::BinaryView => strings(array.as_binary_view_opt()?, b"", Check::Nothing),
        DataType::FixedSizeBinary(_) => strings(array.as_fixed_size_binary_opt()?, b"", Check::Nothing),
        _ => None,
    }
}

fn uuid(array: &ArrayRef) -> Prepared {
    fn parsed<B: Bytes + Array + Clone + 'static>(array: &B) -> Prepared {
        let values = array.clone();
        Some(Box::new(Fixed { nulls: nulls(array), get: move |row| parse_uuid(values.bytes(row)) }))
    }
    match array.data_type() {
        DataType::Utf8 => parsed(array.as_string_opt::<i32>()?),
        DataType::LargeUtf8 => parsed(array.as_string_opt::<i64>()?),
        DataType::Utf8View => parsed(array.as_string_view_opt()?),
        DataType::FixedSizeBinary(16) => {
            let array = array.as_fixed_size_binary_opt()?;
            let values = array.clone();
            Some(Box::new(Fixed {
                nulls: nulls(array),
                get: move |row| values.bytes(row).first_chunk::<16>().copied(),
            }))
        }
        _ => None,
    }
}

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        bare => bare,
    };
    let hyphens = match text.len() {
        32 => false,
        36 if [8, 13, 18, 23].iter().all(|&at| text[at] == b'-') => true,
        _ => return None,
    };
    let mut uuid = [0_u8; 16];
    let mut at = 0;
    for (index, byte) in uuid.iter_mut().enumerate() {
        if hyphens && matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        let high = char::from(text[at]).to_digit(16)?;
        let low = char::from(text[at + 1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
        at += 2;
    }
    Some(uuid)
}

fn date(array: &ArrayRef) -> Prepared {
    let bytes = |days: i64| {
        let days = days - i64::from(EPOCH_DAYS);
        DATES.contains(&days).then(|| (days as i32).to_be_bytes())
    };
    match array.data_type() {
        DataType::Date32 => fixed::<Date32Type, 4>(array, move |v| bytes(v.into())),
        DataType::Date64 => fixed::<Date64Type, 4>(array, move |v| bytes(v.div_euclid(DAY_MICROS / 1_000))),
        _ => None,
    }
}

fn time(array: &ArrayRef) -> Prepared {
    let bytes = |micros: i64| (0..=DAY_MICROS).contains(&micros).then(|| micros.to_be_bytes());
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            fixed::<Time32SecondType, 8>(array, move |v| bytes(i64::from(v) * 1_000_000))
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            fixed::<Time32MillisecondType, 8>(array, move |v| bytes(i64::from(v) * 1_000))
        }
        DataType::Time64(TimeUnit::Microsecond) => fixed::<Time64MicrosecondType, 8>(array, bytes),
        DataType::Time64(TimeUnit::Nanosecond) => {
            fixed::<Time64NanosecondType, 8>(array, move |v| bytes(v.div_euclid(1_000)))
        }
        _ => None,
    }
}

fn timestamp(array: &ArrayRef) -> Prepared {
    let bytes = |micros: i64| {
        let micros = micros.checked_sub(EPOCH_MICROS)?;
        TIMESTAMPS.contains(&micros).then(|| micros.to_be_bytes())
    };
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            fixed::<TimestampSecondType, 8>(array, move |v| bytes(v.checked_mul(1_000_000)?))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            fixed::<TimestampMillisecondType, 8>(array, move |v| bytes(v.checked_mul(1_000)?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => fixed::<TimestampMicrosecondType, 8>(array, bytes),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            fixed::<TimestampNanosecondType, 8>(array, move |v| bytes(v.div_euclid(1_000)))
        }
        _ => None,
    }
}

fn dictionary(array: &ArrayRef, key: &DataType, pg: PgType) -> Prepared {
    match key {
        DataType::Int8 => coded::<Int8Type>(array, pg),
        DataType::Int16 => coded::<Int16Type>(array, pg),
        DataType::Int32 => coded::<Int32Type>(array, pg),
        DataType::Int64 => coded::<Int64Type>(array, pg),
        DataType::UInt8 => coded::<UInt8Type>(array, pg),
        DataType::UInt16 => coded::<UInt16Type>(array, pg),
        DataType::UInt32 => coded::<UInt32Type>(array, pg),
        DataType::UInt64 => coded::<UInt64Type>(array, pg),
        _ => None,
    }
}

fn coded<K: ArrowDictionaryKeyType>(array: &ArrayRef, pg: PgType) -> Prepared {
    let dictionary = array.as_dictionary_opt::<K>()?;
    let values = dictionary.values();
    // Making every value of a dictionary larger than the batch would cost more than looking them up row by row.
    if values.len() > dictionary.len() && !dictionary.is_empty() {
        return prepare(&cast(array, values.data_type()).ok()?, pg);
    }
    let keys = dictionary.keys().values().clone();
    let mut field = prepare(values, pg)?;
    let count = values.len();
    Some(Box::new(Coded::new(move |row| keys[row].as_usize(), nulls(dictionary.keys()), field.as_mut(), count)))
}
