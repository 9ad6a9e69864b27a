//! The quarantine of ingest: rows of a feed that never became rows of the raw day, taken in beside those that staging rejects.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, SchemaRef};

use super::Pipeline;
use super::day::Day;
use super::report::{Report, TableReport};
use super::stage::Rejects;
use crate::error::{Error, Result};
use crate::lake::RejectedFile;
use crate::load::{Feed, Line, Part, Unit};
use crate::warehouse::{self, REJECTED};

/// Rows in memory, as `staging.rejected` takes them.
struct Ready {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Feed for Ready {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn units(&self) -> usize {
        self.batches.len()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.batches.get(unit).map_or(Ok(()), |batch| sink(batch.clone()))
    }
}

impl Pipeline {
    /// Replaces what the quarantine holds of the day's feeds, unless it holds exactly that.
    pub(super) async fn stage_feed_rejects(&self, day: &Day, report: &mut Report) -> Result<()> {
        let warehouse = self.warehouse()?;
        let mut files = Vec::new();
        if let Some((lake, partition)) = day.listed() {
            for listed in &partition.rejected {
                files.push((lake.rejected(day.dt, listed, &self.cancel).await?, listed.origin.clone()));
            }
        }
        let identity = |(file, origin): &(RejectedFile, Option<serde_json::Value>)| Part {
            file: file.path.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256.clone(),
            etag: None,
            origin: origin.clone(),
        };
        let parts: Vec<Part> = files.iter().map(identity).collect();
        match warehouse.unchanged(REJECTED, day.dt, &parts).await? {
            Some(lines) if lines.is_empty() => return Ok(()),
            Some(lines) => {
                report.table(REJECTED, TableReport::unchanged(&lines));
                return Ok(());
            }
            None => {}
        }
        let schema = Rejects::columns();
        let load_id = warehouse::load_id(day.dt);
        let (mut batches, mut lines) = (Vec::new(), Vec::new());
        for ((file, _), part) in files.iter().zip(parts) {
            let mut rows = 0;
            for batch in file.batches()? {
                rows += batch.num_rows() as u64;
                batches.push(as_stored(file, &schema, &batch, &load_id)?);
            }
            let none = Line { part, rows_read: rows, rows_rejected: rows, ..Line::default() };
            lines.push(none);
        }
        warehouse::stage_feed_rejects(warehouse, day.dt, &lines, Arc::new(Ready { schema, batches })).await?;
        self.progress.publish(format!("{REJECTED} of the feeds of dt={}", day.dt));
        let table = TableReport::of(&lines);
        report.table(REJECTED, TableReport { rows_written: table.rows_rejected, ..table });
        Ok(())
    }
}

/// The columns of the quarantine, by name.
fn as_stored(file: &RejectedFile, schema: &SchemaRef, batch: &RecordBatch, load_id: &str) -> Result<RecordBatch> {
    let unfit = |what: String| {
        Error::schema(format!("{} {what}; write the partition again", file.path)).with("file", &file.path)
    };
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        if field.name() == "load_id" {
            return Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(load_id, batch.num_rows()))));
        }
        let found =
            batch.column_by_name(field.name()).ok_or_else(|| unfit(format!("has no column {}", field.name())))?;
        cast(found, field.data_type())
            .map_err(|e| unfit(format!("has another {} than the quarantine: {e}", field.name())))
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|e| Error::internal("rejects do not fit their table").because(e))
}
