//! Comma-separated files, a record at a time.

use std::io::Read;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::error::{Error, Result};

const INPUT_BYTES: usize = 128 << 10;
/// What one row may take; a quote that is never closed would swallow the file.
const MOST_ROW_BYTES: usize = 1 << 20;
const MOST_FIELDS: usize = 1 << 12;

/// The records of a comma-separated file, one at a time, in memory that no record can exceed.
pub(super) struct Records<'a> {
    file: &'a str,
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
    /// Whether commas and double quotes are what the file has.
    is_usual: bool,
    /// Where a record that needs unquoting stands.
    quotes: Quotes,
}

impl<'a> Records<'a> {
    /// `file` is what messages call it.
    pub(super) fn new(file: &'a str, input: &'a mut dyn Read) -> Self {
        Self::separated(file, input, b',', b'"')
    }

    /// The same with another delimiter and quote.
    pub(super) fn separated(file: &'a str, input: &'a mut dyn Read, delimiter: u8, quote: u8) -> Self {
        Self {
            file,
            input,
            reader: ReaderBuilder::new().delimiter(delimiter).quote(quote).build(),
            buffer: vec![0; INPUT_BYTES],
            ahead: 0..0,
            record: vec![0; 1 << 10],
            written: 0,
            plain: None,
            ends: vec![0; 64],
            fields: 0,
            last_line: 1,
            is_begun: false,
            is_usual: (delimiter, quote) == (b',', b'"'),
            quotes: Quotes { delimiter, quote, at: Place::Start, has_break: false, is_torn: false, is_spaced: false },
        }
    }

    /// The values of the record, one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.plain {
            Some(line) => &self.buffer[line.clone()],
            None => &self.record[..self.written],
        }
    }

    /// Where each of them ends.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends[..self.fields]
    }

    /// The bytes between two values: the comma, which unquoting drops.
    pub(super) fn gap(&self) -> usize {
        usize::from(self.plain.is_some())
    }

    /// One value; what a short record lacks is blank.
    pub(super) fn value(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).and_then(|before| self.ends().get(before)).map_or(0, |end| end + self.gap());
        let end = self.ends().get(place).copied().unwrap_or(start);
        self.bytes().get(start..end).unwrap_or_default()
    }

    /// The record as the names of columns, without the marks and blanks that programs leave around them.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |place| String::from_utf8_lossy(self.value(place)).into_owned();
        let plain = |name: String| name.trim_start_matches('\u{feff}').trim().trim_matches('"').to_owned();
        (0..self.ends().len()).map(name).map(plain).collect()
    }

    /// The line on which the record begins: the last one less the line breaks within.
    pub(super) fn line(&self) -> u64 {
        let breaks = if self.plain.is_some() { 0 } else { self.bytes().iter().filter(|byte| **byte == b'\n').count() };
        self.last_line - breaks as u64
    }

    /// Whether the record has more than one line and text behind a quote that closes: a quote is missing, and the rows of
    /// some lines became one.
    pub(super) fn is_torn(&self) -> bool {
        self.plain.is_none() && self.quotes.is_torn
    }

    /// Whether blanks stand before a quote that would open a value without them, so that quotes are part of it.
    pub(super) fn is_spaced(&self) -> bool {
        self.plain.is_none() && self.quotes.is_spaced
    }

    /// Reads the next record that is not empty; whether there is one.
    pub(super) fn next(&mut self) -> Result<bool> {
        if self.plain_line()? {
            return Ok(true);
        }
        (self.written, self.fields, self.plain) = (0, 0, None);
        self.quotes.begin();
        loop {
            if self.ahead.is_empty() {
                let read = self.input.read(&mut self.buffer).map_err(|e| self.broken(&e))?;
                self.ahead = 0..read;
                if read == 0 && self.quotes.at == Place::Quoted {
                    return Err(self.never_closed());
                }
            }
            let input = &self.buffer[self.ahead.clone()];
            let (result, taken, wrote, ended) =
                self.reader.read_record(input, &mut self.record[self.written..], &mut self.ends[self.fields..]);
            self.quotes.pass(&input[..taken]);
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
                    self.is_begun = self.is_usual;
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

    fn never_closed(&self) -> Error {
        let breaks = self.record[..self.written].iter().filter(|byte| **byte == b'\n').count();
        let line = self.reader.line() - breaks as u64;
        let file = self.file;
        Error::data(format!(
            "{file} has a quote in the row that begins on line {line} that is never closed; repair the file"
        ))
        .with("file", file)
        .with("line", line)
    }

    fn bad(&self, what: String) -> Error {
        let line = self.reader.line();
        Error::data(format!("{} {what}, read up to line {line}; repair the file", self.file))
            .with("file", self.file)
            .with("line", line)
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        self.bad(format!("cannot be read to its end ({error})"))
    }
}

/// Follows the quotes of a record, of which the values alone tell no more.
struct Quotes {
    delimiter: u8,
    quote: u8,
    at: Place,
    /// Whether a quoted value has a line break.
    has_break: bool,
    /// Whether text stands behind a value with one.
    is_torn: bool,
    /// Whether blanks stand before a quote.
    is_spaced: bool,
}

/// Where a byte of a record stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a value.
    Start,
    /// In the blanks at the beginning of a value.
    Leading,
    /// In a value without quotes.
    Bare,
    /// Between two quotes.
    Quoted,
    /// Behind a quote that closes, or is the first of two that mean one.
    Behind,
    /// In the blanks behind a quote that closes.
    Trailing,
}

