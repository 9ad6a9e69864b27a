//! Texts that repeat much, each kept once and known by a number.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringBuilder};
use arrow::datatypes::Int32Type;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{Error, Result};
use crate::feeds::Ids;

/// The number of a text; [`NONE`] is that of no text.
pub(super) type Name = u32;

/// The number of what is absent.
pub(super) const NONE: Name = 0;

/// Texts by number, from 1.
pub(super) struct Names {
    hasher: DefaultHashBuilder,
    numbers: HashTable<Name>,
    texts: Vec<u8>,
    ends: Vec<usize>,
}

impl Default for Names {
    fn default() -> Self {
        // Number 0 is an empty text, which counts as absent.
        Self { hasher: DefaultHashBuilder::default(), numbers: HashTable::new(), texts: Vec::new(), ends: vec![0] }
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
        if self.bytes(last) == text { last } else { self.number(text) }
    }

    fn find_or_add(&mut self, text: &[u8]) -> Name {
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.numbers.find(hash, |name| self.bytes(*name) == text) {
            return *known;
        }
        if std::str::from_utf8(text).is_err() {
            return self.number(String::from_utf8_lossy(text).into_owned().as_bytes());
        }
        let name = self.ends.len() as Name;
        self.texts.extend_from_slice(text);
        self.ends.push(self.texts.len());
        let (hasher, texts, ends) = (&self.hasher, &self.texts, &self.ends);
        self.numbers.insert_unique(hash, name, |name| hasher.hash_one(bytes(texts, ends, *name)));
        name
    }

    #[inline]
    fn bytes(&self, name: Name) -> &[u8] {
        bytes(&self.texts, &self.ends, name)
    }

    /// The text of a number; empty for [`NONE`].
    pub(super) fn text(&self, name: Name) -> &str {
        std::str::from_utf8(self.bytes(name)).unwrap_or_default()
    }

    /// A column of numbers as a dictionary of the texts that stand in it.
    pub(super) fn column(&self, numbers: impl ExactSizeIterator<Item = Name>) -> Result<ArrayRef> {
        self.dictionary(numbers, |text| Cow::Borrowed(text))
    }

    /// The same of ids, as the lake knows them.
    pub(super) fn id_column(&self, ids: &Ids, numbers: impl ExactSizeIterator<Item = Name>) -> Result<ArrayRef> {
        self.dictionary(numbers, |text| ids.of(text))
    }

    fn dictionary(
        &self,
        numbers: impl ExactSizeIterator<Item = Name>,
        written: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<ArrayRef> {
        // Where each text stands in this column's dictionary, by number.
        let mut places = vec![-1; self.ends.len()];
        let (mut last, mut place, mut count) = (NONE, None, 0);
        let mut texts = StringBuilder::new();
        let keys: Int32Array = numbers
            .map(|name| {
                if name != last {
                    last = name;
                    place = places.get_mut(name as usize).filter(|_| name != NONE).map(|place| {
                        if *place < 0 {
                            texts.append_value(written(self.text(name)));
                            *place = count;
                            count += 1;
                        }
                        *place
                    });
                }
                place
            })
            .collect();
        let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(texts.finish()))
            .map_err(|e| Error::internal(format!("a column of texts cannot be made: {e}")).because(e))?;
        Ok(Arc::new(column))
    }
}

#[inline]
fn bytes<'a>(texts: &'a [u8], ends: &[usize], name: Name) -> &'a [u8] {
    let name = name as usize;
    let start = if name == 0 { 0 } else { ends.get(name - 1).copied().unwrap_or_default() };
    let end = ends.get(name).copied().unwrap_or_default();
    texts.get(start..end).unwrap_or_default()
}
