//! What the verbs of TIDES tell beyond the counts that all reports share.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use crate::feeds::tides::{Format, LeftOut};

/// Counts by field.
type ByField = BTreeMap<&'static str, u64>;

/// What `export_tides` tells.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedTides {
    /// The package's folder, without secrets.
    pub to: String,
    /// How its files are written.
    pub format: Format,
    /// The raw days that are in it.
    pub days: Vec<NaiveDate>,
    /// Days of the range that the lake does not have.
    pub days_missing: Vec<NaiveDate>,
    /// Tables of the standard that it lacks, and why.
    pub left_out: BTreeMap<String, String>,
    /// Rows without a required field, by table and field: they are not in the package.
    pub rows_left_out: BTreeMap<&'static str, ByField>,
    /// Values that a field cannot hold, by table and field: their rows are there without them.
    pub values_left_out: BTreeMap<&'static str, ByField>,
}

impl ExportedTides {
    pub(super) fn add(&mut self, table: &'static str, left_out: &LeftOut) {
        for (all, counted) in [(&mut self.rows_left_out, &left_out.rows), (&mut self.values_left_out, &left_out.values)]
        {
            for (field, count) in counted {
                *all.entry(table).or_default().entry(*field).or_default() += count;
            }
        }
    }
}

/// What `ingest_tides` tells.
#[derive(Clone, Debug, Serialize)]
pub struct IngestedTides {
    /// The lake that the days lie in.
    pub lake: String,
    /// The package, without secrets.
    pub source: String,
    /// The days made.
    pub days: Vec<TidesDay>,
    /// Resources of the package that no raw day has a place for, and why.
    pub left_out: BTreeMap<String, &'static str>,
    /// Rows of days that were not asked for, by table.
    pub rows_of_other_days: ByField,
    /// Values that a raw day cannot hold, by table and field: their rows are there without them.
    pub values_left_out: BTreeMap<&'static str, ByField>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// One day that was made of a package.
#[derive(Clone, Debug, Serialize)]
pub struct TidesDay {
    /// The service date.
    pub dt: NaiveDate,
    /// Rows by dataset.
    pub rows: ByField,
    /// Rows that cannot be used.
    pub rejected: u64,
    /// Whether the lake held exactly this already.
    pub unchanged: bool,
}
