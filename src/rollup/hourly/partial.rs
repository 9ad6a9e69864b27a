//! The state of a rollup as an Arrow table, and back.
//!
//! Columns: the keys, `hour_bucket`, `hour_bucket.count` (its rows), and for each measure `<name>.count` with
//! `<name>.sum` (exact sums as `Decimal128(38, scale)`), `<name>.value` (an extreme) or `<name>.values` (the different
//! values, a list). What was rolled up stands in the table's metadata, so a state needs no other word to go on.
//!
//! A state of version 2 also has `<name>.different`: how many values there are beyond those in the list. They are in no
//! other state, as an hour's rows were all in one place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema};
use serde::{Deserialize, Serialize};

use super::spec::HOUR;
use super::states::{Class, State, decimals, join, too_large};
use super::{Hourly, Measure, Op, Spec, batch};
use crate::error::{Error, Result};
use crate::model::Zone;
use crate::rollup::columns;

/// The metadata's key.
const METADATA: &str = "metropulse.rollup";

/// The version of states that may count values in the place of listing them.
const COUNTING: u32 = 2;

/// What the metadata says, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    keys: Vec<String>,
    time: String,
    measures: Vec<Measure>,
    time_zone: String,
    /// The types of the columns that were read.
    columns: BTreeMap<String, String>,
    rows_without_time: u64,
}

impl Note {
    fn read(partial: &Schema) -> Result<Self> {
        let text = partial.metadata().get(METADATA).ok_or_else(|| {
            Error::schema(
                "the table is no partial rollup: it lacks the metadata that rollup_hourly(partial=True) writes",
            )
        })?;
        let note: Self = serde_json::from_str(text)
            .map_err(|e| Error::schema("the metadata of a partial rollup cannot be read").because(e))?;
        if !(1..=COUNTING).contains(&note.version) {
            return Err(Error::schema(format!("a partial rollup has version {}, expected 1 or 2", note.version)));
        }
        Ok(note)
    }

    fn spec(&self) -> Result<Spec> {
        let zone = self.time_zone.parse().map_err(|_| Error::schema("a partial rollup names an unknown time zone"))?;
        let (keys, time, measures) = (self.keys.clone(), self.time.clone(), self.measures.clone());
        Ok(Spec { keys, time, measures, zone: Zone(zone) })
    }

    fn schema(&self) -> Result<Schema> {
        let field = |(name, text): (&String, &String)| {
            let data_type: DataType = text.parse().map_err(|e: arrow::error::ArrowError| {
                Error::schema(format!("a partial rollup has a column of unknown type {text}")).because(e)
            })?;
            Ok(Field::new(name, data_type, true))
        };
        Ok(Schema::new(self.columns.iter().map(field).collect::<Result<Vec<_>>>()?))
    }
}

impl Hourly {
    /// The state as a table, for another thread, process or machine to merge.
    pub fn partial(&mut self) -> Result<RecordBatch> {
        let order = self.order();
        let (mut fields, mut arrays) = self.places(&order)?;
        let mut put = |name: String, array: ArrayRef| {
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        };
        let rows = self.groups.rows();
        let own = self.own_hours.as_ref();
        let is_own = |group| own.is_some_and(|own| own.contain(self.groups.place(group).1));
        let own: Option<Vec<bool>> = own.map(|_| (0..self.groups.len() as u32).map(is_own).collect());
        put(format!("{HOUR}.count"), Arc::new(Int64Array::from_iter_values(order.iter().map(|g| rows[*g as usize]))));
        for (measure, state) in self.spec.measures.iter().zip(&mut self.states) {
            for (part, array) in state.parts(measure.op, &measure.name, rows, &order, own.as_deref())? {
                put(format!("{}.{part}", measure.name), array);
            }
        }
        let note = Note {
            version: if own.is_some() { COUNTING } else { 1 },
            keys: self.spec.keys.clone(),
            time: self.spec.time.clone(),
            measures: self.spec.measures.clone(),
            time_zone: self.spec.zone.0.name().to_owned(),
            columns: self.columns.iter().map(|(name, kind)| (name.clone(), kind.to_string())).collect(),
            rows_without_time: self.rows_without_time(),
        };
        let note = serde_json::to_string(&note).map_err(|e| Error::internal("a note cannot be written").because(e))?;
        batch(fields, arrays, HashMap::from([(METADATA.into(), note)]))
    }

    /// An empty rollup of the kind that a state is of.
    pub fn like_partial(partial: &Schema) -> Result<Self> {
        let note = Note::read(partial)?;
        let own_hours = (note.version == COUNTING).then(Vec::new);
        Ok(Self::new(note.spec()?, &note.schema()?)?.owning(own_hours))
    }

    /// Adds the state of another rollup of the same kind.
    pub fn merge_partial(&mut self, partial: &RecordBatch) -> Result<()> {
        let note = Note::read(partial.schema_ref())?;
        if note.spec()? != self.spec {
            return Err(Error::config("only rollups of the same keys, measures and zone can be merged"));
        }
        if note.version == COUNTING {
            self.own_hours.get_or_insert_default();
        }
        let hours = columns::micros_of(partial, HOUR)?;
        let keys = self.keys.codes(partial)?;
        let groups = self.groups.of_buckets(&keys, self.keys.len(), hours.values())?;
        let rows = columns::primitive::<Int64Type>(partial, &format!("{HOUR}.count"), &DataType::Int64)?;
        self.groups.add_rows(&groups, rows.values());
        for (measure, state) in self.spec.measures.iter().zip(&mut self.states) {
            state.resize(measure.op, self.groups.len());
            state.merge_parts(measure, partial, rows.values(), &groups, note.version == COUNTING)?;
        }
        self.groups.add_rows(&[super::groups::NOWHERE], &[i64::try_from(note.rows_without_time).unwrap_or(i64::MAX)]);
        Ok(())
    }
}

