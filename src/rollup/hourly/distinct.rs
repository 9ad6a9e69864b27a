//! Exact distinct counts: pairs of group and value, sorted into bins by the value's hash.
//!
//! While rows come in, a pair is only appended to its bin; nothing is looked up. At the end every bin is small enough
//! for the processor's cache, and bins are independent: threads share them. Texts of up to 16 bytes and canonical
//! UUIDs are packed into 128 bits, which makes pairs of one size that compare in two instructions; other texts are
//! kept and compared byte by byte. A hash only ever chooses where to look: equality is always that of the value.
//!
//! Values behind a dictionary are few, so their pairs go through a set first.
//!
//! Beyond its share of memory a bin first drops repeats, and then moves to a scratch file.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use hashbrown::{DefaultHashBuilder, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::bins::{Bins, Packed, Pair, Scratch};
use super::listed::{Listed, Values};
use crate::error::{Error, Result};
use crate::queue::Queue;
use crate::rollup::columns;
use crate::rollup::ids::{NULL_ID, TextIds};
use crate::rollup::pack;

/// What kind of values are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Domain {
    Text,
    Signed,
    Unsigned,
}

/// The different values of every group.
#[derive(Debug)]
pub(super) struct Distinct {
    domain: Domain,
    hasher: &'static DefaultHashBuilder,
    /// Own pairs first, then those of other rollups with their groups in our numbers.
    bins: Vec<(Option<Vec<u32>>, Bins)>,
    names: TextIds,
    /// Group and number of pairs with a value from a dictionary.
    named: HashSet<u64>,
    /// By group: how many values are known by number alone, of a state that has the group to itself.
    counted: Vec<i64>,
    /// By group: whether another state listed values, or had the group to itself.
    is_known: Vec<bool>,
    limit_bytes: usize,
}

/// One for the process, so that a value lies in the same bin of every rollup.
fn hasher() -> &'static DefaultHashBuilder {
    static HASHER: OnceLock<DefaultHashBuilder> = OnceLock::new();
    HASHER.get_or_init(DefaultHashBuilder::default)
}

impl Distinct {
    /// For a column whose different values are counted.
    pub fn new(name: &str, data_type: &DataType, limit_bytes: usize) -> Result<Self> {
        let domain = match data_type {
            DataType::UInt64 => Domain::Unsigned,
            integer if integer.is_integer() => Domain::Signed,
            DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Domain::Signed,
            text if columns::is_text(text) => Domain::Text,
            DataType::Dictionary(_, value) if value.is_integer() => return Self::new(name, value, limit_bytes),
            other => {
                let wanted = "text, integer, boolean, date or time, to count its values";
                return Err(columns::wrong_type(name, other, wanted));
            }
        };
        let (hasher, bins) = (hasher(), vec![(None, Bins::default())]);
        let (names, named, counted, is_known) = (TextIds::default(), HashSet::new(), Vec::new(), Vec::new());
        Ok(Self { domain, hasher, bins, names, named, counted, is_known, limit_bytes })
    }

    /// Bounds the memory of pairs that wait.
    pub fn limit(&mut self, bytes: usize) {
        self.limit_bytes = bytes.max(1 << 20);
    }

    /// Adds a column by the group of each row.
    pub fn add(&mut self, name: &str, column: &ArrayRef, groups: &[u32]) -> Result<()> {
        match (self.domain, column.data_type()) {
            (Domain::Text, DataType::Dictionary(_, _) | DataType::Null) => {
                let codes = self.names.codes(column)?;
                let pairs = groups.iter().zip(codes).filter(|(_, code)| *code != NULL_ID);
                self.named.extend(pairs.map(|(group, code)| u64::from(*group) << 32 | u64::from(code)));
                let bytes = self.named.len().max(self.names.len()) * 32;
                return if bytes > self.limit_bytes / 2 { self.name() } else { Ok(()) };
            }
            (Domain::Text, DataType::Utf8) => self.texts(column.as_string::<i32>().iter(), groups),
            (Domain::Text, DataType::LargeUtf8) => self.texts(column.as_string::<i64>().iter(), groups),
            (Domain::Text, DataType::Utf8View) => self.texts(column.as_string_view().iter(), groups),
            (Domain::Text, other) => return Err(columns::wrong_type(name, other, "text")),
            (Domain::Signed, _) => {
                let values = columns::cast_to::<Int64Type>(name, column, &DataType::Int64)?;
                self.integers(values.iter().map(|v| v.map(i64::cast_unsigned)), groups);
            }
            (Domain::Unsigned, _) => {
                let values = columns::cast_to::<UInt64Type>(name, column, &DataType::UInt64)?;
                self.integers(values.iter(), groups);
            }
        }
        let limit = self.limit_bytes;
        self.bins[0].1.shrink(limit)
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = Option<&'a str>>, groups: &[u32]) {
        let (hasher, bins) = (self.hasher, &mut self.bins[0].1);
        for (group, text) in groups.iter().zip(texts) {
            if let Some(text) = text {
                add_text(hasher, bins, *group, text.as_bytes());
            }
        }
    }

    fn integers(&mut self, values: impl Iterator<Item = Option<u64>>, groups: &[u32]) {
        let bins = &mut self.bins[0].1;
        for (group, value) in groups.iter().zip(values) {
            if let Some(value) = value {
                let packed = Packed { group: *group, kind: pack::INTEGER, value: [value, 0] };
                bins.push(pack::hash(self.hasher, packed.kind, packed.value), packed);
            }
        }
    }

