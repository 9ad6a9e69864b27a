//! What a raw day knows of a trip or a report beyond its own row: the planned run, its route, what was said of it, and
//! the trip that a report is of.
//!
//! Memory grows with the runs of a day: planned ones, those of which something was said, and performed ones that name a planned
//! one. Rides of riders name none.

use arrow::array::{ArrayRef, RecordBatch};
use hashbrown::HashMap;

use super::columns::cell;
use super::tables::{Joined, Table};
use super::value::Cell;
use crate::error::Result;
use crate::model::Dataset;

/// Where something is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Planned runs.
    Runs,
    /// What was said of runs.
    Updates,
    /// Routes.
    Routes,
    /// Performed trips.
    Performed,
}

/// What one raw day knows.
#[derive(Debug, Default)]
pub struct Known {
    /// By trip.
    runs: HashMap<String, Vec<Run>>,
    /// By trip.
    said: HashMap<String, Vec<Said>>,
    /// By route.
    transport_types: HashMap<String, String>,
    /// By planned trip and vehicle.
    performed: HashMap<String, HashMap<String, Vec<Performed>>>,
}

#[derive(Debug)]
struct Run {
    start_time: String,
    direction: Option<i32>,
    shape: Option<String>,
    block: Option<String>,
    end_micros: Option<i64>,
}

#[derive(Debug)]
struct Said {
    /// `None` where it was said of the trip alone.
    start_time: Option<String>,
    relationship: String,
    at_micros: Option<i64>,
}

#[derive(Debug)]
struct Performed {
    trip_id: String,
    start_micros: i64,
    end_micros: Option<i64>,
}

impl Lookup {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Runs, Self::Updates, Self::Routes, Self::Performed];

    /// The raw dataset.
    pub const fn dataset(self) -> Dataset {
        match self {
            Self::Runs => Dataset::ScheduledTrips,
            Self::Updates => Dataset::TripUpdates,
            Self::Routes => Dataset::Routes,
            Self::Performed => Dataset::Trips,
        }
    }
}

impl Known {
    /// Takes in rows of the day.
    pub fn add(&mut self, lookup: Lookup, batch: &RecordBatch) -> Result<()> {
        for row in 0..batch.num_rows() {
            let row = Row { batch, row };
            match lookup {
                Lookup::Runs => self.plan(&row)?,
                Lookup::Updates => self.say(&row)?,
                Lookup::Routes => self.name_route(&row)?,
                Lookup::Performed => self.perform(&row)?,
            }
        }
        Ok(())
    }

    fn plan(&mut self, row: &Row<'_>) -> Result<()> {
        let (Some(trip), Some(start_time)) = (row.text("trip_id")?, row.text("start_time")?) else { return Ok(()) };
        let run = Run {
            start_time: start_time.to_owned(),
            direction: row.integer("direction_id")?,
            shape: row.text("shape_id")?.map(str::to_owned),
            block: row.text("block_id")?.map(str::to_owned),
            end_micros: row.instant("end_ts")?,
        };
        self.runs.entry_ref(trip).or_default().push(run);
        Ok(())
    }

    /// Of what was said of a run the latest counts.
    fn say(&mut self, row: &Row<'_>) -> Result<()> {
        let (trip, relationship) = (row.text("trip_id")?, row.text("schedule_relationship")?);
        let (Some(trip), Some(relationship)) = (trip, relationship) else { return Ok(()) };
        let (start_time, at_micros) = (row.text("start_time")?, row.instant("updated_at")?);
        let said = self.said.entry_ref(trip).or_default();
        match said.iter_mut().find(|said| said.start_time.as_deref() == start_time) {
            Some(before) if before.at_micros > at_micros => {}
            Some(before) => {
                before.at_micros = at_micros;
                if before.relationship != relationship {
                    before.relationship = relationship.to_owned();
                }
            }
            None => {
                let start_time = start_time.map(str::to_owned);
                said.push(Said { start_time, relationship: relationship.to_owned(), at_micros });
            }
        }
        Ok(())
    }

    fn name_route(&mut self, row: &Row<'_>) -> Result<()> {
        if let (Some(route), Some(kind)) = (row.text("route_id")?, row.text("transport_type")?) {
            self.transport_types.insert(route.to_owned(), kind.to_owned());
        }
        Ok(())
    }

    fn perform(&mut self, row: &Row<'_>) -> Result<()> {
        let (trip_id, start) = (row.text("trip_id")?, row.instant("start_ts")?);
        let (Some(trip_id), Some(start_micros)) = (trip_id, start) else { return Ok(()) };
        let (planned, vehicle) = (row.text("scheduled_trip_id")?, row.text("vehicle_id")?);
        let (Some(planned), Some(vehicle)) = (planned, vehicle) else { return Ok(()) };
        let performed = Performed { trip_id: trip_id.to_owned(), start_micros, end_micros: row.instant("end_ts")? };
        self.performed.entry_ref(planned).or_default().entry_ref(vehicle).or_default().push(performed);
        Ok(())
    }

