//! Reading a snapshot once: encoded, digested, duplicates collapsed, contradictions refused.
//!
//! A row is remembered by two digests of 128 bits, of its key and of what it says. Where digests of the table itself are
//! at hand, a row that says what the table shows is counted and forgotten.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::mpsc::{Receiver, sync_channel};

use arrow::array::RecordBatch;
use bytes::{Bytes, BytesMut};
use hashbrown::HashTable;

use super::super::copy::{Encoder, PgType, Selection};
use super::super::history::wire::{Column, Field, split};
use super::adapt::Fit;
use super::awaited::Awaited;
use super::digest::{Digest, Digester};
use super::layout::Layout;
use super::rows::{Place, Rows};
use super::stored::{Met, Stored};
use crate::control::{Cancel, Progress};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::load::Feed;
use crate::queue::Queue;

/// Rows that are encoded at once.
const BLOCK_ROWS: usize = 8_192;
/// Blocks that may wait for the table of keys.
const BLOCKS_WAITING: usize = 8;

/// What is remembered of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) identity: Digest,
    pub(super) says: Digest,
    pub(super) place: Place,
    pub(super) is_matched: bool,
}

/// A row on its way to the table of keys.
struct Seen {
    identity: Digest,
    says: Digest,
    at: u32,
}

/// A block of encoded rows with their digests.
struct Block {
    bytes: Bytes,
    rows: Vec<Seen>,
}

/// Blocks that were read before it was known what they are compared with.
#[derive(Default)]
struct Held {
    blocks: Vec<Block>,
    bytes: usize,
    /// How many of them are compared already.
    taken: usize,
}

/// What the table shows, and whether that can be trusted: its rows may be others than those that the digests were made for.
pub(super) struct Coming {
    pub(super) stored: Awaited<Option<Stored>>,
    pub(super) is_trusted: Awaited<bool>,
}

/// A snapshot that was read.
pub(super) struct Intake {
    pub(super) layout: Layout,
    pub(super) digester: Digester,
    /// The rows, but for those that are stored already.
    pub(super) entries: Vec<Entry>,
    index: HashTable<u32>,
    /// What the table shows, if its digests can be trusted.
    pub(super) stored: Option<Stored>,
    /// Where [`Self::stored`] comes from, until it can be trusted.
    coming: Option<Coming>,
    /// Bytes that may be held until then.
    waiting_limit: usize,
    pub(super) rows: Rows,
    pub(super) row_count: u64,
    pub(super) duplicate_count: u64,
}

/// Takes the new rows of a block: its bytes, and where they begin.
pub(super) type Forward<'a> = &'a mut dyn FnMut(&Bytes, &[u32]) -> Result<()>;

impl Intake {
    /// An intake of rows of this layout; about `memory_bytes` of them stay in memory.
    pub(super) fn new(layout: Layout, memory_bytes: usize) -> Self {
        Self {
            layout,
            digester: Digester::default(),
            entries: Vec::new(),
            index: HashTable::new(),
            stored: None,
            coming: None,
            waiting_limit: memory_bytes / 2,
            rows: Rows::new(memory_bytes),
            row_count: 0,
            duplicate_count: 0,
        }
    }

    /// Makes digests by this digester and holds the rows against what comes.
    pub(super) fn expect(&mut self, digester: Digester, coming: Option<Coming>) {
        (self.digester, self.coming) = (digester, coming);
    }

    /// How many keys were read.
    pub(super) fn key_count(&self) -> u64 {
        self.entries.len() as u64 + self.stored.as_ref().map_or(0, Stored::same)
    }

    /// Whether a row has this identity.
    pub(super) fn has(&self, identity: Digest) -> bool {
        self.find(identity).is_some() || self.stored.as_ref().is_some_and(|stored| stored.is_seen(identity))
    }

    /// Where the row of an identity is remembered.
    pub(super) fn find(&self, identity: Digest) -> Option<usize> {
        let found = self.index.find(identity[0], |&position| self.entries[position as usize].identity == identity);
        found.map(|&position| position as usize)
    }

