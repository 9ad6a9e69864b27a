//! Pair of group and value in bins by hash; beyond a bound without repeats, and then in a scratch file.

use std::borrow::Cow;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Mutex;
use std::sync::PoisonError;

use hashbrown::DefaultHashBuilder;

use crate::error::{Error, Result};

/// Few enough to append to all at once, many enough that one fits a cache.
pub(super) const BINS: usize = 256;
const BIN_SHIFT: u32 = 56;

/// A pair whose value fits 128 bits; see [`crate::rollup::pack`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    pub group: u32,
    pub kind: u32,
    pub value: [u64; 2],
}

const PACKED_BYTES: usize = size_of::<Packed>();

/// One bin: packed pairs, and the others as group, length and bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Bin {
    packed: Vec<Packed>,
    long: Vec<u8>,
}

/// All pairs of one rollup.
#[derive(Debug)]
pub(super) struct Bins {
    bins: Vec<Bin>,
    bytes: usize,
    scratch: Option<Mutex<Spill>>,
}

#[derive(Debug)]
struct Spill {
    file: File,
    end: u64,
    /// Of each bin: offset, packed pairs, bytes of the others.
    runs: Vec<Vec<(u64, usize, usize)>>,
}

/// A pair on its way out.
pub(super) enum Pair<'a> {
    Packed(Packed),
    Long(&'a [u8]),
}

impl Default for Bins {
    fn default() -> Self {
        Self { bins: vec![Bin::default(); BINS], bytes: 0, scratch: None }
    }
}

impl Bins {
    #[inline]
    pub fn push(&mut self, hash: u64, packed: Packed) {
        self.bins[(hash >> BIN_SHIFT) as usize].packed.push(packed);
        self.bytes += PACKED_BYTES;
    }

    pub fn push_long(&mut self, hash: u64, group: u32, value: &[u8]) {
        let long = &mut self.bins[(hash >> BIN_SHIFT) as usize].long;
        long.extend_from_slice(&group.to_ne_bytes());
        // A text longer than 4 GiB does not fit an Arrow column of 32-bit offsets, nor a Parquet page.
        long.extend_from_slice(&(value.len() as u32).to_ne_bytes());
        long.extend_from_slice(value);
        self.bytes += 8 + value.len();
    }

    /// Keeps about `limit` bytes in memory.
    pub fn shrink(&mut self, limit: usize) -> Result<()> {
        // Vectors grow by doubling, so a part of the bound is theirs to fill.
        if self.bytes > limit / 4 * 3 {
            self.drop_repeats();
            if self.bytes > limit / 4 {
                return self.spill();
            }
        }
        Ok(())
    }

    fn drop_repeats(&mut self) {
        let mut scratch = Scratch::default();
        let hasher = DefaultHashBuilder::default();
        self.bytes = 0;
        for bin in &mut self.bins {
            let mut kept = Bin::default();
            let whole = [(None, Cow::Borrowed(&*bin))];
            scratch.different(&hasher, &whole, &mut |group, pair| match pair {
                Pair::Packed(packed) => kept.packed.push(*packed),
                Pair::Long(value) => {
                    kept.long.extend_from_slice(&group.to_ne_bytes());
                    kept.long.extend_from_slice(&(value.len() as u32).to_ne_bytes());
                    kept.long.extend_from_slice(value);
                }
            });
            self.bytes += kept.packed.len() * PACKED_BYTES + kept.long.len();
            *bin = kept;
        }
    }

    #[cold]
    fn spill(&mut self) -> Result<()> {
        if self.scratch.is_none() {
            let file = tempfile::tempfile().map_err(failed)?;
            self.scratch = Some(Mutex::new(Spill { file, end: 0, runs: vec![Vec::new(); BINS] }));
        }
        if let Some(scratch) = &mut self.scratch {
            scratch.get_mut().unwrap_or_else(PoisonError::into_inner).append(&mut self.bins).map_err(failed)?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// All pairs of a bin.
    pub fn read(&self, bin: usize) -> Result<Cow<'_, Bin>> {
        let kept = &self.bins[bin];
        let Some(scratch) = &self.scratch else { return Ok(Cow::Borrowed(kept)) };
        let mut whole = kept.clone();
        scratch.lock().unwrap_or_else(PoisonError::into_inner).read(bin, &mut whole).map_err(failed)?;
        Ok(Cow::Owned(whole))
    }
}

impl Spill {
    fn append(&mut self, bins: &mut [Bin]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        let mut bytes = Vec::new();
        for (bin, runs) in bins.iter_mut().zip(&mut self.runs) {
            bytes.clear();
            for packed in &bin.packed {
                bytes.extend_from_slice(&packed.group.to_ne_bytes());
                bytes.extend_from_slice(&packed.kind.to_ne_bytes());
                bytes.extend_from_slice(packed.value.map(u64::to_ne_bytes).as_flattened());
            }
            bytes.extend_from_slice(&bin.long);
            self.file.write_all(&bytes)?;
            runs.push((self.end, bin.packed.len(), bin.long.len()));
            self.end += bytes.len() as u64;
            *bin = Bin::default();
        }
        Ok(())
    }

