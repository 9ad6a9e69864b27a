//! Reads the footers of Parquet files, with hints on how their columns are to be decoded.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path as FilePath;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;

use super::failure::file_error;
use super::part::Part;
use crate::error::{Error, Result};
use crate::model::Dataset;

/// Reads a file's footer, with the hints under which its batches are decoded.
pub(super) fn open_metadata(file: &FilePath, part: &Part) -> Result<ArrowReaderMetadata> {
    let input = File::open(file).map_err(|e| file_error(e, "reading", &part.path))?;
    let plain = load_metadata(&part.path, || ArrowReaderMetadata::load(&input, ArrowReaderOptions::new()))?;
    Ok(hinted(&plain, |field| dataset_hint(part.dataset, field)).unwrap_or(plain))
}

/// A footer as `load` reads it, with errors that name the file.
pub(super) fn load_metadata(
    path: &str,
    load: impl FnOnce() -> parquet::errors::Result<ArrowReaderMetadata>,
) -> Result<ArrowReaderMetadata> {
    let unreadable = |e: ParquetError| {
        Error::data(format!("{path} has a footer that cannot be read: {e}; write the file again"))
            .with("file", path)
            .because(e)
    };
    catch_unwind(AssertUnwindSafe(load))
        .map_err(|_| Error::data(format!("{path} has a damaged footer")).with("file", path))?
        .map_err(unreadable)
}

/// The same footer under hints, or `None` where there is nothing to hint or the reader refuses. `hint` may choose another
/// type for a column; INT96 comes as microseconds where it chooses none.
pub(super) fn hinted(
    plain: &ArrowReaderMetadata,
    hint: impl Fn(&Field) -> Option<DataType>,
) -> Option<ArrowReaderMetadata> {
    let schema = plain.schema();
    let mut changed = false;
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let hint = hint(field).or_else(|| int96_hint(plain, field));
            changed |= hint.as_ref().is_some_and(|hint| hint != field.data_type());
            hint.map_or_else(|| field.as_ref().clone(), |t| field.as_ref().clone().with_data_type(t))
        })
        .collect();
    if !changed {
        return None;
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    ArrowReaderMetadata::try_new(plain.metadata().clone(), ArrowReaderOptions::new().with_schema(schema)).ok()
}

/// Nanoseconds end in 2262 and would wrap; INT96 reaches further.
fn int96_hint(plain: &ArrowReaderMetadata, field: &Field) -> Option<DataType> {
    let DataType::Timestamp(TimeUnit::Nanosecond, zone) = field.data_type() else { return None };
    let columns = plain.parquet_schema().columns();
    let is_int96 = columns
        .iter()
        .any(|column| column.path().parts() == [field.name().as_str()] && column.physical_type() == Physical::INT96);
    is_int96.then(|| DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
}

/// Text that repeats comes as a dictionary.
fn dataset_hint(dataset: Dataset, field: &Field) -> Option<DataType> {
    let kind = dataset.index(field.name()).and_then(|i| dataset.columns().get(i)).map(|c| c.kind)?;
    let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    (is_text && kind.is_code()).then(|| kind.arrow())
}
