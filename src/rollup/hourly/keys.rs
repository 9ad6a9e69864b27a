//! Key columns as one number a row.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, UInt64Type};
use hashbrown::HashMap;

use super::spec::field;
use crate::error::{Error, Result};
use crate::rollup::columns;
use crate::rollup::ids::{IntegerIds, NULL_ID, TextIds};

/// Numbers of one column's values.
#[derive(Debug)]
enum Ids {
    Text(TextIds),
    Unsigned(IntegerIds),
    /// Integers; booleans, dates and times too, which come out as what they were.
    Signed(IntegerIds, DataType),
}

impl Ids {
    /// For a column to group by.
    fn new(name: &str, data_type: &DataType) -> Result<Self> {
        match data_type {
            DataType::UInt64 => Ok(Self::Unsigned(IntegerIds::default())),
            integer if integer.is_integer() => Ok(Self::Signed(IntegerIds::default(), DataType::Int64)),
            DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
                Ok(Self::Signed(IntegerIds::default(), data_type.clone()))
            }
            text if columns::is_text(text) => Ok(Self::Text(TextIds::default())),
            DataType::Dictionary(_, value) if value.is_integer() => Self::new(name, value),
            other => Err(columns::wrong_type(name, other, "text, integer, boolean, date or time, to group by it")),
        }
    }

    /// The numbers of a batch's column.
    fn codes(&mut self, name: &str, batch: &RecordBatch) -> Result<Vec<u32>> {
        match self {
            Self::Text(ids) => ids.codes(columns::text(batch, name)?),
            Self::Signed(ids, _) => {
                let values = columns::primitive::<Int64Type>(batch, name, &DataType::Int64)?;
                ids.codes(values.iter().map(|v| v.map(i128::from)))
            }
            Self::Unsigned(ids) => {
                let values = columns::primitive::<UInt64Type>(batch, name, &DataType::UInt64)?;
                ids.codes(values.iter().map(|v| v.map(i128::from)))
            }
        }
    }

    /// The numbers here of the values that another column's numbers stand for.
    fn adopt(&mut self, other: &Self) -> Result<Vec<u32>> {
        match (self, other) {
            (Self::Text(ids), Self::Text(other)) => {
                (0..other.len() as u32).map(|id| other.value(id).map_or(Ok(NULL_ID), |text| ids.id(text))).collect()
            }
            (Self::Signed(ids, _), Self::Signed(other, _)) | (Self::Unsigned(ids), Self::Unsigned(other)) => {
                (0..other.len() as u32).map(|id| other.value(id).map_or(Ok(NULL_ID), |n| ids.id(n))).collect()
            }
            _ => Err(Error::schema("a key has not the same type in every part")),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(ids) => ids.len(),
            Self::Signed(ids, _) | Self::Unsigned(ids) => ids.len(),
        }
    }

    /// The values of numbers given out here.
    fn array(&self, codes: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        // Each value came from a column of the very type.
        Ok(match self {
            Self::Text(ids) => Arc::new(codes.map(|code| ids.value(code)).collect::<StringArray>()),
            Self::Signed(ids, data_type) => {
                let values = codes.map(|code| ids.value(code).and_then(|v| i64::try_from(v).ok()));
                let values: ArrayRef = Arc::new(values.collect::<Int64Array>());
                cast(&values, data_type).map_err(|e| Error::internal("a key cannot be built").because(e))?
            }
            Self::Unsigned(ids) => {
                Arc::new(codes.map(|code| ids.value(code).and_then(|v| u64::try_from(v).ok())).collect::<UInt64Array>())
            }
        })
    }

    /// The place of each number in the order of values, NULL first.
    fn ranks(&self) -> Vec<u32> {
        let mut codes: Vec<u32> = (0..self.len() as u32).collect();
        match self {
            Self::Text(ids) => codes.sort_unstable_by_key(|code| ids.value(*code)),
            Self::Signed(ids, _) | Self::Unsigned(ids) => codes.sort_unstable_by_key(|code| ids.value(*code)),
        }
        let mut ranks = vec![0; codes.len()];
        for (rank, code) in codes.into_iter().enumerate() {
            ranks[code as usize] = rank as u32;
        }
        ranks
    }
}

/// All key columns. Several are folded from the left, a pair of numbers becoming one.
#[derive(Debug)]
pub(super) struct Keys {
    names: Vec<String>,
    columns: Vec<Ids>,
    /// One for each column after the first.
    pairs: Vec<Pairs>,
}

