//! A synthetic city: the seven raw datasets of any day, from a seed.
//!
//! A day is a pure function of (seed, scale, zone, date): every value is drawn by a counter-based generator
//! keyed by what it belongs to, so neither the order of calls nor the number of threads can change a byte, and no
//! day needs the one before. What changes slowly (fares, names, types of transport, detours, suspended routes,
//! riders who move, vehicles that are replaced) is drawn once a window of days, on a day of its own.
//!
//! Invariants: rows pass every rule of [`crate::model::Reason`]; ids of trips and payments carry
//! their date; riders board and alight where and when a vehicle of the timetable stops, and pings lie on the same
//! timetable. Memory is bounded by a batch and the day's vehicles, whatever the number of rows.
//!
//! What it does not do: it writes nothing and knows no file format.
//!
//! ```
//! # use chrono::NaiveDate;
//! # use metropulse::{generate::City, model::{Dataset, Zone}};
//! # fn main() -> metropulse::Result<()> {
//! let city = City::new(7, 0.05, Zone(chrono_tz::Europe::Moscow))?;
//! let day = city.day(NaiveDate::from_ymd_opt(2024, 5, 1).unwrap());
//! for batch in day.batches(Dataset::Trips) {
//!     assert!(batch?.num_rows() > 0);
//! }
//! # Ok(())
//! # }
//! ```

mod columns;
mod draw;
mod fleet;
mod geography;
mod plan;
mod ride;
mod rider;
mod route;
mod rows;
mod snapshot;
mod telemetry;
mod timetable;

#[cfg(test)]
mod tests;

pub use columns::schema;
pub use plan::{City, DayPlan};
