//! Rides on the runs of the timetable, and what is paid for them.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};

use super::columns::{BATCH_ROWS, batch, instants, money, texts};
use super::draw::{Key, Topic};
use super::plan::DayPlan;
use super::rider::Riders;
use super::timetable::{Run, Runs};
use crate::error::Result;
use crate::model::Dataset;

/// Shares of the rides.
const FREE: f64 = 0.07;
const REFUNDED: f64 = 0.01;

/// One ride.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ride {
    /// Counts the day's rides from 1.
    pub number: u64,
    pub rider: u64,
    pub vehicle: usize,
    pub from_stop: usize,
    pub to_stop: usize,
    pub start_ms: i64,
    pub end_ms: i64,
    pub metres: f64,
    pub fare_cents: i64,
    key: Key,
}

/// One payment.
#[derive(Clone, Copy)]
struct Payment {
    ride: Ride,
    amount_cents: i64,
    paid_ms: i64,
    method: &'static str,
    refund: bool,
}

/// The day's rides, vehicle by vehicle and run by run.
pub(super) struct Rides<'a> {
    plan: &'a DayPlan,
    key: Key,
    vehicle: usize,
    runs: Option<Runs<'a>>,
    run: Run,
    /// Weight of the runs so far, this one included.
    weight: f64,
    /// Rides to have been made by the end of this run.
    due: u64,
    made: u64,
}

impl<'a> Rides<'a> {
    pub fn new(plan: &'a DayPlan) -> Self {
        Self {
            plan,
            key: Key::new(plan.seed, Topic::Ride).with(plan.day as u64),
            vehicle: 0,
            runs: (!plan.fleet.is_empty()).then(|| plan.runs(0)),
            run: Run::default(),
            weight: 0.0,
            due: 0,
            made: 0,
        }
    }

    /// Batches of trips.
    pub fn trips(mut self) -> impl Iterator<Item = Result<RecordBatch>> + Send + 'a {
        let plan = self.plan;
        std::iter::from_fn(move || {
            let rides: Vec<Ride> = self.by_ref().take(BATCH_ROWS).collect();
            (!rides.is_empty()).then(|| trips(plan, &rides))
        })
    }

    /// Batches of payments.
    pub fn payments(mut self) -> impl Iterator<Item = Result<RecordBatch>> + Send + 'a {
        let plan = self.plan;
        std::iter::from_fn(move || {
            let paid: Vec<Payment> = self.by_ref().take(BATCH_ROWS).flat_map(pay).collect();
            (!paid.is_empty()).then(|| payments(plan, &paid))
        })
    }

    /// Goes on to a run that carries rides.
    fn board(&mut self) -> bool {
        while self.made >= self.due {
            let Some(runs) = &mut self.runs else { return false };
            if runs.next(&mut self.run) {
                self.weight += self.plan.run_weight(self.vehicle, &self.run);
                // Shares are cut on the running total, so that the day's sum comes out whatever the weights.
                self.due = (self.weight / self.plan.weight * self.plan.trips as f64 + 1e-6) as u64;
            } else {
                self.vehicle += 1;
                self.runs = (self.vehicle < self.plan.fleet.len()).then(|| self.plan.runs(self.vehicle));
            }
        }
        true
    }
}

impl Iterator for Rides<'_> {
    type Item = Ride;

    fn next(&mut self) -> Option<Ride> {
        if !self.board() {
            return None;
        }
        self.made += 1;
        let key = self.key.with(self.made);
        let route = &self.plan.routes[self.plan.fleet[self.vehicle].route];
        let calls = &self.run.calls;
        let from = key.below(1, calls.len() as u64 - 1) as usize;
        let to = from + 1 + key.below(2, (calls.len() - 1 - from) as u64) as usize;
        let (on, off) = (calls[from], calls[to]);
        Some(Ride {
            number: self.made,
            rider: self.plan.riders.draw(key.with(0)),
            vehicle: self.vehicle,
            from_stop: route.path.stops[on.at],
            to_stop: route.path.stops[off.at],
            // Boarding while the doors are open, alighting a few seconds after arrival.
            start_ms: on.arrive_ms + key.below(3, (on.depart_ms - on.arrive_ms) as u64 + 1) as i64,
            end_ms: off.arrive_ms + key.below(4, 12_000) as i64,
            metres: route.path.distance(on.at, off.at).round(),
            fare_cents: if key.chance(5, FREE) { 0 } else { route.fare_cents },
            key,
        })
    }
}

fn pay(ride: Ride) -> impl Iterator<Item = Payment> {
    let key = ride.key;
    let (method, amount_cents) = match key.below(6, 20) {
        0..13 => ("card", ride.fare_cents),
        13..18 => ("wallet", ride.fare_cents),
        _ => ("promo", ride.fare_cents / 2),
    };
    let charge =
        Payment { ride, amount_cents, paid_ms: ride.start_ms + key.below(7, 20_000) as i64, method, refund: false };
    let back = Payment {
        amount_cents: -amount_cents,
        paid_ms: ride.end_ms + key.below(8, 7_200_000) as i64,
        refund: true,
        ..charge
    };
    let charges = usize::from(ride.fare_cents > 0);
    let refunds = if key.chance(9, REFUNDED) { charges } else { 0 };
    std::iter::repeat_n(charge, charges).chain(std::iter::repeat_n(back, refunds))
}

/// Ids carry the date, so that no two days share one.
fn trip_id(plan: &DayPlan, ride: &Ride) -> String {
    format!("T{}{:06}", plan.date.format("%Y%m%d"), ride.number)
}

fn trips(plan: &DayPlan, rides: &[Ride]) -> Result<RecordBatch> {
    let rows = || rides.iter();
    let vehicle = |r: &Ride| &plan.fleet[r.vehicle];
    batch(
        Dataset::Trips,
        vec![
            texts(rows().map(|r| trip_id(plan, r))),
            texts(rows().map(|r| Riders::id(r.rider))),
            texts(rows().map(|r| &plan.routes[vehicle(r).route].id)),
            texts(rows().map(|r| &vehicle(r).id)),
            instants(rows().map(|r| Some(plan.micros(r.start_ms)))),
            instants(rows().map(|r| Some(plan.micros(r.end_ms)))),
            texts(rows().map(|r| &plan.stops[r.from_stop].id)),
            texts(rows().map(|r| &plan.stops[r.to_stop].id)),
            Arc::new(Float64Array::from_iter_values(rows().map(|r| r.metres))),
            money(rows().map(|r| r.fare_cents))?,
            texts(rows().map(|_| "completed")),
        ],
    )
}

fn payments(plan: &DayPlan, paid: &[Payment]) -> Result<RecordBatch> {
    let rows = || paid.iter();
    let id = |p: &Payment| format!("P{}{}", trip_id(plan, &p.ride), if p.refund { "R" } else { "" });
    batch(
        Dataset::Payments,
        vec![
            texts(rows().map(id)),
            texts(rows().map(|p| Riders::id(p.ride.rider))),
            texts(rows().map(|p| &plan.routes[plan.fleet[p.ride.vehicle].route].id)),
            texts(rows().map(|p| trip_id(plan, &p.ride))),
            money(rows().map(|p| p.amount_cents))?,
            texts(rows().map(|_| "RUB")),
            texts(rows().map(|p| if p.refund { "refunded" } else { "captured" })),
            texts(rows().map(|p| p.method)),
            instants(rows().map(|p| Some(plan.micros(p.paid_ms)))),
        ],
    )
}
