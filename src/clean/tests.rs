//! Conversions against tables and simple models, rules one by one, fates against a naive judge, and real days.

mod conversions;
mod days;
mod fates;
mod rules;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::*;
use crate::model::{Dataset, Reason};

/// 2024-05-01T10:00:00Z.
const NOON: i64 = 1_714_557_600_000_000;

/// Required columns of a dataset, filled with good values.
fn good(dataset: Dataset, rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let ids: Vec<String> = (0..rows).map(|n| format!("k{n}")).collect();
    let columns = dataset.columns().iter().filter(|c| c.required);
    columns
        .map(|c| {
            let array: ArrayRef = match c.kind {
                crate::model::Kind::Instant => Arc::new(TimestampMicrosecondArray::from(vec![NOON; rows])),
                _ => Arc::new(StringArray::from(ids.clone())),
            };
            (c.name, array)
        })
        .collect()
}

/// A batch of good rows with some columns replaced or added.
fn batch(dataset: Dataset, columns: Vec<(&'static str, ArrayRef)>) -> RecordBatch {
    let rows = columns[0].1.len();
    let mut all = good(dataset, rows);
    for (name, array) in columns {
        all.retain(|(known, _)| *known != name);
        all.push((name, array));
    }
    if dataset == Dataset::VehiclePositions {
        for name in ["lat", "lon"] {
            if all.iter().all(|(known, _)| *known != name) {
                all.push((name, Arc::new(arrow::array::Float64Array::from(vec![30.25; rows]))));
            }
        }
    }
    RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

fn clean(dataset: Dataset, columns: Vec<(&'static str, ArrayRef)>) -> Cleaned {
    let batch = batch(dataset, columns);
    Cleaner::new(dataset, "f.parquet", &batch.schema()).unwrap().clean(&batch, 1).unwrap()
}

fn reasons(cleaned: &Cleaned) -> Vec<(u64, Vec<Reason>)> {
    cleaned.rejects.iter().map(|r| (r.row_number, r.reasons.clone())).collect()
}
