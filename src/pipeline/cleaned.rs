//! Cleaned days as streams, for engines that go on with them elsewhere: what staging takes less what is superseded,
//! and the rejects.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use chrono::NaiveDate;

use super::Pipeline;
use super::stage::Rejects;
use super::streamed::{Streamed, streamed};
use crate::error::{Error, Result};
use crate::load::Feed;
use crate::model::{Dataset, Kind};

impl Pipeline {
    /// The rows of a dataset and day that the rules keep, each key once, with their `dt`. Somebody listed files of it.
    ///
    /// # Errors
    /// `NotFound` when it has none here; `Data` when too many rows are rejected or a file cannot be read.
    pub async fn clean(&self, dt: NaiveDate, dataset: Dataset) -> Result<Streamed> {
        let (judged, cancel) = (self.judged_as_listed(dt, dataset).await?, self.cancel.clone());
        let schema = plain_schema(dataset);
        Ok(streamed(Arc::clone(&schema), move |sink| {
            judged.each(&cancel, &mut |_, kept, _| {
                if kept.num_rows() == 0 { Ok(()) } else { sink(plain(kept, dt, &schema)?) }
            })
        }))
    }

    /// The rejected rows of a dataset and day, as `staging.rejected` takes them.
    ///
    /// # Errors
    /// As [`Self::clean`].
    pub async fn clean_rejects(&self, dt: NaiveDate, dataset: Dataset) -> Result<Streamed> {
        let rejects = Rejects::new(self.judged_as_listed(dt, dataset).await?, dt);
        Ok(streamed(rejects.schema(), move |sink| {
            (0..rejects.units()).try_for_each(|unit| rejects.read(unit, &mut *sink))
        }))
    }
}

/// The columns that workers stream: of a cleaned dataset by its name, of `rejected` rows.
///
/// # Errors
/// `Config` for another name.
pub fn worker_schema(name: &str) -> Result<SchemaRef> {
    match name {
        "rejected" => Ok(Rejects::columns()),
        dataset => dataset.parse().map(plain_schema),
    }
}

/// The columns of a dataset as any engine knows them, and `dt`.
fn plain_schema(dataset: Dataset) -> SchemaRef {
    let plain = |kind: Kind| if kind.is_text() { DataType::Utf8 } else { kind.arrow() };
    let columns = dataset.columns().iter().map(|column| Field::new(column.name, plain(column.kind), true));
    let mut fields: Vec<Field> = columns.collect();
    fields.push(Field::new("dt", DataType::Date32, true));
    Arc::new(Schema::new(fields))
}

fn plain(rows: &RecordBatch, dt: NaiveDate, schema: &SchemaRef) -> Result<RecordBatch> {
    let broken = |e| Error::internal("cleaned rows do not fit their plain types").because(e);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (column, field) in rows.columns().iter().zip(schema.fields()) {
        columns.push(cast(column, field.data_type()).map_err(broken)?);
    }
    columns.push(Arc::new(Date32Array::from_value(Date32Type::from_naive_date(dt), rows.num_rows())));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(broken)
}
