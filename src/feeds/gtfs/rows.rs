//! The rows of one file of a feed: columns by name, blanks around values taken off, bad rows set aside.

use std::io::Read;

use super::super::records::Records;
use super::reject::{Bad, Tally};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::Dataset;

/// Rows between two looks at the caller's wish to stop.
const CHECK_ROWS: u64 = 1 << 14;

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
#[derive(Debug)]
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
    /// The value of a column, by its place in [`Source::columns`].
    #[inline]
    pub(super) fn get(&self, column: usize) -> &'a [u8] {
        match self.head.places.get(column) {
            Some(Some(place)) => self.value(*place),
            Some(None) | None => b"",
        }
    }

    #[inline]
    fn value(&self, place: usize) -> &'a [u8] {
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
    fn overflows(&self) -> bool {
        (self.head.names.len()..self.ends.len()).any(|place| !self.value(place).is_empty())
    }

    fn is_blank(&self) -> bool {
        (0..self.ends.len()).all(|place| self.value(place).is_empty())
    }
}

/// Reads a file: `each` takes the rows, and says of a bad one why it is.
pub(super) fn read(
    table: &'static Source,
    input: &mut dyn Read,
    tally: &mut Tally,
    cancel: &Cancel,
    each: &mut dyn FnMut(&Row<'_>, &mut Tally) -> std::result::Result<(), Bad>,
) -> Result<()> {
    let mut records = Records::new(table.file, input);
    if !records.next()? {
        return Err(
            Error::schema(format!("{} is empty, expected at least its header", table.file)).with("file", table.file)
        );
    }
    let head = Head::new(table, &records)?;
    tally.begin(table, head.names.iter().filter(|name| !table.keeps_all && !table.columns.contains(&name.as_str())));
    let mut rows = 0_u64;
    while records.next()? {
        let (bytes, ends, gap) = (records.bytes(), records.ends(), records.gap());
        let row = Row { head: &head, bytes, ends, gap, line: records.line() };
        if row.is_blank() {
            continue;
        }
        rows += 1;
        if rows.is_multiple_of(CHECK_ROWS) {
            cancel.check()?;
        }
        let outcome = if row.overflows() { Err(Bad::unreadable()) } else { each(&row, tally) };
        if let Err(bad) = outcome {
            tally.reject(table, &row, bad)?;
        }
    }
    tally.end(table, rows);
    Ok(())
}

impl Head {
    fn new(table: &'static Source, records: &Records<'_>) -> Result<Self> {
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
}

#[cfg(test)]
mod tests {
    use csv_core::{ReadRecordResult, Reader};
    use proptest::prelude::*;

    use super::*;

    type Lines = Vec<(u64, Vec<Vec<u8>>)>;

    /// Hands out a few bytes at a time, so that records lie across what is read at once.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let size = self.1.min(self.0.len()).min(buffer.len());
            buffer[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    fn ours(bytes: &[u8], piece: usize) -> Lines {
        let mut input = Drops(bytes, piece);
        let mut records = Records::new("stops.txt", &mut input);
        let head = Head { names: Vec::new(), places: Vec::new() };
        let mut lines = Lines::new();
        while records.next().unwrap() {
            let (bytes, ends, gap) = (records.bytes(), records.ends(), records.gap());
            let row = Row { head: &head, bytes, ends, gap, line: records.line() };
            lines.push((row.line, (0..ends.len()).map(|place| row.value(place).to_vec()).collect()));
        }
        lines
    }

    /// The same by the library alone, which unquotes every byte.
    fn unquoted(bytes: &[u8]) -> Lines {
        let (mut reader, mut rest, mut lines) = (Reader::new(), bytes, Lines::new());
        loop {
            let (mut record, mut ends) = (vec![0; bytes.len() + 1], vec![0; bytes.len() + 1]);
            let (mut written, mut fields) = (0, 0);
            let taken = loop {
                let (result, taken, wrote, ended) =
                    reader.read_record(rest, &mut record[written..], &mut ends[fields..]);
                (written, fields) = (written + wrote, fields + ended);
                let end = taken.checked_sub(1).map(|at| rest[at]);
                rest = &rest[taken..];
                match result {
                    ReadRecordResult::Record => break end,
                    ReadRecordResult::InputEmpty => {}
                    _ => return lines,
                }
            };
            let breaks = record[..written].iter().filter(|byte| **byte == b'\n').count() as u64;
            let line = reader.line() - u64::from(taken == Some(b'\n')) - breaks;
            let starts = [0].into_iter().chain(ends.iter().copied());
            let values = starts.zip(&ends[..fields]).map(|(start, end)| record[start..*end].trim_ascii().to_vec());
            lines.push((line, values.collect()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_line_without_quotes_is_read_as_the_library_reads_it(
            bytes in prop::collection::vec(prop::sample::select(&b"ab,,\"\n\n\r "[..]), 0..60),
            piece in 1..40_usize,
        ) {
            prop_assert_eq!(ours(&bytes, piece), unquoted(&bytes));
        }
    }
}
