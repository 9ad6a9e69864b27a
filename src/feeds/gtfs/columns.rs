//! Columns and batches of what feeds hold.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// A value, or nothing where it is blank.
pub(super) fn optional(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A batch of columns that were made for a schema.
pub(super) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|e| Error::internal("columns of a feed do not fit their dataset").because(e))
}
