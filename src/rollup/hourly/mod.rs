//! The general kernel: any keys, any measures, hours on a zone's wall clock.
//!
//! A batch is worked off column by column: keys become small numbers (of a dictionary each value once, not each row),
//! key and hour together become a group number through a dense table, and every measure then adds its column into its
//! own array by group number. Where the dense table would be too large a hash map takes its place.
//!
//! Sums follow SQL: NULLs are left out, a sum or an extreme of nothing is NULL, integers and decimals are exact and
//! an overflow is an error. A NULL key is a group of its own. Rows without a time are skipped and counted.

mod bins;
mod distinct;
mod groups;
mod keys;
mod listed;
mod own;
mod partial;
mod spec;
mod states;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::clock::HourClock;
use super::columns::{self, hour_array, hour_type};
use crate::error::{Error, Result};
use groups::Groups;
use keys::Keys;
use own::OwnHours;
use spec::{HOUR, check_names, field};
use states::State;

pub use own::hours_between;
pub use spec::{Measure, Op, Spec};

/// Bytes of distinct values that wait in memory, unless [`Hourly::bounded`] says otherwise.
const LIMIT_BYTES: usize = 128 << 20;

/// A rollup under way. Its state is mergeable: see [`Self::partial`] and [`Self::merge`].
#[derive(Debug)]
pub struct Hourly {
    spec: Spec,
    columns: BTreeMap<String, DataType>,
    keys: Keys,
    clock: HourClock,
    groups: Groups,
    states: Vec<State>,
    /// The group of each row of a batch, kept for its memory.
    group_of_row: Vec<u32>,
    threads: usize,
    /// Where a state holds the number of different values instead of the values; None for states without such numbers.
    own_hours: Option<OwnHours>,
}

impl Hourly {
    /// A rollup of batches with these columns.
    ///
    /// # Errors
    /// `Schema` for a missing column or one of a type that the key or measure cannot take; `Config` for two results
    /// of one name or a measure without a column.
    pub fn new(spec: Spec, schema: &Schema) -> Result<Self> {
        check_names(&spec)?;
        let time = field(schema, &spec.time)?;
        if !matches!(time.data_type(), DataType::Timestamp(_, _)) {
            return Err(columns::wrong_type(&spec.time, time.data_type(), "a timestamp"));
        }
        let keys = Keys::new(&spec.keys, schema)?;
        let states = spec.measures.iter().map(|m| State::new(m, schema, LIMIT_BYTES)).collect::<Result<_>>()?;
        let types =
            spec.columns().into_iter().map(|name| Ok((name.to_owned(), field(schema, name)?.data_type().clone())));
        let columns = types.collect::<Result<_>>()?;
        let clock = HourClock::new(spec.zone);
        let (groups, group_of_row) = (Groups::default(), Vec::new());
        Ok(Self { spec, columns, keys, clock, groups, states, group_of_row, threads: 1, own_hours: None })
    }

    /// Keeps about so many bytes of distinct values in memory; more go to a scratch file.
    #[must_use]
    pub fn bounded(mut self, bytes: usize) -> Self {
        let distinct = self.states.iter_mut().filter_map(|s| if let State::Distinct(d) = s { Some(d) } else { None });
        let distinct: Vec<_> = distinct.collect();
        let share = bytes / distinct.len().max(1);
        distinct.into_iter().for_each(|d| d.limit(share));
        self
    }

    /// Lets so many threads share the last part of the work.
    #[must_use]
    pub fn on_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Promises that no other rollup has rows of these hour buckets, given as first and last ones. Of the values that are
    /// counted there [`Self::partial`] gives the number alone; merging finds a promise out that is not kept.
    #[must_use]
    pub fn owning(mut self, hours: Option<Vec<(i64, i64)>>) -> Self {
        self.own_hours = hours.map(OwnHours::new);
        self
    }

