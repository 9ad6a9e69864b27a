//! Pings of the vehicles under way, hour by hour, so that a file is nearly in order of time.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;

use super::columns::{BATCH_ROWS, batch};
use super::draw::{Key, Topic};
use super::geography::round7;
use super::plan::DayPlan;
use super::route::Route;
use super::timetable::{HOUR_MS, LAST_HOUR, Run, Runs};
use crate::error::{Error, Result};
use crate::model::Dataset;

const PING_MS: i64 = 10_000;

/// Pings of one vehicle in one hour, at most.
const HOUR_ROWS: usize = (HOUR_MS / PING_MS) as usize;

/// A stretch with one speed: at a stop or between two.
#[derive(Clone, Copy, Debug, Default)]
struct Leg {
    start_ms: i64,
    end_ms: i64,
    lat: f64,
    lon: f64,
    lat_per_ms: f64,
    lon_per_ms: f64,
    kmh: f64,
    heading: f64,
}

/// One vehicle under way.
struct Tracker<'a> {
    route: &'a Route,
    vehicle: usize,
    runs: Runs<'a>,
    run: Run,
    /// Index of the leg in its run: even at a stop, odd between two.
    step: usize,
    leg: Leg,
    over: bool,
    next_ms: i64,
    key: Key,
    pings: u64,
}

/// The columns of a batch under construction.
#[derive(Default)]
struct Columns {
    event: Vec<i64>,
    vehicle: Vec<i32>,
    route: Vec<i32>,
    lat: Vec<f64>,
    lon: Vec<f64>,
    speed: Vec<f64>,
    heading: Vec<f64>,
    provider: Vec<i64>,
}

impl<'a> Tracker<'a> {
    fn new(plan: &'a DayPlan, vehicle: usize) -> Self {
        let key = Key::new(plan.seed, Topic::Ping).with(plan.day as u64).with(vehicle as u64);
        let mut tracker = Self {
            route: &plan.routes[plan.fleet[vehicle].route],
            vehicle,
            runs: plan.runs(vehicle),
            run: Run::default(),
            step: 0,
            leg: Leg::default(),
            over: false,
            // Vehicles do not report in step with each other.
            next_ms: key.with(0).below(0, PING_MS as u64) as i64,
            key,
            pings: 0,
        };
        tracker.advance();
        tracker
    }

    /// Goes on to the following leg and, after a break between shifts, to its first ping.
    fn advance(&mut self) {
        if self.step + 1 >= 2 * self.run.calls.len() {
            self.over = !self.runs.next(&mut self.run);
            if self.over {
                return;
            }
            self.step = 0;
        }
        self.leg = self.leg_of(self.step);
        self.step += 1;
        let behind_ms = self.leg.start_ms - self.next_ms;
        if behind_ms > 0 {
            self.next_ms += (behind_ms + PING_MS - 1) / PING_MS * PING_MS;
        }
    }

    fn leg_of(&self, step: usize) -> Leg {
        let path = &self.route.path;
        let calls = &self.run.calls;
        let (here, there) = (calls[step / 2], calls[(step / 2 + 1).min(calls.len() - 1)]);
        let forward = calls[0].at == 0;
        let segment = if forward { here.at.min(path.heading.len() - 1) } else { here.at.max(1) - 1 };
        let heading = if forward { path.heading[segment] } else { (path.heading[segment] + 180.0) % 360.0 };
        let (lat, lon) = (path.lat[here.at], path.lon[here.at]);
        if step.is_multiple_of(2) {
            let (start_ms, end_ms) = (here.arrive_ms, here.depart_ms);
            return Leg { start_ms, end_ms, lat, lon, heading, ..Leg::default() };
        }
        let (start_ms, end_ms) = (here.depart_ms, there.arrive_ms);
        let duration = (end_ms - start_ms).max(1) as f64;
        Leg {
            start_ms,
            end_ms,
            lat,
            lon,
            lat_per_ms: (path.lat[there.at] - lat) / duration,
            lon_per_ms: (path.lon[there.at] - lon) / duration,
            kmh: path.metres[segment] / duration * 3_600.0,
            heading,
        }
    }

