//! Partial results: what they hold, and how they come from cleaned batches of facts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Schema};

use crate::error::{Error, Result};
use crate::rollup::clock::HourClock;
use crate::rollup::columns::{self, hour_array};

/// Columns of a partial result of trips. `hour_bucket` is a timestamp; counts and `duration_sum_sec` are integers,
/// `fare_sum` is a decimal with two digits, `distance_sum_m` a double; the ids are text and may be NULL.
pub const TRIPS: &[&str] = &[
    "route_id",
    "hour_bucket",
    "user_id",
    "vehicle_id",
    "trip_cnt",
    "fare_sum",
    "fare_cnt",
    "duration_sum_sec",
    "duration_cnt",
    "distance_sum_m",
    "distance_cnt",
];

/// Columns of a partial result of payments; `amount_sum` is a decimal with two digits.
pub const PAYMENTS: &[&str] = &["route_id", "hour_bucket", "payment_cnt", "amount_sum", "amount_cnt"];

/// Columns of a partial result of positions; `speed_sum` is a double.
pub const POSITIONS: &[&str] = &["route_id", "hour_bucket", "vehicle_id", "position_cnt", "speed_sum", "speed_cnt"];

/// Columns of a partial result of positions whose vehicles are together: `vehicles` is a list of different texts.
pub const POSITION_HOURS: &[&str] = &["route_id", "hour_bucket", "position_cnt", "speed_sum", "speed_cnt", "vehicles"];

/// Columns of a partial result of planned runs.
pub const SCHEDULED_TRIPS: &[&str] = &["route_id", "hour_bucket", "scheduled_trip_cnt"];

/// One partial row for each cleaned trip (columns of `Dataset::Trips`).
pub fn trips(batch: &RecordBatch, clock: &mut HourClock) -> Result<RecordBatch> {
    let starts = columns::micros_of(batch, "start_ts")?;
    let ends = columns::micros_of(batch, "end_ts")?;
    let durations: Int64Array =
        starts.iter().zip(&ends).map(|(start, end)| Some((end? - start?).div_euclid(1_000_000))).collect();
    let fares = columns::primitive::<Decimal128Type>(batch, "fare", &DataType::Decimal128(38, 2))?;
    let distances = columns::primitive::<Float64Type>(batch, "distance_m", &DataType::Float64)?;
    build(
        TRIPS,
        vec![
            columns::text(batch, "route_id")?.clone(),
            hours(&starts, "start_ts", clock)?,
            columns::text(batch, "user_id")?.clone(),
            columns::text(batch, "vehicle_id")?.clone(),
            ones(batch.num_rows()),
            Arc::new(fares.clone()),
            present(&fares),
            Arc::new(durations.clone()),
            present(&durations),
            Arc::new(distances.clone()),
            present(&distances),
        ],
    )
}

/// One partial row for each cleaned payment (columns of `Dataset::Payments`).
pub fn payments(batch: &RecordBatch, clock: &mut HourClock) -> Result<RecordBatch> {
    let paid = columns::micros_of(batch, "paid_at")?;
    let amounts = columns::primitive::<Decimal128Type>(batch, "amount", &DataType::Decimal128(38, 2))?;
    build(
        PAYMENTS,
        vec![
            columns::text(batch, "route_id")?.clone(),
            hours(&paid, "paid_at", clock)?,
            ones(batch.num_rows()),
            Arc::new(amounts.clone()),
            present(&amounts),
        ],
    )
}

/// One partial row for each cleaned position (columns of `Dataset::VehiclePositions`).
pub fn positions(batch: &RecordBatch, clock: &mut HourClock) -> Result<RecordBatch> {
    let events = columns::micros_of(batch, "event_ts")?;
    let speeds = columns::primitive::<Float64Type>(batch, "speed", &DataType::Float64)?;
    build(
        POSITIONS,
        vec![
            columns::text(batch, "route_id")?.clone(),
            hours(&events, "event_ts", clock)?,
            columns::text(batch, "vehicle_id")?.clone(),
            ones(batch.num_rows()),
            Arc::new(speeds.clone()),
            present(&speeds),
        ],
    )
}

/// One partial row for each cleaned planned run (columns of `Dataset::ScheduledTrips`).
pub fn scheduled_trips(batch: &RecordBatch, clock: &mut HourClock) -> Result<RecordBatch> {
    let starts = columns::micros_of(batch, "start_ts")?;
    let route = columns::text(batch, "route_id")?.clone();
    build(SCHEDULED_TRIPS, vec![route, hours(&starts, "start_ts", clock)?, ones(batch.num_rows())])
}

/// The types of a partial result's columns, for a reader that must know them before its first row.
pub fn schema(names: &[&str]) -> Schema {
    let fields = names.iter().map(|name| {
        let data_type = match *name {
            "hour_bucket" => columns::hour_type(),
            "vehicles" => columns::texts_type(),
            "fare_sum" | "amount_sum" => DataType::Decimal128(38, 2),
            "distance_sum_m" | "speed_sum" => DataType::Float64,
            name if name.ends_with("_id") => DataType::Utf8,
            _ => DataType::Int64,
        };
        Field::new(*name, data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn build(names: &[&str], arrays: Vec<ArrayRef>) -> Result<RecordBatch> {
    let fields = names.iter().zip(&arrays).map(|(name, a)| Field::new(*name, a.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays)
        .map_err(|e| Error::internal("a partial result cannot be built").because(e))
}

fn hours(instants: &Int64Array, name: &'static str, clock: &mut HourClock) -> Result<ArrayRef> {
    if instants.null_count() > 0 {
        return Err(Error::internal(format!("a cleaned batch has rows without {name}")).with("column", name));
    }
    let values = instants.values();
    if let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) {
        clock.cover(*min, *max);
    }
    Ok(Arc::new(hour_array(values.iter().map(|instant| clock.bucket_micros(*instant)).collect())))
}

fn ones(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_value(1, rows))
}

/// 1 where there is a value, 0 where there is none.
fn present(values: &dyn Array) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..values.len()).map(|row| i64::from(values.is_valid(row)))))
}
