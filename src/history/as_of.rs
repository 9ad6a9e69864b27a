//! Which version of a key holds at an event's time.
//!
//! The answer is the version with the latest start not after the event, also when that version has ended by then; for
//! events before the first version it is the first. [`Hit`] tells these cases apart, [`Misses`] counts them.

use std::collections::HashMap;

use super::derive::Version;
use super::value::{Instant, is_before};

/// How well an answer fits its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hit {
    /// The event lies in the version's interval, or the dimension has none.
    Exact,
    /// A miss: the event is older than the first version.
    BeforeFirst,
    /// A miss: the version had ended and no other had begun.
    Gap,
    /// The key is known from facts only; no miss.
    Inferred,
}

/// How many events missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// Events before the first version of their key.
    pub before_first: u64,
    /// Events in a gap or after a close.
    pub gap: u64,
}

impl Misses {
    /// Counts an answer, if it is a miss.
    pub fn count(&mut self, hit: Hit) {
        self.count_events(hit, 1);
    }

    /// The same of an answer for so many events.
    pub fn count_events(&mut self, hit: Hit, events: u64) {
        match hit {
            Hit::BeforeFirst => self.before_first += events,
            Hit::Gap => self.gap += events,
            Hit::Exact | Hit::Inferred => {}
        }
    }

    /// Adds the counts of another part of the work.
    pub fn add(&mut self, other: Self) {
        self.before_first += other.before_first;
        self.gap += other.gap;
    }

    /// Misses of either kind.
    pub fn total(&self) -> u64 {
        self.before_first + self.gap
    }
}

/// The version, by index, that answers for `at`; `None` if there is no version.
pub fn as_of(versions: &[Version], at: Instant) -> Option<(usize, Hit)> {
    let started = versions.partition_point(|version| version.from.is_none_or(|from| from <= at));
    let Some(index) = started.checked_sub(1) else {
        return (!versions.is_empty()).then_some((0, Hit::BeforeFirst));
    };
    Some((index, if is_before(at, versions[index].to) { Hit::Exact } else { Hit::Gap }))
}

/// A key of an [`AsOfIndex`], resolved from its text once (per dictionary of a batch) and valid for that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u32);

/// One row of the dimension. 24 bytes, because there may be many.
#[derive(Clone, Copy, Debug)]
struct Slot {
    from: Instant,
    /// [`OPEN`] while open, [`INFERRED`] for an inferred member.
    to: Instant,
    surrogate: i64,
}

const OPEN: Instant = Instant::MAX;
const INFERRED: Instant = Instant::MIN;

impl Slot {
    fn new(surrogate: i64, from: Option<Instant>, to: Option<Instant>, is_inferred: bool) -> Self {
        let to = if is_inferred { INFERRED } else { to.unwrap_or(OPEN) };
        Self { from: from.unwrap_or(Instant::MIN), to, surrogate }
    }

    fn hit(&self, at: Instant) -> Hit {
        match self.to {
            INFERRED => Hit::Inferred,
            _ if at < self.from => Hit::BeforeFirst,
            OPEN => Hit::Exact,
            to if at < to => Hit::Exact,
            _ => Hit::Gap,
        }
    }
}

/// Collects the rows of a dimension, in any order.
#[derive(Debug, Default)]
pub struct AsOfBuilder {
    ids: HashMap<Box<str>, KeyId>,
    rows: Vec<(KeyId, Slot)>,
}

impl AsOfBuilder {
    /// Adds a row. `from` is `None` for inferred members and in dimensions without intervals.
    pub fn push(&mut self, key: &str, surrogate: i64, from: Option<Instant>, to: Option<Instant>, is_inferred: bool) {
        let id = intern(&mut self.ids, key);
        self.rows.push((id, Slot::new(surrogate, from, to, is_inferred)));
    }

    /// The index over all rows added.
    pub fn finish(self) -> AsOfIndex {
        let Self { ids, mut rows } = self;
        rows.sort_unstable_by_key(|(id, slot)| (*id, slot.from));
        let mut ends = vec![0; ids.len()];
        for (position, (id, _)) in rows.iter().enumerate() {
            ends[id.0 as usize] = position + 1;
        }
        AsOfIndex { ids, ends, slots: rows.into_iter().map(|(_, slot)| slot).collect() }
    }
}

fn intern(ids: &mut HashMap<Box<str>, KeyId>, key: &str) -> KeyId {
    if let Some(id) = ids.get(key) {
        return *id;
    }
    // 2^32 keys would not fit into memory long before they would not fit here.
    let id = KeyId(ids.len() as u32);
    ids.insert(key.into(), id);
    id
}

/// As-of lookup over all keys of a dimension, for millions of events.
///
/// Resolve each key once, then look up by [`KeyId`]: one comparison for a key of one version, a binary search else.
#[derive(Debug, Default)]
pub struct AsOfIndex {
    ids: HashMap<Box<str>, KeyId>,
    /// By key, the position after its last slot. Every key has at least one.
    ends: Vec<usize>,
    /// Ascending by key and start.
    slots: Vec<Slot>,
}

impl AsOfIndex {
    /// The id of a key, if the dimension has it.
    pub fn resolve(&self, key: &str) -> Option<KeyId> {
        self.ids.get(key).copied()
    }

    /// The surrogate key that answers for an event, and how well. `key` must come from this index.
    #[inline]
    pub fn lookup(&self, key: KeyId, at: Instant) -> (i64, Hit) {
        let key = key.0 as usize;
        let start = if key == 0 { 0 } else { self.ends[key - 1] };
        let slots = &self.slots[start..self.ends[key]];
        let index = match slots {
            [_] => 0,
            _ => slots.partition_point(|slot| slot.from <= at).saturating_sub(1),
        };
        (slots[index].surrogate, slots[index].hit(at))
    }

    /// Adds a member without an interval, such as an inferred one made for a fact. A key that is known stays as it is.
    pub fn insert(&mut self, key: &str, surrogate: i64, is_inferred: bool) -> KeyId {
        let id = intern(&mut self.ids, key);
        if id.0 as usize == self.ends.len() {
            self.slots.push(Slot::new(surrogate, None, None, is_inferred));
            self.ends.push(self.slots.len());
        }
        id
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}
