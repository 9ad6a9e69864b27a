//! The state of one measure: an array by group number.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, Float64Array, Int64Array, PrimitiveArray, RecordBatch,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, Schema, UInt64Type};
use hashbrown::HashSet;

use super::keys::Ids;
use super::{Measure, Op, field};
use crate::error::{Error, Result};
use crate::rollup::columns;
use crate::rollup::ids::NULL_ID;

/// What kind of number a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Signed,
    Unsigned,
    Decimal(i8),
    Float,
    /// Dates and times, which have extremes but no sums.
    Time(DataType),
}

/// The state of one measure over all groups.
#[derive(Debug)]
pub(super) enum State {
    Count(Vec<i64>),
    Exact { class: Class, values: Vec<i128>, counts: Vec<i64> },
    Float { values: Vec<f64>, counts: Vec<i64> },
    Distinct { ids: Ids, seen: HashSet<(u32, u32)>, counts: Vec<i64> },
}

fn class(measure: &Measure, name: &str, data_type: &DataType) -> Result<Class> {
    let extreme = matches!(measure.op, Op::Min | Op::Max);
    Ok(match data_type {
        DataType::UInt64 => Class::Unsigned,
        integer if integer.is_integer() => Class::Signed,
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Class::Decimal(*scale)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Class::Float,
        time @ (DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _)) if extreme => {
            Class::Time(time.clone())
        }
        other => return Err(columns::wrong_type(name, other, &format!("a number, for {}", measure.name))),
    })
}

impl State {
    pub fn new(measure: &Measure, schema: &Schema) -> Result<Self> {
        let Some(name) = &measure.column else {
            return match measure.op {
                Op::Count => Ok(Self::Count(Vec::new())),
                _ => Err(Error::config(format!("measure {} needs a column", measure.name))),
            };
        };
        let data_type = field(schema, name)?.data_type();
        Ok(match measure.op {
            Op::Count => Self::Count(Vec::new()),
            Op::CountDistinct => {
                Self::Distinct { ids: Ids::of_distinct(name, data_type)?, seen: HashSet::new(), counts: Vec::new() }
            }
            _ => match class(measure, name, data_type)? {
                Class::Float => Self::Float { values: Vec::new(), counts: Vec::new() },
                class => Self::Exact { class, values: Vec::new(), counts: Vec::new() },
            },
        })
    }

    /// Makes room for as many groups.
    pub fn resize(&mut self, groups: usize) {
        match self {
            Self::Count(counts) | Self::Distinct { counts, .. } => counts.resize(groups, 0),
            Self::Exact { values, counts, .. } => {
                values.resize(groups, 0);
                counts.resize(groups, 0);
            }
            Self::Float { values, counts } => {
                values.resize(groups, 0.0);
                counts.resize(groups, 0);
            }
        }
    }

    /// Adds a column by the group of each row.
    pub fn add(&mut self, measure: &Measure, batch: &RecordBatch, groups: &[u32]) -> Result<()> {
        let Some(name) = &measure.column else {
            if let Self::Count(counts) = self {
                groups.iter().for_each(|group| counts[*group as usize] += 1);
            }
            return Ok(());
        };
        match self {
            Self::Count(counts) => {
                let column = columns::column(batch, name)?;
                let nulls = column.logical_nulls();
                for (row, group) in groups.iter().enumerate() {
                    counts[*group as usize] += i64::from(nulls.as_ref().is_none_or(|n| n.is_valid(row)));
                }
            }
            Self::Distinct { ids, seen, counts } => {
                for (group, id) in groups.iter().zip(ids.codes(name, batch)?) {
                    if id != NULL_ID && seen.insert((*group, id)) {
                        counts[*group as usize] += 1;
                    }
                }
            }
            Self::Float { values, counts } => {
                let column = columns::primitive::<Float64Type>(batch, name, &DataType::Float64)?;
                add_floats(measure.op, &column, groups, values, counts);
            }
            Self::Exact { class, values, counts } => {
                let overflow = match class {
                    Class::Decimal(scale) => {
                        let column =
                            columns::primitive::<Decimal128Type>(batch, name, &DataType::Decimal128(38, *scale))?;
                        add_exact(measure.op, &column, groups, values, counts)
                    }
                    Class::Unsigned => {
                        let column = columns::primitive::<UInt64Type>(batch, name, &DataType::UInt64)?;
                        add_exact(measure.op, &column, groups, values, counts)
                    }
                    _ => {
                        let column = columns::primitive::<Int64Type>(batch, name, &DataType::Int64)?;
                        add_exact(measure.op, &column, groups, values, counts)
                    }
                };
                if overflow {
                    return Err(too_large(&measure.name));
                }
            }
        }
        Ok(())
    }

