//! The state of one measure: an array by group number.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, Float64Array, Int64Array, PrimitiveArray, RecordBatch,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, Schema, UInt64Type};

use super::distinct::Distinct;
use super::spec::{Measure, Op, field};
use crate::error::{Error, Result};
use crate::rollup::columns;

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

/// The state of one measure over all groups. How many values a group has is its rows less its NULLs, so that a column
/// without NULLs needs no counting of its own.
#[derive(Debug)]
pub(super) enum State {
    Count { nulls: Nulls },
    Exact { class: Class, values: Vec<i128>, nulls: Nulls },
    Float { values: Vec<f64>, nulls: Nulls },
    Distinct(Box<Distinct>),
}

/// NULLs by group; empty until the first.
#[derive(Debug, Default)]
pub(super) struct Nulls(Vec<i64>);

impl Nulls {
    pub fn of(&self, group: usize) -> i64 {
        self.0.get(group).copied().unwrap_or(0)
    }

    pub fn add(&mut self, group: usize, nulls: i64) {
        if self.0.len() <= group {
            self.0.resize(group + 1, 0);
        }
        self.0[group] += nulls;
    }

    fn merge(&mut self, other: &Self, map: &[u32]) {
        for (group, nulls) in map.iter().zip(&other.0).filter(|(_, nulls)| **nulls > 0) {
            self.add(*group as usize, *nulls);
        }
    }
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
    pub fn new(measure: &Measure, schema: &Schema, limit_bytes: usize) -> Result<Self> {
        let Some(name) = &measure.column else {
            return match measure.op {
                Op::Count => Ok(Self::Count { nulls: Nulls::default() }),
                _ => Err(Error::config(format!("measure {} needs a column", measure.name))),
            };
        };
        let data_type = field(schema, name)?.data_type();
        Ok(match measure.op {
            Op::Count => Self::Count { nulls: Nulls::default() },
            Op::CountDistinct => Self::Distinct(Box::new(Distinct::new(name, data_type, limit_bytes)?)),
            _ => match class(measure, name, data_type)? {
                Class::Float => Self::Float { values: Vec::new(), nulls: Nulls::default() },
                class => Self::Exact { class, values: Vec::new(), nulls: Nulls::default() },
            },
        })
    }

    /// Makes room for as many groups.
    pub fn resize(&mut self, op: Op, groups: usize) {
        match self {
            Self::Count { .. } | Self::Distinct(_) => {}
            Self::Exact { values, .. } => values.resize(groups, identity(op, i128::MAX, i128::MIN, 0)),
            Self::Float { values, .. } => values.resize(groups, identity(op, f64::INFINITY, f64::NEG_INFINITY, 0.0)),
        }
    }

    /// Adds a column by the group of each row.
    pub fn add(&mut self, measure: &Measure, batch: &RecordBatch, groups: &[u32]) -> Result<()> {
        let Some(name) = &measure.column else { return Ok(()) };
        match self {
            Self::Count { nulls } => {
                if let Some(found) = columns::column(batch, name)?.logical_nulls() {
                    let rows = groups.iter().zip(&found).filter(|(_, is_valid)| !is_valid);
                    rows.for_each(|(group, _)| nulls.add(*group as usize, 1));
                }
            }
            Self::Distinct(distinct) => distinct.add(name, columns::column(batch, name)?, groups)?,
            Self::Float { values, nulls } => {
                let column = columns::primitive::<Float64Type>(batch, name, &DataType::Float64)?;
                add_floats(measure.op, &column, groups, values, nulls);
            }
            Self::Exact { class, values, nulls } => {
                let overflow = match class {
                    Class::Decimal(scale) => {
                        let wanted = DataType::Decimal128(38, *scale);
                        let column = columns::primitive::<Decimal128Type>(batch, name, &wanted)?;
                        add_exact(measure.op, &column, groups, values, nulls)
                    }
                    Class::Unsigned => {
                        let column = columns::primitive::<UInt64Type>(batch, name, &DataType::UInt64)?;
                        add_exact(measure.op, &column, groups, values, nulls)
                    }
                    _ => {
                        let column = columns::primitive::<Int64Type>(batch, name, &DataType::Int64)?;
                        add_exact(measure.op, &column, groups, values, nulls)
                    }
                };
                if overflow {
                    return Err(too_large(&measure.name));
                }
            }
        }
        Ok(())
    }

