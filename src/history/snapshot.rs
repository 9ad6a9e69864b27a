//! The rows of one snapshot, collapsed to one statement a key.
//!
//! Rows come in any order, as batches are read. Each becomes a few bytes more than its text, in chunks that never move, so
//! a million keys of usual width take about 100 MB. Memory grows with the keys of the snapshot, not with its rows.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::columns::Columns;
use super::log::{Presence, Statement};
use super::value::Values;
use crate::error::{Error, Result};

/// Entries share chunks of this size; a longer one gets its own.
const CHUNK_BYTES: usize = 1 << 18;

/// One snapshot, key by key.
///
/// Equal rows are one. Rows that state different columns, because they come from parts with different columns, are one if
/// they contradict in none; so a column that one row states as NULL and another does not state is no contradiction, but
/// NULL against a value is. A mention counts only for a key without a clean row.
#[derive(Debug)]
pub struct Snapshot {
    columns: Box<[Box<str>]>,
    all: Columns,
    store: Store,
    /// By first appearance, where the key's entry lies.
    entries: Vec<Place>,
    /// Positions in `entries`, by key.
    index: HashTable<u32>,
    hasher: RandomState,
    rows: u64,
    mentions: u64,
    observed_keys: u64,
    scratch: Vec<u8>,
}

impl Snapshot {
    /// An empty snapshot over the declared columns.
    pub fn new(columns: &[&str]) -> Self {
        Self {
            columns: columns.iter().map(|&name| name.into()).collect(),
            all: Columns::first(columns.len()),
            store: Store::default(),
            entries: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            rows: 0,
            mentions: 0,
            observed_keys: 0,
            scratch: Vec::new(),
        }
    }

    /// Adds a clean row; values of columns that are not stated are not looked at.
    ///
    /// # Errors
    /// [`Error::Data`] when a row of the same key states another value of some column.
    pub fn row(&mut self, key: &str, stated: &Columns, values: &[Option<&str>]) -> Result<()> {
        self.rows += 1;
        let stated = stated.within(&self.all);
        let mut entry = std::mem::take(&mut self.scratch);
        encode(&mut entry, key, Presence::Observed, (&stated, &self.all), values);
        let added = self.add(key, &entry);
        self.scratch = entry;
        added
    }

    /// Adds a rejected row whose key can be read.
    pub fn mention(&mut self, key: &str) {
        self.mentions += 1;
        if self.place(key).is_none() {
            let mut entry = std::mem::take(&mut self.scratch);
            encode(&mut entry, key, Presence::Mentioned, (&Columns::default(), &self.all), &[]);
            self.append(key, &entry);
            self.scratch = entry;
        }
    }

    /// What the snapshot says of a key; `None`: absent.
    pub fn get(&self, key: &str) -> Option<Statement> {
        self.place(key).map(|place| self.statement(place))
    }

    /// Whether any row, rejected ones included, names the key.
    pub fn names(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// How many keys any row names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys, by first appearance.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|&place| self.entry(place).key)
    }

    /// Every key and what is said of it, in the order of [`Self::keys`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, Statement)> {
        (0..).zip(self.keys()).map(|(place, key)| (key, self.statement(place)))
    }

    /// The place of a key among [`Self::keys`].
    pub fn place(&self, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&place| self.entry(self.entries[place as usize]).key == key);
        found.copied()
    }

    /// What is said of the key at a place of this snapshot.
    pub fn statement(&self, place: u32) -> Statement {
        self.entry(self.entries[place as usize]).statement(self.columns.len())
    }

    /// Rows added, rejected ones included.
    pub fn rows(&self) -> u64 {
        self.rows + self.mentions
    }

    /// Keys with a clean row.
    pub fn observed_keys(&self) -> u64 {
        self.observed_keys
    }

    /// Clean rows that became part of another one of their key.
    pub fn collapsed_rows(&self) -> u64 {
        self.rows - self.observed_keys
    }

    /// About how much memory the snapshot takes.
    pub fn memory_bytes(&self) -> usize {
        let table = self.index.capacity() * (size_of::<u32>() + 1) * 8 / 7;
        self.store.memory_bytes() + self.entries.capacity() * size_of::<Place>() + table
    }

    fn entry(&self, place: Place) -> Entry<'_> {
        decode(self.store.bytes(place), self.all.words())
    }

    fn add(&mut self, key: &str, entry: &[u8]) -> Result<()> {
        let Some(position) = self.place(key) else {
            self.observed_keys += 1;
            self.append(key, entry);
            return Ok(());
        };
        let place = self.entries[position as usize];
        let known = self.entry(place);
        let place = match known.kind {
            Presence::Mentioned | Presence::Gone => {
                self.observed_keys += 1;
                self.store.push(entry)
            }
            Presence::Observed if self.store.bytes(place).starts_with(entry) => return Ok(()),
            Presence::Observed => {
                let Some(merged) = self.merge(&known, &decode(entry, self.all.words()))? else { return Ok(()) };
                self.store.push(&merged)
            }
        };
        self.entries[position as usize] = place;
        Ok(())
    }

    /// The union of two rows of one key; `None` if the known one already says everything.
    fn merge(&self, known: &Entry<'_>, other: &Entry<'_>) -> Result<Option<Vec<u8>>> {
        let mut values = known.values(self.columns.len());
        for (index, (value, said)) in values.iter_mut().zip(other.values(self.columns.len())).enumerate() {
            if !other.stated.holds(index) {
                continue;
            }
            if known.stated.holds(index) && *value != said {
                return Err(contradiction(known.key, &self.columns[index], *value, said));
            }
            *value = said;
        }
        let stated = known.stated.with(&other.stated);
        let mut merged = Vec::new();
        if stated != known.stated {
            encode(&mut merged, known.key, Presence::Observed, (&stated, &self.all), &values);
        }
        Ok((stated != known.stated).then_some(merged))
    }

    fn append(&mut self, key: &str, entry: &[u8]) {
        let words = self.all.words();
        let Self { store, entries, index, hasher, .. } = self;
        // 2^32 keys would not fit into memory long before they would not fit here.
        let position = entries.len() as u32;
        entries.push(store.push(entry));
        let hash = hasher.hash_one(key);
        index.insert_unique(hash, position, |&other| {
            hasher.hash_one(decode(store.bytes(entries[other as usize]), words).key)
        });
    }
}

