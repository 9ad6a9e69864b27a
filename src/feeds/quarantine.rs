//! Rows that could not be used, as the quarantine of a raw day takes them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::Date32Type;
use chrono::NaiveDate;

use crate::error::{Error, Result};
use crate::model::{Dataset, Reason};

/// A row that could not be used.
pub(super) struct Rejected<'a> {
    /// The raw dataset that lacks it.
    pub(super) dataset: Dataset,
    /// Its file.
    pub(super) file: Cow<'a, str>,
    /// Its line or row there.
    pub(super) row: u64,
    /// Why.
    pub(super) reason: Reason,
    /// The row as it came.
    pub(super) row_json: &'a str,
}

/// The rejected rows of one day.
pub(super) fn batch(date: NaiveDate, rejected: &[Rejected<'_>]) -> Result<RecordBatch> {
    let mut reasons = ListBuilder::new(StringBuilder::new());
    for row in rejected {
        reasons.values().append_value(row.reason.code());
        reasons.append(true);
    }
    let day = Date32Array::from_value(Date32Type::from_naive_date(date), rejected.len());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("dataset", Arc::new(StringArray::from_iter_values(rejected.iter().map(|row| row.dataset.name())))),
        ("dt", Arc::new(day)),
        ("file", Arc::new(StringArray::from_iter_values(rejected.iter().map(|row| &row.file)))),
        ("row_number", Arc::new(Int64Array::from_iter_values(rejected.iter().map(|row| row.row.cast_signed())))),
        ("reasons", Arc::new(reasons.finish())),
        ("row_json", Arc::new(StringArray::from_iter_values(rejected.iter().map(|row| row.row_json)))),
    ];
    RecordBatch::try_from_iter(columns).map_err(|e| Error::internal("rejects do not fit their table").because(e))
}
