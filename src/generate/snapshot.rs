//! The day's extracts of routes, stops, riders and vehicles.

use std::sync::Arc;

use arrow::array::{BooleanArray, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray};

use super::columns::{BATCH_ROWS, batch, instants, money, texts};
use super::fleet::Vehicle;
use super::plan::DayPlan;
use super::ride::Rides;
use super::rider::{Rider, Riders};
use super::route::Route;
use crate::error::Result;
use crate::model::Dataset;

const DAY_MICROS: i64 = 86_400_000_000;

/// Indexes below `count`, in portions of a batch.
fn portions(count: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..count).step_by(BATCH_ROWS).map(move |from| from..count.min(from + BATCH_ROWS as u64))
}

/// Every route that is not suspended.
pub(super) fn routes(plan: &DayPlan) -> impl Iterator<Item = Result<RecordBatch>> + Send + '_ {
    std::iter::once_with(|| {
        let routes: Vec<&Route> = plan.routes.iter().filter(|route| route.runs).collect();
        let rows = || routes.iter();
        batch(
            Dataset::Routes,
            vec![
                texts(rows().map(|r| &r.id)),
                texts(rows().map(|r| &r.name)),
                texts(rows().map(|r| r.transport)),
                money(rows().map(|r| r.fare_cents))?,
                texts(rows().map(|r| r.path.json(&plan.stops))),
                instants(rows().map(|r| Some(r.active_from_day * DAY_MICROS))),
                instants(rows().map(|_| None)),
            ],
        )
    })
}

/// Every stop.
pub(super) fn stops(plan: &DayPlan) -> impl Iterator<Item = Result<RecordBatch>> + Send + '_ {
    plan.stops.chunks(BATCH_ROWS).map(|stops| {
        let rows = || stops.iter();
        batch(
            Dataset::Stops,
            vec![
                texts(rows().map(|s| &s.id)),
                texts(rows().map(|s| &s.name)),
                Arc::new(Float64Array::from_iter_values(rows().map(|s| s.lat))),
                Arc::new(Float64Array::from_iter_values(rows().map(|s| s.lon))),
                texts(rows().map(|_| "Moscow")),
            ],
        )
    })
}

/// Whoever rides today, and most of the others.
pub(super) fn users(plan: &DayPlan) -> impl Iterator<Item = Result<RecordBatch>> + Send + '_ {
    let riding = riding(plan);
    portions(plan.riders.count).map(move |portion| {
        let rides = |index: u64| riding[(index / 64) as usize] >> (index % 64) & 1 == 1;
        let named = portion.filter(|&index| rides(index) || plan.riders.in_extract(index));
        let users: Vec<(u64, Rider)> = named.map(|index| (index, plan.riders.get(index))).collect();
        let rows = || users.iter().map(|user| user.1);
        batch(
            Dataset::Users,
            vec![
                texts(users.iter().map(|user| Riders::id(user.0))),
                instants(rows().map(|u| Some(u.created_micros))),
                texts(rows().map(|u| u.city)),
                texts(rows().map(|u| u.language)),
                Arc::new(rows().map(|u| u.gender).collect::<StringArray>()),
                Arc::new(Date32Array::from_iter_values(rows().map(|u| u.birth_day))),
                Arc::new(rows().map(|u| Some(u.is_active)).collect::<BooleanArray>()),
            ],
        )
    })
}

/// One bit a rider: whether he rides today.
fn riding(plan: &DayPlan) -> Vec<u64> {
    let mut riding = vec![0_u64; (plan.riders.count as usize).div_ceil(64)];
    for ride in Rides::new(plan) {
        riding[(ride.rider / 64) as usize] |= 1 << (ride.rider % 64);
    }
    riding
}

/// Every vehicle of the fleet, and those retired of late.
pub(super) fn vehicles(plan: &DayPlan) -> impl Iterator<Item = Result<RecordBatch>> + Send + '_ {
    plan.fleet.chunks(BATCH_ROWS).map(|fleet: &[Vehicle]| {
        let rows = || fleet.iter();
        batch(
            Dataset::Vehicles,
            vec![
                texts(rows().map(|v| &v.id)),
                texts(rows().map(|v| &plan.routes[v.route].id)),
                texts(rows().map(|v| v.transport)),
                Arc::new(Int32Array::from_iter_values(rows().map(|v| v.capacity))),
                texts(rows().map(|v| v.vendor)),
                instants(rows().map(|v| Some(v.commissioned_day * DAY_MICROS))),
                instants(rows().map(|v| v.decommissioned_day.map(|day| day * DAY_MICROS))),
            ],
        )
    })
}