    /// Appends the pings before a time.
    fn report(&mut self, until_ms: i64, plan: &DayPlan, out: &mut Columns) {
        let route = plan.fleet[self.vehicle].route as i32;
        while !self.over && self.next_ms < until_ms {
            let end_ms = self.leg.end_ms.min(until_ms);
            while self.next_ms < end_ms {
                let bits = self.key.draw(self.pings);
                self.pings += 1;
                out.vehicle.push(self.vehicle as i32);
                out.route.push(route);
                self.leg.ping(self.next_ms, bits, plan, out);
                self.next_ms += PING_MS;
            }
            if self.next_ms >= self.leg.end_ms {
                self.advance();
            }
        }
    }
}

impl Leg {
    /// One ping: where the vehicle is, give or take what a satellite receiver errs, and how late it is told.
    #[inline]
    fn ping(&self, at_ms: i64, bits: u64, plan: &DayPlan, out: &mut Columns) {
        const SHARE: f64 = 1.0 / 65_536.0;
        const DEGREES: f64 = 4e-5;
        let part = |shift: u32| f64::from((bits >> shift) as u16) * SHARE - 0.5;
        let travelled = (at_ms - self.start_ms) as f64;
        out.lat.push(round7(self.lat + self.lat_per_ms * travelled + DEGREES * part(0)));
        out.lon.push(round7(self.lon + self.lon_per_ms * travelled + DEGREES * part(16)));
        out.speed.push((self.kmh * (1.0 + 0.3 * part(32)) * 10.0).round() / 10.0);
        out.heading.push(self.heading);
        let event = plan.micros(at_ms);
        out.event.push(event);
        let late = bits >> 48;
        // Half a second to three; one in a thousand waits for coverage.
        let delay_ms = 500 + ((late as i64 * 2_500) >> 16) + if late % 1_024 == 7 { 30_000 } else { 0 };
        out.provider.push(event + delay_ms * 1_000);
    }
}

/// The day's positions.
pub(super) struct Positions<'a> {
    plan: &'a DayPlan,
    trackers: Vec<Tracker<'a>>,
    vehicles: ArrayRef,
    routes: ArrayRef,
    hour: i64,
    at: usize,
}

impl<'a> Positions<'a> {
    pub fn new(plan: &'a DayPlan) -> Self {
        let vehicles = StringArray::from_iter_values(plan.fleet.iter().map(|v| &v.id));
        let routes = StringArray::from_iter_values(plan.routes.iter().map(|r| &r.id));
        let trackers = (0..plan.fleet.len()).map(|vehicle| Tracker::new(plan, vehicle)).collect();
        Self { plan, trackers, vehicles: Arc::new(vehicles), routes: Arc::new(routes), hour: 0, at: 0 }
    }

    fn batch(&self, columns: Columns) -> Result<RecordBatch> {
        let instants = |micros: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"));
        let codes = |keys: Vec<i32>, values: &ArrayRef| {
            DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), Arc::clone(values))
                .map_err(|e| Error::internal("generated codes do not fit their dictionary").because(e))
        };
        batch(
            Dataset::VehiclePositions,
            vec![
                instants(columns.event),
                Arc::new(codes(columns.vehicle, &self.vehicles)?),
                Arc::new(codes(columns.route, &self.routes)?),
                Arc::new(Float64Array::from(columns.lat)),
                Arc::new(Float64Array::from(columns.lon)),
                Arc::new(Float64Array::from(columns.speed)),
                Arc::new(Float64Array::from(columns.heading)),
                instants(columns.provider),
            ],
        )
    }
}

impl Iterator for Positions<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut columns = Columns::default();
        while columns.event.len() + HOUR_ROWS <= BATCH_ROWS && self.hour < LAST_HOUR {
            let until_ms = (self.hour + 1) * HOUR_MS;
            match self.trackers.get_mut(self.at) {
                Some(tracker) => {
                    tracker.report(until_ms, self.plan, &mut columns);
                    self.at += 1;
                }
                None => (self.hour, self.at) = (self.hour + 1, 0),
            }
        }
        (!columns.event.is_empty()).then(|| self.batch(columns))
    }
}
