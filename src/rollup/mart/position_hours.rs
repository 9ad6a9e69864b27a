//! Positions by route and hour, added up while they are read, so that nobody has to read them again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use super::cells::Cells;
use super::output::{Row, texts};
use super::partial::{self, POSITION_HOURS};
use crate::error::{Error, Result};
use crate::rollup::HourClock;
use crate::rollup::columns::hour_array;

/// Sums, counts and exact sets of vehicles of each route and hour.
#[derive(Debug, Default)]
pub struct PositionHours {
    cells: Cells,
}

impl PositionHours {
    /// Adds cleaned positions (columns of `Dataset::VehiclePositions`).
    pub fn add(&mut self, positions: &RecordBatch, clock: &mut HourClock) -> Result<()> {
        self.cells.add_positions(&partial::positions(positions, clock)?)
    }

    /// Adds what somebody else added up; columns as in [`POSITION_HOURS`].
    pub fn add_hours(&mut self, hours: &RecordBatch) -> Result<()> {
        self.cells.add_position_hours(hours)
    }

    /// The rows, in order of hour and route; columns as in [`POSITION_HOURS`].
    pub fn rows(&self) -> Result<RecordBatch> {
        let mut rows: Vec<Row> = Vec::with_capacity(self.cells.all.len());
        for (route, hour, cell) in &self.cells.all {
            rows.push((self.cells.routes.value(*route).unwrap_or_default(), *hour, cell));
        }
        rows.sort_unstable_by_key(|(route, hour, _)| (*hour, *route));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(hour_array(rows.iter().map(|row| row.1).collect())),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2.position_cnt))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2.speed_sum))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2.speed_cnt))),
            texts(&rows, &self.cells.vehicles, |cell| &cell.vehicles),
        ];
        RecordBatch::try_new(Arc::new(partial::schema(POSITION_HOURS)), columns)
            .map_err(|e| Error::internal("positions by route and hour do not fit").because(e))
    }
}
