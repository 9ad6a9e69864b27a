//! Rows in the binary form of COPY: taking them apart, comparing them, building them.
//!
//! Snapshot, table and log meet in this one form, so that any type which can be written can be merged, and nothing is
//! parsed or printed on the way. Two values are equal when their canonical bytes are.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::{BufMut, BytesMut};

use super::super::copy::{EPOCH_DAYS, EPOCH_MICROS, PgType};
use crate::clean::canonical_json;
use crate::error::{Error, Result};
use crate::history::{Columns, Value, Values};

/// Signature, flags and the length of the header's extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A field as it stands on the wire; `None` is NULL.
pub(crate) type Field<'a> = Option<&'a [u8]>;

/// The fields of one row that begins here, and the bytes it takes; `None` while the row is incomplete. The trailer of a
/// stream is a row without fields.
pub(crate) fn split<'a>(bytes: &'a [u8], fields: &mut Vec<Field<'a>>) -> Option<usize> {
    fields.clear();
    let count = i16::from_be_bytes(*bytes.first_chunk()?);
    let mut at = 2;
    for _ in 0..count.max(0) {
        let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        at += 4;
        match usize::try_from(length) {
            Err(_) => fields.push(None),
            Ok(length) => {
                fields.push(Some(bytes.get(at..at + length)?));
                at += length;
            }
        }
    }
    Some(at)
}

/// Appends one field.
pub(crate) fn put_field(out: &mut BytesMut, field: Field<'_>) {
    match field {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(bytes.len() as i32);
            out.put_slice(bytes);
        }
    }
}

/// An instant, in microseconds since 1970, as a timestamptz.
pub(crate) fn instant_bytes(micros: i64) -> [u8; 8] {
    (micros.saturating_sub(EPOCH_MICROS)).to_be_bytes()
}

/// The instant that a timestamptz holds.
pub(crate) fn instant(field: Field<'_>) -> Result<Option<i64>> {
    let Some(bytes) = field else { return Ok(None) };
    match integer(Some(bytes))? {
        Some(i64::MAX | i64::MIN) => {
            Err(Error::data("an interval has an infinite bound, expected NULL for an open end"))
        }
        other => Ok(other.map(|micros| micros.saturating_add(EPOCH_MICROS))),
    }
}

/// The day, in days since 1970, that a date holds.
pub(crate) fn date(bytes: [u8; 4]) -> i32 {
    i32::from_be_bytes(bytes).saturating_add(EPOCH_DAYS)
}

/// An eight-byte integer.
pub(crate) fn integer(field: Field<'_>) -> Result<Option<i64>> {
    let bytes = field.map(|bytes| bytes.try_into().map(i64::from_be_bytes)).transpose();
    bytes.map_err(|_| Error::internal("a field of eight bytes was expected"))
}

/// A set of columns as bits: how many there are, and then eight a byte, the first one highest.
pub(crate) fn columns_bytes(columns: &Columns) -> Vec<u8> {
    let digits = columns.digits();
    let mut bytes = (digits as i32).to_be_bytes().to_vec();
    let byte = |place: usize| (columns.word(place / 8) >> (place % 8 * 8)) as u8;
    bytes.extend((0..digits.div_ceil(8)).map(|place| byte(place).reverse_bits()));
    bytes
}

/// The set of columns that bits stand for.
pub(crate) fn columns(field: Field<'_>) -> Result<Columns> {
    let bits = field.and_then(|bytes| bytes.get(size_of::<i32>()..));
    let bits = bits.ok_or_else(|| Error::data("a row of the log does not tell which columns it states"))?;
    Ok(Columns::of_words(bits.chunks(8).map(|chunk| {
        let bytes = chunk.iter().enumerate();
        bytes.fold(0, |word, (place, byte)| word | u64::from(byte.reverse_bits()) << (place * 8))
    })))
}

/// A set of columns as SQL takes it.
pub(crate) fn columns_literal(columns: &Columns) -> String {
    format!("B'{columns}'")
}

/// One column: its type, which decides when two values are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: PgType,
    /// As `format_type` prints it.
    pub(crate) sql_type: String,
}