    /// Reads a feed to its end on `threads` threads. With `forward` the rows are handed on and not kept. Blocking.
    ///
    /// # Errors
    /// [`Error::Data`] for two rows of one key that differ, and for a row without a key.
    pub(super) fn read(
        &mut self,
        feed: &dyn Feed,
        fit: &Fit,
        threads: usize,
        cancel: &Cancel,
        progress: &Progress,
        mut forward: Option<Forward<'_>>,
    ) -> Result<()> {
        let queue = Queue::new(feed.units());
        let (layout, digester) = (self.layout.clone(), self.digester.clone());
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Result<Block>>(BLOCKS_WAITING);
            for _ in 0..threads.clamp(1, feed.units().max(1)) {
                let (sender, layout, digester, queue) = (sender.clone(), &layout, &digester, &queue);
                scope.spawn(move || {
                    let mut worker = Worker { layout, digester, scratch: Vec::new() };
                    let outcome = worker.run(feed, fit, queue, cancel, &mut |block| {
                        sender.send(Ok(block)).map_err(|_| Error::cancelled("the reading of the snapshot was stopped"))
                    });
                    if let Err(e) = outcome {
                        // The receiver is gone only after an error of its own.
                        let _ = sender.send(Err(e));
                    }
                });
            }
            drop(sender);
            self.collect(receiver, progress, &mut forward)
        })
    }

    /// Takes in what the threads made; dropping the receiver at an error stops them.
    fn collect(
        &mut self,
        receiver: Receiver<Result<Block>>,
        progress: &Progress,
        forward: &mut Option<Forward<'_>>,
    ) -> Result<()> {
        let mut held = Held::default();
        for block in receiver {
            let block = block?;
            self.row_count += block.rows.len() as u64;
            progress.add(block.rows.len() as u64);
            if self.coming.is_none() {
                self.take_block(&block, forward)?;
            } else {
                held.bytes += block.bytes.len();
                held.blocks.push(block);
                let waits = held.bytes > self.waiting_limit;
                self.take_held(&mut held, waits, forward)?;
            }
        }
        self.take_held(&mut held, true, forward)
    }

    /// Takes blocks as far as it is known what is stored. Until it is also known that it can be trusted they are held, to be
    /// taken anew without it. With `waits` all that is known later.
    fn take_held(&mut self, held: &mut Held, waits: bool, forward: &mut Option<Forward<'_>>) -> Result<()> {
        let Some(coming) = &mut self.coming else { return Ok(()) };
        if self.stored.is_none() {
            self.stored = coming.stored.poll(waits)?.flatten();
        }
        if self.stored.is_some() {
            for block in &held.blocks[held.taken..] {
                self.take_block(block, forward)?;
            }
            held.taken = held.blocks.len();
        }
        let Some(coming) = &mut self.coming else { return Ok(()) };
        let Some(is_trusted) = coming.is_trusted.poll(waits)? else { return Ok(()) };
        self.coming = None;
        if !is_trusted {
            (self.stored, held.taken, self.duplicate_count) = (None, 0, 0);
            self.entries.clear();
            self.index.clear();
            self.rows.clear();
        }
        for block in held.blocks.drain(..).skip(held.taken) {
            self.take_block(&block, forward)?;
        }
        Ok(())
    }

    fn take_block(&mut self, block: &Block, forward: &mut Option<Forward<'_>>) -> Result<()> {
        if let Some(stored) = &mut self.stored {
            let met = stored.meet_all(block.rows.iter().map(|row| (row.identity, row.says[0])));
            return self.take_new(block, met);
        }
        let number = if forward.is_none() { self.rows.push(block.bytes.clone())? } else { 0 };
        let mut fresh = Vec::with_capacity(block.rows.len());
        for row in &block.rows {
            if self.take(row, Place { block: number, at: row.at }, &block.bytes)? {
                fresh.push(row.at);
            }
        }
        match forward {
            Some(forward) => forward(&block.bytes, &fresh),
            None => Ok(()),
        }
    }

    /// Takes the rows of a block that say something new, and keeps only their bytes.
    fn take_new(&mut self, block: &Block, met: Vec<Met>) -> Result<()> {
        let mut new = BytesMut::new();
        let number = self.rows.next_number()?;
        for (index, (row, met)) in block.rows.iter().zip(met).enumerate() {
            match met {
                Met::Same => continue,
                Met::Again => {
                    self.duplicate_count += 1;
                    continue;
                }
                Met::Contradicts => return Err(self.contradiction(&block.bytes[row.at as usize..])),
                Met::New => {}
            }
            if self.take(row, Place { block: number, at: new.len() as u32 }, &block.bytes)? {
                let end = block.rows.get(index + 1).map_or(block.bytes.len(), |next| next.at as usize);
                new.extend_from_slice(&block.bytes[row.at as usize..end]);
            }
        }
        if new.is_empty() { Ok(()) } else { self.rows.push(new.freeze()).map(drop) }
    }

    /// Remembers a row; tells whether it is the first of its identity.
    fn take(&mut self, row: &Seen, place: Place, bytes: &Bytes) -> Result<bool> {
        if let Some(known) = self.find(row.identity) {
            if self.entries[known].says == row.says {
                self.duplicate_count += 1;
                return Ok(false);
            }
            return Err(self.contradiction(&bytes[row.at as usize..]));
        }
        let position = u32::try_from(self.entries.len()).map_err(|_| Error::data("the snapshot has too many keys"))?;
        self.entries.push(Entry { identity: row.identity, says: row.says, place, is_matched: false });
        let entries = &self.entries;
        self.index.insert_unique(row.identity[0], position, |&other| entries[other as usize].identity[0]);
        Ok(true)
    }

    fn contradiction(&self, row: &[u8]) -> Error {
        let mut fields = Vec::new();
        split(row, &mut fields);
        let key = self.key_text(&fields);
        let is_feed = self.layout.identity_count > self.layout.key_count;
        let what = if is_feed { "with one effective time" } else { "in one snapshot" };
        let hint =
            if is_feed { "" } else { "; if the rows have times of their own, name their column as effective_column" };
        Error::data(format!("key {key} has two rows {what} that differ, expected one{hint}")).with("key", key)
    }

    /// A key for messages: `region='north', code=7`.
    pub(super) fn key_text(&self, fields: &[Field<'_>]) -> String {
        key_text(&self.layout.columns[..self.layout.key_count], fields)
    }
}