    fn read(&mut self, bin: usize, whole: &mut Bin) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (offset, packed, long) in &self.runs[bin] {
            self.file.seek(SeekFrom::Start(*offset))?;
            bytes.resize(packed * PACKED_BYTES, 0);
            self.file.read_exact(&mut bytes)?;
            whole.packed.extend(bytes.as_chunks::<PACKED_BYTES>().0.iter().map(|chunk| {
                let four = |at: usize| chunk[at..].first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
                let eight = |at: usize| chunk[at..].first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
                Packed { group: four(0), kind: four(4), value: [eight(8), eight(16)] }
            }));
            let from = whole.long.len();
            whole.long.resize(from + long, 0);
            self.file.read_exact(&mut whole.long[from..])?;
        }
        Ok(())
    }
}

/// The memory in which repeats are found, kept from bin to bin.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// High half of the hash, and one more than the place of a pair; 0 is free.
    slots: Vec<u64>,
    packed: Vec<Packed>,
}

/// One rollup's pairs of a bin, and what its groups are called.
pub(super) type Part<'a> = (Option<&'a [u32]>, Cow<'a, Bin>);

impl Scratch {
    /// Hands every different pair to `each`.
    pub fn different(&mut self, hasher: &DefaultHashBuilder, parts: &[Part<'_>], each: &mut dyn FnMut(u32, &Pair<'_>)) {
        self.different_packed(hasher.hash_one(0_u64), parts, each);
        self.different_long(hasher, parts, each);
    }

    fn different_packed(&mut self, seed: u64, parts: &[Part<'_>], each: &mut dyn FnMut(u32, &Pair<'_>)) {
        let mask = self.begin(parts.iter().map(|(_, bin)| bin.packed.len()).sum());
        for (map, bin) in parts {
            for packed in &bin.packed {
                let packed = Packed { group: map.map_or(packed.group, |map| map[packed.group as usize]), ..*packed };
                let hash = mix(seed, packed);
                let tag = hash & 0xffff_ffff_0000_0000;
                let mut at = hash as usize & mask;
                loop {
                    let slot = self.slots[at];
                    if slot == 0 {
                        self.packed.push(packed);
                        self.slots[at] = tag | self.packed.len() as u64;
                        break;
                    }
                    if slot & 0xffff_ffff_0000_0000 == tag && self.packed[(slot as u32) as usize - 1] == packed {
                        break;
                    }
                    at = (at + 1) & mask;
                }
            }
        }
        for packed in &self.packed {
            each(packed.group, &Pair::Packed(*packed));
        }
    }

    fn different_long(
        &mut self,
        hasher: &DefaultHashBuilder,
        parts: &[Part<'_>],
        each: &mut dyn FnMut(u32, &Pair<'_>),
    ) {
        let pairs: usize = parts.iter().map(|(_, bin)| Longs(&bin.long).count()).sum();
        if pairs == 0 {
            return;
        }
        let mask = self.begin(pairs);
        let mut seen: Vec<(u32, &[u8])> = Vec::with_capacity(pairs);
        for (map, bin) in parts {
            for (group, value) in Longs(&bin.long) {
                let pair = (map.map_or(group, |map| map[group as usize]), value);
                let hash = fold(hasher.hash_one(value), u64::from(pair.0) ^ 0x9e37_79b9_7f4a_7c15);
                let tag = hash & 0xffff_ffff_0000_0000;
                let mut at = hash as usize & mask;
                loop {
                    let slot = self.slots[at];
                    if slot == 0 {
                        seen.push(pair);
                        self.slots[at] = tag | seen.len() as u64;
                        each(pair.0, &Pair::Long(value));
                        break;
                    }
                    if slot & 0xffff_ffff_0000_0000 == tag && seen[(slot as u32) as usize - 1] == pair {
                        break;
                    }
                    at = (at + 1) & mask;
                }
            }
        }
    }

    /// Empties the table, with room for as many pairs.
    fn begin(&mut self, pairs: usize) -> usize {
        let slots = (2 * pairs).next_power_of_two();
        self.slots.clear();
        self.slots.resize(slots, 0);
        self.packed.clear();
        slots - 1
    }
}

/// Pair whose value is not packed.
struct Longs<'a>(&'a [u8]);

impl<'a> Iterator for Longs<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (group, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        self.0 = rest;
        Some((u32::from_ne_bytes(*group), value))
    }
}

#[inline]
fn mix(seed: u64, packed: Packed) -> u64 {
    let [low, high] = packed.value;
    let value = fold(low ^ seed, high ^ 0x1319_8a2e_0370_7344 ^ u64::from(packed.kind));
    fold(value ^ 0xa409_3822_299f_31d0, u64::from(packed.group) ^ 0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn failed(error: io::Error) -> Error {
    let folder = std::env::temp_dir();
    Error::storage(format!("scratch space in {} failed: {error}; free some or set TMPDIR", folder.display()))
        .because(error)
}
