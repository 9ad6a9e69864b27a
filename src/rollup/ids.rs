//! Small numbers for distinct values, so that groups and sets are made of integers.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::error::{Error, Result};

/// The number that stands for NULL.
pub(crate) const NULL_ID: u32 = 0;

fn too_many() -> Error {
    Error::data("a key or distinct column has more than 4,294,967,294 different values")
}

/// Numbers for distinct texts, from 1; NULL is [`NULL_ID`].
#[derive(Debug, Default)]
pub(crate) struct TextIds {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    values: Vec<Box<str>>,
    /// The last dictionary and its numbers: row groups often share one.
    last_dictionary: Option<(ArrayRef, Vec<u32>)>,
}

impl TextIds {
    /// The number of a text.
    pub fn id(&mut self, text: &str) -> Result<u32> {
        let hash = self.hasher.hash_one(text);
        if let Some(id) = self.table.find(hash, |id| &*self.values[*id as usize - 1] == text) {
            return Ok(*id);
        }
        self.values.push(text.into());
        let id = u32::try_from(self.values.len()).ok().filter(|id| *id < u32::MAX).ok_or_else(too_many)?;
        let (hasher, values) = (&self.hasher, &self.values);
        self.table.insert_unique(hash, id, |id| hasher.hash_one(&*values[*id as usize - 1]));
        Ok(id)
    }

    /// The text of a number; `None` for NULL.
    pub fn value(&self, id: u32) -> Option<&str> {
        id.checked_sub(1).and_then(|i| self.values.get(i as usize)).map(|v| &**v)
    }

    /// How many numbers are given out, NULL's included.
    pub fn len(&self) -> usize {
        self.values.len() + 1
    }

    /// The numbers of a whole column of any text type.
    pub fn codes(&mut self, column: &ArrayRef) -> Result<Vec<u32>> {
        match column.data_type() {
            DataType::Dictionary(_, _) => self.dictionary_codes(column),
            DataType::Null => Ok(vec![NULL_ID; column.len()]),
            DataType::Utf8 => self.text_codes(column.as_string::<i32>().iter()),
            DataType::LargeUtf8 => self.text_codes(column.as_string::<i64>().iter()),
            DataType::Utf8View => self.text_codes(column.as_string_view().iter()),
            other => Err(Error::internal(format!("a text column has the type {other}"))),
        }
    }

    fn text_codes<'a>(&mut self, rows: impl ExactSizeIterator<Item = Option<&'a str>>) -> Result<Vec<u32>> {
        let mut codes = Vec::with_capacity(rows.len());
        let mut last = (None, NULL_ID);
        for row in rows {
            if row != last.0 {
                last = (row, row.map_or(Ok(NULL_ID), |text| self.id(text))?);
            }
            codes.push(last.1);
        }
        Ok(codes)
    }

    /// Numbers the dictionary's values once; the rows are then a look-up each.
    fn dictionary_codes(&mut self, column: &ArrayRef) -> Result<Vec<u32>> {
        let column = match column.data_type() {
            DataType::Dictionary(key, _) if **key == DataType::Int32 => column.clone(),
            DataType::Dictionary(_, value) => {
                let wanted = DataType::Dictionary(Box::new(DataType::Int32), value.clone());
                cast(column, &wanted).map_err(|e| Error::data("a dictionary has more than 2^31 values").because(e))?
            }
            other => return Err(Error::internal(format!("a dictionary column has the type {other}"))),
        };
        let dictionary = column.as_dictionary::<Int32Type>();
        let values = dictionary.values();
        let known = self.last_dictionary.take().filter(|(last, _)| std::sync::Arc::ptr_eq(last, values));
        let ids = match known {
            Some((_, ids)) => ids,
            None => self.codes(values)?,
        };
        let keys = dictionary.keys();
        let code = |key: i32| usize::try_from(key).ok().and_then(|k| ids.get(k)).copied().unwrap_or(NULL_ID);
        let codes = if keys.null_count() == 0 {
            keys.values().iter().map(|key| code(*key)).collect()
        } else {
            keys.iter().map(|key| key.map_or(NULL_ID, code)).collect()
        };
        self.last_dictionary = Some((values.clone(), ids));
        Ok(codes)
    }
}

/// Numbers for distinct integers, from 1; NULL is [`NULL_ID`].
#[derive(Debug, Default)]
pub(crate) struct IntegerIds {
    ids: HashMap<i128, u32>,
    values: Vec<i128>,
}

impl IntegerIds {
    /// The number of an integer.
    pub fn id(&mut self, value: i128) -> Result<u32> {
        if let Some(id) = self.ids.get(&value) {
            return Ok(*id);
        }
        self.values.push(value);
        let id = u32::try_from(self.values.len()).ok().filter(|id| *id < u32::MAX).ok_or_else(too_many)?;
        self.ids.insert(value, id);
        Ok(id)
    }

    /// The integer of a number; `None` for NULL.
    pub fn value(&self, id: u32) -> Option<i128> {
        id.checked_sub(1).and_then(|i| self.values.get(i as usize)).copied()
    }

    /// How many numbers are given out, NULL's included.
    pub fn len(&self) -> usize {
        self.values.len() + 1
    }

    /// The numbers of a whole column.
    pub fn codes(&mut self, rows: impl ExactSizeIterator<Item = Option<i128>>) -> Result<Vec<u32>> {
        let mut codes = Vec::with_capacity(rows.len());
        let mut last = (None, NULL_ID);
        for row in rows {
            if row != last.0 {
                last = (row, row.map_or(Ok(NULL_ID), |value| self.id(value))?);
            }
            codes.push(last.1);
        }
        Ok(codes)
    }
}