    /// Adds the state of the same measure of another rollup, whose groups are ours by `map`.
    pub fn merge(&mut self, measure: &Measure, other: Self, map: &[u32]) -> Result<()> {
        match (self, other) {
            (Self::Count { nulls }, Self::Count { nulls: other }) => nulls.merge(&other, map),
            (Self::Float { values, nulls }, Self::Float { values: found, nulls: other }) => {
                for (group, value) in map.iter().zip(found) {
                    let known = &mut values[*group as usize];
                    *known = join(measure.op, *known, value, |a, b| a + b);
                }
                nulls.merge(&other, map);
            }
            (Self::Exact { class, values, nulls }, Self::Exact { class: their_class, values: found, nulls: other })
                if *class == their_class =>
            {
                for (group, value) in map.iter().zip(found) {
                    let known = &mut values[*group as usize];
                    let joined = join(measure.op, Some(*known), Some(value), |a, b| a?.checked_add(b?));
                    *known = joined.ok_or_else(|| too_large(&measure.name))?;
                }
                nulls.merge(&other, map);
            }
            (Self::Distinct(distinct), Self::Distinct(other)) => distinct.merge(*other, map)?,
            _ => return Err(Error::schema(format!("measure {} has not the same type in every part", measure.name))),
        }
        Ok(())
    }

    /// The measure of these groups, of which `rows` tells the rows.
    pub fn finish(&mut self, measure: &Measure, rows: &[i64], order: &[u32], threads: usize) -> Result<ArrayRef> {
        let (op, name) = (measure.op, &measure.name);
        let at = |group: &u32| *group as usize;
        let counts = |nulls: &Nulls, group: &u32| rows[at(group)] - nulls.of(at(group));
        Ok(match self {
            Self::Count { nulls } => Arc::new(Int64Array::from_iter_values(order.iter().map(|g| counts(nulls, g)))),
            Self::Distinct(distinct) => {
                let found = distinct.counts(rows.len(), threads)?;
                Arc::new(Int64Array::from_iter_values(order.iter().map(|g| found[at(g)])))
            }
            Self::Float { values, nulls } => {
                let value = |g: &u32| {
                    let count = counts(nulls, g);
                    let divisor = if op == Op::Avg { count as f64 } else { 1.0 };
                    (count > 0).then(|| values[at(g)] / divisor)
                };
                Arc::new(order.iter().map(value).collect::<Float64Array>())
            }
            Self::Exact { class, values, nulls } if op == Op::Avg => {
                let unit = if let Class::Decimal(scale) = class { 10_f64.powi(i32::from(*scale)) } else { 1.0 };
                let mean = |g: &u32| {
                    let count = counts(nulls, g);
                    (count > 0).then(|| values[at(g)] as f64 / unit / count as f64)
                };
                Arc::new(order.iter().map(mean).collect::<Float64Array>())
            }
            Self::Exact { class, values, nulls } => {
                typed(class, order.iter().map(|g| (counts(nulls, g) > 0).then(|| values[at(g)])), name)?
            }
        })
    }
}

fn identity<T>(op: Op, greatest: T, least: T, zero: T) -> T {
    match op {
        Op::Min => greatest,
        Op::Max => least,
        _ => zero,
    }
}

/// Two values of one group as one.
pub(super) fn join<T: PartialOrd>(op: Op, a: T, b: T, add: impl Fn(T, T) -> T) -> T {
    match op {
        Op::Min => {
            if b < a {
                b
            } else {
                a
            }
        }
        Op::Max => {
            if b > a {
                b
            } else {
                a
            }
        }
        _ => add(a, b),
    }
}

fn add_floats(op: Op, column: &Float64Array, groups: &[u32], values: &mut [f64], nulls: &mut Nulls) {
    match op {
        Op::Min | Op::Max => each(column, groups, nulls, |group, value: f64| {
            let best = &mut values[group];
            if if op == Op::Min { value < *best } else { value > *best } {
                *best = value;
            }
            !value.is_nan()
        }),
        _ => each(column, groups, nulls, |group, value: f64| {
            values[group] += value;
            true
        }),
    }
}

/// Adds exact numbers; whether a sum overflowed.
fn add_exact<T: ArrowPrimitiveType<Native: Into<i128>>>(
    op: Op,
    column: &PrimitiveArray<T>,
    groups: &[u32],
    values: &mut [i128],
    nulls: &mut Nulls,
) -> bool {
    let mut overflow = false;
    match op {
        Op::Min | Op::Max => each(column, groups, nulls, |group, value| {
            let (value, best) = (value.into(), &mut values[group]);
            if if op == Op::Min { value < *best } else { value > *best } {
                *best = value;
            }
            true
        }),
        _ => each(column, groups, nulls, |group, value| {
            let (sum, over) = values[group].overflowing_add(value.into());
            values[group] = sum;
            overflow |= over;
            true
        }),
    }
    overflow
}

/// Hands every value that is not NULL to `take`; those it does not take count as NULL.
#[inline]
fn each<T: ArrowPrimitiveType>(
    column: &PrimitiveArray<T>,
    groups: &[u32],
    nulls: &mut Nulls,
    mut take: impl FnMut(usize, T::Native) -> bool,
) {
    if column.null_count() == 0 {
        for (group, value) in groups.iter().zip(column.values()) {
            if !take(*group as usize, *value) {
                nulls.add(*group as usize, 1);
            }
        }
        return;
    }
    for (group, value) in groups.iter().zip(column) {
        if !value.is_some_and(|value| take(*group as usize, value)) {
            nulls.add(*group as usize, 1);
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
