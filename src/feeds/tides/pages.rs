//! The columns of a Parquet file as text.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types: a few of many")]

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, StringArray, StringViewArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::super::unpack::most_bytes;
use crate::error::{Error, Result};

const BATCH_ROWS: usize = 4_096;

/// An opened file.
pub(super) struct Pages<'a> {
    name: &'a str,
    file: File,
    metadata: ArrowReaderMetadata,
}

/// A column of some rows.
pub(super) enum Texts {
    Plain(StringArray),
    Views(StringViewArray),
    Bytes(BinaryViewArray),
}

/// Takes the number of some rows and their columns; `None` for one that is no plain value.
pub(super) type Each<'a> = dyn FnMut(usize, &[Option<Texts>]) -> Result<()> + 'a;

impl<'a> Pages<'a> {
    /// Opens a file; `name` is what messages call it.
    ///
    /// # Errors
    /// `Data` for a footer that cannot be read.
    pub(super) fn open(file: File, name: &'a str) -> Result<Self> {
        let plain = ArrowReaderOptions::new();
        let metadata =
            undamaged(name, || ArrowReaderMetadata::load(&file, plain))?.map_err(|e| unreadable(name, &e))?;
        let metadata = in_views(&metadata).unwrap_or(metadata);
        Ok(Self { name, file, metadata })
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Gives `each` the rows, some at a time.
    ///
    /// # Errors
    /// `Schema` when a needed column is none, `Data` for pages that cannot be read.
    pub(super) fn each(self, is_needed: &dyn Fn(usize) -> bool, each: &mut Each<'_>) -> Result<()> {
        let Self { name, file, metadata } = self;
        let fields = Arc::clone(metadata.schema());
        let is_plain: Vec<bool> = fields.fields().iter().map(|field| is_plain(field.data_type())).collect();
        if let Some(wrong) = (0..is_plain.len()).find(|&column| !is_plain[column] && is_needed(column)) {
            return Err(no_text(name, fields.field(wrong)));
        }
        not_too_large(name, &metadata)?;
        let read = (0..is_plain.len()).filter(|column| is_plain[*column]);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), read);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let mut reader = undamaged(name, || builder.build())?.map_err(|e| unreadable(name, &e))?;
        while let Some(batch) = undamaged(name, || reader.next())? {
            let batch = batch.map_err(|e| unreadable(name, &e))?;
            let mut read = batch.columns().iter();
            let next = |is_plain: &bool| if *is_plain { read.next() } else { None };
            let next = is_plain.iter().map(next).map(|column| column.map(|column| texts(name, column)).transpose());
            let columns: Vec<Option<Texts>> = next.collect::<Result<_>>()?;
            each(batch.num_rows(), &columns)?;
        }
        Ok(())
    }
}

impl Texts {
    /// The value of a row; blank where there is none.
    pub(super) fn value(&self, row: usize) -> &[u8] {
        match self {
            Self::Plain(column) if column.is_valid(row) => column.value(row).as_bytes(),
            Self::Views(column) if column.is_valid(row) => column.value(row).as_bytes(),
            Self::Bytes(column) if column.is_valid(row) => column.value(row),
            Self::Plain(_) | Self::Views(_) | Self::Bytes(_) => b"",
        }
    }
}

/// What a step of the decoder gives: damaged pages can make it panic, which is the file's fault.
fn undamaged<T>(name: &str, step: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|_| unreadable(name, &"it is damaged"))
}

/// Columns are unpacked a page at a time, and a page may be as large as its column.
///
/// # Errors
/// `Data` for one that is packed as none of a feed is.
fn not_too_large(name: &str, metadata: &ArrowReaderMetadata) -> Result<()> {
    let chunks = metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
    for chunk in chunks {
        let most = most_bytes(chunk.compressed_size().unsigned_abs());
        if chunk.uncompressed_size().unsigned_abs() > most {
            let column = chunk.column_path().string();
            return Err(unreadable(name, &format!("column {column} of a row group unpacks to more than {most} bytes")));
        }
    }
    Ok(())
}

/// The footer under which text comes as views: however often a long text of the file repeats, it is in memory once.
fn in_views(plain: &ArrowReaderMetadata) -> Option<ArrowReaderMetadata> {
    let viewed = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => field.as_ref().clone().with_data_type(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => field.as_ref().clone().with_data_type(DataType::BinaryView),
        DataType::Dictionary(_, values) if **values == DataType::Utf8 => {
            field.as_ref().clone().with_data_type(DataType::Utf8View)
        }
        _ => field.as_ref().clone(),
    };
    let schema = plain.schema();
    let fields: Vec<Field> = schema.fields().iter().map(viewed).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), ArrowReaderOptions::new().with_schema(schema)).ok()
}

fn is_plain(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8View | DataType::BinaryView => true,
        other => !other.is_nested() && can_cast_types(other, &DataType::Utf8),
    }
}

fn texts(name: &str, column: &ArrayRef) -> Result<Texts> {
    let failed = |e: ArrowError| unreadable(name, &e);
    match column.data_type() {
        DataType::Utf8View => Ok(Texts::Views(column.as_string_view().clone())),
        DataType::BinaryView => Ok(Texts::Bytes(column.as_binary_view().clone())),
        DataType::Timestamp(_, Some(zone)) => {
            // Arrow writes an instant in the column's own zone, which it may not know: UTC is the same instant.
            let micros =
                cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)))).map_err(failed)?;
            let shown = |micros| {
                let instant = DateTime::from_timestamp_micros(micros)?;
                Some(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            };
            let micros = micros.as_primitive::<TimestampMicrosecondType>().iter();
            Ok(Texts::Plain(micros.map(|micros| micros.and_then(shown)).collect()))
        }
        _ => Ok(Texts::Plain(cast(column, &DataType::Utf8).map_err(failed)?.as_string::<i32>().clone())),
    }
}

fn no_text(name: &str, field: &Field) -> Error {
    let column = field.name();
    Error::schema(format!("column {column} of {name} is of type {}, expected a plain value", field.data_type()))
        .with("file", name)
        .with("column", column)
}

/// The error for a file that cannot be read.
pub(super) fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::data(format!("{name} cannot be read: {error}; fetch or write the package again")).with("file", name)
}
