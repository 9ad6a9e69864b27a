//! Rows of the mart as RowBinary, with the checksum the server must arrive at.

use std::fmt::Write;

use arrow::array::{
    Array, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};

use super::schema::{COLUMNS, Kind};
use super::sip;
use crate::error::{Error, Result};

/// Beyond this (cents) the server's checksum of a sum of money would overflow.
const MONEY_LIMIT: i128 = 90_000_000_000_000_000;

/// Number of rows and the sum of their hashes, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub rows: u64,
    pub sum: u64,
}

impl Digest {
    /// Of both sets of rows together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// A service date ready to be sent.
pub(super) struct Encoded {
    pub bytes: Bytes,
    pub digest: Digest,
}

/// The source of one column.
enum Values<'a> {
    Text(&'a StringArray),
    Instant(&'a TimestampMicrosecondArray),
    Snapshot(u32),
    Date(&'a Date32Array),
    Count(&'a Int64Array),
    Whole(&'a Int64Array),
    Float(&'a Float64Array),
    Average(&'a Float64Array),
    Money(&'a Decimal128Array),
    Size(&'a ListArray),
    Set(&'a ListArray),
}

/// Encodes all rows of one service date.
pub(super) fn encode(date: NaiveDate, batch: &RecordBatch, snapshot_ts: DateTime<Utc>) -> Result<Encoded> {
    let snapshot =
        u32::try_from(snapshot_ts.timestamp()).map_err(|e| Error::internal("snapshot_ts overflows").because(e))?;
    let columns =
        COLUMNS.iter().map(|(name, kind)| values(batch, name, *kind, snapshot)).collect::<Result<Vec<_>>>()?;
    let expected = (date - NaiveDate::default()).num_days();
    let mut bytes = Vec::new();
    let mut digest = Digest { rows: batch.num_rows() as u64, sum: 0 };
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        text.clear();
        for ((name, _), column) in COLUMNS.iter().zip(&columns) {
            if let Values::Date(days) = column
                && i64::from(days.value(row)) != expected
            {
                return Err(Error::internal("a row belongs to another service date").with("row", row));
            }
            column.write(row, &mut bytes, &mut text).map_err(|e| e.with("column", name).with("row", row))?;
        }
        text.pop();
        digest.sum = digest.sum.wrapping_add(sip::hash64(&text));
    }
    Ok(Encoded { bytes: bytes.into(), digest })
}

fn values<'a>(batch: &'a RecordBatch, name: &str, kind: Kind, snapshot: u32) -> Result<Values<'a>> {
    if kind == Kind::Snapshot {
        return Ok(Values::Snapshot(snapshot));
    }
    let source = if let Kind::Size(of) = kind { of } else { name };
    let array = batch.column_by_name(source);
    let found = array.and_then(|array| {
        Some(match kind {
            Kind::Text => Values::Text(array.as_string_opt()?),
            Kind::Instant => Values::Instant(array.as_primitive_opt::<TimestampMicrosecondType>()?),
            Kind::Snapshot => Values::Snapshot(snapshot),
            Kind::Date => Values::Date(array.as_primitive_opt::<Date32Type>()?),
            Kind::Count => Values::Count(array.as_primitive_opt::<Int64Type>()?),
            Kind::Whole => Values::Whole(array.as_primitive_opt::<Int64Type>()?),
            Kind::Float => Values::Float(array.as_primitive_opt::<Float64Type>()?),
            Kind::Average => Values::Average(array.as_primitive_opt::<Float64Type>()?),
            Kind::Money => Values::Money(array.as_primitive_opt::<Decimal128Type>().filter(|a| a.scale() == 2)?),
            Kind::Size(_) => Values::Size(array.as_list_opt()?),
            Kind::Set => {
                Values::Set(array.as_list_opt().filter(|l: &&ListArray| l.values().as_string_opt::<i32>().is_some())?)
            }
        })
    });
    let nulls = kind != Kind::Average && array.is_some_and(|a| a.null_count() > 0);
    found.filter(|_| !nulls).ok_or_else(|| {
        Error::internal(format!("column {source} of the mart's rows is missing, NULL or of another type"))
            .with("column", source)
    })
}

impl Values<'_> {
    /// Writes one value as RowBinary, and its canonical text followed by `|`.
    fn write(&self, row: usize, bytes: &mut Vec<u8>, text: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Text(values) => {
                let value = values.value(row).as_bytes();
                varint(value.len(), bytes);
                bytes.extend_from_slice(value);
                text.extend_from_slice(value);
            }
            Self::Instant(values) => {
                let seconds = u32::try_from(values.value(row).div_euclid(1_000_000))
                    .map_err(|e| Error::data("an hour lies outside 1970 to 2106").because(e))?;
                bytes.extend_from_slice(&seconds.to_le_bytes());
                show(seconds, text);
            }
            Self::Snapshot(seconds) => {
                bytes.extend_from_slice(&seconds.to_le_bytes());
                return Ok(());
            }
            Self::Date(values) => {
                let days = u16::try_from(values.value(row))
                    .map_err(|e| Error::data("a service date lies outside 1970 to 2149").because(e))?;
                bytes.extend_from_slice(&days.to_le_bytes());
                show(days, text);
            }
            Self::Count(values) => count(values.value(row), bytes, text)?,
            Self::Whole(values) => {
                bytes.extend_from_slice(&values.value(row).to_le_bytes());
                show(values.value(row), text);
            }
            Self::Float(values) => float(values.value(row), bytes, text),
            Self::Average(values) if values.is_null(row) => {
                bytes.push(1);
                text.push(b'N');
            }
            Self::Average(values) => {
                bytes.push(0);
                float(values.value(row), bytes, text);
            }
            Self::Money(values) => money(values.value(row), bytes, text)?,
            Self::Size(values) => count(i64::from(values.value_length(row)), bytes, text)?,
            Self::Set(values) => state(values.value(row).as_string::<i32>(), bytes, text),
        }
        text.push(b'|');
        Ok(())
    }
}

fn show(value: impl std::fmt::Display, text: &mut Vec<u8>) {
    text.extend_from_slice(value.to_string().as_bytes());
}

fn count(value: i64, bytes: &mut Vec<u8>, text: &mut Vec<u8>) -> Result<()> {
    let value = u64::try_from(value).map_err(|e| Error::internal("a count is negative").because(e))?;
    bytes.extend_from_slice(&value.to_le_bytes());
    show(value, text);
    Ok(())
}

/// The server's `reinterpretAsString` leaves out the zero bytes at the end.
fn float(value: f64, bytes: &mut Vec<u8>, text: &mut Vec<u8>) {
    let raw = value.to_le_bytes();
    bytes.extend_from_slice(&raw);
    let end = raw.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    text.extend_from_slice(hex(&raw[..end]).as_bytes());
}

fn money(cents: i128, bytes: &mut Vec<u8>, text: &mut Vec<u8>) -> Result<()> {
    let fits = i64::try_from(cents).ok().filter(|c| i128::from(c.unsigned_abs()) <= MONEY_LIMIT);
    let cents = fits.ok_or_else(|| Error::data(format!("a sum of money of {cents} cents does not fit the mart")))?;
    bytes.extend_from_slice(&cents.to_le_bytes());
    show(cents, text);
    Ok(())
}

/// A `uniqExact` state: the number of elements and the hash of each.
fn state(values: &StringArray, bytes: &mut Vec<u8>, text: &mut Vec<u8>) {
    varint(values.len(), bytes);
    let mut sum = 0_u64;
    for value in values.iter().flatten() {
        let hash = sip::hash128(value.as_bytes());
        bytes.extend_from_slice(&hash);
        sum = sum.wrapping_add(sip::hash64(hex(&hash).as_bytes()));
    }
    show(sum, text);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

pub(super) fn varint(value: usize, bytes: &mut Vec<u8>) {
    let mut rest = value;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_the_servers_own_bytes() {
        let (mut bytes, mut text) = (Vec::new(), Vec::new());
        state(&StringArray::from(vec!["abc", "d"]), &mut bytes, &mut text);
        assert_eq!(hex(&bytes), "02B6B415A2DA966B6C685A65E54C12A353E771F1CDFBB906C669EBBC3553B439E0");
    }

    #[test]
    fn floats_lose_their_zero_bytes_as_the_server_writes_them() {
        let mut text = Vec::new();
        float(1.5, &mut Vec::new(), &mut text);
        text.push(b'|');
        float(0.0, &mut Vec::new(), &mut text);
        assert_eq!(text, b"000000000000F83F|");
    }

    #[test]
    fn lengths_are_written_seven_bits_at_a_time() {
        let mut bytes = Vec::new();
        varint(300, &mut bytes);
        assert_eq!(bytes, [0xac, 0x02]);
    }
}
