//! Tab-separated answers, for servers that do not speak Arrow.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, TimestampSecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{NaiveDateTime, TimeZone};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// The cells of a `TabSeparated` answer, NULL as `None`.
pub(super) fn cells(answer: &[u8]) -> Vec<Vec<Option<String>>> {
    let body = answer.strip_suffix(b"\n").unwrap_or(answer);
    if answer.is_empty() {
        return Vec::new();
    }
    body.split(|b| *b == b'\n').map(|line| line.split(|b| *b == b'\t').map(cell).collect()).collect()
}

fn cell(raw: &[u8]) -> Option<String> {
    if raw == b"\\N" {
        return None;
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'0') => 0,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// A `TabSeparatedWithNamesAndTypes` answer as one batch. Times without a zone of their own are in the server's.
pub(super) fn table(answer: &[u8], server_zone: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let mut rows = cells(answer).into_iter();
    let (Some(names), Some(types)) = (rows.next(), rows.next()) else {
        return Ok((Arc::new(Schema::empty()), Vec::new()));
    };
    let rows: Vec<_> = rows.collect();
    let mut fields = Vec::with_capacity(names.len());
    let mut columns = Vec::with_capacity(names.len());
    for (at, (name, declared)) in names.into_iter().zip(types).enumerate() {
        let (name, declared) = (name.unwrap_or_default(), declared.unwrap_or_default());
        let (data_type, nullable) = arrow_type(&declared, server_zone);
        let texts: StringArray = rows.iter().map(|row| row.get(at).and_then(|cell| cell.as_deref())).collect();
        let column = convert(texts, &data_type).map_err(|e| e.with("column", &name).with("type", declared))?;
        fields.push(Field::new(name, data_type, nullable));
        columns.push(column);
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::internal("a text answer of ClickHouse does not fit its types").because(e))?;
    Ok((schema, vec![batch]))
}

/// An Arrow answer with the columns declared as `DateTime` (name, type: rows of `DESCRIBE`) turned into instants.
pub(super) fn with_instants(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    declared: &[Vec<String>],
    server_zone: &str,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let wanted = |at: usize, field: &Field| {
        let (data_type, _) = arrow_type(declared.get(at)?.get(1)?, server_zone);
        let is_bare = *field.data_type() == DataType::UInt32 && matches!(data_type, DataType::Timestamp(_, _));
        is_bare.then_some(data_type)
    };
    let fields = schema.fields().iter().enumerate();
    let types: Vec<_> = fields.clone().map(|(at, field)| wanted(at, field)).collect();
    let fields = fields.zip(&types).map(|((_, field), wanted)| {
        wanted.as_ref().map_or_else(|| field.as_ref().clone(), |t| field.as_ref().clone().with_data_type(t.clone()))
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let failed = |e| Error::internal("a time of ClickHouse cannot be read").because(e);
    let convert = |(column, wanted): (&ArrayRef, &Option<DataType>)| match wanted {
        Some(wanted) => cast(&cast(column, &DataType::Int64).map_err(failed)?, wanted).map_err(failed),
        None => Ok(column.clone()),
    };
    let batches = batches.iter().map(|batch| {
        let columns = batch.columns().iter().zip(&types).map(convert).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(schema.clone(), columns).map_err(failed)
    });
    Ok((schema.clone(), batches.collect::<Result<_>>()?))
}

/// The Arrow type of a declared type, and whether it may be NULL; what is not listed stays text.
fn arrow_type(declared: &str, server_zone: &str) -> (DataType, bool) {
    for (wrapper, nullable) in [("Nullable(", true), ("LowCardinality(", false)] {
        if let Some(inner) = declared.strip_prefix(wrapper).and_then(|rest| rest.strip_suffix(')')) {
            let (data_type, inner_nullable) = arrow_type(inner, server_zone);
            return (data_type, nullable || inner_nullable);
        }
    }
    let data_type = match declared {
        "UInt8" => DataType::UInt8,
        "UInt16" => DataType::UInt16,
        "UInt32" => DataType::UInt32,
        "UInt64" => DataType::UInt64,
        "Int8" => DataType::Int8,
        "Int16" => DataType::Int16,
        "Int32" => DataType::Int32,
        "Int64" => DataType::Int64,
        "Float32" => DataType::Float32,
        "Float64" => DataType::Float64,
        "Date" => DataType::Date32,
        "DateTime" => DataType::Timestamp(TimeUnit::Second, Some(server_zone.into())),
        other => parametric(other),
    };
    (data_type, false)
}

fn parametric(declared: &str) -> DataType {
    let Some((name, arguments)) = declared.strip_suffix(')').and_then(|d| d.split_once('(')) else {
        return DataType::Utf8;
    };
    match name {
        "DateTime" => DataType::Timestamp(TimeUnit::Second, Some(arguments.trim_matches('\'').into())),
        "Decimal" => {
            let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
            match (precision.trim().parse(), scale.trim().parse()) {
                (Ok(precision), Ok(scale)) => DataType::Decimal128(precision, scale),
                _ => DataType::Utf8,
            }
        }
        _ => DataType::Utf8,
    }
}

fn convert(texts: StringArray, data_type: &DataType) -> Result<ArrayRef> {
    if let DataType::Timestamp(_, Some(zone)) = data_type {
        return instants(&texts, zone);
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&texts, data_type, &options)
        .map_err(|e| Error::internal("a text answer of ClickHouse cannot be read").because(e))
}

/// Local times as instants; of an hour that comes twice the first.
fn instants(texts: &StringArray, zone: &Arc<str>) -> Result<ArrayRef> {
    let unreadable = |what: &str| Error::internal(format!("ClickHouse's time {what:?} cannot be read"));
    let tz: Tz = zone.parse().map_err(|_| unreadable(zone))?;
    let mut seconds = Vec::with_capacity(texts.len());
    for text in texts {
        let second = text.map(|text| {
            // The zero value of old servers.
            if text == "0000-00-00 00:00:00" {
                return Ok(0);
            }
            let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map_err(|_| unreadable(text))?;
            let instant = tz.from_local_datetime(&local).earliest().ok_or_else(|| unreadable(text))?;
            Ok(instant.timestamp())
        });
        seconds.push(second.transpose()?);
    }
    Ok(Arc::new(TimestampSecondArray::from(seconds).with_timezone(zone.clone())))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Float64Type, TimestampSecondType, UInt64Type};

    use super::*;

    #[test]
    fn types_nulls_and_escapes_survive() {
        let answer = b"n\tf\td\tt\ts\nUInt64\tNullable(Float64)\tDecimal(18, 2)\tDateTime('UTC')\tString\n\
            18446744073709551615\t\\N\t-2.5\t2024-05-01 10:00:00\ta\\tb\\\\\n1\tnan\t0\t1970-01-01 00:00:01\t\\'\n";
        let (schema, batches) = table(answer, "Europe/Moscow").unwrap();
        let batch = &batches[0];
        assert_eq!(schema.field(2).data_type(), &DataType::Decimal128(18, 2));
        assert_eq!(batch.column(0).as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert!(batch.column(1).is_null(0) && batch.column(1).as_primitive::<Float64Type>().value(1).is_nan());
        assert_eq!(batch.column(2).as_primitive::<Decimal128Type>().value(0), -250);
        assert_eq!(batch.column(3).as_primitive::<TimestampSecondType>().value(0), 1_714_557_600);
        assert_eq!(batch.column(4).as_string::<i32>().value(0), "a\tb\\");
        assert_eq!(batch.column(4).as_string::<i32>().value(1), "'");
    }

    #[test]
    fn an_answer_without_rows_has_its_columns() {
        let (schema, batches) = table(b"n\nUInt8\n", "UTC").unwrap();
        assert_eq!((schema.fields().len(), batches[0].num_rows()), (1, 0));
        assert_eq!(cells(b""), Vec::<Vec<Option<String>>>::new());
    }
}
