//! Texts that repeat much, each kept once and known by a number.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Int32Type;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::filled::Filled;
use crate::error::{Error, Result};
use crate::feeds::Ids;

/// The number of a text; [`NONE`] is that of no text.
pub(super) type Name = u32;

/// The number of what is absent.
pub(super) const NONE: Name = 0;

/// Texts by number, from 1.
#[derive(Default)]
pub(super) struct Names {
    hasher: DefaultHashBuilder,
    numbers: HashTable<Name>,
    texts: Texts,
    /// The same as the lake knows them, as far as a column of ids needed them.
    ids: Texts,
}

/// Texts one behind the other, number 0 an empty one, and the array of them that the columns of a batch share.
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    shared: Option<Arc<StringArray>>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: Vec::new(), ends: vec![0], shared: None }
    }
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        self.shared = None;
    }

    #[inline]
    fn get(&self, name: Name) -> &[u8] {
        let name = name as usize;
        let start = if name == 0 { 0 } else { self.ends.get(name - 1).copied().unwrap_or_default() };
        let end = self.ends.get(name).copied().unwrap_or_default();
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// All of them, by number. Made anew only where one was added since the last time.
    fn array(&mut self) -> Result<Arc<StringArray>> {
        if let Some(array) = &self.shared {
            return Ok(Arc::clone(array));
        }
        let ends = self.ends.iter().map(|end| i32::try_from(*end));
        let offsets = std::iter::once(Ok(0)).chain(ends).collect::<std::result::Result<Vec<_>, _>>();
        let offsets =
            offsets.map_err(|_| Error::data("recordings name things by more than 2 GiB of text, as no feed does"))?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = StringArray::try_new(offsets, Buffer::from_slice_ref(&self.bytes), None);
        let array = Arc::new(array.map_err(|e| Error::internal(format!("texts make no column: {e}")).because(e))?);
        self.shared = Some(Arc::clone(&array));
        Ok(array)
    }
}

impl Names {
    /// The number of a text. Bytes that are no UTF-8 are kept as the replacement character.
    #[inline]
    pub(super) fn number(&mut self, text: &[u8]) -> Name {
        if text.is_empty() { NONE } else { self.find_or_add(text) }
    }

    /// The number of a text that is likely `last`, as in a vehicle's next report.
    #[inline]
    pub(super) fn number_like(&mut self, last: Name, text: &[u8]) -> Name {
        if self.texts.get(last) == text { last } else { self.number(text) }
    }

    fn find_or_add(&mut self, text: &[u8]) -> Name {
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.numbers.find(hash, |name| self.texts.get(*name) == text) {
            return *known;
        }
        if std::str::from_utf8(text).is_err() {
            return self.number(String::from_utf8_lossy(text).into_owned().as_bytes());
        }
        let name = self.texts.ends.len() as Name;
        self.texts.push(text);
        let (hasher, texts) = (&self.hasher, &self.texts);
        self.numbers.insert_unique(hash, name, |name| hasher.hash_one(texts.get(*name)));
        name
    }

    /// The text of a number; empty for [`NONE`].
    pub(super) fn text(&self, name: Name) -> &str {
        std::str::from_utf8(self.texts.get(name)).unwrap_or_default()
    }

    /// What columns are made of: the texts as they are, and as ids of the lake.
    pub(super) fn columns(&mut self, ids: &Ids) -> Result<TextColumns> {
        let texts = self.texts.array()?;
        if ids.are_plain() {
            return Ok(TextColumns { ids: Arc::clone(&texts), texts });
        }
        for name in self.ids.ends.len()..self.texts.ends.len() {
            let text = std::str::from_utf8(self.texts.get(name as Name)).unwrap_or_default();
            self.ids.push(ids.of(text).as_bytes());
        }
        Ok(TextColumns { texts, ids: self.ids.array()? })
    }
}

/// Makes columns of numbers. They share one dictionary, so that a batch copies no text.
pub(super) struct TextColumns {
    texts: Arc<StringArray>,
    ids: Arc<StringArray>,
}

impl TextColumns {
    /// A column of the texts of these numbers.
    pub(super) fn of<R>(&self, rows: &[R], number: impl Fn(&R) -> Name) -> Result<ArrayRef> {
        self.texts(keys(rows, number))
    }

    /// The same of ids, as the lake knows them.
    pub(super) fn of_ids<R>(&self, rows: &[R], number: impl Fn(&R) -> Name) -> Result<ArrayRef> {
        self.ids(keys(rows, number))
    }

    /// A column of the texts of these keys.
    pub(super) fn texts(&self, keys: Filled<Int32Type>) -> Result<ArrayRef> {
        dictionary(&self.texts, keys)
    }

    /// The same of ids, as the lake knows them.
    pub(super) fn ids(&self, keys: Filled<Int32Type>) -> Result<ArrayRef> {
        dictionary(&self.ids, keys)
    }
}

/// A number as the key of a column.
#[inline]
pub(super) fn key(number: Name) -> Option<i32> {
    (number != NONE).then_some(number as i32)
}

fn keys<R>(rows: &[R], number: impl Fn(&R) -> Name) -> Filled<Int32Type> {
    let mut keys = Filled::with_capacity(rows.len());
    keys.add(rows, |row| key(number(row)));
    keys
}

fn dictionary(texts: &Arc<StringArray>, keys: Filled<Int32Type>) -> Result<ArrayRef> {
    let column = DictionaryArray::<Int32Type>::try_new(keys.array(), Arc::clone(texts) as ArrayRef)
        .map_err(|e| Error::internal(format!("a column of texts cannot be made: {e}")).because(e))?;
    Ok(Arc::new(column))
}
