//! What a rollup is asked for.

use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Zone;

/// The name of the hour in every result.
pub(super) const HOUR: &str = "hour_bucket";

/// What a measure computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Rows, or with a column its values that are not NULL.
    Count,
    /// Exact for integers and decimals.
    Sum,
    /// A double.
    Avg,
    /// Of numbers, dates and times; NaN is left out.
    Min,
    /// Of numbers, dates and times; NaN is left out.
    Max,
    /// Exact number of different values of text, integers, booleans, dates and times.
    CountDistinct,
}

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Of which column; only a count can do without.
    pub column: Option<String>,
}

/// What to aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Columns to group by: text, integers, booleans, dates, times; may be none.
    pub keys: Vec<String>,
    /// The timestamp column; without a zone it is UTC.
    pub time: String,
    /// The measures, in the order of the result.
    pub measures: Vec<Measure>,
    /// The zone on whose wall clock hours are cut.
    pub zone: Zone,
}

impl Spec {
    /// The columns that are read, each once.
    pub fn columns(&self) -> Vec<&str> {
        let mut names: Vec<&str> = vec![&self.time];
        for name in self.grouped_or_measured() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether the hour of a row is all that its time is for.
    pub fn needs_hours_alone(&self) -> bool {
        self.grouped_or_measured().all(|name| name != self.time)
    }

    fn grouped_or_measured(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().chain(self.measures.iter().filter_map(|m| m.column.as_ref())).map(String::as_str)
    }
}

/// A column that the rows must have.
pub(super) fn field<'a>(schema: &'a Schema, name: &str) -> Result<&'a Field> {
    schema.field_with_name(name).map_err(|_| {
        let known: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Error::schema(format!("column {name} is missing; the columns are {}", known.join(", "))).with("column", name)
    })
}

/// No two columns of a result have one name.
pub(super) fn check_names(spec: &Spec) -> Result<()> {
    let mut names: Vec<&str> =
        spec.keys.iter().chain(spec.measures.iter().map(|m| &m.name)).map(String::as_str).collect();
    names.push(HOUR);
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::config(format!("two columns of the result would be named {}", pair[0]))),
        None => Ok(()),
    }
}