    /// Turns pairs that name a value by number into pairs that hold it.
    fn name(&mut self) -> Result<()> {
        let named = std::mem::take(&mut self.named);
        for pair in named {
            if let Some(text) = self.names.value(pair as u32) {
                add_text(self.hasher, &mut self.bins[0].1, (pair >> 32) as u32, text.as_bytes());
            }
        }
        self.names = TextIds::default();
        let limit = self.limit_bytes;
        self.bins[0].1.shrink(limit)
    }

    /// Takes over the pairs of another rollup, whose groups are ours by `map`.
    pub fn merge(&mut self, mut other: Self, map: &[u32]) -> Result<()> {
        other.name()?;
        for (inner, bins) in other.bins {
            let map = inner.map_or_else(|| map.to_vec(), |inner| inner.iter().map(|g| map[*g as usize]).collect());
            self.bins.push((Some(map), bins));
        }
        for (group, count) in map.iter().zip(other.counted).filter(|(_, count)| *count > 0) {
            *self.counted_of(*group) += count;
        }
        Ok(())
    }

    /// Adds what another state has of its groups: how many values it lists, which the caller adds, and how many it knows
    /// by number, as the only one that has the group.
    pub fn add_counted(&mut self, name: &str, groups: &[u32], listed: &[usize], counted: Option<&[i64]>) -> Result<()> {
        for (row, (group, listed)) in groups.iter().zip(listed).enumerate() {
            let count = counted.and_then(|counted| counted.get(row)).copied().unwrap_or(0);
            if *listed == 0 && count == 0 {
                continue;
            }
            let at = *group as usize;
            if self.is_known.len() <= at {
                self.is_known.resize(at + 1, false);
            }
            let known = self.counted.get(at).copied().unwrap_or(0);
            if known > 0 || (count > 0 && (self.is_known[at] || *listed > 0)) {
                return Err(not_alone(name));
            }
            self.is_known[at] = true;
            if count > 0 {
                *self.counted_of(*group) = count;
            }
        }
        Ok(())
    }

    fn counted_of(&mut self, group: u32) -> &mut i64 {
        let at = group as usize;
        if self.counted.len() <= at {
            self.counted.resize(at + 1, 0);
        }
        &mut self.counted[at]
    }

    /// How many different values each group has.
    pub fn counts(&mut self, groups: usize, threads: usize) -> Result<Vec<i64>> {
        self.name()?;
        let this = &*self;
        let counted = this.on_threads(threads, |bin, scratch, counts: &mut Vec<i64>| {
            counts.resize(groups, 0);
            this.different(bin, scratch, |group, _| counts[group as usize] += 1)
        })?;
        let mut total = self.counted.clone();
        total.resize(groups, 0);
        for counts in counted {
            total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        Ok(total)
    }

    /// The different values of these groups, in some order, and how many each has; of the groups that are `own` (by
    /// group) the number alone.
    pub fn values(&mut self, name: &str, groups: usize, order: &[u32], own: &[bool]) -> Result<Values> {
        self.name()?;
        let mut counted = self.counted.clone();
        counted.resize(groups, 0);
        let mut listed = Listed::new(groups, order);
        let mut scratch = Scratch::default();
        for bin in 0..super::bins::BINS {
            self.different(bin, &mut scratch, |group, pair| match own.get(group as usize) {
                Some(true) => counted[group as usize] += 1,
                Some(false) | None => listed.push(group, pair),
            })?;
        }
        let lengths = listed.lengths(order.len());
        let values: ArrayRef = match self.domain {
            Domain::Text => Arc::new(listed.texts(name)?),
            Domain::Signed => Arc::new(Int64Array::from_iter_values(listed.integers().map(u64::cast_signed))),
            Domain::Unsigned => Arc::new(UInt64Array::from_iter_values(listed.integers())),
        };
        Ok(Values { values, lengths, counted: order.iter().map(|group| counted[*group as usize]).collect() })
    }

    /// Hands every different pair of a bin to `each`.
    fn different(&self, bin: usize, scratch: &mut Scratch, mut each: impl FnMut(u32, &Pair<'_>)) -> Result<()> {
        let parts =
            self.bins.iter().map(|(map, bins)| Ok((map.as_deref(), bins.read(bin)?))).collect::<Result<Vec<_>>>()?;
        scratch.different(self.hasher, &parts, &mut each);
        Ok(())
    }

    fn on_threads<T: Default + Send>(
        &self,
        threads: usize,
        work: impl Fn(usize, &mut Scratch, &mut T) -> Result<()> + Sync,
    ) -> Result<Vec<T>> {
        let kept =
            Queue::new(super::bins::BINS)
                .drain_with(threads, <(Scratch, T)>::default, |bin, (scratch, found)| work(bin, scratch, found))?;
        Ok(kept.into_iter().map(|(_, found)| found).collect())
    }
}

fn add_text(hasher: &DefaultHashBuilder, bins: &mut Bins, group: u32, text: &[u8]) {
    match pack::text(text) {
        Some((kind, value)) => bins.push(pack::hash(hasher, kind, value), Packed { group, kind, value }),
        None => bins.push_long(hasher.hash_one(text), group, text),
    }
}

fn not_alone(name: &str) -> Error {
    Error::data(format!(
        "measure {name}: an hour was counted as one whose rows are all in one place, and another state has rows of it; \
         the smallest and greatest times in the footer of a file are not those of its rows, write the file again"
    ))
    .with("measure", name)
}
