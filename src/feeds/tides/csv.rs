//! Rows of TIDES as comma-separated text.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use csv_core::{WriteResult, Writer};

use super::super::realtime::date;
use super::columns::cell;
use super::value::{Cell, shown_instant};
use crate::error::Result;
use crate::model::Zone;

/// Encodes batches of one schema; the header comes first.
pub struct Csv {
    writer: Writer,
    zone: Zone,
    piece: [u8; 512],
    bytes: Vec<u8>,
}

impl Csv {
    /// Begins a file with these columns; instants are written in `zone`.
    pub fn new<'a>(zone: Zone, columns: impl Iterator<Item = &'a str>) -> Self {
        let mut csv = Self { writer: Writer::new(), zone, piece: [0; 512], bytes: Vec::new() };
        for (place, name) in columns.enumerate() {
            csv.value(place, name);
        }
        csv.end_row();
        csv
    }

    /// Adds the rows of a batch.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for row in 0..batch.num_rows() {
            for (place, column) in batch.columns().iter().enumerate() {
                let text = cell(column, row)?.map(|cell| self.shown(cell));
                self.value(place, text.as_deref().unwrap_or_default());
            }
            self.end_row();
        }
        Ok(())
    }

    /// The bytes since they were taken last.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn shown<'a>(&self, cell: Cell<'a>) -> Cow<'a, str> {
        match cell {
            Cell::Text(text) => text.into(),
            Cell::Date(days) => date(days).to_string().into(),
            Cell::Instant(micros) => shown_instant(micros, self.zone).into(),
            Cell::Number(number) => number.to_string().into(),
            Cell::Cents(cents) => {
                let sign = if cents < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100).into()
            }
            Cell::Integer(number) => number.to_string().into(),
            Cell::Boolean(true) => "true".into(),
            Cell::Boolean(false) => "false".into(),
        }
    }

    fn value(&mut self, place: usize, text: &str) {
        if place > 0 {
            self.write(|writer, _, piece| {
                let (result, wrote) = writer.delimiter(piece);
                (result, 0, wrote)
            });
        }
        let mut rest = text.as_bytes();
        self.write(|writer, at, piece| {
            rest = rest.get(at..).unwrap_or_default();
            writer.field(rest, piece)
        });
    }

    fn end_row(&mut self) {
        self.write(|writer, _, piece| {
            let (result, wrote) = writer.terminator(piece);
            (result, 0, wrote)
        });
    }

    /// Calls a step of the writer, which is told how much of its input the last call took, until it is done.
    fn write(&mut self, mut step: impl FnMut(&mut Writer, usize, &mut [u8]) -> (WriteResult, usize, usize)) {
        let mut taken = 0;
        loop {
            let (result, read, wrote) = step(&mut self.writer, taken, &mut self.piece);
            self.bytes.extend_from_slice(&self.piece[..wrote]);
            taken = read;
            match result {
                WriteResult::InputEmpty => return,
                WriteResult::OutputFull => {}
            }
        }
    }
}

impl std::fmt::Debug for Csv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Csv").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
