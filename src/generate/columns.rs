//! The columns of generated batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::model::Dataset;

/// Rows of a batch, about.
pub(super) const BATCH_ROWS: usize = 65_536;

/// The columns that a city fills of a dataset: the first ones; what comes after them is for feeds.
pub fn schema(dataset: Dataset) -> SchemaRef {
    let all = dataset.schema();
    let width = match dataset {
        Dataset::Trips => 11,
        Dataset::VehiclePositions => 8,
        Dataset::Routes | Dataset::Stops | Dataset::Users | Dataset::Vehicles | Dataset::Payments => all.fields().len(),
        Dataset::ScheduledTrips
        | Dataset::ScheduledStopTimes
        | Dataset::Shapes
        | Dataset::TripUpdates
        | Dataset::Alerts => 0,
    };
    Arc::new(Schema::new(all.fields().iter().take(width).cloned().collect::<Vec<_>>()))
}

/// A batch of a dataset from its columns in order.
pub(super) fn batch(dataset: Dataset, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema(dataset), columns)
        .map_err(|e| Error::internal("generated columns do not fit their dataset").with("dataset", dataset).because(e))
}

/// A text column without NULLs.
pub(super) fn texts<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// An instant column; UTC.
pub(super) fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A money column from kopecks.
pub(super) fn money(values: impl Iterator<Item = i64>) -> Result<ArrayRef> {
    let array = Decimal128Array::from_iter_values(values.map(i128::from)).with_precision_and_scale(12, 2);
    array.map(|array| Arc::new(array) as ArrayRef).map_err(|e| Error::internal("money does not fit").because(e))
}