#[derive(Debug, Default)]
struct Pairs {
    ids: HashMap<(u32, u32), u32>,
    values: Vec<(u32, u32)>,
}

impl Pairs {
    fn id(&mut self, pair: (u32, u32)) -> Result<u32> {
        if let Some(id) = self.ids.get(&pair) {
            return Ok(*id);
        }
        let id = u32::try_from(self.values.len()).map_err(|e| Error::data("more than 2^32 keys").because(e))?;
        self.values.push(pair);
        self.ids.insert(pair, id);
        Ok(id)
    }
}

impl Keys {
    pub fn new(names: &[String], schema: &Schema) -> Result<Self> {
        let ids = |name: &String| Ids::new(name, field(schema, name)?.data_type());
        let columns = names.iter().map(ids).collect::<Result<Vec<_>>>()?;
        let pairs = (1..names.len()).map(|_| Pairs::default()).collect();
        Ok(Self { names: names.to_vec(), columns, pairs })
    }

    /// One number for the keys of each row.
    pub fn codes(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let mut columns = self.names.iter().zip(&mut self.columns);
        let Some((name, ids)) = columns.next() else { return Ok(vec![0; batch.num_rows()]) };
        let mut codes = ids.codes(name, batch)?;
        for ((name, ids), pairs) in columns.zip(&mut self.pairs) {
            let right = ids.codes(name, batch)?;
            let mut last = None;
            for (code, right) in codes.iter_mut().zip(right) {
                let pair = (*code, right);
                let id = match last {
                    Some((seen, id)) if seen == pair => id,
                    _ => pairs.id(pair)?,
                };
                last = Some((pair, id));
                *code = id;
            }
        }
        Ok(codes)
    }

    /// How many numbers [`Self::codes`] has given out.
    pub fn len(&self) -> usize {
        match (self.pairs.last(), self.columns.first()) {
            (Some(pairs), _) => pairs.values.len(),
            (None, Some(ids)) => ids.len(),
            (None, None) => 1,
        }
    }

    /// The number of each column behind a number of all.
    fn parts(&self, code: u32) -> Vec<u32> {
        let mut parts = vec![0; self.columns.len()];
        let mut left = code;
        for (at, pairs) in self.pairs.iter().enumerate().rev() {
            let (rest, right) = pairs.values[left as usize];
            parts[at + 1] = right;
            left = rest;
        }
        if let Some(first) = parts.first_mut() {
            *first = left;
        }
        parts
    }

    /// The numbers here of the keys that another rollup's numbers stand for.
    pub fn adopt(&mut self, other: &Self) -> Result<Vec<u32>> {
        let mut columns = self.columns.iter_mut().zip(&other.columns);
        let Some((ids, theirs)) = columns.next() else { return Ok(vec![0; other.len()]) };
        let mut codes = ids.adopt(theirs)?;
        for (((ids, theirs), pairs), their_pairs) in columns.zip(&mut self.pairs).zip(&other.pairs) {
            let right = ids.adopt(theirs)?;
            let pair = |(a, b): &(u32, u32)| pairs.id((codes[*a as usize], right[*b as usize]));
            codes = their_pairs.values.iter().map(pair).collect::<Result<_>>()?;
        }
        Ok(codes)
    }

    /// The place of each number in the order of the keys, column by column.
    pub fn ranks(&self) -> Vec<u32> {
        let columns: Vec<_> = self.columns.iter().map(Ids::ranks).collect();
        if let [ranks] = columns.as_slice() {
            return ranks.clone();
        }
        let parts: Vec<Vec<u32>> = (0..self.len() as u32).map(|code| self.parts(code)).collect();
        let mut codes: Vec<u32> = (0..self.len() as u32).collect();
        let rank = |code: u32, column: usize| columns[column][parts[code as usize][column] as usize];
        codes.sort_unstable_by(|a, b| {
            let ordering = (0..columns.len()).map(|column| rank(*a, column).cmp(&rank(*b, column)));
            ordering.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        });
        let mut ranks = vec![0; codes.len()];
        for (rank, code) in codes.into_iter().enumerate() {
            ranks[code as usize] = rank as u32;
        }
        ranks
    }

    /// The key columns of these numbers.
    pub fn arrays(&self, codes: &[u32]) -> Result<Vec<ArrayRef>> {
        let parts: Vec<_> = codes.iter().map(|code| self.parts(*code)).collect();
        self.columns.iter().enumerate().map(|(at, ids)| ids.array(parts.iter().map(|p| p[at]))).collect()
    }
}
