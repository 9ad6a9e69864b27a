//! What became of each row: two bits a row, settled by several threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// What becomes of a clean row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is loaded.
    Kept,
    /// A later row equals it in every known column.
    Duplicate,
    /// A later, different row has its key.
    Superseded,
}

/// Two bits a row.
#[derive(Clone, Debug)]
pub(super) struct Fates(Vec<u64>);

/// The fates while they are settled, by several threads that share words but no row.
pub(super) struct Settling(Vec<AtomicU64>);

impl Settling {
    /// For so many rows, all of them kept.
    pub(super) fn new(rows: u64) -> Self {
        let words = usize::try_from(rows.div_ceil(32)).unwrap_or_default();
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// The fates when all are settled.
    pub(super) fn finish(self) -> Fates {
        Fates(self.0.into_iter().map(AtomicU64::into_inner).collect())
    }

    /// No other thread meets this row: only its word is shared.
    pub(super) fn set(&self, seq: u64, fate: Fate) {
        let bits = match fate {
            Fate::Kept => 0,
            Fate::Duplicate => 1,
            Fate::Superseded => 2,
        };
        if let Some(word) = self.0.get((seq / 32) as usize) {
            let shift = seq % 32 * 2;
            word.fetch_and(!(3 << shift), Ordering::Relaxed);
            word.fetch_or(bits << shift, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, seq: u64) -> Fate {
        fate(self.0.get((seq / 32) as usize).map_or(0, |word| word.load(Ordering::Relaxed)), seq)
    }
}

impl Fates {
    pub(super) fn get(&self, seq: u64) -> Fate {
        fate(self.0.get((seq / 32) as usize).copied().unwrap_or_default(), seq)
    }
}

fn fate(word: u64, seq: u64) -> Fate {
    match word >> (seq % 32 * 2) & 3 {
        1 => Fate::Duplicate,
        2 => Fate::Superseded,
        _ => Fate::Kept,
    }
}
