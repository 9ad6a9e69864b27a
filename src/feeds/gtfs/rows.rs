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
    /// Where the record lies in the buffer, if it needed no unquoting.
    plain: Option<std::ops::Range<usize>>,
    ends: Vec<usize>,
    fields: usize,
    last_line: u64,
    is_begun: bool,
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
            plain: None,
            ends: vec![0; 64],
            fields: 0,
            last_line: 1,
            is_begun: false,
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.plain {
            Some(line) => &self.buffer[line.clone()],
            None => &self.record[..self.written],
        }
    }

    fn ends(&self) -> &[usize] {
        &self.ends[..self.fields]
    }

    /// The bytes between two values: the comma, which unquoting drops.
    fn gap(&self) -> usize {
        usize::from(self.plain.is_some())
    }

    /// The line on which the record begins: the last one less the line breaks within.
    fn line(&self) -> u64 {
        let breaks = if self.plain.is_some() { 0 } else { self.bytes().iter().filter(|byte| **byte == b'\n').count() };
        self.last_line - breaks as u64
    }

    /// Reads the next record that is not empty; whether there is one.
    fn next(&mut self) -> Result<bool> {
        if self.plain_line()? {
            return Ok(true);
        }
        (self.written, self.fields, self.plain) = (0, 0, None);
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
                    self.is_begun = true;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// Takes the next line where it lies, if it is in the buffer as a whole and has no quotes: most of a large file has
    /// none, and to find commas is several times as fast as to unquote. The first record may have a byte order mark.
    fn plain_line(&mut self) -> Result<bool> {
        while self.is_begun {
            let start = self.ahead.start;
            self.fields = 0;
            let (length, next) = loop {
                match plain_ends(&self.buffer[self.ahead.clone()], &mut self.ends) {
                    Plain::Line { fields, length, next } => {
                        self.fields = fields;
                        break (length, next);
                    }
                    Plain::MoreFields => self.grow_ends()?,
                    Plain::No => return Ok(false),
                }
            };
            self.ahead.start += next;
            self.last_line = self.reader.line();
            self.reader.set_line(self.last_line + 1);
            if length > 0 {
                self.plain = Some(start..start + length);
                return Ok(true);
            }
        }
        Ok(false)
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

/// What stands at the beginning of some bytes.
enum Plain {
    /// A line of so many fields and bytes; the next one begins at `next`.
    Line { fields: usize, length: usize, next: usize },
    /// A line of more fields than there are places for.
    MoreFields,
    /// No whole line, or one that needs unquoting.
    No,
}

/// Finds where the fields of a line end.
#[inline]
fn plain_ends(bytes: &[u8], ends: &mut [usize]) -> Plain {
    let mut fields = 0;
    // All that matters stands before digits and letters.
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte <= b',') {
        let (is_end, next) = match byte {
            b'\n' => (true, at + 1),
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => (true, at + 2),
            // A carriage return alone ends a record as well.
            b'\r' | b'"' => return Plain::No,
            b',' => (false, 0),
            _ => continue,
        };
        let Some(end) = ends.get_mut(fields) else { return Plain::MoreFields };
        (*end, fields) = (at, fields + 1);
        if is_end {
            return Plain::Line { fields, length: at, next };
        }
    }
    Plain::No
}

#[cfg(test)]
mod tests {
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
