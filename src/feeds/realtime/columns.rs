//! Rows into Arrow batches, column by column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringDictionaryBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};

use super::names::{Name, Names};
use super::positions::Row;
use super::schedule::start_date;
use crate::error::{Error, Result};
use crate::model::{Dataset, Kind};

/// Kilometres an hour of a metre a second.
const KMH: f64 = 3.6;

pub(super) fn schema(columns: &[(&str, Kind)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.arrow(), true)).collect::<Vec<_>>()))
}

pub(super) fn positions(rows: &[Row], names: &Names) -> Result<RecordBatch> {
    let instants = |of: fn(&Row) -> Option<i64>| instants(rows.iter().map(of));
    let texts = |of: fn(&Row) -> Name| names.column(rows.iter().map(of));
    let floats = |of: fn(&Row) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Float64Array>()) };
    let wide = |of: fn(&Row) -> Option<f32>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row).map(f64::from)).collect::<Float64Array>())
    };
    let numbers = |of: fn(&Row) -> Option<i32>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int32Array>()) };
    let mut dates = Dates::default();
    let start_dates: Date32Array = rows.iter().map(|row| dates.of(row.said.start_date, names)).collect();
    let columns = vec![
        instants(|row| row.event_micros),
        texts(|row| row.vehicle)?,
        texts(|row| row.said.route)?,
        wide(|row| row.said.latitude),
        wide(|row| row.said.longitude),
        floats(|row| row.said.speed.map(|speed| f64::from(speed) * KMH)),
        wide(|row| row.said.bearing),
        instants(|row| row.header_micros),
        texts(|row| row.said.trip)?,
        Arc::new(start_dates) as ArrayRef,
        numbers(|row| row.said.direction),
        texts(|row| row.said.stop)?,
        numbers(|row| row.said.sequence),
        words(rows.iter().map(|row| row.said.status)),
        words(rows.iter().map(|row| row.said.occupancy)),
        floats(|row| row.said.odometer),
        texts(|row| row.said.label)?,
        instants(|row| row.received_micros),
    ];
    batch(Dataset::VehiclePositions.schema(), columns)
}

/// The date of the last text that was one, as most rows share theirs.
#[derive(Default)]
struct Dates {
    last: Name,
    date: Option<i32>,
}

impl Dates {
    fn of(&mut self, name: Name, names: &Names) -> Option<i32> {
        if name != self.last {
            (self.last, self.date) = (name, start_date(names.text(name).as_bytes()));
        }
        self.date
    }
}

pub(super) fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub(super) fn words(values: impl Iterator<Item = Option<&'static str>>) -> ArrayRef {
    let mut column = StringDictionaryBuilder::<Int32Type>::new();
    column.extend(values);
    Arc::new(column.finish())
}

pub(super) fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let columns = columns.into_iter().zip(schema.fields()).map(|(column, field)| match field.data_type() {
        wanted if wanted == column.data_type() => Ok(column),
        wanted => cast(&column, wanted),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema, columns)
        .map_err(|e| Error::internal(format!("rows of a feed make no batch: {e}")).because(e))
}

/// Dictionaries into plain text, where a column is declared so.
fn cast(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    arrow::compute::cast(column, wanted)
        .map_err(|e| Error::internal(format!("a column of a feed is of another type: {e}")).because(e))
}
