//! The state of a rollup as an Arrow table, and back.
//!
//! Columns: the keys, `hour_bucket`, and for each measure `<name>.count`, `<name>.sum` (exact sums as
//! `Decimal128(38, scale)`), `<name>.value` (an extreme) or `<name>.values` (the different values, a list).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int64Type, Schema};

use super::states::{Class, State, decimals, too_large};
use super::{HOUR, Hourly, Op, Spec, batch};
use crate::error::{Error, Result};
use crate::rollup::columns;
use crate::rollup::ids::NULL_ID;

/// Metadata of the table: rows that had no time.
const WITHOUT_TIME: &str = "rows_without_time";

impl Hourly {
    /// The state as a table, for another thread, process or machine to merge.
    pub fn partial(&self) -> Result<RecordBatch> {
        let order = self.order();
        let (mut fields, mut arrays) = self.places(&order);
        for (measure, state) in self.spec.measures.iter().zip(&self.states) {
            for (part, array) in state.parts(measure.op, &measure.name, &order)? {
                fields.push(Field::new(format!("{}.{part}", measure.name), array.data_type().clone(), true));
                arrays.push(array);
            }
        }
        batch(fields, arrays, HashMap::from([(WITHOUT_TIME.into(), self.rows_without_time.to_string())]))
    }

    /// A rollup that continues from a state; `schema` is that of the batches, not of the state.
    pub fn from_partial(spec: Spec, schema: &Schema, partial: &RecordBatch) -> Result<Self> {
        let mut rollup = Self::new(spec, schema)?;
        rollup.merge_partial(partial)?;
        Ok(rollup)
    }

    /// Adds the state of another rollup of the same spec.
    pub fn merge_partial(&mut self, partial: &RecordBatch) -> Result<()> {
        let hours = columns::micros_of(partial, HOUR)?;
        let keys = self.keys.codes(partial)?;
        let groups = self.groups.of_buckets(&keys, self.keys.len(), &hours)?;
        for (measure, state) in self.spec.measures.iter().zip(&mut self.states) {
            state.resize(self.groups.len());
            state.merge(measure.op, &measure.name, partial, &groups)?;
        }
        let skipped = partial.schema_ref().metadata().get(WITHOUT_TIME).and_then(|rows| rows.parse().ok());
        self.rows_without_time += skipped.unwrap_or(0_u64);
        Ok(())
    }
}

impl State {
    /// The parts of the state of these groups.
    fn parts(&self, op: Op, name: &str, order: &[u32]) -> Result<Vec<(&'static str, ArrayRef)>> {
        let at = |group: &u32| *group as usize;
        let value = if matches!(op, Op::Min | Op::Max) { "value" } else { "sum" };
        let count = |counts: &[i64]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(order.iter().map(|g| counts[at(g)])))
        };
        Ok(match self {
            Self::Count(counts) => vec![("count", count(counts))],
            Self::Float { values, counts } => {
                let values = Float64Array::from_iter_values(order.iter().map(|g| values[at(g)]));
                vec![(value, Arc::new(values)), ("count", count(counts))]
            }
            Self::Exact { class, values, counts } => {
                let values = decimals(order.iter().map(|g| Some(values[at(g)])), scale(class), name)?;
                vec![(value, values), ("count", count(counts))]
            }
            Self::Distinct { ids, seen, counts } => {
                let mut by_group = vec![Vec::new(); counts.len()];
                seen.iter().for_each(|(group, id)| by_group[*group as usize].push(*id));
                by_group.iter_mut().for_each(|ids| ids.sort_unstable());
                let lists = || order.iter().map(|g| &by_group[at(g)]);
                let values = ids.array(lists().flatten().copied());
                let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
                let offsets = OffsetBuffer::from_lengths(lists().map(Vec::len));
                let list = ListArray::try_new(item, offsets, values, None);
                vec![(
                    "values",
                    Arc::new(list.map_err(|e| Error::internal("a list of values cannot be built").because(e))?),
                )]
            }
        })
    }

    fn merge(&mut self, op: Op, name: &str, partial: &RecordBatch, groups: &[u32]) -> Result<()> {
        let part = |part: &str| format!("{name}.{part}");
        let value = part(if matches!(op, Op::Min | Op::Max) { "value" } else { "sum" });
        let added = |suffix: &str| columns::primitive::<Int64Type>(partial, &part(suffix), &DataType::Int64);
        match self {
            Self::Count(counts) => {
                let added = added("count")?;
                groups.iter().zip(added.values()).for_each(|(g, n)| counts[*g as usize] += n);
            }
            Self::Float { values, counts } => {
                let (found, added) =
                    (columns::primitive::<Float64Type>(partial, &value, &DataType::Float64)?, added("count")?);
                for ((group, found), added) in groups.iter().zip(found.values()).zip(added.values()) {
                    let group = *group as usize;
                    let known = counts[group] > 0;
                    if *added > 0 {
                        values[group] = joined(op, known, values[group], *found, |a, b| Some(a + b)).unwrap_or(*found);
                    }
                    counts[group] += added;
                }
            }
            Self::Exact { class, values, counts } => {
                let wanted = DataType::Decimal128(38, scale(class));
                let (found, added) = (columns::primitive::<Decimal128Type>(partial, &value, &wanted)?, added("count")?);
                for ((group, found), added) in groups.iter().zip(found.values()).zip(added.values()) {
                    let group = *group as usize;
                    let known = counts[group] > 0;
                    if *added > 0 {
                        let joined = joined(op, known, values[group], *found, i128::checked_add);
                        values[group] = joined.ok_or_else(|| too_large(name))?;
                    }
                    counts[group] += added;
                }
            }
            Self::Distinct { ids, seen, counts } => {
                let column = columns::column(partial, &part("values"))?;
                let lists = column.as_list_opt::<i32>();
                let lists = lists.ok_or_else(|| columns::wrong_type(&part("values"), column.data_type(), "a list"))?;
                let field = Field::new("values", lists.values().data_type().clone(), true);
                let flat = batch(vec![field], vec![lists.values().clone()], HashMap::new())?;
                let codes = ids.codes("values", &flat)?;
                for (group, range) in groups.iter().zip(lists.offsets().windows(2)) {
                    for id in &codes[range[0] as usize..range[1] as usize] {
                        if *id != NULL_ID && seen.insert((*group, *id)) {
                            counts[*group as usize] += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Two values of one group as one; `known` says whether there is a first one.
fn joined<T: PartialOrd>(op: Op, known: bool, a: T, b: T, add: impl Fn(T, T) -> Option<T>) -> Option<T> {
    match op {
        _ if !known => Some(b),
        Op::Min => Some(if b < a { b } else { a }),
        Op::Max => Some(if b > a { b } else { a }),
        _ => add(a, b),
    }
}

fn scale(class: &Class) -> i8 {
    if let Class::Decimal(scale) = class { *scale } else { 0 }
}
