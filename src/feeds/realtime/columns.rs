//! Rows into Arrow batches, column by column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float64Type, Int32Type, Schema, SchemaRef,
    TimestampMicrosecondType,
};

use super::names::{Name, Names};
use super::row::Row;
use super::schedule::start_date;
use super::words::{Code, OCCUPANCY, VEHICLE_STOP_STATUS, Words};
use crate::error::{Error, Result};
use crate::feeds::{Ids, KMH};
use crate::model::{Dataset, Kind};

pub(super) fn schema(columns: &[(&str, Kind)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.arrow(), true)).collect::<Vec<_>>()))
}

pub(super) fn positions(rows: &[Row], names: &mut Names, ids: &Ids) -> Result<RecordBatch> {
    let texts = names.columns(ids)?;
    let id = |of: fn(&Row) -> Name| texts.of_ids(rows, of);
    let mut dates = Dates::default();
    let start_dates: Vec<_> = rows.iter().map(|row| dates.of(row.said.start_date, names)).collect();
    let columns = vec![
        micros(rows, |row| row.event_micros),
        id(|row| row.vehicle)?,
        id(|row| row.said.route)?,
        floats(rows, |row| row.said.latitude.map(f64::from)),
        floats(rows, |row| row.said.longitude.map(f64::from)),
        floats(rows, |row| row.said.speed.map(|speed| f64::from(speed) * KMH)),
        floats(rows, |row| row.said.bearing.map(f64::from)),
        micros(rows, |row| row.header_micros),
        id(|row| row.said.trip)?,
        Arc::new(filled::<_, Date32Type>(&start_dates, |date| *date)) as ArrayRef,
        numbers(rows, |row| row.said.direction),
        id(|row| row.said.stop)?,
        numbers(rows, |row| row.said.sequence),
        words(VEHICLE_STOP_STATUS, rows.iter().map(|row| row.said.status))?,
        words(OCCUPANCY, rows.iter().map(|row| row.said.occupancy))?,
        floats(rows, |row| row.said.odometer),
        texts.of(rows, |row| row.said.label)?,
        micros(rows, |row| row.received_micros),
    ];
    batch(Dataset::VehiclePositions.schema(), columns)
}

/// A column of what `of` says of each row. Values and their presence are walked apart, so that neither walk branches.
fn filled<R, T: ArrowPrimitiveType>(rows: &[R], of: impl Fn(&R) -> Option<T::Native>) -> PrimitiveArray<T> {
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |at| rows.get(at).and_then(&of).is_some()));
    if nulls.null_count() == rows.len() {
        return PrimitiveArray::new_null(rows.len());
    }
    let values: Vec<_> = rows.iter().map(|row| of(row).unwrap_or_default()).collect();
    PrimitiveArray::new(values.into(), Some(nulls).filter(|nulls| nulls.null_count() > 0))
}

fn floats(rows: &[Row], of: impl Fn(&Row) -> Option<f64>) -> ArrayRef {
    Arc::new(filled::<_, Float64Type>(rows, of))
}

fn numbers(rows: &[Row], of: impl Fn(&Row) -> Option<i32>) -> ArrayRef {
    Arc::new(filled::<_, Int32Type>(rows, of))
}

fn micros(rows: &[Row], of: impl Fn(&Row) -> Option<i64>) -> ArrayRef {
    Arc::new(filled::<_, TimestampMicrosecondType>(rows, of).with_timezone("UTC"))
}

/// The date of the last text that was one, as most rows share theirs.
#[derive(Default)]
pub(super) struct Dates {
    last: Name,
    date: Option<i32>,
}

impl Dates {
    #[inline]
    pub(super) fn of(&mut self, name: Name, names: &Names) -> Option<i32> {
        if name != self.last {
            (self.last, self.date) = (name, start_date(names.text(name).as_bytes()));
        }
        self.date
    }
}

pub(super) fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub(super) fn words(table: Words, codes: impl ExactSizeIterator<Item = Code>) -> Result<ArrayRef> {
    let keys: Int32Array = codes.map(|code| code.checked_sub(1).map(i32::from)).collect();
    let names = StringArray::from_iter_values(table.iter().map(|(_, name)| name));
    let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(names))
        .map_err(|e| Error::internal(format!("a column of names cannot be made: {e}")).because(e))?;
    Ok(Arc::new(column))
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
