//! The rows of one file of a feed: columns by name, blanks around values taken off, bad rows set aside.

use std::io::Read;

use csv_core::{ReadRecordResult, Reader};

use super::reject::{Bad, Tally};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::Dataset;

const INPUT_BYTES: usize = 128 << 10;
/// What one row may take; a quote that is never closed would swallow the file.
const MOST_ROW_BYTES: usize = 1 << 20;
const MOST_FIELDS: usize = 1 << 12;
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
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
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
        self.bytes.iter().all(u8::is_ascii_whitespace)
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
        let row = Row { head: &head, bytes: records.bytes(), ends: records.ends(), line: records.line() };
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
        let names: Vec<String> = (0..records.ends().len())
            .map(|place| {
                let start = place.checked_sub(1).and_then(|before| records.ends().get(before)).copied().unwrap_or(0);
                let name = records.ends().get(place).and_then(|end| records.bytes().get(start..*end));
                let name = String::from_utf8_lossy(name.unwrap_or_default());
                name.trim_start_matches('\u{feff}').trim().trim_matches('"').to_owned()
            })
            .collect();
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

/// The records of a comma-separated file, one at a time, in memory that no record can exceed.
struct Records<'a> {
    file: &'static str,
    input: &'a mut dyn Read,
    reader: Reader,
    buffer: Vec<u8>,
    /// What of the buffer is still to be read.
    ahead: std::ops::Range<usize>,
    record: Vec<u8>,
    written: usize,
    ends: Vec<usize>,
    fields: usize,
    last_line: u64,
}

impl<'a> Records<'a> {
    fn new(file: &'static str, input: &'a mut dyn Read) -> Self {
        Self {
            file,
            input,
            reader: Reader::new(),
            buffer: vec![0; INPUT_BYTES],
            ahead: 0..0,
            record: vec![0; 1 << 10],
            written: 0,
            ends: vec![0; 64],
            fields: 0,
            last_line: 1,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.record[..self.written]
    }

    fn ends(&self) -> &[usize] {
        &self.ends[..self.fields]
    }

    /// The line on which the record begins: the last one less the line breaks within.
    fn line(&self) -> u64 {
        self.last_line - self.bytes().iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Reads the next record that is not empty; whether there is one.
    fn next(&mut self) -> Result<bool> {
        (self.written, self.fields) = (0, 0);
        loop {
            if self.ahead.is_empty() {
                let read = self.input.read(&mut self.buffer).map_err(|e| self.broken(&e))?;
                self.ahead = 0..read;
            }
            let input = &self.buffer[self.ahead.clone()];
            let (result, taken, wrote, ended) =
                self.reader.read_record(input, &mut self.record[self.written..], &mut self.ends[self.fields..]);
            let last = taken.checked_sub(1).and_then(|at| input.get(at)).copied();
            self.ahead.start += taken;
            self.written += wrote;
            self.fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.grow_record()?,
                ReadRecordResult::OutputEndsFull => self.grow_ends()?,
                ReadRecordResult::Record => {
                    self.last_line = self.reader.line() - u64::from(last == Some(b'\n'));
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn grow_record(&mut self) -> Result<()> {
        if self.record.len() >= MOST_ROW_BYTES {
            return Err(
                self.bad(format!("has a row of more than {MOST_ROW_BYTES} bytes, as a quote that is not closed makes"))
            );
        }
        self.record.resize(self.record.len() * 2, 0);
        Ok(())
    }

    fn grow_ends(&mut self) -> Result<()> {
        if self.ends.len() >= MOST_FIELDS {
            return Err(self.bad(format!("has a row of more than {MOST_FIELDS} values")));
        }
        self.ends.resize(self.ends.len() * 2, 0);
        Ok(())
    }

    fn bad(&self, what: String) -> Error {
        let line = self.reader.line();
        Error::data(format!("{} {what}, read up to line {line}; repair the feed", self.file))
            .with("file", self.file)
            .with("line", line)
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        self.bad(format!("cannot be read to its end ({error})"))
    }
}
