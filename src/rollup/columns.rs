//! Columns of a batch by name and type, with errors that name them.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::error::{Error, Result};

/// Whether a type is text, plainly or behind a dictionary.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, value) => {
            matches!(**value, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        _ => false,
    }
}

/// A column by name.
pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| {
        let known: Vec<_> = batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
        Error::schema(format!("column {name} is missing; the columns are {}", known.join(", "))).with("column", name)
    })
}

/// A text column by name.
pub(crate) fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let found = column(batch, name)?;
    if is_text(found.data_type()) { Ok(found) } else { Err(wrong_type(name, found.data_type(), "text")) }
}

/// A column of lists of texts by name.
pub(crate) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ListArray> {
    let found = column(batch, name)?;
    found.as_list_opt::<i32>().ok_or_else(|| wrong_type(name, found.data_type(), "a list of texts"))
}

/// A column by name, cast to a primitive type.
pub(crate) fn primitive<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
    wanted: &DataType,
) -> Result<PrimitiveArray<T>> {
    cast_to(name, column(batch, name)?, wanted)
}

/// A column cast to a primitive type; an error when a value does not fit.
pub(crate) fn cast_to<T: ArrowPrimitiveType>(
    name: &str,
    found: &ArrayRef,
    wanted: &DataType,
) -> Result<PrimitiveArray<T>> {
    let cast = cast(found, wanted).map_err(|e| wrong_type(name, found.data_type(), &wanted.to_string()).because(e))?;
    if cast.null_count() > found.null_count() {
        return Err(Error::data(format!("column {name} has values that do not fit {wanted}")).with("column", name));
    }
    cast.as_primitive_opt::<T>().cloned().ok_or_else(|| wrong_type(name, found.data_type(), &wanted.to_string()))
}

/// An error that names a column, its type and the expected one.
pub(crate) fn wrong_type(name: &str, found: &DataType, wanted: &str) -> Error {
    Error::schema(format!("column {name} is {found}, expected {wanted}")).with("column", name)
}

/// A timestamp column as microseconds since the epoch; finer digits are cut off towards the past.
pub(crate) fn micros(name: &str, found: &ArrayRef) -> Result<PrimitiveArray<Int64Type>> {
    let DataType::Timestamp(unit, _) = found.data_type() else {
        return Err(wrong_type(name, found.data_type(), "a timestamp"));
    };
    let counts =
        cast(found, &DataType::Int64).map_err(|e| wrong_type(name, found.data_type(), "a timestamp").because(e))?;
    let counts = counts.as_primitive::<Int64Type>();
    let scale = match unit {
        TimeUnit::Second => 1_000_000,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => return Ok(counts.clone()),
        TimeUnit::Nanosecond => return Ok(counts.unary(|v| v.div_euclid(1_000))),
    };
    counts.try_unary(|v: i64| v.checked_mul(scale).ok_or(())).map_err(|()| {
        Error::data(format!("column {name} has an instant beyond the range of microseconds")).with("column", name)
    })
}

/// A timestamp column by name, as microseconds since the epoch.
pub(crate) fn micros_of(batch: &RecordBatch, name: &str) -> Result<PrimitiveArray<Int64Type>> {
    micros(name, column(batch, name)?)
}

/// The type of every `hour_bucket` that comes out of this room.
pub(crate) fn hour_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// An `hour_bucket` column.
pub(crate) fn hour_array(micros: Vec<i64>) -> PrimitiveArray<TimestampMicrosecondType> {
    PrimitiveArray::<TimestampMicrosecondType>::new(micros.into(), None).with_timezone("UTC")
}

/// The type of every list of texts that comes out of this room.
pub(crate) fn texts_type() -> DataType {
    DataType::List(Field::new_list_field(DataType::Utf8, true).into())
}
