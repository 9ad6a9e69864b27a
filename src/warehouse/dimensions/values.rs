//! The values of a log by its typed columns, as the canonical text of the history room.

use std::borrow::Cow;

use crate::clean::canonical_json;
use crate::error::{Error, Result};
use crate::history::Value;
use crate::model::{Kind, canonical_date, canonical_float};
use crate::postgres::history::wire::{Field, date, instant};

/// What is read of a column: itself, or what PostgreSQL prints of it, where that is canonical.
pub(super) fn read(kind: Kind, column: &str) -> (String, &'static str) {
    match kind {
        // Two decimals, as the column is declared.
        Kind::Money => (format!("{column}::text"), "text"),
        Kind::Text
        | Kind::Code
        | Kind::Instant
        | Kind::Date
        | Kind::Float
        | Kind::Integer
        | Kind::Boolean
        | Kind::Json => (column.to_owned(), kind.sql()),
    }
}

/// The canonical text of what [`read`] gives.
pub(super) fn canonical(kind: Kind, field: Field<'_>) -> Result<Value> {
    let Some(bytes) = field else { return Ok(None) };
    let text: Cow<'_, str> = match kind {
        Kind::Text | Kind::Code | Kind::Money => Cow::Borrowed(text(bytes)?),
        Kind::Json => {
            // A byte for the version of the form comes first.
            let text = text(bytes.get(1..).unwrap_or_default())?;
            Cow::Owned(canonical_json(text).ok_or_else(|| torn(kind))?)
        }
        Kind::Instant => Cow::Owned(instant(field)?.ok_or_else(|| torn(kind))?.to_string()),
        Kind::Date => Cow::Owned(canonical_date(date(exact(kind, bytes)?))),
        Kind::Float => Cow::Owned(canonical_float(f64::from_be_bytes(exact(kind, bytes)?))),
        Kind::Integer => Cow::Owned(i32::from_be_bytes(exact(kind, bytes)?).to_string()),
        Kind::Boolean => Cow::Borrowed(if exact::<1>(kind, bytes)? == [0] { "false" } else { "true" }),
    };
    Ok(Some(text.into()))
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| Error::internal("a text of the log is no UTF-8").because(e))
}

fn exact<const N: usize>(kind: Kind, bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| torn(kind))
}

fn torn(kind: Kind) -> Error {
    Error::internal(format!("a column of the log holds no {}", kind.sql()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, StringArray};
    use arrow::array::{TimestampMicrosecondArray, new_null_array};

    use super::*;

    /// What a cleaned column says of its first row.
    fn of_batch(kind: Kind, column: ArrayRef) -> Value {
        kind.canonical(&column, 0).map(|text| text.into())
    }

    #[test]
    fn what_the_log_holds_reads_as_what_was_said() {
        let days = |days: i32| (days - 10_957).to_be_bytes().to_vec();
        let micros = |micros: i64| (micros - 946_684_800_000_000).to_be_bytes().to_vec();
        let cases: [(Kind, ArrayRef, Vec<u8>); 10] = [
            (Kind::Text, Arc::new(StringArray::from(vec!["Łódź"])), "Łódź".into()),
            (Kind::Instant, Arc::new(TimestampMicrosecondArray::from(vec![-1])), micros(-1)),
            (
                Kind::Instant,
                Arc::new(TimestampMicrosecondArray::from(vec![1_714_521_600_000_001])),
                micros(1_714_521_600_000_001),
            ),
            (Kind::Date, Arc::new(Date32Array::from(vec![-1])), days(-1)),
            (Kind::Date, Arc::new(Date32Array::from(vec![19_844])), days(19_844)),
            (Kind::Float, Arc::new(Float64Array::from(vec![0.1 + 0.2])), (0.1_f64 + 0.2).to_be_bytes().into()),
            (Kind::Float, Arc::new(Float64Array::from(vec![-0.0])), 0.0_f64.to_be_bytes().into()),
            (Kind::Integer, Arc::new(Int32Array::from(vec![-80])), (-80_i32).to_be_bytes().into()),
            (Kind::Boolean, Arc::new(BooleanArray::from(vec![true])), vec![1]),
            (
                Kind::Json,
                Arc::new(StringArray::from(vec![r#"{"a":[1,2],"b":1}"#])),
                b"\x01{\"a\": [1, 2], \"b\": 1}".to_vec(),
            ),
        ];
        for (kind, said, held) in cases {
            assert_eq!(canonical(kind, Some(&held)).unwrap(), of_batch(kind, said), "{kind:?}");
        }
        let nothing = of_batch(Kind::Text, new_null_array(&arrow::datatypes::DataType::Utf8, 1));
        assert_eq!(canonical(Kind::Text, None).unwrap(), nothing);
        assert!(canonical(Kind::Integer, Some(b"1")).is_err());
    }
}