    /// What is rolled up.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Adds the rows of a batch.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let times = columns::micros_of(batch, &self.spec.time)?;
        let keys = self.keys.codes(batch)?;
        let groups = &mut self.group_of_row;
        self.groups.of_rows(&keys, self.keys.len(), &times, &mut self.clock, groups)?;
        self.measure(batch)
    }

    /// Adds the rows of a batch that all lie in one hour bucket, as [`hours_between`] tells it; their times are not looked
    /// at, so that the batch can do without.
    pub fn add_of_hour(&mut self, batch: &RecordBatch, bucket: i64) -> Result<()> {
        let keys = self.keys.codes(batch)?;
        self.groups.of_rows_in_bucket(&keys, self.keys.len(), bucket, &mut self.group_of_row)?;
        self.measure(batch)
    }

    /// Adds the rows to the states of their groups, which are known.
    fn measure(&mut self, batch: &RecordBatch) -> Result<()> {
        for (measure, state) in self.spec.measures.iter().zip(&mut self.states) {
            state.resize(measure.op, self.groups.len());
            state.add(measure, batch, &self.group_of_row)?;
        }
        Ok(())
    }

    /// Adds what another rollup of the same spec has found: of another file or thread.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if self.spec != other.spec {
            return Err(Error::config("only rollups of the same keys, measures and zone can be merged"));
        }
        let keys = self.keys.adopt(&other.keys)?;
        let places = (1..other.groups.len() as u32).map(|group| other.groups.place(group));
        let (codes, hours): (Vec<u32>, Vec<i64>) = places.map(|(key, hour)| (keys[key as usize], hour)).unzip();
        let mut map = vec![groups::NOWHERE];
        map.extend(self.groups.of_buckets(&codes, self.keys.len(), &hours)?);
        self.groups.add_rows(&map, other.groups.rows());
        for ((measure, state), other) in self.spec.measures.iter().zip(&mut self.states).zip(other.states) {
            state.resize(measure.op, self.groups.len());
            state.merge(measure, other, &map)?;
        }
        Ok(())
    }

    /// How many rows had no time and are in no group.
    pub fn rows_without_time(&self) -> u64 {
        self.groups.rows()[groups::NOWHERE as usize].unsigned_abs()
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.groups.len() - 1
    }

    /// The result: keys (text as `Utf8`, integers as `Int64` or `UInt64`), `hour_bucket`, measures; sorted by keys, NULL
    /// first, then by hour.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let order = self.order();
        let (mut fields, mut arrays) = self.places(&order)?;
        for (measure, state) in self.spec.measures.iter().zip(&mut self.states) {
            let array = state.finish(measure, self.groups.rows(), &order, self.threads)?;
            fields.push(Field::new(&measure.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        batch(fields, arrays, std::collections::HashMap::new())
    }

    /// Group numbers in the order of the result.
    fn order(&self) -> Vec<u32> {
        let ranks = self.keys.ranks();
        let mut order: Vec<u32> = (1..self.groups.len() as u32).collect();
        order.sort_unstable_by_key(|group| {
            let (key, hour) = self.groups.place(*group);
            (ranks[key as usize], hour)
        });
        order
    }

    /// The key columns and the hour, for groups in this order.
    fn places(&self, order: &[u32]) -> Result<(Vec<Field>, Vec<ArrayRef>)> {
        let codes: Vec<u32> = order.iter().map(|group| self.groups.place(*group).0).collect();
        let mut arrays = self.keys.arrays(&codes)?;
        let mut fields: Vec<_> =
            self.spec.keys.iter().zip(&arrays).map(|(k, a)| Field::new(k, a.data_type().clone(), true)).collect();
        fields.push(Field::new(HOUR, hour_type(), false));
        arrays.push(Arc::new(hour_array(order.iter().map(|group| self.groups.place(*group).1).collect())));
        Ok((fields, arrays))
    }
}

fn batch(
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    metadata: std::collections::HashMap<String, String>,
) -> Result<RecordBatch> {
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, metadata)), arrays)
        .map_err(|e| Error::internal("the result of a rollup cannot be built").because(e))
}

#[cfg(test)]
mod tests;
