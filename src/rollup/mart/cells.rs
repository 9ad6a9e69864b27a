//! The sums, counts and sets of each route and hour.

use arrow::array::{Array, Decimal128Array, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use hashbrown::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::rollup::columns;
use crate::rollup::ids::{NULL_ID, TextIds};

/// What is known of one route and hour.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub trip_cnt: i64,
    pub fare_sum: i128,
    pub fare_cnt: i64,
    pub duration_sum_sec: i64,
    pub duration_cnt: i64,
    pub distance_sum_m: f64,
    pub distance_cnt: i64,
    pub payment_cnt: i64,
    pub amount_sum: i128,
    pub amount_cnt: i64,
    pub position_cnt: i64,
    pub speed_sum: f64,
    pub speed_cnt: i64,
    pub scheduled_trip_cnt: i64,
    pub vehicles: HashSet<u32>,
    pub riders: HashSet<u32>,
}

/// All cells, and the texts behind their numbers.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub routes: TextIds,
    pub vehicles: TextIds,
    pub riders: TextIds,
    index: HashMap<(u32, i64), usize>,
    /// Route number, hour and content.
    pub all: Vec<(u32, i64, Cell)>,
}

/// The two columns that every partial has.
struct Place {
    routes: Vec<u32>,
    hours: Int64Array,
}

impl Cells {
    pub fn add_trips(&mut self, batch: &RecordBatch) -> Result<()> {
        let place = self.place(batch)?;
        let riders = self.riders.codes(columns::text(batch, "user_id")?)?;
        let vehicles = self.vehicles.codes(columns::text(batch, "vehicle_id")?)?;
        let (no_rider, no_vehicle) = (self.riders.id("")?, self.vehicles.id("")?);
        let trips = integers(batch, "trip_cnt")?;
        let (fares, fare_cnt) = (money(batch, "fare_sum")?, integers(batch, "fare_cnt")?);
        let (durations, duration_cnt) = (integers(batch, "duration_sum_sec")?, integers(batch, "duration_cnt")?);
        let (distances, distance_cnt) = (floats(batch, "distance_sum_m")?, integers(batch, "distance_cnt")?);
        for row in 0..batch.num_rows() {
            let cell = self.cell(&place, row)?;
            add_count(&mut cell.trip_cnt, &trips, row)?;
            add_money(&mut cell.fare_sum, &fares, row)?;
            add_count(&mut cell.fare_cnt, &fare_cnt, row)?;
            add_count(&mut cell.duration_sum_sec, &durations, row)?;
            add_count(&mut cell.duration_cnt, &duration_cnt, row)?;
            cell.distance_sum_m += or_zero(&distances, row);
            add_count(&mut cell.distance_cnt, &distance_cnt, row)?;
            remember(&mut cell.riders, riders[row], no_rider);
            remember(&mut cell.vehicles, vehicles[row], no_vehicle);
        }
        Ok(())
    }

    pub fn add_scheduled_trips(&mut self, batch: &RecordBatch) -> Result<()> {
        let place = self.place(batch)?;
        let runs = integers(batch, "scheduled_trip_cnt")?;
        for row in 0..batch.num_rows() {
            let cell = self.cell(&place, row)?;
            add_count(&mut cell.scheduled_trip_cnt, &runs, row)?;
        }
        Ok(())
    }

    pub fn add_payments(&mut self, batch: &RecordBatch) -> Result<()> {
        let place = self.place(batch)?;
        let payments = integers(batch, "payment_cnt")?;
        let (amounts, amount_cnt) = (money(batch, "amount_sum")?, integers(batch, "amount_cnt")?);
        for row in 0..batch.num_rows() {
            let cell = self.cell(&place, row)?;
            add_count(&mut cell.payment_cnt, &payments, row)?;
            add_money(&mut cell.amount_sum, &amounts, row)?;
            add_count(&mut cell.amount_cnt, &amount_cnt, row)?;
        }
        Ok(())
    }

