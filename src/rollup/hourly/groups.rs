//! Key and hour as one group number.

use arrow::array::{Array, Int64Array};
use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::model::HOUR_MICROS;
use crate::rollup::clock::HourClock;

/// The group of rows without a time; it is in no result.
pub(super) const NOWHERE: u32 = 0;
/// Cells of all dense tables together before the hash map takes over: 64 MiB.
const DENSE_CELLS: usize = 1 << 24;
/// An hour is this many times 2^[`HOUR_SHIFT`] microseconds, so a shifted instant may be divided in 32 bits.
const HOUR_SHIFTED: u32 = 3_515_625;
const HOUR_SHIFT: u32 = 10;

/// Groups, numbered from 1 in the order in which they were first seen.
#[derive(Debug)]
pub(super) struct Groups {
    /// Key and hour of each group.
    places: Vec<(u32, i64)>,
    /// Rows of each group.
    rows: Vec<i64>,
    /// Dense tables, one for each residue of the zone's offset.
    tables: Vec<Table>,
    sparse: Option<HashMap<(u32, i64), u32>>,
    /// Slots of one batch, kept for its memory.
    slots: Vec<u32>,
}

/// Group numbers by hour and key, 0 where there is none yet.
#[derive(Debug)]
struct Table {
    residue: i64,
    first_slot: i64,
    slots: usize,
    keys: usize,
    cells: Vec<u32>,
}

impl Default for Groups {
    fn default() -> Self {
        Self { places: vec![(0, 0)], rows: vec![0], tables: Vec::new(), sparse: None, slots: Vec::new() }
    }
}

impl Table {
    fn holds(&self, first: i64, last: i64, keys: usize) -> bool {
        keys <= self.keys && first >= self.first_slot && last < self.first_slot + self.slots as i64
    }

    /// The dimensions of a table that also holds these, with room to grow on the side that grew.
    fn grown(&self, first: i64, last: i64, keys: usize) -> Option<(i64, usize, usize)> {
        let keys = if keys <= self.keys { self.keys } else { keys.checked_next_power_of_two()? };
        if self.slots == 0 {
            return Some((first, usize::try_from(last.checked_sub(first)?).ok()?.checked_add(1)?, keys));
        }
        let (mut from, mut to) = (self.first_slot, self.first_slot + self.slots as i64 - 1);
        if first < from {
            from = first.saturating_sub(self.slots as i64);
        }
        if last > to {
            to = last.saturating_add(self.slots as i64);
        }
        Some((from, usize::try_from(to.checked_sub(from)?).ok()?.checked_add(1)?, keys))
    }
}

impl Groups {
    /// Groups so far, [`NOWHERE`] included.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Key and hour of a group.
    pub fn place(&self, group: u32) -> (u32, i64) {
        self.places.get(group as usize).copied().unwrap_or_default()
    }

    /// Rows of each group, [`NOWHERE`] included.
    pub fn rows(&self) -> &[i64] {
        &self.rows
    }

    /// Adds the rows that another rollup counted in these groups.
    pub fn add_rows(&mut self, groups: &[u32], rows: &[i64]) {
        for (group, rows) in groups.iter().zip(rows) {
            self.rows[*group as usize] += rows;
        }
    }

    /// Puts the group of each row into `groups`: that of its key (all below `key_count`) and the hour of its instant.
    /// Counts the rows.
    pub fn of_rows(
        &mut self,
        keys: &[u32],
        key_count: usize,
        instants: &Int64Array,
        clock: &mut HourClock,
        groups: &mut Vec<u32>,
    ) -> Result<()> {
        groups.clear();
        let Some((min, max)) = bounds(instants) else {
            groups.resize(instants.len(), NOWHERE);
            self.rows[NOWHERE as usize] += instants.len() as i64;
            return Ok(());
        };
        if min.checked_sub(2 * HOUR_MICROS).is_none() || max.checked_add(2 * HOUR_MICROS).is_none() {
            return Err(Error::data("an instant lies at the very end of what microseconds can hold"));
        }
        clock.cover(min, max);
        let segments: Vec<i64> = clock.segments(min, max).iter().map(|s| s.1).collect();
        for residue in &segments {
            self.reserve(*residue, slot(min, *residue), slot(max, *residue), key_count);
        }
        if let ([residue], 0, None) = (segments.as_slice(), instants.null_count(), &self.sparse) {
            let first = slot(min, *residue);
            self.slots.clear();
            if slot(max, *residue) != first {
                slots(instants.values(), first * HOUR_MICROS - residue, max, &mut self.slots);
            }
            return self.of_dense_rows(keys, first, *residue, groups);
        }
        groups.reserve(keys.len());
        for (key, instant) in keys.iter().zip(instants) {
            let group = match instant {
                None => NOWHERE,
                Some(instant) => {
                    let residue = clock.residue(instant);
                    self.group(*key, slot(instant, residue), residue)?
                }
            };
            self.rows[group as usize] += 1;
            groups.push(group);
        }
        Ok(())
    }

