//! The fate of every clean row of one dataset and day.
//!
//! Rows equal in every known column collapse into the last of them, by part and row; the others are duplicates. Of
//! different rows with one trip or payment id the last wins (of predictions the latest); the others are superseded.
//!
//! Only hashes are kept: 128 bits of the row, 128 of the key where there is one. They are sorted into partitions by
//! hash, in memory up to the bound and in a scratch file beyond it, and each partition is settled on its own; one
//! whose table would break the bound is settled in several passes, each over a share of its hashes. Beside that two
//! bits a row are kept for the verdict. The rule needs no order: a row learns that it is a duplicate or superseded
//! from any later row of its hash, whenever the two meet.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};

use arrow::array::BooleanArray;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::cleaner::Cleaned;
use super::fate::{Fate, Fates, Settling};
use super::hash::{Hash, Hashes, hash_rows};
use super::spill::{PARTITIONS, Records};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Reason, Repetition};
use crate::queue::Queue;

/// Bytes of one entry in both tables, at their emptiest.
const ENTRY_BYTES: u64 = 160;
const PASS_SHIFT: u32 = 20;
/// Beyond so many passes the bound would cost more than it saves.
const MAX_PASSES: u64 = 1 << 12;

/// The counts of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows in the file.
    pub rows_read: u64,
    /// Rows that are loaded.
    pub loaded: u64,
    /// Rows a later row equals.
    pub duplicate: u64,
    /// Rows a later, different row of their key replaces.
    pub superseded: u64,
    /// Rows that break a rule.
    pub rejected: u64,
    /// Rejected rows by reason; a row may have several.
    pub rejected_by_reason: BTreeMap<Reason, u64>,
    /// Rows with money more than 0.0005 off a cent.
    pub rounded: u64,
    /// Rows with an instant that lost digits below a microsecond.
    pub truncated: u64,
}

/// Collects the rows of one dataset and day and settles their fates.
#[derive(Debug)]
pub struct Judge {
    dataset: Dataset,
    memory_bytes: u64,
    records: Records,
    parts: Vec<PartRows>,
}

#[derive(Clone, Debug)]
struct PartRows {
    first: u64,
    rows: u64,
    counts: Counts,
}

/// The fates of all rows.
#[derive(Clone, Debug)]
pub struct Verdict {
    parts: Vec<PartRows>,
    fates: Fates,
    contradictions: u64,
}

/// What a judge needs of a batch: the costly part of seeing it, which needs no judge.
#[derive(Debug)]
pub struct Evidence(Hashes);

impl Evidence {
    /// Hashes the clean rows of a batch.
    pub fn of(dataset: Dataset, cleaned: &Cleaned) -> Result<Self> {
        hash_rows(dataset, &cleaned.rows, cleaned.stated).map(Self)
    }
}

impl Judge {
    /// A judge that keeps about `memory_bytes` in memory, and two bits a row.
    pub fn new(dataset: Dataset, memory_bytes: u64) -> Self {
        let records = Records::new(stride(dataset), memory_bytes / 2);
        Self { dataset, memory_bytes, records, parts: Vec::new() }
    }

    /// Begins the next part, of so many rows, and returns its index.
    pub fn part_begins(&mut self, rows: u64) -> usize {
        let first = self.parts.last().map_or(0, |p| p.first + p.rows);
        self.parts.push(PartRows { first, rows, counts: Counts::default() });
        self.parts.len() - 1
    }

    /// Takes in a batch of the part begun last; batches of one part may come in any order.
    pub fn see(&mut self, cleaned: &Cleaned) -> Result<()> {
        let evidence = Evidence::of(self.dataset, cleaned)?;
        self.see_in(self.parts.len().wrapping_sub(1), cleaned, evidence)
    }

    /// Takes in a batch of any part that has begun, weighed before, perhaps by another thread.
    pub fn see_in(&mut self, part: usize, cleaned: &Cleaned, evidence: Evidence) -> Result<()> {
        let Hashes { rows, keys, times } = evidence.0;
        let Some(part) = self.parts.get_mut(part) else {
            return Err(Error::internal("rows were judged before a part began"));
        };
        part.counts.take_in(cleaned);
        if cleaned.row_numbers.iter().any(|number| *number == 0 || *number > part.rows) {
            return Err(Error::internal(format!("a part of {} rows has a row beyond them", part.rows)));
        }
        for (at, (row, number)) in rows.iter().zip(&cleaned.row_numbers).enumerate() {
            let seq = part.first + number - 1;
            match (keys.as_ref().and_then(|k| k.get(at)), self.dataset.repetition()) {
                (None, _) | (_, Repetition::OneStatement) => self.records.push([row[0], row[1], seq])?,
                (Some(key), Repetition::LastWins) => self.records.push([key[0], key[1], row[0], row[1], seq])?,
                (Some(key), Repetition::LatestWins { .. }) => {
                    let time = times.as_ref().and_then(|times| times.get(at)).copied().unwrap_or_default();
                    self.records.push([key[0], key[1], row[0], row[1], time, seq])?;
                }
                // The key only serves a count, so half of its hash will do.
                (Some(key), Repetition::BothStay { .. }) => self.records.push([key[0], row[0], row[1], seq])?,
            }
        }
        Ok(())
    }