/// A key for messages.
pub(super) fn key_text(columns: &[Column], fields: &[Field<'_>]) -> String {
    let part = |(column, field): (&Column, &Field<'_>)| {
        let value = field.map_or_else(|| "NULL".to_owned(), |bytes| shown(column.kind, bytes));
        format!("{}={value}", column.name)
    };
    columns.iter().zip(fields).map(part).collect::<Vec<_>>().join(", ")
}

fn shown(kind: PgType, bytes: &[u8]) -> String {
    let number = |bytes: &[u8]| match bytes.len() {
        2 => bytes.try_into().map(i16::from_be_bytes).map(i64::from).ok(),
        4 => bytes.try_into().map(i32::from_be_bytes).map(i64::from).ok(),
        _ => bytes.try_into().map(i64::from_be_bytes).ok(),
    };
    match kind {
        PgType::Int2 | PgType::Int4 | PgType::Int8 => number(bytes).map_or_else(String::new, |n| n.to_string()),
        PgType::Text | PgType::Varchar | PgType::Bpchar => format!("'{}'", String::from_utf8_lossy(bytes)),
        _ => hex(bytes),
    }
}

struct Worker<'a> {
    layout: &'a Layout,
    digester: &'a Digester,
    scratch: Vec<u8>,
}

impl Worker<'_> {
    fn run(
        &mut self,
        feed: &dyn Feed,
        fit: &Fit,
        queue: &Queue,
        cancel: &Cancel,
        hand_over: &mut dyn FnMut(Block) -> Result<()>,
    ) -> Result<()> {
        let columns: Vec<_> = self.layout.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
        while let Some(number) = queue.take() {
            let schema = feed.origin(number).map_or_else(|| feed.schema(), |(schema, _)| schema);
            let adapter = fit.adapter(&schema)?;
            let mut encoder = Encoder::new(&columns, &adapter.schema())?;
            // Nobody reads the header: rows are taken one by one.
            encoder.header(&mut BytesMut::new());
            feed.read(number, &mut |batch| {
                let batch = adapter.adapt(&batch)?;
                for start in (0..batch.num_rows()).step_by(BLOCK_ROWS) {
                    cancel.check()?;
                    let slice = batch.slice(start, (batch.num_rows() - start).min(BLOCK_ROWS));
                    hand_over(self.block(&mut encoder, &slice)?)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn block(&mut self, encoder: &mut Encoder, slice: &RecordBatch) -> Result<Block> {
        let mut out = BytesMut::new();
        encoder.encode(slice, Selection::All, &mut out)?;
        let bytes = out.freeze();
        let (mut rows, mut fields, mut at) = (Vec::with_capacity(slice.num_rows()), Vec::new(), 0);
        let Layout { columns, key_count, identity_count, .. } = self.layout;
        let torn = || Error::internal("an encoded row is torn");
        while at < bytes.len() {
            let length = split(&bytes[at..], &mut fields).ok_or_else(torn)?;
            if fields[..*key_count].iter().all(Option::is_none) {
                let names: Vec<&str> = columns[..*key_count].iter().map(|c| c.name.as_str()).collect();
                return Err(Error::data(format!("a row has no key: {} is NULL", names.join(" and "))));
            }
            if fields[*key_count..*identity_count].iter().any(Option::is_none) {
                let key = key_text(&columns[..*key_count], &fields);
                return Err(Error::data(format!("a change of key {key} has no effective time")).with("key", key));
            }
            let identity = self.digester.digest(&columns[..*identity_count], &fields, &mut self.scratch);
            let says = match self.layout.is_gone(&fields) {
                true => self.digester.gone(),
                false => {
                    self.digester.digest(self.layout.stated(), self.layout.statement_of(&fields), &mut self.scratch)
                }
            };
            let start = u32::try_from(at).map_err(|_| Error::data("a block of rows is larger than 4 GiB"))?;
            rows.push(Seen { identity, says, at: start });
            at += length;
        }
        Ok(Block { bytes, rows })
    }
}