    /// The run that a trip and start time name; a trip alone names its only run.
    fn run(&self, trip: &str, start_time: Option<&str>) -> Option<&Run> {
        let runs = self.runs.get(trip)?;
        match (start_time, runs.as_slice()) {
            (Some(start_time), runs) => runs.iter().find(|run| run.start_time == start_time),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// What was said last of a run, by its start time or of its trip alone.
    fn relationship(&self, trip: &str, start_time: Option<&str>) -> Option<&str> {
        let only = self.run(trip, None).map(|run| run.start_time.as_str());
        let start_time = start_time.or(only)?;
        let is_of_run = |said: &&Said| said.start_time.as_deref().or(only) == Some(start_time);
        let last = self.said.get(trip)?.iter().filter(is_of_run).max_by_key(|said| said.at_micros)?;
        Some(&last.relationship)
    }

    /// The one trip of a vehicle that was under way at an instant; `None` where several were.
    fn performed(&self, trip: &str, vehicle: &str, at_micros: i64) -> Option<&str> {
        let is_under_way = |performed: &&Performed| {
            performed.start_micros <= at_micros && performed.end_micros.is_none_or(|end| at_micros <= end)
        };
        let mut found = self.performed.get(trip)?.get(vehicle)?.iter().filter(is_under_way);
        let first = found.next()?;
        found.next().is_none().then_some(first.trip_id.as_str())
    }
}

/// The columns of a batch by which something is looked up.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    known: &'a Known,
    trip: Option<&'a ArrayRef>,
    start_time: Option<&'a ArrayRef>,
    route: Option<&'a ArrayRef>,
    vehicle: Option<&'a ArrayRef>,
    event: Option<&'a ArrayRef>,
}

impl<'a> Keys<'a> {
    /// Those of rows of a table's dataset.
    pub(super) fn of(known: &'a Known, table: Table, rows: &'a RecordBatch) -> Self {
        let column = |name| rows.column_by_name(name);
        Self {
            known,
            trip: column(table.planned_trip()),
            start_time: column("scheduled_start_time"),
            route: column("route_id"),
            vehicle: column("vehicle_id"),
            event: column("event_ts"),
        }
    }

    /// What the day knows of a row.
    pub(super) fn find(&self, joined: Joined, row: usize) -> Result<Option<Cell<'a>>> {
        Ok(match joined {
            Joined::Direction => self.run(row)?.and_then(|run| run.direction).map(Cell::Integer),
            Joined::Shape => self.run(row)?.and_then(|run| run.shape.as_deref()).map(Cell::Text),
            Joined::Block => self.run(row)?.and_then(|run| run.block.as_deref()).map(Cell::Text),
            Joined::End => self.run(row)?.and_then(|run| run.end_micros).map(Cell::Instant),
            Joined::Relationship => {
                let (trip, start_time) = (text(self.trip, row)?, text(self.start_time, row)?);
                trip.and_then(|trip| self.known.relationship(trip, start_time)).map(Cell::Text)
            }
            Joined::TransportType => {
                let route = text(self.route, row)?;
                route.and_then(|route| self.known.transport_types.get(route)).map(|kind| Cell::Text(kind))
            }
            Joined::Performed => {
                let (trip, vehicle) = (text(self.trip, row)?, text(self.vehicle, row)?);
                match (trip, vehicle, instant(self.event, row)?) {
                    (Some(trip), Some(vehicle), Some(at)) => self.known.performed(trip, vehicle, at).map(Cell::Text),
                    _ => None,
                }
            }
        })
    }

    fn run(&self, row: usize) -> Result<Option<&'a Run>> {
        let (trip, start_time) = (text(self.trip, row)?, text(self.start_time, row)?);
        Ok(trip.and_then(|trip| self.known.run(trip, start_time)))
    }
}

/// A row that is taken in.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        text(self.batch.column_by_name(name), self.row)
    }

    fn instant(&self, name: &str) -> Result<Option<i64>> {
        instant(self.batch.column_by_name(name), self.row)
    }

    fn integer(&self, name: &str) -> Result<Option<i32>> {
        Ok(match value(self.batch.column_by_name(name), self.row)? {
            Some(Cell::Integer(number)) => Some(number),
            Some(_) | None => None,
        })
    }
}

fn value(column: Option<&ArrayRef>, row: usize) -> Result<Option<Cell<'_>>> {
    column.map_or(Ok(None), |column| cell(column, row))
}

fn text(column: Option<&ArrayRef>, row: usize) -> Result<Option<&str>> {
    Ok(match value(column, row)? {
        Some(Cell::Text(text)) => Some(text),
        Some(_) | None => None,
    })
}

fn instant(column: Option<&ArrayRef>, row: usize) -> Result<Option<i64>> {
    Ok(match value(column, row)? {
        Some(Cell::Instant(micros)) => Some(micros),
        Some(_) | None => None,
    })
}
