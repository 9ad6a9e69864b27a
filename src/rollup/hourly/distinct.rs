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

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringBuilder, UInt64Array};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use hashbrown::{DefaultHashBuilder, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::bins::{Bins, Packed, Pair, Scratch};
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
        Ok(Self { domain, hasher, bins, names: TextIds::default(), named: HashSet::new(), limit_bytes })
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
        Ok(())
    }

    /// How many different values each group has.
    pub fn counts(&mut self, groups: usize, threads: usize) -> Result<Vec<i64>> {
        self.name()?;
        let this = &*self;
        let counted = this.on_threads(threads, |bin, scratch, counts: &mut Vec<i64>| {
            counts.resize(groups, 0);
            this.different(bin, scratch, |group, _| counts[group as usize] += 1)
        })?;
        let mut total = vec![0; groups];
        for counts in counted {
            total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        Ok(total)
    }

    /// The different values of these groups, in some order, and how many each has.
    pub fn values(&mut self, groups: usize, order: &[u32]) -> Result<(ArrayRef, Vec<usize>)> {
        self.name()?;
        let mut lists: Vec<Vec<Vec<u8>>> = vec![Vec::new(); groups];
        let mut scratch = Scratch::default();
        for bin in 0..super::bins::BINS {
            self.different(bin, &mut scratch, |group, pair| lists[group as usize].push(pair.bytes()))?;
        }
        lists.iter_mut().for_each(|list| list.sort_unstable());
        let flat = || order.iter().flat_map(|group| &lists[*group as usize]);
        let number = |bytes: &Vec<u8>| bytes.get(..8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let values: ArrayRef = match self.domain {
            Domain::Text => {
                let mut texts = StringBuilder::new();
                for bytes in flat() {
                    let text = std::str::from_utf8(bytes);
                    texts.append_value(text.map_err(|e| Error::internal("a text is none any more").because(e))?);
                }
                Arc::new(texts.finish())
            }
            Domain::Signed => Arc::new(Int64Array::from_iter_values(flat().map(|b| number(b).cast_signed()))),
            Domain::Unsigned => Arc::new(UInt64Array::from_iter_values(flat().map(number))),
        };
        Ok((values, order.iter().map(|group| lists[*group as usize].len()).collect()))
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
