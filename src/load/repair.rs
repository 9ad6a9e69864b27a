//! A rejected row as somebody put it right.

use chrono::NaiveDate;

use crate::model::Dataset;

/// A repaired row and what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Its dataset.
    pub dataset: Dataset,
    /// The raw day.
    pub dt: NaiveDate,
    /// The file.
    pub file: String,
    /// Its number in the file, from 1.
    pub row_number: i64,
    /// The digest of the file.
    pub sha256: String,
    /// Why it was rejected.
    pub reasons: Vec<String>,
    /// The row as it came, as JSON.
    pub row_json: String,
    /// The row as repaired, as JSON.
    pub repaired: String,
}
