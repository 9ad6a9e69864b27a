//! A city and its days: everything that is settled before a row is made.

use std::sync::Arc;

use chrono::NaiveDate;

use super::draw::{Key, Topic};
use super::fleet::{Vehicle, fleet};
use super::geography::{Stop, stops};
use super::rider::{Riders, day_number};
use super::route::Route;
use super::timetable::{Rhythm, Run, Runs};
use crate::error::{Error, Result};
use crate::model::{Dataset, Zone};

const ROUTES: f64 = 20.0;
const RIDERS: f64 = 2_000.0;
const STOPS: f64 = 200.0;

/// Two trips a rider over three days.
const TRIPS_PER_RIDER: f64 = 2.0 / 3.0;

/// A synthetic city: routes, stops, vehicles and riders that follow from a seed.
#[derive(Clone, Debug)]
pub struct City {
    seed: u64,
    scale: f64,
    zone: Zone,
    stops: Arc<[Stop]>,
}

impl City {
    /// The datasets that a city has, in the order of [`Dataset::ALL`]; it publishes no feeds.
    pub const DATASETS: [Dataset; 7] = [
        Dataset::Routes,
        Dataset::Stops,
        Dataset::Users,
        Dataset::Vehicles,
        Dataset::Trips,
        Dataset::Payments,
        Dataset::VehiclePositions,
    ];
    /// The largest scale: 20 million riders.
    pub const MAX_SCALE: f64 = 10_000.0;

    /// Scale 1 means 20 routes, 100 vehicles, 200 stops and 2,000 riders.
    ///
    /// # Errors
    /// A configuration error when `scale` is not above 0 and at most [`Self::MAX_SCALE`].
    pub fn new(seed: u64, scale: f64, zone: Zone) -> Result<Self> {
        if !(scale > 0.0 && scale <= Self::MAX_SCALE) {
            let most = Self::MAX_SCALE;
            return Err(Error::config(format!("scale is {scale}, expected a number above 0 and at most {most}")));
        }
        let count = (STOPS * scale).round().max(20.0) as usize;
        Ok(Self { seed, scale, zone, stops: stops(seed, count).into() })
    }

    /// One day, a function of seed, scale, zone and date alone.
    pub fn day(&self, date: NaiveDate) -> DayPlan {
        DayPlan::new(self, date)
    }
}

/// One day of a city.
#[derive(Clone, Debug)]
pub struct DayPlan {
    pub(super) date: NaiveDate,
    pub(super) day: i64,
    pub(super) seed: u64,
    /// The instant from which timetables count, in microseconds since the epoch.
    origin_micros: i64,
    pub(super) rhythm: Rhythm,
    pub(super) stops: Arc<[Stop]>,
    pub(super) routes: Vec<Route>,
    pub(super) fleet: Vec<Vehicle>,
    pub(super) riders: Riders,
    pub(super) trips: u64,
    /// The weight of all runs of the day: how the trips are shared out among them.
    pub(super) weight: f64,
}

impl DayPlan {
    fn new(city: &City, date: NaiveDate) -> Self {
        let (seed, day) = (city.seed, day_number(date));
        let count = |at_one: f64| (at_one * city.scale).round().max(1.0);
        let routes: Vec<_> =
            (0..count(ROUTES) as usize).map(|index| Route::on(seed, index, day, &city.stops)).collect();
        let fleet = fleet(seed, day, &routes);
        let rhythm = Rhythm::of(date);
        let riders = Riders::new(seed, count(RIDERS) as u64, day);
        let mood = Key::new(seed, Topic::Volume).with(day as u64).between(0, 0.94, 1.06);
        let mut plan = Self {
            date,
            day,
            seed,
            origin_micros: city.zone.timetable_start_micros(date),
            rhythm,
            stops: Arc::clone(&city.stops),
            routes,
            fleet,
            riders,
            trips: (riders.count as f64 * TRIPS_PER_RIDER * rhythm.volume * mood).round() as u64,
            weight: 0.0,
        };
        plan.weight = plan.total_weight();
        plan
    }

    /// The service date.
    pub fn date(&self) -> NaiveDate {
        self.date
    }

    /// Microseconds since the epoch of a time of this service day.
    #[inline]
    pub(super) fn micros(&self, ms: i64) -> i64 {
        self.origin_micros + ms * 1_000
    }

    /// The runs of a vehicle.
    pub(super) fn runs(&self, vehicle: usize) -> Runs<'_> {
        let plan = &self.fleet[vehicle];
        let key = Key::new(self.seed, Topic::Drive).with(self.day as u64).with(vehicle as u64);
        Runs::new(plan, &self.routes[plan.route], self.rhythm, key)
    }

    /// How many riders a run attracts, in relation to others.
    pub(super) fn run_weight(&self, vehicle: usize, run: &Run) -> f64 {
        let start = run.calls.first().map_or(0, |call| call.depart_ms);
        self.rhythm.demand(start) * self.routes[self.fleet[vehicle].route].popularity
    }

    fn total_weight(&self) -> f64 {
        let mut run = Run::default();
        let mut weight = 0.0;
        for vehicle in 0..self.fleet.len() {
            let mut runs = self.runs(vehicle);
            while runs.next(&mut run) {
                weight += self.run_weight(vehicle, &run);
            }
        }
        weight
    }
}