    /// Settles all fates.
    ///
    /// # Errors
    /// `Cancelled` when asked to stop, `Storage` when scratch space fails, `Internal` when rows do not add up.
    pub fn finish(self, cancel: &Cancel) -> Result<Verdict> {
        self.finish_on(1, cancel)
    }

    /// Settles all fates on so many threads, which share the bound.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_on(mut self, threads: usize, cancel: &Cancel) -> Result<Verdict> {
        let rows = self.parts.last().map_or(0, |p| p.first + p.rows);
        let settling = Settling::new(rows);
        let threads = threads.clamp(1, PARTITIONS);
        let found = Queue::new(PARTITIONS).drain_with(threads, u64::default, |partition, found| {
            *found += self.settle(partition, threads as u64, &settling, cancel)?;
            Ok(())
        })?;
        let contradictions = found.into_iter().sum();
        let fates = settling.finish();
        for part in &mut self.parts {
            for seq in part.first..part.first + part.rows {
                match fates.get(seq) {
                    Fate::Kept => {}
                    Fate::Duplicate => part.counts.duplicate += 1,
                    Fate::Superseded => part.counts.superseded += 1,
                }
            }
            part.counts.balance(part.rows)?;
        }
        Ok(Verdict { parts: self.parts, fates, contradictions })
    }

    /// Settles a partition, in more and more passes until each fits the bound. What an abandoned pass marked is
    /// true, only not all. Returns how many kept rows contradict another of their key.
    fn settle(&self, partition: usize, threads: u64, fates: &Settling, cancel: &Cancel) -> Result<u64> {
        let mut passes = 1;
        loop {
            if let Some(contradictions) = self.settle_in(passes, partition, threads, fates, cancel)? {
                return Ok(contradictions);
            }
            passes *= 4;
        }
    }

    /// Settles a partition in so many passes; `None` if one of them breaks the bound.
    fn settle_in(
        &self,
        passes: u64,
        partition: usize,
        threads: u64,
        fates: &Settling,
        cancel: &Cancel,
    ) -> Result<Option<u64>> {
        let limit = usize::try_from(self.memory_bytes / 2 / ENTRY_BYTES / threads).unwrap_or(usize::MAX).max(16);
        let limit = if passes < MAX_PASSES { limit } else { usize::MAX };
        let mut contradictions = 0;
        for pass in 0..passes {
            cancel.check()?;
            let dataset = self.dataset;
            let expected = self.records.count(partition) / usize::try_from(passes).unwrap_or(1);
            let mut table = Table::with_capacity(expected.min(limit), dataset);
            let fits = self.records.scan(partition, |record| {
                if record.first().is_some_and(|w| (w >> PASS_SHIFT & 0xffff_ffff) % passes == pass) {
                    table.meet(record, fates);
                }
                table.rows.len() <= limit
            })?;
            if !fits {
                return Ok(None);
            }
            contradictions += table.contradictions(dataset);
        }
        Ok(Some(contradictions))
    }
}

fn stride(dataset: Dataset) -> usize {
    match dataset.repetition() {
        Repetition::LatestWins { .. } => 6,
        Repetition::LastWins => 5,
        Repetition::BothStay { .. } => 4,
        Repetition::OneStatement => 3,
    }
}

type HashTable<T> = HashMap<u128, T, BuildHasherDefault<Taken>>;

/// The last row of each hash, and the winning one of each key with its time (0 where that plays no part).
struct Table {
    rows: HashTable<u64>,
    keys: HashTable<(u64, u64)>,
}

impl Table {
    fn with_capacity(rows: usize, dataset: Dataset) -> Self {
        let keys = match dataset.repetition() {
            Repetition::OneStatement => 0,
            Repetition::LastWins | Repetition::LatestWins { .. } | Repetition::BothStay { .. } => rows,
        };
        Self {
            rows: HashTable::with_capacity_and_hasher(rows, BuildHasherDefault::default()),
            keys: HashTable::with_capacity_and_hasher(keys, BuildHasherDefault::default()),
        }
    }

