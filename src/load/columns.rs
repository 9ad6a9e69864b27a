//! Columns of cleaned rows: names and types are those that the rules give, so another one is a mistake of ours.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type};

use crate::error::{Error, Result};

/// A column.
pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("cleaned rows have no column {name}")))
}

/// A column of numbers or instants.
pub(crate) fn primitive<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    let found = column(batch, name)?;
    found.as_primitive_opt::<T>().ok_or_else(|| mistyped(name, found))
}

/// A column of texts that come as codes.
pub(crate) fn codes<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a DictionaryArray<Int32Type>> {
    let found = column(batch, name)?;
    found.as_dictionary_opt::<Int32Type>().ok_or_else(|| mistyped(name, found))
}

fn mistyped(name: &str, found: &ArrayRef) -> Error {
    Error::internal(format!("column {name} of the cleaned rows is {}", found.data_type()))
}
