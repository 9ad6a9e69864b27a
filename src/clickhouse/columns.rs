//! Columns of ClickHouse's Native format.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::ArrowPrimitiveType;

use super::rows::varint;
use super::sip;
use crate::error::{Error, Result};
use crate::load::columns;

/// The texts of one dictionary, ready to be written and hashed.
#[derive(Default)]
pub(super) struct Texts {
    values: Option<ArrayRef>,
    bytes: Vec<u8>,
    /// Where each text, with its length before it, ends.
    ends: Vec<usize>,
    pub(super) hashes: Vec<u64>,
}

impl Texts {
    /// Prepares a dictionary, unless it is the last one again.
    fn turn_to(&mut self, values: &ArrayRef) -> Result<()> {
        if self.values.as_ref().is_some_and(|known| Arc::ptr_eq(known, values)) {
            return Ok(());
        }
        let texts: &StringArray =
            values.as_string_opt::<i32>().ok_or_else(|| Error::internal("codes do not stand for texts"))?;
        self.bytes.clear();
        self.ends.clear();
        self.hashes.clear();
        for text in texts {
            self.push(text.unwrap_or_default());
        }
        // What a NULL is written as.
        self.push("");
        self.values = Some(Arc::clone(values));
        Ok(())
    }

    fn push(&mut self, text: &str) {
        varint(text.len(), &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
        self.hashes.push(sip::hash64(text.as_bytes()));
    }

    /// Whether a place is that of NULL.
    pub(super) fn is_null(&self, at: usize) -> bool {
        at + 1 == self.ends.len()
    }

    pub(super) fn bytes_of(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

/// The place of each row's text; NULL has the place after the dictionary's own.
pub(super) fn codes(batch: &RecordBatch, name: &str, texts: &mut Texts) -> Result<Vec<usize>> {
    let array = columns::codes(batch, name)?;
    texts.turn_to(array.values())?;
    let absent = array.values().len();
    Ok(array.keys().iter().map(|code| code.map_or(absent, |code| code as usize)).collect())
}

/// Appends numbers.
pub(super) fn words<T: ArrowPrimitiveType, const N: usize>(
    array: &PrimitiveArray<T>,
    out: &mut Vec<u8>,
    bytes: fn(T::Native) -> [u8; N],
) {
    array.values().iter().for_each(|value| out.extend_from_slice(&bytes(*value)));
}

/// Appends which rows have no value, then the values; what lies under a NULL is zero.
pub(super) fn nullable<T: ArrowPrimitiveType, const N: usize>(
    array: &PrimitiveArray<T>,
    out: &mut Vec<u8>,
    bytes: fn(T::Native) -> [u8; N],
) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => {
            out.resize(out.len() + array.len(), 0);
            words(array, out, bytes);
        }
        Some(nulls) => {
            out.extend(nulls.iter().map(|is_valid| u8::from(!is_valid)));
            array.iter().for_each(|value| out.extend_from_slice(&value.map_or([0; N], bytes)));
        }
    }
}

/// Appends texts by their places.
pub(super) fn texts(texts: &Texts, codes: &[usize], out: &mut Vec<u8>) {
    codes.iter().for_each(|&code| out.extend_from_slice(texts.bytes_of(code)));
}
