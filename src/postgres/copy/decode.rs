//! COPY BINARY to Arrow batches.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::SIGNATURE;
use super::sink::Sink;
use super::types::PgType;
use crate::error::{Error, Result};

/// Signature, flags and the length of the header's extension.
const HEAD_BYTES: usize = SIGNATURE.len() + 8;

/// Flags that a reader must understand; none is in use today.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// No field of PostgreSQL reaches 1 GiB.
const FIELD_LIMIT: usize = 1 << 30;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Extension(usize),
    Rows,
    End,
    Failed,
}

/// Reads the bytes of `COPY ... TO STDOUT (FORMAT binary)`, cut anywhere, into Arrow batches.
///
/// ```
/// # use metropulse::postgres::copy::{Decoder, PgType};
/// # fn main() -> metropulse::Result<()> {
/// # let chunks: [&[u8]; 1] = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\x07\xff\xff"];
/// let mut decoder = Decoder::new(&[("n".into(), PgType::Int4)]);
/// for chunk in chunks {
///     decoder.push(chunk)?;
///     if let Some(batch) = decoder.take_batch(65_536)? {
///         println!("{}", batch.num_rows());
///     }
/// }
/// let rest = decoder.finish()?;
/// # assert_eq!(rest.unwrap().num_rows(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<(PgType, Sink)>,
    state: State,
    pending: Vec<u8>,
    /// Rows in the builders.
    rows: usize,
    rows_before: u64,
}

impl Decoder {
    /// A decoder of these columns, in the order of the query.
    pub fn new(columns: &[(String, PgType)]) -> Self {
        let fields: Vec<_> = columns.iter().map(|(name, pg)| Field::new(name, pg.arrow(), true)).collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            columns: columns.iter().map(|(_, pg)| (*pg, Sink::new(*pg))).collect(),
            state: State::Head,
            pending: Vec::new(),
            rows: 0,
            rows_before: 0,
        }
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Rows read and not yet taken.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the next bytes, however they are cut.
    ///
    /// # Errors
    /// An internal error for bytes that are no COPY BINARY of these columns; a data error naming `column` and
    /// `row` for a value that Arrow cannot hold. After an error the decoder accepts nothing more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.state == State::Failed {
            return Err(Error::internal("a COPY decoder was used after it had failed"));
        }
        let outcome = if self.pending.is_empty() {
            self.read(bytes).map(|used| self.pending.extend_from_slice(&bytes[used..]))
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(bytes);
            self.read(&pending).map(|used| {
                pending.drain(..used);
                self.pending = pending;
            })
        };
        outcome.inspect_err(|_| self.state = State::Failed)
    }

    /// The rows read so far when they are at least `min_rows` (and at least one).
    ///
    /// # Errors
    /// An internal error when Arrow refuses the columns, which would be a defect.
    pub fn take_batch(&mut self, min_rows: usize) -> Result<Option<RecordBatch>> {
        if self.rows < min_rows.max(1) || self.state == State::Failed {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(|(_, sink)| sink.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows_before += self.rows as u64;
        self.rows = 0;
        RecordBatch::try_new_with_options(self.schema(), arrays, &options)
            .map(Some)
            .map_err(|e| Error::internal("decoded columns do not form a batch").because(e))
    }

    /// The last rows, once the stream is complete.
    ///
    /// # Errors
    /// An internal error when the stream ended before its trailer, or had failed.
    pub fn finish(mut self) -> Result<Option<RecordBatch>> {
        match self.state {
            State::End => self.take_batch(1),
            State::Failed => Err(Error::internal("a COPY decoder was finished after it had failed")),
            _ => Err(Error::internal("a COPY stream ended before its trailer").with("rows", self.rows_read())),
        }
    }

    fn rows_read(&self) -> u64 {
        self.rows_before + self.rows as u64
    }

    /// Reads what is complete and says how many bytes that was.
    fn read(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let step = match self.state {
                State::Head => self.read_head(rest)?,
                State::Extension(left) => {
                    let skipped = left.min(rest.len());
                    self.state = if skipped == left { State::Rows } else { State::Extension(left - skipped) };
                    if skipped < left {
                        return Ok(used + skipped);
                    }
                    Some(skipped)
                }
                State::Rows => self.read_row(rest)?,
                State::End if rest.is_empty() => None,
                State::End | State::Failed => {
                    return Err(Error::internal(format!("{} stray bytes after a COPY stream's trailer", rest.len())));
                }
            };
            match step {
                Some(step) => used += step,
                None => return Ok(used),
            }
        }
    }

    fn read_head(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let known = bytes.len().min(SIGNATURE.len());
        if bytes[..known] != SIGNATURE[..known] {
            return Err(Error::internal("a COPY stream does not begin with the signature of the binary format"));
        }
        let (Some(flags), Some(extension)) = (word(bytes, SIGNATURE.len()), word(bytes, SIGNATURE.len() + 4)) else {
            return Ok(None);
        };
        if flags as u32 & CRITICAL_FLAGS != 0 {
            return Err(Error::internal(format!("a COPY stream has unknown flags {flags:#x}")));
        }
        let extension = usize::try_from(extension)
            .map_err(|_| Error::internal(format!("a COPY header's extension has length {extension}")))?;
        self.state = State::Extension(extension);
        Ok(Some(HEAD_BYTES))
    }

    /// Reads one row if all of it is there.
    fn read_row(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(count) = bytes.first_chunk::<2>().map(|b| i16::from_be_bytes(*b)) else { return Ok(None) };
        if count == -1 {
            self.state = State::End;
            return Ok(Some(2));
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            let expected = self.columns.len();
            return Err(Error::internal(format!("a COPY row has {count} fields, expected {expected}"))
                .with("row", self.rows_read() + 1));
        }
        let Some(end) = self.row_end(bytes)? else { return Ok(None) };
        let mut at = 2;
        for index in 0..self.columns.len() {
            let length = word(bytes, at).unwrap_or(-1);
            at += 4;
            let sink = &mut self.columns[index].1;
            match usize::try_from(length) {
                Err(_) => sink.append_null(),
                Ok(length) => {
                    let outcome = sink.append(&bytes[at..at + length]);
                    outcome.map_err(|message| self.fault(message, index))?;
                    at += length;
                }
            }
        }
        self.rows += 1;
        Ok(Some(end))
    }

    /// Where the row ends, if all of it is there.
    fn row_end(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let mut at = 2;
        for index in 0..self.columns.len() {
            let Some(length) = word(bytes, at) else { return Ok(None) };
            at += 4;
            match usize::try_from(length) {
                Ok(length) if length < FIELD_LIMIT => at += length,
                Err(_) if length == -1 => {}
                _ => return Err(self.malformed(format!("a COPY field has length {length}"), index)),
            }
        }
        Ok((at <= bytes.len()).then_some(at))
    }

    fn malformed(&self, message: String, column: usize) -> Error {
        Error::internal(message).with("column", self.schema.field(column).name()).with("row", self.rows_read() + 1)
    }

    fn fault(&self, message: String, column: usize) -> Error {
        Error::data(message)
            .with("column", self.schema.field(column).name())
            .with("postgres_type", self.columns[column].0)
            .with("row", self.rows_read() + 1)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes)
}
