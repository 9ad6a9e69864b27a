//! Rows on their way into a table.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::{Error, Result};

/// A piece of work that one connection does by itself.
pub type Unit = usize;

/// Cleaned rows of one dataset and day that are to be loaded, in independent units.
pub trait Rows: Send + Sync {
    /// How many units there are.
    fn units(&self) -> usize;

    /// Whether some file has a column; one that none has is NULL in every row, and need not be sent.
    fn states(&self, column: &str) -> bool;

    /// Reads one unit and hands over its batches with the number of their file. Blocking.
    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch, i16) -> Result<()>) -> Result<()>;
}

/// Rows as a table takes them, in independent units.
pub trait Feed: Send + Sync {
    /// The schema of every batch: the columns of the COPY, in order.
    fn schema(&self) -> SchemaRef;

    /// How many units there are.
    fn units(&self) -> usize;

    /// Reads one unit and hands over its batches. Blocking; called from a thread of its own.
    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()>;

    /// Where a unit's batches come from, for feeds whose units differ in schema or count their rows by file: the
    /// schema, and the rows before the unit in its file.
    fn origin(&self, _unit: Unit) -> Option<(SchemaRef, u64)> {
        None
    }

    /// How messages call the file or stream of a unit, for feeds whose rows are the caller's own.
    fn name(&self, _unit: Unit) -> Option<&str> {
        None
    }
}

/// A file or stream and its schema.
#[derive(Clone, Debug)]
pub struct Origin {
    /// How messages call it.
    pub name: String,
    /// The schema of its batches.
    pub schema: SchemaRef,
    /// Columns of the batches that the file itself lacks: they are NULL.
    pub lacks: Vec<String>,
}

/// What every source must keep, whoever reads it: no two columns of one name. `name` is what messages call it.
///
/// # Errors
/// `Schema`, naming source and column.
pub fn check_columns(name: &str, schema: &Schema) -> Result<()> {
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::schema(format!(
            "{name} has two columns {:?}, expected one of each name; rename one or leave it out",
            pair[0]
        ))
        .with("file", name)
        .with("column", pair[0])),
    }
}
