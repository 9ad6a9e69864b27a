//! Text that repeats, kept once: ids of trips, routes, stops and services, headsigns.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A text of [`Words`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Word(u32);

impl Word {
    /// The empty text, which means that there is none.
    pub(super) const NONE: Self = Self(0);

    /// The place among the words of its kind, in order of appearance; [`Word::NONE`] has 0.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Texts by number and numbers by text.
#[derive(Debug)]
pub(super) struct Words {
    text: String,
    ends: Vec<usize>,
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Words {
    pub(super) fn new() -> Self {
        let mut words = Self {
            text: String::new(),
            ends: Vec::new(),
            known: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        words.add("");
        words
    }

    /// The number of words, the empty one included.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a word.
    pub(super) fn get(&self, word: Word) -> &str {
        span(&self.text, &self.ends, word.0)
    }

    /// The word of a text that is known.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Word> {
        let hash = self.hasher.hash_one(bytes);
        let same = |number: &u32| span(&self.text, &self.ends, *number).as_bytes() == bytes;
        self.known.find(hash, same).map(|number| Word(*number))
    }

    /// The word of a text; `None` for bytes that are no text: neither invalid UTF-8 nor U+0000 can be kept.
    pub(super) fn word(&mut self, bytes: &[u8]) -> Option<Word> {
        if let Some(known) = self.find(bytes) {
            return Some(known);
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
        (self.ends.len() < u32::MAX as usize).then(|| self.add(text))
    }

    fn add(&mut self, text: &str) -> Word {
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let hash = self.hasher.hash_one(text.as_bytes());
        let Self { text, ends, known, hasher } = self;
        known.insert_unique(hash, number, |number| hasher.hash_one(span(text, ends, *number).as_bytes()));
        Word(number)
    }
}

fn span<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(number).and_then(|end| text.get(start..*end)).unwrap_or_default()
}