impl State {
    /// The parts of the state of these groups; `own` tells which of all groups are in no other state.
    fn parts(
        &mut self,
        op: Op,
        name: &str,
        rows: &[i64],
        order: &[u32],
        own: Option<&[bool]>,
    ) -> Result<Vec<(&'static str, ArrayRef)>> {
        let value = if matches!(op, Op::Min | Op::Max) { "value" } else { "sum" };
        let counts = |nulls: &super::states::Nulls| -> Vec<i64> {
            order.iter().map(|g| rows[*g as usize] - nulls.of(*g as usize)).collect()
        };
        Ok(match self {
            Self::Count { nulls } => vec![("count", Arc::new(Int64Array::from(counts(nulls))))],
            Self::Float { values, nulls } => {
                let counts = counts(nulls);
                let found = order.iter().zip(&counts).map(|(g, n)| (*n > 0).then(|| values[*g as usize]));
                vec![(value, Arc::new(found.collect::<Float64Array>())), ("count", Arc::new(Int64Array::from(counts)))]
            }
            Self::Exact { class, values, nulls } => {
                let counts = counts(nulls);
                let found = order.iter().zip(&counts).map(|(g, n)| (*n > 0).then(|| values[*g as usize]));
                vec![(value, decimals(found, scale(class), name)?), ("count", Arc::new(Int64Array::from(counts)))]
            }
            Self::Distinct(distinct) => {
                let found = distinct.values(name, rows.len(), order, own.unwrap_or_default())?;
                let item = Arc::new(Field::new_list_field(found.values.data_type().clone(), true));
                let list = ListArray::try_new(item, OffsetBuffer::from_lengths(found.lengths), found.values, None);
                let list = list.map_err(|e| Error::internal("a list of values cannot be built").because(e))?;
                let mut parts: Vec<(_, ArrayRef)> = vec![("values", Arc::new(list))];
                if own.is_some() {
                    parts.push(("different", Arc::new(Int64Array::from(found.counted))));
                }
                parts
            }
        })
    }

    fn merge_parts(
        &mut self,
        measure: &Measure,
        partial: &RecordBatch,
        rows: &[i64],
        groups: &[u32],
        is_counting: bool,
    ) -> Result<()> {
        let (op, name) = (measure.op, &measure.name);
        let part = |part: &str| format!("{name}.{part}");
        let value = part(if matches!(op, Op::Min | Op::Max) { "value" } else { "sum" });
        let missing = |nulls: &mut super::states::Nulls| -> Result<()> {
            let counts = columns::primitive::<Int64Type>(partial, &part("count"), &DataType::Int64)?;
            for ((group, rows), count) in groups.iter().zip(rows).zip(counts.values()) {
                if rows != count {
                    nulls.add(*group as usize, rows - count);
                }
            }
            Ok(())
        };
        match self {
            Self::Count { nulls } => missing(nulls)?,
            Self::Float { values, nulls } => {
                let found = columns::primitive::<Float64Type>(partial, &value, &DataType::Float64)?;
                for (group, found) in groups.iter().zip(&found) {
                    let known = &mut values[*group as usize];
                    *known = found.map_or(*known, |found| join(op, *known, found, |a, b| a + b));
                }
                missing(nulls)?;
            }
            Self::Exact { class, values, nulls } => {
                let wanted = DataType::Decimal128(38, scale(class));
                let found = columns::primitive::<Decimal128Type>(partial, &value, &wanted)?;
                for (group, found) in groups.iter().zip(&found) {
                    let known = &mut values[*group as usize];
                    if let Some(found) = found {
                        let joined = join(op, Some(*known), Some(found), |a, b| a?.checked_add(b?));
                        *known = joined.ok_or_else(|| too_large(name))?;
                    }
                }
                missing(nulls)?;
            }
            Self::Distinct(distinct) => {
                let column = columns::column(partial, &part("values"))?;
                let lists = column.as_list_opt::<i32>();
                let lists = lists.ok_or_else(|| columns::wrong_type(&part("values"), column.data_type(), "a list"))?;
                let lengths: Vec<usize> = lists.offsets().lengths().collect();
                let counted = is_counting
                    .then(|| columns::primitive::<Int64Type>(partial, &part("different"), &DataType::Int64))
                    .transpose()?;
                distinct.add_counted(name, groups, &lengths, counted.as_ref().map(|c| &c.values()[..]))?;
                let owners = groups.iter().zip(lengths).flat_map(|(g, length)| std::iter::repeat_n(*g, length));
                let owners: Vec<u32> = owners.collect();
                let (from, to) = (lists.offsets()[0] as usize, lists.offsets()[lists.len()] as usize);
                distinct.add(&part("values"), &lists.values().slice(from, to - from), &owners)?;
            }
        }
        Ok(())
    }
}

fn scale(class: &Class) -> i8 {
    if let Class::Decimal(scale) = class { *scale } else { 0 }
}