    pub fn add_positions(&mut self, batch: &RecordBatch) -> Result<()> {
        let place = self.place(batch)?;
        let vehicles = self.vehicles.codes(columns::text(batch, "vehicle_id")?)?;
        let no_vehicle = self.vehicles.id("")?;
        let positions = integers(batch, "position_cnt")?;
        let (speeds, speed_cnt) = (floats(batch, "speed_sum")?, integers(batch, "speed_cnt")?);
        for (row, vehicle) in vehicles.into_iter().enumerate() {
            let cell = self.cell(&place, row)?;
            add_count(&mut cell.position_cnt, &positions, row)?;
            cell.speed_sum += or_zero(&speeds, row);
            add_count(&mut cell.speed_cnt, &speed_cnt, row)?;
            remember(&mut cell.vehicles, vehicle, no_vehicle);
        }
        Ok(())
    }

    pub fn add_position_hours(&mut self, batch: &RecordBatch) -> Result<()> {
        let place = self.place(batch)?;
        let lists = columns::texts(batch, "vehicles")?;
        let vehicles = self.vehicles.codes(lists.values())?;
        let no_vehicle = self.vehicles.id("")?;
        let positions = integers(batch, "position_cnt")?;
        let (speeds, speed_cnt) = (floats(batch, "speed_sum")?, integers(batch, "speed_cnt")?);
        for (row, ends) in lists.offsets().windows(2).enumerate() {
            let cell = self.cell(&place, row)?;
            add_count(&mut cell.position_cnt, &positions, row)?;
            cell.speed_sum += or_zero(&speeds, row);
            add_count(&mut cell.speed_cnt, &speed_cnt, row)?;
            for &vehicle in &vehicles[ends[0] as usize..ends[1] as usize] {
                remember(&mut cell.vehicles, vehicle, no_vehicle);
            }
        }
        Ok(())
    }

    fn place(&mut self, batch: &RecordBatch) -> Result<Place> {
        let mut routes = self.routes.codes(columns::text(batch, "route_id")?)?;
        let without = self.routes.id("")?;
        routes.iter_mut().filter(|id| **id == NULL_ID).for_each(|id| *id = without);
        let hours = columns::micros_of(batch, "hour_bucket")?;
        if hours.null_count() > 0 {
            return Err(Error::internal("a partial result has no hour_bucket").with("column", "hour_bucket"));
        }
        Ok(Place { routes, hours })
    }

    fn cell(&mut self, place: &Place, row: usize) -> Result<&mut Cell> {
        let (route, hour) = (place.routes[row], place.hours.value(row));
        let all = &mut self.all;
        let at = *self.index.entry((route, hour)).or_insert_with(|| {
            all.push((route, hour, Cell::default()));
            all.len() - 1
        });
        all.get_mut(at).map(|c| &mut c.2).ok_or_else(|| Error::internal("a cell of the mart is lost"))
    }
}

fn integers(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    columns::primitive::<Int64Type>(batch, name, &DataType::Int64)
}

fn floats(batch: &RecordBatch, name: &str) -> Result<Float64Array> {
    columns::primitive::<Float64Type>(batch, name, &DataType::Float64)
}

fn money(batch: &RecordBatch, name: &str) -> Result<Decimal128Array> {
    columns::primitive::<Decimal128Type>(batch, name, &DataType::Decimal128(38, 2))
}

fn or_zero(values: &Float64Array, row: usize) -> f64 {
    if values.is_null(row) { 0.0 } else { values.value(row) }
}

fn add_count(total: &mut i64, values: &Int64Array, row: usize) -> Result<()> {
    if values.is_valid(row) {
        *total = total.checked_add(values.value(row)).ok_or_else(|| Error::data("a count of the mart overflows"))?;
    }
    Ok(())
}

fn add_money(total: &mut i128, values: &Decimal128Array, row: usize) -> Result<()> {
    if values.is_valid(row) {
        *total = total.checked_add(values.value(row)).ok_or_else(|| Error::data("a sum of the mart overflows"))?;
    }
    Ok(())
}

fn remember(set: &mut HashSet<u32>, id: u32, unknown: u32) {
    if id != NULL_ID && id != unknown {
        set.insert(id);
    }
}