    /// The measure of these groups.
    pub fn finish(&self, op: Op, name: &str, order: &[u32]) -> Result<ArrayRef> {
        let at = |group: &u32| *group as usize;
        Ok(match self {
            Self::Count(counts) | Self::Distinct { counts, .. } => {
                Arc::new(Int64Array::from_iter_values(order.iter().map(|g| counts[at(g)])))
            }
            Self::Float { values, counts } => Arc::new(
                order
                    .iter()
                    .map(|g| {
                        let count = counts[at(g)];
                        let divisor = if op == Op::Avg { count as f64 } else { 1.0 };
                        (count > 0).then(|| values[at(g)] / divisor)
                    })
                    .collect::<Float64Array>(),
            ),
            Self::Exact { class, values, counts } if op == Op::Avg => {
                let unit = if let Class::Decimal(scale) = class { 10_f64.powi(i32::from(*scale)) } else { 1.0 };
                let mean = |g: &u32| (counts[at(g)] > 0).then(|| values[at(g)] as f64 / unit / counts[at(g)] as f64);
                Arc::new(order.iter().map(mean).collect::<Float64Array>())
            }
            Self::Exact { class, values, counts } => {
                let rows = order.iter().map(|g| (counts[at(g)] > 0).then(|| values[at(g)]));
                typed(class, rows, name)?
            }
        })
    }
}

fn add_floats(op: Op, column: &Float64Array, groups: &[u32], values: &mut [f64], counts: &mut [i64]) {
    match op {
        Op::Min | Op::Max => each(column, groups, |group, value: f64| {
            if !value.is_nan() {
                let best = &mut values[group];
                let better = counts[group] == 0 || if op == Op::Min { value < *best } else { value > *best };
                if better {
                    *best = value;
                }
                counts[group] += 1;
            }
        }),
        _ => each(column, groups, |group, value: f64| {
            values[group] += value;
            counts[group] += 1;
        }),
    }
}

/// Adds exact numbers; whether a sum overflowed.
fn add_exact<T: ArrowPrimitiveType<Native: Into<i128>>>(
    op: Op,
    column: &PrimitiveArray<T>,
    groups: &[u32],
    values: &mut [i128],
    counts: &mut [i64],
) -> bool {
    let mut overflow = false;
    match op {
        Op::Min | Op::Max => each(column, groups, |group, value| {
            let (value, best) = (value.into(), &mut values[group]);
            if counts[group] == 0 || if op == Op::Min { value < *best } else { value > *best } {
                *best = value;
            }
            counts[group] += 1;
        }),
        _ => each(column, groups, |group, value| {
            let (sum, over) = values[group].overflowing_add(value.into());
            values[group] = sum;
            overflow |= over;
            counts[group] += 1;
        }),
    }
    overflow
}

fn each<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, groups: &[u32], mut take: impl FnMut(usize, T::Native)) {
    if column.null_count() == 0 {
        groups.iter().zip(column.values()).for_each(|(group, value)| take(*group as usize, *value));
    } else {
        for (group, value) in groups.iter().zip(column) {
            if let Some(value) = value {
                take(*group as usize, value);
            }
        }
    }
}

/// Exact numbers in the type of the result.
fn typed(class: &Class, rows: impl Iterator<Item = Option<i128>>, name: &str) -> Result<ArrayRef> {
    let too_large = |_| too_large(name);
    Ok(match class {
        Class::Unsigned => {
            let rows = rows.map(|v| v.map(u64::try_from).transpose().map_err(too_large));
            Arc::new(UInt64Array::from(rows.collect::<Result<Vec<_>>>()?))
        }
        Class::Decimal(scale) => decimals(rows, *scale, name)?,
        _ => {
            let rows = rows.map(|v| v.map(i64::try_from).transpose().map_err(too_large));
            let counts: ArrayRef = Arc::new(Int64Array::from(rows.collect::<Result<Vec<_>>>()?));
            match class {
                Class::Time(data_type) => {
                    cast(&counts, data_type).map_err(|e| Error::internal("a time cannot be built").because(e))?
                }
                _ => counts,
            }
        }
    })
}

/// Exact numbers as `Decimal128(38, scale)`.
pub(super) fn decimals(rows: impl Iterator<Item = Option<i128>>, scale: i8, name: &str) -> Result<ArrayRef> {
    let array = rows.collect::<Decimal128Array>().with_precision_and_scale(38, scale);
    let array = array.map_err(|e| too_large(name).because(e))?;
    array.validate_decimal_precision(38).map_err(|e| too_large(name).because(e))?;
    Ok(Arc::new(array))
}

pub(super) fn too_large(name: &str) -> Error {
    Error::data(format!("measure {name} overflows its type")).with("measure", name)
}
