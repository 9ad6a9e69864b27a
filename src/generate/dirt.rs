//! Spoils clean batches on purpose: repeated rows, NULLs, and values that break the rules.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, Scalar, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{nullif, take_record_batch};
use arrow::error::ArrowError;

use super::draw::Key;
use crate::error::{Error, Result};
use crate::model::Dataset;

/// What happens to a spoiled row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stain {
    Repeated,
    /// An optional column is NULL.
    Empty(usize),
    /// The row's key is NULL.
    NoKey,
    /// A value breaks the dataset's rule.
    Broken,
}

/// Spoils the batches of one dataset and day.
pub(super) struct Dirt {
    dataset: Dataset,
    share: f64,
    key: Key,
    rows: u64,
    /// Columns that may be NULL without breaking a rule.
    optional: Vec<usize>,
}

impl Dirt {
    pub fn new(dataset: Dataset, share: f64, key: Key) -> Self {
        let judged = ["lat", "lon"];
        let optional = dataset.columns().iter().enumerate();
        let optional = optional.filter(|(_, c)| !c.required && !judged.contains(&c.name)).map(|(index, _)| index);
        Self { dataset, share, key: key.with(dataset as u64), rows: 0, optional: optional.collect() }
    }

    /// The batch with its share of spoiled rows. Repetitions follow their row at once.
    pub fn spoil(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let stains: Vec<Option<Stain>> = (0..batch.num_rows()).map(|_| self.stain()).collect();
        self.apply(batch, &stains)
            .map_err(|e| Error::internal("a batch cannot be spoiled").with("dataset", self.dataset).because(e))
    }

    fn stain(&mut self) -> Option<Stain> {
        self.rows += 1;
        let key = self.key.with(self.rows);
        key.chance(0, self.share).then(|| match key.below(1, 10) {
            0..4 => Stain::Repeated,
            4..7 if !self.optional.is_empty() => Stain::Empty(key.pick(2, &self.optional)),
            7 => Stain::NoKey,
            _ => Stain::Broken,
        })
    }

    fn apply(&self, batch: &RecordBatch, stains: &[Option<Stain>]) -> std::result::Result<RecordBatch, ArrowError> {
        let mask = |wanted: Stain| stains.iter().map(|stain| Some(*stain == Some(wanted))).collect::<BooleanArray>();
        let mut columns = batch.columns().to_vec();
        for &index in &self.optional {
            columns[index] = nullif(&columns[index], &mask(Stain::Empty(index)))?;
        }
        let (index, broken) = self.broken();
        columns[index] = match broken {
            Some(value) => zip(&mask(Stain::Broken), &Scalar::new(value), &columns[index])?,
            None => nullif(&columns[index], &mask(Stain::Broken))?,
        };
        if let Some(key) = self.dataset.index(self.dataset.key()) {
            columns[key] = nullif(&columns[key], &mask(Stain::NoKey))?;
        }
        let repeated = |row: usize| 1 + usize::from(stains[row] == Some(Stain::Repeated));
        let rows: UInt32Array =
            (0..stains.len()).flat_map(|row| std::iter::repeat_n(row as u32, repeated(row))).map(Some).collect();
        take_record_batch(&RecordBatch::try_new(batch.schema(), columns)?, &rows)
    }

    /// A column and the value that breaks a rule in it, or none where its absence does.
    fn broken(&self) -> (usize, Option<ArrayRef>) {
        let column = |name: &str| self.dataset.index(name).unwrap_or_default();
        let float = |value: f64| Some(Arc::new(Float64Array::from(vec![value])) as ArrayRef);
        // Each batch breaks one rule.
        let other = self.key.draw(self.rows) & 1 == 0;
        match self.dataset {
            Dataset::VehiclePositions if other => (column("speed"), float(412.0)),
            Dataset::VehiclePositions | Dataset::Stops => (column("lat"), float(655.35)),
            Dataset::Trips if other => (column("distance_m"), float(-1.0)),
            Dataset::Trips => {
                let long_ago = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
                (column("end_ts"), Some(Arc::new(long_ago)))
            }
            Dataset::Payments => (column("paid_at"), None),
            Dataset::Routes | Dataset::Users | Dataset::Vehicles => (column(self.dataset.key()), None),
        }
    }
}
