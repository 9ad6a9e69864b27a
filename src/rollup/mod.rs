//! Hourly aggregation: batches in, groups out.
//!
//! [`Hourly`] is the general kernel: any keys, any measures, hours cut on a zone's wall clock. [`mart`] adds the
//! partial results of trips, payments and positions up to the rows of the route mart. Both keep *states* (sums,
//! counts, sets), so the results of shards, threads or servers add up to exactly what one pass would give (float
//! sums up to their order of addition).
//!
//! Nothing here reads, writes or waits; no runtime or client is named.
//!
//! Tests: `tests/python/rollup`.

mod clock;
mod columns;
mod hourly;
mod ids;
pub mod mart;
mod pack;

pub use clock::HourClock;
pub use hourly::{Hourly, Measure, Op, Spec, hours_between};