    fn meet(&mut self, record: &[u64], fates: &Settling) {
        match *record {
            [a, b, seq] => {
                meet(&mut self.rows, [a, b], seq, |earlier| fates.set(earlier, Fate::Duplicate));
            }
            [key, a, b, seq] => {
                meet(&mut self.rows, [a, b], seq, |earlier| fates.set(earlier, Fate::Duplicate));
                meet(&mut self.keys, [key, key], (0, seq), |_| {});
            }
            [k, l, a, b, seq] => self.meet_for_key([k, l], [a, b], 0, seq, fates),
            [k, l, a, b, time, seq] => self.meet_for_key([k, l], [a, b], time, seq, fates),
            _ => {}
        }
    }

    /// Of the rows of a key the one with the latest time stays, of several of that time the last.
    fn meet_for_key(&mut self, key: Hash, row: Hash, time: u64, seq: u64, fates: &Settling) {
        meet(&mut self.rows, row, seq, |earlier| fates.set(earlier, Fate::Duplicate));
        meet(&mut self.keys, key, (time, seq), |(_, loser)| {
            if fates.get(loser) != Fate::Duplicate {
                fates.set(loser, Fate::Superseded);
            }
        });
    }

    fn contradictions(&self, dataset: Dataset) -> u64 {
        match dataset.repetition() {
            Repetition::BothStay { .. } => self.rows.len().saturating_sub(self.keys.len()) as u64,
            Repetition::OneStatement | Repetition::LastWins | Repetition::LatestWins { .. } => 0,
        }
    }
}

/// Remembers the later (greater) of two rows of one hash and names the earlier.
fn meet<T: Copy + Ord>(table: &mut HashTable<T>, hash: Hash, seq: T, mut earlier: impl FnMut(T)) {
    let hash = (u128::from(hash[0]) << 64) | u128::from(hash[1]);
    match table.entry(hash) {
        Entry::Vacant(entry) => {
            entry.insert(seq);
        }
        Entry::Occupied(mut entry) => {
            let known = *entry.get();
            earlier(known.min(seq));
            entry.insert(known.max(seq));
        }
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash >> 64) as u64 ^ (hash as u64).rotate_left(32);
    }
}

impl Counts {
    fn take_in(&mut self, cleaned: &Cleaned) {
        self.rows_read += cleaned.rows_read;
        self.rejected += cleaned.rejects.len() as u64;
        self.rounded += cleaned.rows_rounded;
        self.truncated += cleaned.rows_truncated;
        for reason in cleaned.rejects.iter().flat_map(|r| &r.reasons) {
            *self.rejected_by_reason.entry(*reason).or_default() += 1;
        }
    }

    fn balance(&mut self, rows: u64) -> Result<()> {
        let dropped = self.duplicate + self.superseded + self.rejected;
        if self.rows_read != rows || dropped > rows {
            return Err(Error::internal(format!(
                "a part of {rows} rows had {} read and {dropped} not loaded",
                self.rows_read
            )));
        }
        self.loaded = rows - dropped;
        Ok(())
    }
}

impl Verdict {
    /// The counts of a part.
    pub fn counts(&self, part: usize) -> Option<&Counts> {
        self.parts.get(part).map(|p| &p.counts)
    }

    /// The fate of a clean row, by its number in its part.
    pub fn fate(&self, part: usize, row_number: u64) -> Fate {
        self.parts.get(part).map_or(Fate::Kept, |p| self.fates.get(p.first + row_number.saturating_sub(1)))
    }

    /// Which rows of a batch are loaded into the warehouse.
    pub fn filter(&self, part: usize, cleaned: &Cleaned) -> BooleanArray {
        self.mask(part, cleaned, |fate| fate == Fate::Kept)
    }

    /// Which rows of a batch are staged: superseded ones stay.
    pub fn filter_staged(&self, part: usize, cleaned: &Cleaned) -> BooleanArray {
        self.mask(part, cleaned, |fate| fate != Fate::Duplicate)
    }

    /// Loaded positions beyond the first that share vehicle and time with another but differ from it; 0 for other
    /// datasets.
    pub fn contradictions(&self) -> u64 {
        self.contradictions
    }

    fn mask(&self, part: usize, cleaned: &Cleaned, keep: impl Fn(Fate) -> bool) -> BooleanArray {
        cleaned.row_numbers.iter().map(|number| Some(keep(self.fate(part, *number)))).collect()
    }
}