    /// The same for rows that all lie in one hour bucket.
    pub fn of_rows_in_bucket(
        &mut self,
        keys: &[u32],
        key_count: usize,
        bucket: i64,
        groups: &mut Vec<u32>,
    ) -> Result<()> {
        let residue = bucket.wrapping_neg().rem_euclid(HOUR_MICROS);
        let slot = slot(bucket, residue);
        self.reserve(residue, slot, slot, key_count);
        if self.sparse.is_none() {
            self.slots.clear();
            return self.of_dense_rows(keys, slot, residue, groups);
        }
        groups.clear();
        for key in keys {
            let group = self.group(*key, slot, residue)?;
            self.rows[group as usize] += 1;
            groups.push(group);
        }
        Ok(())
    }

    /// The group of each key and hour bucket, as another rollup has cut it; counts no row.
    pub fn of_buckets(&mut self, keys: &[u32], key_count: usize, buckets: &[i64]) -> Result<Vec<u32>> {
        let rows = keys.iter().zip(buckets);
        rows.map(|(key, bucket)| {
            let residue = bucket.wrapping_neg().rem_euclid(HOUR_MICROS);
            let slot = slot(*bucket, residue);
            self.reserve(residue, slot, slot, key_count);
            self.group(*key, slot, residue)
        })
        .collect()
    }

    /// The group of each row by its key and its slot after the first one; without slots all rows are in that one.
    fn of_dense_rows(&mut self, keys: &[u32], first: i64, residue: i64, groups: &mut Vec<u32>) -> Result<()> {
        let Some(table) = self.tables.iter_mut().find(|t| t.residue == residue) else {
            return Err(Error::internal("a table of groups is lost"));
        };
        let stride = table.keys;
        let cells = &mut table.cells[(first - table.first_slot) as usize * stride..];
        groups.clear();
        groups.resize(keys.len(), NOWHERE);
        if look_up(cells, stride, keys, &self.slots, groups) {
            // Some rows are the first of their group.
            for (row, group) in groups.iter_mut().enumerate().filter(|(_, group)| **group == NOWHERE) {
                let (key, slot) = (keys[row], self.slots.get(row).copied().unwrap_or_default());
                let cell = &mut cells[slot as usize * stride + key as usize];
                if *cell == NOWHERE {
                    let hour = (first + i64::from(slot)) * HOUR_MICROS - residue;
                    *cell = push(&mut self.places, &mut self.rows, (key, hour))?;
                }
                *group = *cell;
            }
        }
        let rows = self.rows.as_mut_slice();
        groups.iter().for_each(|group| rows[*group as usize] += 1);
        Ok(())
    }

    fn group(&mut self, key: u32, slot: i64, residue: i64) -> Result<u32> {
        let place = (key, slot * HOUR_MICROS - residue);
        let cell = match &mut self.sparse {
            Some(map) => map.entry(place).or_insert(NOWHERE),
            None => {
                let table = self.tables.iter_mut().find(|t| t.residue == residue);
                let table = table.ok_or_else(|| Error::internal("a table of groups is lost"))?;
                &mut table.cells[(slot - table.first_slot) as usize * table.keys + key as usize]
            }
        };
        if *cell == NOWHERE {
            *cell = push(&mut self.places, &mut self.rows, place)?;
        }
        Ok(*cell)
    }

