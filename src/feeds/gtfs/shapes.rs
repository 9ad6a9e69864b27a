//! `shapes.txt`: the paths of trips, each with its points as one value.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};

use super::archive::Archive;
use super::columns::batch;
use super::reject::{Bad, Tally, keep_last};
use super::row::{Row, Source};
use super::rows::read;
use super::tables::Table;
use super::value::{self, Unreadable};
use super::words::{Word, Words};
use crate::clean::wrong_place;
use crate::control::Cancel;
use crate::error::Result;
use crate::feeds::Ids;
use crate::model::{Dataset, Reason};

pub(super) const SHAPES: Source = Source {
    file: "shapes.txt",
    dataset: Dataset::Shapes,
    columns: &["shape_id", "shape_pt_sequence", "shape_pt_lat", "shape_pt_lon", "shape_dist_traveled"],
    required: 4,
    keeps_all: false,
};

/// Text of one batch: a country's shapes do not fit into one.
const BATCH_BYTES: usize = 16 << 20;

/// A point, as text of JSON within the text of all.
#[derive(Clone, Copy, Debug)]
struct Point {
    shape: Word,
    sequence: i32,
    start: usize,
    bytes: u32,
}

#[derive(Default)]
struct Points {
    text: String,
    all: Vec<Point>,
}

/// The shapes in the order of their first points; of two points at one place of a shape the later row stays.
pub(super) fn shapes(archive: &Archive, ids: &Ids, tally: &mut Tally, cancel: &Cancel) -> Result<Vec<RecordBatch>> {
    if !archive.has(SHAPES.file) {
        return Ok(Vec::new());
    }
    let (mut words, mut points) = (Words::new(), Points::default());
    let mut each = |row: &Row<'_>, _: &mut Tally| points.take(row, &mut words);
    archive.read(SHAPES.file, |input| read(&SHAPES, input, tally, cancel, &mut each))?;
    let place = |point: &Point| (point.shape, point.sequence);
    if !points.all.is_sorted_by_key(place) {
        points.all.sort_by_key(place);
    }
    for _ in 0..keep_last(&mut points.all, place) {
        tally.duplicate(&SHAPES);
    }
    points.batches(&words, ids)
}

impl Points {
    fn take(&mut self, row: &Row<'_>, words: &mut Words) -> std::result::Result<(), Bad> {
        let shape = words.word(row.get(0)).ok_or(Unreadable)?;
        if shape == Word::NONE {
            return Err(Bad::new(Reason::NoKey));
        }
        let sequence = value::integer(row.get(1))?.ok_or(Unreadable)?;
        let (lat, lon) = (value::number(row.get(2))?, value::number(row.get(3))?);
        let (Some(lat), Some(lon)) = (lat, lon) else { return Err(Bad::new(Reason::Coordinates)) };
        if wrong_place(lat, lon) {
            return Err(Bad::new(Reason::Coordinates));
        }
        let distance = value::number(row.get(4))?;
        let start = self.text.len();
        self.text.push('[');
        self.number(row.get(2), lat);
        self.text.push(',');
        self.number(row.get(3), lon);
        if let Some(distance) = distance {
            self.text.push(',');
            self.number(row.get(4), distance);
        }
        self.text.push(']');
        self.all.push(Point { shape, sequence, start, bytes: (self.text.len() - start) as u32 });
        Ok(())
    }

    /// A number as JSON writes it: as it stands in the file where that is JSON already.
    fn number(&mut self, written: &[u8], value: f64) {
        let plain = std::str::from_utf8(written).ok().filter(|_| is_json_number(written));
        match plain {
            Some(text) => self.text.push_str(text),
            None => self.text.push_str(&value.to_string()),
        }
    }

    fn batches(&self, words: &Words, ids: &Ids) -> Result<Vec<RecordBatch>> {
        let schema = Table::Shapes.schema();
        let mut batches = Vec::new();
        let (mut shape_ids, mut values, mut bytes) = (StringBuilder::new(), StringBuilder::new(), 0);
        let mut value = String::new();
        for shape in self.all.chunk_by(|a, b| a.shape == b.shape) {
            value.clear();
            for point in shape {
                value.push(if value.is_empty() { '[' } else { ',' });
                value.push_str(self.text.get(point.start..point.start + point.bytes as usize).unwrap_or_default());
            }
            value.push(']');
            shape_ids.append_value(ids.of(shape.first().map_or("", |point| words.get(point.shape))));
            values.append_value(&value);
            bytes += value.len();
            if bytes >= BATCH_BYTES {
                bytes = 0;
                let columns: Vec<ArrayRef> = vec![Arc::new(shape_ids.finish()), Arc::new(values.finish())];
                batches.push(batch(&schema, columns)?);
            }
        }
        if bytes > 0 {
            let columns: Vec<ArrayRef> = vec![Arc::new(shape_ids.finish()), Arc::new(values.finish())];
            batches.push(batch(&schema, columns)?);
        }
        Ok(batches)
    }
}

/// Whether a number that can be read is one of JSON: digits before and after a point, no plus, no leading zero.
fn is_json_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = point.map_or((digits, None), |at| (&digits[..at], Some(&digits[at + 1..])));
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    all_digits(whole) && (whole.len() == 1 || whole[0] != b'0') && fraction.is_none_or(all_digits)
}

#[cfg(test)]
mod tests {
    use super::is_json_number;

    #[test]
    fn only_what_json_calls_a_number_is_taken_as_it_stands() {
        assert!([&b"0"[..], b"-99.1", b"12.050", b"0.0000"].iter().all(|text| is_json_number(text)));
        assert!([&b".5"[..], b"7.", b"+1", b"01", b"1e3", b"-", b""].iter().all(|text| !is_json_number(text)));
    }
}
