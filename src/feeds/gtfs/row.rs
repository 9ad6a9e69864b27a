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
    /// Whether quotes are part of values, as blanks stand before them.
    is_spaced: bool,
    /// Whether a missing quote made it of the rows of some lines.
    is_torn: bool,
    /// The line in the file on which it begins, from 1.
    pub(super) line: u64,
}

impl<'a> Row<'a> {
    /// The row at which a reader stands.
    #[inline]
    pub(super) fn of(head: &'a Head, records: &'a Records<'_>) -> Self {
        let (bytes, ends, gap) = (records.bytes(), records.ends(), records.gap());
        let (is_spaced, is_torn) = (records.is_spaced(), records.is_torn());
        Self { head, bytes, ends, gap, is_spaced, is_torn, line: records.line() }
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
        let value = self.as_written(place);
        if self.is_spaced { within_quotes(value).unwrap_or(value) } else { value }
    }

    /// The same with the quotes that blanks before them make part of it.
    #[inline]
    pub(super) fn as_written(&self, place: usize) -> &'a [u8] {
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

    /// The row as JSON, for the quarantine; bytes that are no text show as such, and values too many by their places.
    pub(super) fn json(&self) -> String {
        let named = self.all().map(|(name, value)| (name.to_owned(), value));
        let others = self.beyond().map(|(place, value)| (format!("value {}", place + 1), value));
        let values = named.chain(others).map(|(name, value)| (name, String::from_utf8_lossy(value).into()));
        serde_json::Value::Object(values.collect()).to_string()
    }

    /// The values beyond the last column.
    fn beyond(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let row = *self;
        let places = (row.head.names.len()..row.ends.len()).map(move |place| (place, row.value(place)));
        places.filter(|(_, value)| !value.is_empty())
    }

    /// Whether nobody knows which value is whose: values stand beyond the last column, a quote is missing, or a comma parts
    /// what stands between two.
    pub(super) fn is_muddled(&self) -> bool {
        self.is_torn || self.beyond().next().is_some() || (self.is_spaced && self.is_parted())
    }

    /// Whether a value begins with a quote and ends without one.
    fn is_parted(&self) -> bool {
        let mut values = (0..self.ends.len()).map(|place| self.as_written(place));
        values.any(|value| value.starts_with(b"\"") && within_quotes(value).is_none())
    }

    pub(super) fn is_blank(&self) -> bool {
        (0..self.ends.len()).all(|place| self.value(place).is_empty())
    }
}

/// What stands between two quotes.
fn within_quotes(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"").map(<[u8]>::trim_ascii)
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

    /// The columns that are not kept; of two of one name the second.
    pub(super) fn unknown(&self, table: &'static Source) -> impl Iterator<Item = &String> {
        let is_second = |place: usize, name: &String| self.names.iter().position(|known| known == name) != Some(place);
        let is_unknown = |name: &String| !table.keeps_all && !table.columns.contains(&name.as_str());
        let named = self.names.iter().enumerate();
        named.filter(move |(place, name)| is_unknown(name) || is_second(*place, name)).map(|(_, name)| name)
    }
}