    /// Makes room for these slots and keys, or turns to the hash map.
    fn reserve(&mut self, residue: i64, first: i64, last: i64, keys: usize) {
        if self.sparse.is_some() {
            return;
        }
        let at = self.tables.iter().position(|t| t.residue == residue).unwrap_or_else(|| {
            self.tables.push(Table { residue, first_slot: first, slots: 0, keys: 0, cells: Vec::new() });
            self.tables.len() - 1
        });
        if self.tables[at].holds(first, last, keys) {
            return;
        }
        let others: usize = self.tables.iter().map(|t| t.cells.len()).sum::<usize>() - self.tables[at].cells.len();
        let grown = self.tables[at].grown(first, last, keys);
        let cells = grown.and_then(|(_, slots, keys)| slots.checked_mul(keys)).filter(|c| c + others <= DENSE_CELLS);
        match (grown, cells) {
            (Some((first_slot, slots, keys)), Some(cells)) => {
                let mut table = Table { residue, first_slot, slots, keys, cells: vec![NOWHERE; cells] };
                for (group, (key, hour)) in self.places.iter().enumerate().skip(1) {
                    if (hour + residue).rem_euclid(HOUR_MICROS) == 0 {
                        let slot = slot(*hour, residue);
                        table.cells[(slot - first_slot) as usize * keys + *key as usize] = group as u32;
                    }
                }
                self.tables[at] = table;
            }
            _ => {
                self.tables.clear();
                let places = self.places.iter().enumerate().skip(1);
                self.sparse = Some(places.map(|(group, place)| (*place, group as u32)).collect());
            }
        }
    }
}

/// The group of each key in its slot, without slots in the first one; tells whether there is none yet for some. A pass
/// without a branch by row.
fn look_up(cells: &[u32], stride: usize, keys: &[u32], slots: &[u32], groups: &mut [u32]) -> bool {
    let mut least = u32::MAX;
    if slots.is_empty() {
        for (group, key) in groups.iter_mut().zip(keys) {
            *group = cells[*key as usize];
            least = least.min(*group);
        }
    } else {
        for ((group, key), slot) in groups.iter_mut().zip(keys).zip(slots) {
            *group = cells[*slot as usize * stride + *key as usize];
            least = least.min(*group);
        }
    }
    least == NOWHERE
}

fn slot(instant: i64, residue: i64) -> i64 {
    (instant + residue).div_euclid(HOUR_MICROS)
}

/// Hours since `base` of instants at or after it and up to `max`.
fn slots(instants: &[i64], base: i64, max: i64, slots: &mut Vec<u32>) {
    if u32::try_from((max.wrapping_sub(base)) >> HOUR_SHIFT).is_ok() {
        // 50 days: a multiplication in 32 bits, several at once.
        slots.extend(instants.iter().map(|at| (at.wrapping_sub(base) >> HOUR_SHIFT) as u32 / HOUR_SHIFTED));
    } else {
        slots.extend(instants.iter().map(|at| (at.wrapping_sub(base) as u64 / HOUR_MICROS as u64) as u32));
    }
}

fn push(places: &mut Vec<(u32, i64)>, rows: &mut Vec<i64>, place: (u32, i64)) -> Result<u32> {
    let group = u32::try_from(places.len()).map_err(|e| Error::data("more than 2^32 groups").because(e))?;
    places.push(place);
    rows.push(0);
    Ok(group)
}

/// The least and the greatest value that is not NULL.
fn bounds(instants: &Int64Array) -> Option<(i64, i64)> {
    if instants.null_count() == 0 {
        // Four at a time, so that no comparison waits for the one before.
        let first = *instants.values().first()?;
        let (mut least, mut greatest) = ([first; 4], [first; 4]);
        let (fours, rest) = instants.values().as_chunks::<4>();
        for four in fours {
            for lane in 0..4 {
                least[lane] = least[lane].min(four[lane]);
                greatest[lane] = greatest[lane].max(four[lane]);
            }
        }
        let least = least.iter().chain(rest).copied().min();
        return least.zip(greatest.iter().chain(rest).copied().max());
    }
    let valid = || instants.iter().flatten();
    valid().min().zip(valid().max())
}