fn contradiction(key: &str, column: &str, left: Option<&str>, right: Option<&str>) -> Error {
    let show = |value: Option<&str>| value.map_or_else(|| "NULL".to_owned(), |text| format!("'{text}'"));
    let (left, right) = (show(left), show(right));
    let message = format!("key '{key}' has two values of {column} in one snapshot: {left} and {right}, expected one");
    Error::data(message).with("key", key).with("column", column)
}

/// Where an entry begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: u32,
    at: u32,
}

/// Bytes in chunks that never move, so that growth copies nothing.
#[derive(Debug, Default)]
struct Store {
    chunks: Vec<Vec<u8>>,
}

impl Store {
    fn push(&mut self, entry: &[u8]) -> Place {
        let has_room = self.chunks.last().is_some_and(|chunk| chunk.capacity() - chunk.len() >= entry.len());
        if !has_room {
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES.max(entry.len())));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let place = Place { chunk: number as u32, at: chunk.len() as u32 };
        chunk.extend_from_slice(entry);
        place
    }

    /// The chunk from an entry's first byte on.
    fn bytes(&self, place: Place) -> &[u8] {
        &self.chunks[place.chunk as usize][place.at as usize..]
    }

    fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }
}

/// A decoded entry; its values are decoded on demand.
struct Entry<'a> {
    key: &'a str,
    kind: Presence,
    stated: Columns,
    encoded_values: &'a [u8],
}

impl<'a> Entry<'a> {
    fn values(&self, columns: usize) -> Vec<Option<&'a str>> {
        let mut rest = self.encoded_values;
        let mut value = |index| match self.stated.holds(index).then(|| take_number(&mut rest)) {
            None | Some(0) => None,
            Some(length) => Some(take_text(&mut rest, length - 1)),
        };
        (0..columns).map(&mut value).collect()
    }

    fn statement(&self, columns: usize) -> Statement {
        match self.kind {
            Presence::Mentioned | Presence::Gone => Statement::mentioned(),
            Presence::Observed => {
                let values: Values = self.values(columns).into_iter().map(|value| value.map(Into::into)).collect();
                Statement::observed(self.stated.clone(), values)
            }
        }
    }
}

/// An entry: key, kind, a number for each 64 of all columns, and the stated values. Lengths come first and are LEB128
/// numbers; 0 stands for NULL and for a mention. No entry is the beginning of a different one.
fn encode(
    entry: &mut Vec<u8>,
    key: &str,
    kind: Presence,
    (stated, all): (&Columns, &Columns),
    values: &[Option<&str>],
) {
    entry.clear();
    put_number(entry, key.len() as u64);
    entry.extend_from_slice(key.as_bytes());
    entry.push(u8::from(kind == Presence::Observed));
    (0..all.words()).for_each(|place| put_number(entry, stated.word(place)));
    for index in (0..stated.digits()).filter(|&index| stated.holds(index)) {
        match values.get(index).copied().flatten() {
            None => entry.push(0),
            Some(text) => {
                put_number(entry, text.len() as u64 + 1);
                entry.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn decode(mut bytes: &[u8], words: usize) -> Entry<'_> {
    let length = take_number(&mut bytes);
    let key = take_text(&mut bytes, length);
    let kind = if take_number(&mut bytes) == 0 { Presence::Mentioned } else { Presence::Observed };
    let stated = Columns::of_words((0..words).map(|_| take_number(&mut bytes)));
    Entry { key, kind, stated, encoded_values: bytes }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take_text<'a>(bytes: &mut &'a [u8], length: u64) -> &'a str {
    let (text, rest) = bytes.split_at(bytes.len().min(length as usize));
    *bytes = rest;
    // `encode` wrote whole strings only.
    std::str::from_utf8(text).unwrap_or_default()
}
