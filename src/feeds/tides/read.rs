//! The rows of one file of a package, as text: CSV as it is, Parquet as CSV would have it.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types: a few of many")]

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use super::super::records::Records;
use super::package::Shape;
use super::tables::Table;
use crate::control::Cancel;
use crate::digest::{add_file, hex};
use crate::error::{Error, Result};

const BATCH_ROWS: usize = 4_096;
/// Rows between two looks at the caller's wish to stop.
const CHECK_ROWS: u64 = 1 << 14;

/// A file of this machine, as the package lists it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where it lies.
    pub path: &'a Path,
    /// Its path in the package.
    pub name: &'a str,
    /// Its table.
    pub table: Table,
    /// How it is read.
    pub shape: Shape,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    names: &'a [String],
    places: &'a [Option<usize>],
    values: &'a [&'a [u8]],
    /// The line of a text on which it begins, the number of a row of Parquet: from 1.
    pub(super) number: u64,
}

impl<'a> Row<'a> {
    /// The value of a field, by its place in the table; blank where there is none. `None` for what is no text.
    pub(super) fn get(&self, field: usize) -> Option<&'a str> {
        let place = self.places.get(field).copied().flatten();
        let value = place.and_then(|place| self.values.get(place)).copied().unwrap_or_default();
        std::str::from_utf8(value).ok()
    }

    /// Whether values stand beyond the last column, so that nobody knows which value is whose.
    pub(super) fn overflows(&self) -> bool {
        self.values.iter().skip(self.names.len()).any(|value| !value.is_empty())
    }

    /// The row for the quarantine, blank values left out; bytes that are no text show as such.
    pub(super) fn json(&self) -> String {
        let values = self.names.iter().zip(self.values).filter(|(_, value)| !value.is_empty());
        let values = values.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into()));
        serde_json::Value::Object(values.collect()).to_string()
    }
}

impl Source<'_> {
    /// Whether its bytes are those that the package lists.
    ///
    /// # Errors
    /// `Data` when they are not.
    pub fn verify(&self, sha256: &str) -> Result<()> {
        let mut digest = Sha256::new();
        add_file(&mut digest, &mut self.open()?).map_err(|e| self.broken(&e))?;
        let found = hex(&digest.finalize());
        if found == sha256 {
            return Ok(());
        }
        Err(Error::data(format!(
            "{} has the SHA-256 {found}, the package lists {sha256}; fetch or write the package again",
            self.name
        ))
        .with("file", self.name))
    }

    /// The names of the columns.
    ///
    /// # Errors
    /// `Data` for what cannot be read, `Schema` for an empty file.
    pub fn header(&self) -> Result<Vec<String>> {
        match self.shape {
            Shape::Csv { delimiter, quote } => {
                let mut file = self.open()?;
                self.begin(&mut Records::separated(self.name, &mut file, delimiter, quote))
            }
            Shape::Parquet => Ok(names(&self.parquet()?)),
        }
    }

    /// Gives `each` the rows in their order.
    pub(super) fn rows(&self, cancel: &Cancel, each: &mut dyn FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        match self.shape {
            Shape::Csv { delimiter, quote } => {
                let mut file = self.open()?;
                let mut records = Records::separated(self.name, &mut file, delimiter, quote);
                let names = self.begin(&mut records)?;
                let places = self.places(&names);
                let mut seen = 0_u64;
                while records.next()? {
                    let values: Vec<&[u8]> = (0..records.ends().len()).map(|place| records.value(place)).collect();
                    let row = Row { names: &names, places: &places, values: &values, number: records.line() };
                    seen += 1;
                    if seen.is_multiple_of(CHECK_ROWS) {
                        cancel.check()?;
                    }
                    // Blanks are a value where they stand between delimiters.
                    let is_blank = values.len() == 1 && values.iter().all(|value| value.trim_ascii().is_empty());
                    if !is_blank {
                        each(&row)?;
                    }
                }
                Ok(())
            }
            Shape::Parquet => self.parquet_rows(cancel, each),
        }
    }

    /// Reads the header.
    fn begin(&self, records: &mut Records<'_>) -> Result<Vec<String>> {
        if records.next()? {
            return Ok(records.names());
        }
        Err(Error::schema(format!("{} is empty, expected at least its header", self.name)).with("file", self.name))
    }

    /// Where the fields of the table stand.
    fn places(&self, names: &[String]) -> Vec<Option<usize>> {
        self.table.fields().iter().map(|field| names.iter().position(|name| name == field.name)).collect()
    }

    fn parquet_rows(&self, cancel: &Cancel, each: &mut dyn FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        let file = self.parquet()?;
        let names = names(&file);
        let places = self.places(&names);
        let mut number = 0;
        let reader = file.with_batch_size(BATCH_ROWS).build().map_err(|e| self.broken(&e))?;
        for batch in reader {
            cancel.check()?;
            let batch = batch.map_err(|e| self.broken(&e))?;
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (place, column) in batch.columns().iter().enumerate() {
                columns.push(match as_text(column) {
                    Some(text) => Some(text?),
                    None if places.contains(&Some(place)) => return Err(self.no_text(&names[place], column)),
                    None => None,
                });
            }
            for row in 0..batch.num_rows() {
                number += 1;
                let values: Vec<&[u8]> = columns.iter().map(|column| value(column.as_ref(), row)).collect();
                each(&Row { names: &names, places: &places, values: &values, number })?;
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<File> {
        File::open(self.path).map_err(|e| self.broken(&e))
    }

    fn parquet(&self) -> Result<ParquetRecordBatchReaderBuilder<File>> {
        ParquetRecordBatchReaderBuilder::try_new(self.open()?).map_err(|e| self.broken(&e))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Error {
        Error::data(format!("{} cannot be read: {error}; fetch or write the package again", self.name))
            .with("file", self.name)
    }

    fn no_text(&self, name: &str, column: &ArrayRef) -> Error {
        Error::schema(format!(
            "column {name} of {} is of type {}, expected a plain value",
            self.name,
            column.data_type()
        ))
        .with("file", self.name)
        .with("column", name)
    }
}

fn names(file: &ParquetRecordBatchReaderBuilder<File>) -> Vec<String> {
    file.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn value(column: Option<&StringArray>, row: usize) -> &[u8] {
    column.filter(|column| column.is_valid(row)).map_or(b"", |column| column.value(row).as_bytes())
}

/// A column as text; `None` for a type that has none.
fn as_text(column: &ArrayRef) -> Option<Result<StringArray>> {
    let failed = |e: ArrowError| Error::internal("a column cannot be read as text").because(e);
    if let DataType::Timestamp(_, Some(zone)) = column.data_type() {
        // Arrow writes an instant in the column's own zone, which it may not know: UTC is the same instant.
        let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone()))).map_err(failed);
        return Some(micros.map(|micros| {
            let shown = |micros| {
                let instant = DateTime::from_timestamp_micros(micros)?;
                Some(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            };
            micros.as_primitive::<TimestampMicrosecondType>().iter().map(|micros| micros.and_then(shown)).collect()
        }));
    }
    let is_plain = !column.data_type().is_nested() && can_cast_types(column.data_type(), &DataType::Utf8);
    is_plain.then(|| cast(column, &DataType::Utf8).map(|text| text.as_string::<i32>().clone()).map_err(failed))
}
