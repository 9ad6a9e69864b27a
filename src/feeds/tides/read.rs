//! The rows of one file of a package, as text: CSV as it is, Parquet as CSV would have it.

use std::fs::File;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::records::Records;
use super::package::Shape;
use super::pages::{Pages, Texts, unreadable};
use super::tables::Table;
use crate::control::Cancel;
use crate::digest::{add_file, hex};
use crate::error::{Error, Result};

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
    /// Whether it was made of the rows of some lines, by a quote that is missing.
    is_torn: bool,
}

impl<'a> Row<'a> {
    /// The value of a field, by its place in the table; blank where there is none. `None` for what is no text.
    pub(super) fn get(&self, field: usize) -> Option<&'a str> {
        let place = self.places.get(field).copied().flatten();
        let value = place.and_then(|place| self.values.get(place)).copied().unwrap_or_default();
        std::str::from_utf8(value).ok()
    }

    /// Whether values stand beyond the last column, or a quote is missing, so that nobody knows which value is whose.
    pub(super) fn is_muddled(&self) -> bool {
        self.is_torn || self.values.iter().skip(self.names.len()).any(|value| !value.is_empty())
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
            Shape::Parquet => Ok(self.pages()?.names()),
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
                    let row = Row {
                        names: &names,
                        places: &places,
                        values: &values,
                        number: records.line(),
                        is_torn: records.is_torn(),
                    };
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
        let pages = self.pages()?;
        let names = pages.names();
        let places = self.places(&names);
        let mut number = 0;
        pages.each(&|column| places.contains(&Some(column)), &mut |rows, columns| {
            cancel.check()?;
            for row in 0..rows {
                number += 1;
                let values: Vec<&[u8]> = columns.iter().map(|column| value(column.as_ref(), row)).collect();
                each(&Row { names: &names, places: &places, values: &values, number, is_torn: false })?;
            }
            Ok(())
        })
    }

    fn open(&self) -> Result<File> {
        File::open(self.path).map_err(|e| self.broken(&e))
    }

    fn pages(&self) -> Result<Pages<'_>> {
        Pages::open(self.open()?, self.name)
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Error {
        unreadable(self.name, error)
    }
}

fn value(column: Option<&Texts>, row: usize) -> &[u8] {
    column.map_or(b"", |column| column.value(row))
}