/// The canonical bytes of a value: equal bytes are an equal value.
pub(crate) fn canonical(kind: PgType, bytes: &[u8]) -> Cow<'_, [u8]> {
    match kind {
        PgType::Bpchar => {
            let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            Cow::Borrowed(&bytes[..end])
        }
        PgType::Json => json(bytes, b""),
        PgType::Jsonb => json(bytes.get(1..).unwrap_or_default(), b"\x01"),
        _ if is_settled(kind) => {
            let mut owned = bytes.to_vec();
            settle(kind, &mut owned);
            Cow::Owned(owned)
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// Whether values of a type can be told apart by their canonical bytes: an interval of a month may equal one of 30 days.
pub(crate) fn can_compare(kind: PgType) -> bool {
    match kind {
        PgType::Interval | PgType::Char | PgType::AsText => false,
        PgType::Array(_) => kind == PgType::TEXT_ARRAY || kind == PgType::INT8_ARRAY,
        _ => true,
    }
}

/// Whether equal values of a column always are the same bytes in the table.
pub(crate) fn is_spelled_one_way(column: &Column) -> bool {
    match column.kind {
        PgType::Float4 | PgType::Float8 | PgType::Numeric | PgType::Json | PgType::Jsonb => false,
        // With a length the server pads all to it.
        PgType::Bpchar => column.sql_type != "bpchar",
        _ => true,
    }
}

/// Whether values become canonical by [`settle`].
fn is_settled(kind: PgType) -> bool {
    matches!(kind, PgType::Numeric | PgType::Decimal(..) | PgType::Float4 | PgType::Float8)
}

/// Makes a value canonical where that changes no length.
fn settle(kind: PgType, bytes: &mut [u8]) {
    match kind {
        // The display scale is no part of the value.
        PgType::Numeric | PgType::Decimal(..) if bytes.len() >= 8 => bytes[6..8].fill(0),
        PgType::Float4 => match (&*bytes).try_into().map(f32::from_be_bytes) {
            Ok(0.0) => bytes.fill(0),
            Ok(value) if value.is_nan() => bytes.copy_from_slice(&f32::NAN.to_be_bytes()),
            _ => {}
        },
        PgType::Float8 => match (&*bytes).try_into().map(f64::from_be_bytes) {
            Ok(0.0) => bytes.fill(0),
            Ok(value) if value.is_nan() => bytes.copy_from_slice(&f64::NAN.to_be_bytes()),
            _ => {}
        },
        _ => {}
    }
}

/// Invalid JSON stays as it is: the server refuses it by its own words.
fn json<'a>(text: &'a [u8], version: &'static [u8]) -> Cow<'a, [u8]> {
    let canonical = std::str::from_utf8(text).ok().and_then(canonical_json);
    Cow::Owned([version, canonical.as_deref().map_or(text, str::as_bytes)].concat())
}

/// Appends the canonical form of a row's part, such that different parts never look the same.
pub(crate) fn put_canonical(out: &mut Vec<u8>, column: &Column, field: Field<'_>) {
    let Some(bytes) = field else { return out.extend_from_slice(&u32::MAX.to_le_bytes()) };
    let mut put = |bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    if !is_settled(column.kind) {
        return put(&canonical(column.kind, bytes));
    }
    put(bytes);
    // In place: most values of a snapshot come by here only to be digested.
    let start = out.len() - bytes.len();
    settle(column.kind, &mut out[start..]);
}

/// Values of one key as text of the history room: a letter for each canonical byte. It remembers the bytes themselves
/// where they differ, so that what is written is what was said.
#[derive(Debug, Default)]
pub(crate) struct Lexicon {
    spelled: HashMap<(usize, Box<str>), Vec<u8>>,
}

impl Lexicon {
    /// Forgets the values of the key before.
    pub(crate) fn clear(&mut self) {
        self.spelled.clear();
    }

    /// The text of a field.
    pub(crate) fn value(&mut self, index: usize, column: &Column, field: Field<'_>) -> Value {
        let bytes = field?;
        let plain = canonical(column.kind, bytes);
        let text: Box<str> = match std::str::from_utf8(&plain) {
            Ok(text) if text.is_ascii() => text.into(),
            _ => plain.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
        };
        if *plain != *bytes {
            self.spelled.entry((index, text.clone())).or_insert_with(|| bytes.to_vec());
        }
        Some(text)
    }

    /// The texts of fields over all columns.
    pub(crate) fn values(&mut self, columns: &[Column], fields: &[Field<'_>]) -> Values {
        let each = columns.iter().zip(fields).enumerate();
        each.map(|(index, (column, field))| self.value(index, column, *field)).collect()
    }

    /// Appends a value as a field.
    pub(crate) fn put(&self, out: &mut BytesMut, index: usize, value: &Value) {
        let Some(text) = value else { return put_field(out, None) };
        let spelled = (!self.spelled.is_empty()).then(|| self.spelled.get(&(index, text.clone()))).flatten();
        match spelled {
            Some(bytes) => put_field(out, Some(bytes)),
            None if text.is_ascii() => put_field(out, Some(text.as_bytes())),
            None => {
                let bytes: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
                put_field(out, Some(&bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_apart_as_they_were_built_and_wait_for_their_end() {
        let mut out = BytesMut::new();
        out.put_i16(3);
        [Some(&b"ab"[..]), None, Some(b"")].into_iter().for_each(|field| put_field(&mut out, field));
        let mut fields = Vec::new();
        assert_eq!(split(&out, &mut fields), Some(out.len()));
        assert_eq!(fields, [Some(&b"ab"[..]), None, Some(&b""[..])]);
        for cut in 0..out.len() {
            assert_eq!(split(&out[..cut], &mut Vec::new()), None, "{cut}");
        }
    }

    #[test]
    fn a_set_of_columns_is_the_bits_of_its_digits() {
        assert_eq!(columns_bytes(&Columns::from(0b1011)), [0, 0, 0, 4, 0b1101_0000]);
        assert_eq!(columns_literal(&Columns::from(0b1011)), "B'1101'");
        for width in [0, 1, 8, 9, 63, 64, 65, 300] {
            for set in [Columns::first(width), (0..width).step_by(3).collect()] {
                assert_eq!(columns(Some(&columns_bytes(&set))).unwrap(), set, "{width}");
            }
        }
        assert!(columns(None).is_err());
    }

    #[test]
    fn equal_values_have_equal_canonical_bytes() {
        let one = |scale: u8| [0, 1, 0, 0, 0, 0, 0, scale, 0, 1];
        assert_eq!(canonical(PgType::Numeric, &one(0)), canonical(PgType::Numeric, &one(2)));
        assert_eq!(canonical(PgType::Float8, &(-0.0_f64).to_be_bytes()), canonical(PgType::Float8, &[0; 8]));
        let json = |text: &str| canonical(PgType::Jsonb, &[b"\x01", text.as_bytes()].concat()).into_owned();
        assert_eq!(json(r#"{"b": 1.0, "a": [1, 2]}"#), json(r#"{"a":[1,2],"b":1}"#));
        assert_ne!(json("[1, 2]"), json("[2, 1]"));
    }

    #[test]
    fn any_bytes_survive_as_text_and_are_written_as_they_were_said() {
        let column = |kind| Column { name: "c".into(), kind, sql_type: String::new() };
        let bytes: Vec<u8> = (0..=255).collect();
        let mut lexicon = Lexicon::default();
        let raw = lexicon.value(0, &column(PgType::Bytea), Some(&bytes));
        let said: &[u8] = b"\x01{\"b\": 1, \"a\": 2}";
        let json = lexicon.value(1, &column(PgType::Jsonb), Some(said));
        let mut out = BytesMut::new();
        out.put_i16(2);
        lexicon.put(&mut out, 0, &raw);
        lexicon.put(&mut out, 1, &json);
        let mut fields = Vec::new();
        split(&out, &mut fields);
        assert_eq!(fields, [Some(&bytes[..]), Some(said)]);
    }
}
