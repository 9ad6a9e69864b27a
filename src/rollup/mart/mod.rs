//! The rows of the route mart: partial results of trips, payments, positions and planned runs, added up by route and hour.
//!
//! Inputs are *partial* batches: a row stands for one fact or for many (a server's `GROUP BY`), so the warehouse and
//! the lake feed the same code. See [`TRIPS`], [`PAYMENTS`], [`POSITIONS`], [`POSITION_HOURS`] and [`SCHEDULED_TRIPS`] for
//! their columns and [`partial`] for making them from cleaned batches; [`shares`] are partial results of all
//! kinds in one table.
//!
//! A row exists where a trip starts or is planned to, a payment is made or a position is seen. Facts without a route stand under
//! route `''`. Unknown riders and vehicles (NULL or `''`) are not counted as distinct.

mod cells;
mod claims;
mod output;
pub mod partial;
mod position_hours;
mod routes;
pub mod shares;

use std::ops::Range;

use arrow::array::RecordBatch;
use chrono::NaiveDate;

pub use claims::Claims;
pub use output::schema;
pub use partial::{PAYMENTS, POSITION_HOURS, POSITIONS, SCHEDULED_TRIPS, TRIPS};
pub use position_hours::PositionHours;
pub use routes::{RouteVersion, RouteVersions};

use crate::error::Result;
use crate::model::Zone;
use cells::Cells;

/// The mart's rows under construction.
#[derive(Debug)]
pub struct HourlyMart {
    zone: Zone,
    routes: RouteVersions,
    cells: Cells,
}

impl HourlyMart {
    /// An empty mart of a service zone whose routes have these versions.
    pub fn new(zone: Zone, routes: RouteVersions) -> Self {
        Self { zone, routes, cells: Cells::default() }
    }

    /// Adds partial results of trips; columns as in [`TRIPS`].
    pub fn add_trips(&mut self, partial: &RecordBatch) -> Result<()> {
        self.cells.add_trips(partial)
    }

    /// Adds partial results of payments; columns as in [`PAYMENTS`].
    pub fn add_payments(&mut self, partial: &RecordBatch) -> Result<()> {
        self.cells.add_payments(partial)
    }

    /// Adds partial results of positions; columns as in [`POSITIONS`].
    pub fn add_positions(&mut self, partial: &RecordBatch) -> Result<()> {
        self.cells.add_positions(partial)
    }

    /// Adds partial results of positions whose vehicles are together; columns as in [`POSITION_HOURS`].
    pub fn add_position_hours(&mut self, partial: &RecordBatch) -> Result<()> {
        self.cells.add_position_hours(partial)
    }

    /// Adds partial results of planned runs; columns as in [`SCHEDULED_TRIPS`].
    pub fn add_scheduled_trips(&mut self, partial: &RecordBatch) -> Result<()> {
        self.cells.add_scheduled_trips(partial)
    }

    /// The rows of each service date of the half-open range that has any, in order of date; within a date in order
    /// of route and hour. Their columns are those of [`schema`]. A date of the range that is not listed is empty.
    pub fn finish(&self, dates: Range<NaiveDate>) -> Result<Vec<(NaiveDate, RecordBatch)>> {
        output::days(self.zone, &self.routes, &self.cells, &dates)
    }
}

#[cfg(test)]
mod tests;
