//! Publishes what a day's positions add up to, with them.

use std::sync::Arc;

use arrow::array::{Date32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Field, Schema};
use chrono::NaiveDate;

use crate::error::Result;
use crate::postgres::Session;
use crate::warehouse::context::Warehouse;
use crate::warehouse::copied::batch_of;
use crate::warehouse::position_hours::{TABLE, fingerprint};
use crate::warehouse::telemetry::copy_rows;

/// Replaces the rows of one raw day, within the publication of its positions.
pub(super) async fn replace(
    warehouse: &Warehouse,
    session: &Session,
    dt: NaiveDate,
    hours: &RecordBatch,
) -> Result<()> {
    session.execute(&format!("DELETE FROM {TABLE} WHERE dt = $1"), &[&dt]).await?;
    if hours.num_rows() == 0 {
        return Ok(());
    }
    let rows = rows_of(dt, hours, &fingerprint(warehouse.zone))?;
    copy_rows(warehouse, session, TABLE, rows).await
}

/// Rows of the table from those of [`crate::rollup::mart::PositionHours`].
fn rows_of(dt: NaiveDate, hours: &RecordBatch, fingerprint: &str) -> Result<RecordBatch> {
    let rows = hours.num_rows();
    let mut fields: Vec<Field> = hours.schema().fields().iter().map(|field| (**field).clone()).collect();
    let mut columns = hours.columns().to_vec();
    fields.push(Field::new("dt", DataType::Date32, false));
    columns.push(Arc::new(Date32Array::from_value(Date32Type::from_naive_date(dt), rows)));
    fields.push(Field::new("settings_fingerprint", DataType::Utf8, false));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(fingerprint, rows))));
    batch_of(&Arc::new(Schema::new(fields)), columns)
}
