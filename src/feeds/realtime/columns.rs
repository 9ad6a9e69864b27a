//! Rows into Arrow batches, column by column.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float64Type, Int32Type, Schema, SchemaRef,
    TimestampMicrosecondType,
};

use super::filled::Filled;
use super::names::{Name, Names, key};
use super::row::Row;
use super::schedule::start_date;
use super::words::{Code, OCCUPANCY, VEHICLE_STOP_STATUS, Words};
use crate::error::{Error, Result};
use crate::feeds::{Ids, KMH};
use crate::model::{Dataset, Kind};

pub(super) fn schema(columns: &[(&str, Kind)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.arrow(), true)).collect::<Vec<_>>()))
}

/// Rows whose columns are filled one after the other while they are near the processor: a whole batch of rows is not.
const BLOCK_ROWS: usize = 512;

pub(super) fn positions(rows: &[Row], names: &mut Names, ids: &Ids) -> Result<RecordBatch> {
    let texts = names.columns(ids)?;
    let mut dates = Dates::default();
    let [mut event, mut header, mut received] = empty(rows.len());
    let [mut lat, mut lon, mut speed, mut heading, mut odometer] = empty(rows.len());
    let [mut direction, mut sequence, mut status, mut occupancy] = empty(rows.len());
    let [mut vehicle, mut route, mut trip, mut stop, mut label] = empty(rows.len());
    let [mut start] = empty::<Date32Type, 1>(rows.len());
    for rows in rows.chunks(BLOCK_ROWS) {
        event.add(rows, |row| row.event_micros);
        vehicle.add(rows, |row| key(row.vehicle));
        route.add(rows, |row| key(row.said.route));
        lat.add(rows, |row| row.said.latitude.map(f64::from));
        lon.add(rows, |row| row.said.longitude.map(f64::from));
        speed.add(rows, |row| row.said.speed.map(|speed| f64::from(speed) * KMH));
        heading.add(rows, |row| row.said.bearing.map(f64::from));
        header.add(rows, |row| row.header_micros);
        trip.add(rows, |row| key(row.said.trip));
        start.add(rows, |row| dates.of(row.said.start_date, names));
        direction.add(rows, |row| row.said.direction);
        stop.add(rows, |row| key(row.said.stop));
        sequence.add(rows, |row| row.said.sequence);
        status.add(rows, |row| word(row.said.status));
        occupancy.add(rows, |row| word(row.said.occupancy));
        odometer.add(rows, |row| row.said.odometer);
        label.add(rows, |row| key(row.said.label));
        received.add(rows, |row| row.received_micros);
    }
    let columns = vec![
        micros(event),
        texts.ids(vehicle)?,
        texts.ids(route)?,
        plain::<Float64Type>(lat),
        plain::<Float64Type>(lon),
        plain::<Float64Type>(speed),
        plain::<Float64Type>(heading),
        micros(header),
        texts.ids(trip)?,
        plain(start),
        plain::<Int32Type>(direction),
        texts.ids(stop)?,
        plain::<Int32Type>(sequence),
        words_of(VEHICLE_STOP_STATUS, status.array())?,
        words_of(OCCUPANCY, occupancy.array())?,
        plain::<Float64Type>(odometer),
        texts.texts(label)?,
        micros(received),
    ];
    batch(Dataset::VehiclePositions.schema(), columns)
}

fn empty<T: ArrowPrimitiveType, const COLUMNS: usize>(rows: usize) -> [Filled<T>; COLUMNS] {
    std::array::from_fn(|_| Filled::with_capacity(rows))
}

fn plain<T: ArrowPrimitiveType>(column: Filled<T>) -> ArrayRef {
    Arc::new(column.array())
}

fn micros(column: Filled<TimestampMicrosecondType>) -> ArrayRef {
    Arc::new(column.array().with_timezone("UTC"))
}

fn word(code: Code) -> Option<i32> {
    code.checked_sub(1).map(i32::from)
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
    words_of(table, codes.map(word).collect())
}

fn words_of(table: Words, keys: Int32Array) -> Result<ArrayRef> {
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
