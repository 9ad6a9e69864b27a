//! A row of a file of a feed: its columns by name.

use super::super::records::Records;
use crate::error::{Error, Result};
use crate::model::Dataset;

/// A file of the standard, and what we read of it.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name: `stop_times.txt`.
    pub(super) file: &'static str,
    /// The raw dataset that its rows become, or decide on.
    pub(super) dataset: Dataset,
    /// The columns that are read; rows give values by the place here.
    pub(super) columns: &'static [&'static str],
    /// How many of them, from the first on, must be there.
    pub(super) required: usize,
    /// Whether all other columns are kept as well.
    pub(super) keeps_all: bool,
}

/// The names of a file's columns, and where ours stand.
#[derive(Debug, Default)]
pub(super) struct Head {
    names: Vec<String>,
    places: Vec<Option<usize>>,
}

/// One row. Values come without the blanks around them; what a short row lacks is blank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    head: &'a Head,
    bytes: &'a [u8],
    ends: &'a [usize],
    /// The bytes between two values.
    gap: usize,
    /// The line in the file on which it begins, from 1.
    pub(super) line: u64,
}

impl<'a> Row<'a> {
    /// The row at which a reader stands.
    #[inline]
    pub(super) fn of(head: &'a Head, records: &'a Records<'_>) -> Self {
        let (bytes, ends, gap) = (records.bytes(), records.ends(), records.gap());
        Self { head, bytes, ends, gap, line: records.line() }
    }

    /// The value of a column, by its place in [`Source::columns`].
    #[inline]
    pub(super) fn get(&self, column: usize) -> &'a [u8] {
        match self.head.places.get(column) {
            Some(Some(place)) => self.value(*place),
            Some(None) | None => b"",
        }
    }

    /// The value in a place of the row.
    #[inline]
    pub(super) fn value(&self, place: usize) -> &'a [u8] {
        let before = place.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = before.map_or(0, |end| end + self.gap);
        let end = self.ends.get(place).copied().unwrap_or(start);
        self.bytes.get(start..end).map_or(b"", <[u8]>::trim_ascii)
    }

    /// All columns of the file with the row's values, blank ones left out.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let row = *self;
        let named = row.head.names.iter().enumerate().map(move |(place, name)| (name.as_str(), row.value(place)));
        named.filter(|(_, value)| !value.is_empty())
    }

    /// The row as JSON, for the quarantine; bytes that are no text show as such.
    pub(super) fn json(&self) -> String {
        let values = self.all().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into()));
        serde_json::Value::Object(values.collect()).to_string()
    }

    /// Whether values stand beyond the last column: a comma too many, so that nobody knows which value is whose.
    pub(super) fn overflows(&self) -> bool {
        (self.head.names.len()..self.ends.len()).any(|place| !self.value(place).is_empty())
    }

    pub(super) fn is_blank(&self) -> bool {
        (0..self.ends.len()).all(|place| self.value(place).is_empty())
    }
}

impl Head {
    /// The header at which a reader stands.
    ///
    /// # Errors
    /// `Schema` for a required column that is not there.
    pub(super) fn new(table: &'static Source, records: &Records<'_>) -> Result<Self> {
        let names = records.names();
        let places: Vec<_> = table.columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
        for (column, place) in table.columns.iter().zip(&places).take(table.required) {
            if place.is_none() {
                return Err(Error::schema(format!(
                    "{} has no column {column}, expected it beside {}; a header is comma-separated UTF-8",
                    table.file,
                    names.iter().take(12).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
                ))
                .with("file", table.file)
                .with("column", column));
            }
        }
        Ok(Self { names, places })
    }

    /// The columns that are not kept.
    pub(super) fn unknown(&self, table: &'static Source) -> impl Iterator<Item = &String> {
        self.names.iter().filter(|name| !table.keeps_all && !table.columns.contains(&name.as_str()))
    }
}