impl Quotes {
    fn begin(&mut self) {
        (self.at, self.has_break, self.is_torn, self.is_spaced) = (Place::Start, false, false, false);
    }

    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_end = *byte == self.delimiter || matches!(byte, b'\r' | b'\n');
            self.at = match self.at {
                Place::Quoted if *byte == self.quote => Place::Behind,
                Place::Quoted => {
                    self.has_break |= *byte == b'\n';
                    Place::Quoted
                }
                Place::Start | Place::Leading | Place::Bare | Place::Behind | Place::Trailing if is_end => Place::Start,
                Place::Start | Place::Behind if *byte == self.quote => Place::Quoted,
                Place::Start | Place::Leading if matches!(byte, b' ' | b'\t') => Place::Leading,
                Place::Leading => {
                    self.is_spaced |= *byte == self.quote;
                    Place::Bare
                }
                Place::Behind | Place::Trailing if matches!(byte, b' ' | b'\t') => Place::Trailing,
                Place::Behind | Place::Trailing => {
                    self.is_torn |= self.has_break;
                    Place::Bare
                }
                // The mark of UTF-8 may stand before the first quote.
                Place::Start if b"\xef\xbb\xbf".contains(byte) => Place::Start,
                Place::Start | Place::Bare => Place::Bare,
            };
        }
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
    for at in Low::of(bytes) {
        let (is_end, next) = match bytes.get(at) {
            Some(b'\n') => (true, at + 1),
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => (true, at + 2),
            // A carriage return alone ends a record as well.
            Some(b'\r' | b'"') => return Plain::No,
            Some(b',') => (false, 0),
            Some(_) | None => continue,
        };
        let Some(end) = ends.get_mut(fields) else { return Plain::MoreFields };
        (*end, fields) = (at, fields + 1);
        if is_end {
            return Plain::Line { fields, length: at, next };
        }
    }
    Plain::No
}

/// The places of bytes up to a comma, before which all stands that separates: digits and letters come after it. Eight bytes
/// are looked at in one step.
struct Low<'a> {
    words: std::slice::Iter<'a, [u8; 8]>,
    rest: &'a [u8],
    /// Where the word begins whose places are handed out.
    start: usize,
    /// The highest bit of each byte of it that is still to be handed out.
    marks: u64,
}

impl<'a> Low<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (words, rest) = bytes.as_chunks();
        let mut words = words.iter();
        let marks = words.next().map_or(0, |word| marks(*word));
        Self { words, rest, start: 0, marks }
    }
}

impl Iterator for Low<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.marks == 0 {
            self.start += size_of::<u64>();
            self.marks = match self.words.next() {
                Some(word) => marks(*word),
                None if self.rest.is_empty() => return None,
                None => {
                    // Letters stand behind what is left.
                    let mut word = [b'x'; 8];
                    word.iter_mut().zip(std::mem::take(&mut self.rest)).for_each(|(to, from)| *to = *from);
                    marks(word)
                }
            };
        }
        let at = self.start + self.marks.trailing_zeros() as usize / 8;
        self.marks &= self.marks - 1;
        Some(at)
    }
}

/// The highest bit of each byte that is a comma or less.
#[inline(always)]
fn marks(word: [u8; 8]) -> u64 {
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    const AFTER_COMMA: u64 = 0x0101_0101_0101_0101 * (b',' as u64 + 1);
    let word = u64::from_le_bytes(word);
    // No byte borrows from its neighbour, as each has its highest bit set.
    !(((word | HIGHEST) - AFTER_COMMA) | word) & HIGHEST
}
