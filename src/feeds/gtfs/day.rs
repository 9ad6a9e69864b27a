//! One service date of a timetable: its runs, frequencies expanded, as batches of the raw datasets.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use chrono::NaiveDate;

use super::super::quarantine::{self, Rejected};
use super::columns::{batch, optional};
use super::feed::Schedule;
use super::reject::{Reject, keep_last};
use super::stop_times::Call;
use super::tables::Table;
use super::trips::{TRIPS, Trip};
use super::value::clock;
use crate::error::{Error, Result};
use crate::feeds::Ids;
use crate::model::{Reason, Zone};

/// Rows of a batch, about.
const BATCH_ROWS: usize = 32_768;
/// Runs that one day may have: more than a continent's, fewer than a headway of a second makes by mistake.
const MOST_RUNS: usize = 5_000_000;

/// A run: a trip that leaves at a time of the day.
#[derive(Clone, Copy, Debug)]
struct Run {
    trip: u32,
    /// Its first departure, in seconds of the timetable.
    start: i32,
    /// How much later than written it runs.
    shift: i32,
    /// Whether headways are kept to the second; `None` for a run of its own times.
    is_exact: Option<bool>,
}

/// One service date.
#[derive(Debug)]
pub struct Day {
    /// The service date.
    pub date: NaiveDate,
    schedule: Arc<Schedule>,
    start_micros: i64,
    runs: Vec<Run>,
    /// Runs of headways that a later row's run of the same trip and time replaced.
    pub duplicate_runs: u64,
    /// The bad rows that concern this day.
    pub rejects: Vec<Reject>,
}

impl Schedule {
    /// One of the days for which the schedule was read.
    ///
    /// # Errors
    /// `Data` when headways make more runs than a day can have.
    pub fn day(self: &Arc<Self>, date: NaiveDate) -> Result<Day> {
        let calendar = &self.feed.calendar;
        let trip = |number: u32| self.trips.all.get(number as usize);
        let is_of_day = |number: u32| trip(number).is_some_and(|trip| trip.runs(calendar, date));
        let rejects = self.tally.rejects.iter().filter(|reject| reject.trip.is_none_or(is_of_day)).cloned().collect();
        let start_micros = Zone(self.feed.zone).timetable_start_micros(date);
        let schedule = Arc::clone(self);
        let mut day = Day { date, schedule, start_micros, runs: Vec::new(), duplicate_runs: 0, rejects };
        for (number, trip) in self.trips.all.iter().enumerate().filter(|(_, trip)| trip.runs(calendar, date)) {
            day.add(number as u32, trip)?;
        }
        Ok(day)
    }
}

impl Day {
    fn add(&mut self, number: u32, trip: &Trip) -> Result<()> {
        let trips = &self.schedule.trips;
        let departs = first_departure(self.schedule.calls.of(number));
        if trips.has_frequency.get(number as usize) != Some(&true) {
            match departs {
                Some(start) => self.runs.push(Run { trip: number, start, shift: 0, is_exact: None }),
                None => self.rejects.push(without_times(&self.schedule, trip, number)),
            }
            return Ok(());
        }
        let first = self.runs.len();
        for frequency in trips.frequencies_of(number) {
            let mut start = frequency.start;
            while start < frequency.end {
                if self.runs.len() >= MOST_RUNS {
                    return Err(Error::data(format!(
                        "frequencies.txt makes more than {MOST_RUNS} runs on {}; look at its headways, such as {} s",
                        self.date, frequency.headway
                    ))
                    .with("file", "frequencies.txt")
                    .with("dt", self.date));
                }
                let shift = departs.map_or(0, |departs| start - departs);
                self.runs.push(Run { trip: number, start, shift, is_exact: Some(frequency.is_exact) });
                start = start.saturating_add(frequency.headway);
            }
        }
        self.in_order_of_start(first);
        Ok(())
    }

    /// Brings the runs of one trip, from `first` on, into order; of two at one time the later row's stays.
    fn in_order_of_start(&mut self, first: usize) {
        let mut of_trip = self.runs.split_off(first);
        of_trip.sort_by_key(|run| run.start);
        self.duplicate_runs += keep_last(&mut of_trip, |run| run.start) as u64;
        self.runs.append(&mut of_trip);
    }

    /// How many rows the table has on this day.
    pub fn rows(&self, table: Table) -> u64 {
        let rows = match table {
            Table::Routes => self.schedule.routes.num_rows(),
            Table::Stops => self.schedule.stops.num_rows(),
            Table::ScheduledTrips => self.runs.len(),
            Table::ScheduledStopTimes => self.runs.iter().map(|run| self.schedule.calls.of(run.trip).len()).sum(),
            Table::Shapes => self.schedule.shapes.iter().map(RecordBatch::num_rows).sum(),
        };
        rows as u64
    }

    /// The rows of a table in batches; of the calls only one batch is in memory at a time.
    pub fn batches(&self, table: Table) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send + '_> {
        match table {
            Table::Routes => Box::new(std::iter::once(Ok(self.schedule.routes.clone()))),
            Table::Stops => Box::new(std::iter::once(Ok(self.schedule.stops.clone()))),
            Table::Shapes => Box::new(self.schedule.shapes.iter().cloned().map(Ok)),
            Table::ScheduledTrips => Box::new(self.runs.chunks(BATCH_ROWS).map(|runs| self.trip_rows(runs))),
            Table::ScheduledStopTimes => Box::new(CallBatches { day: self, next: 0 }),
        }
    }

    fn micros(&self, seconds: i32) -> i64 {
        self.start_micros + i64::from(seconds) * 1_000_000
    }

    fn trip_rows(&self, runs: &[Run]) -> Result<RecordBatch> {
        let mut text: [StringBuilder; 7] = std::array::from_fn(|_| StringBuilder::new());
        let (mut direction, mut exact) = (Int32Builder::new(), BooleanBuilder::new());
        let (mut start_ts, mut end_ts) = (instants(runs.len()), instants(runs.len()));
        let trips = &self.schedule.trips;
        let ids = &self.schedule.feed.ids;
        for run in runs {
            let Some(trip) = trips.all.get(run.trip as usize) else { continue };
            let start = clock(run.start);
            let [id, route, service, block, shape, headsign] =
                [trip.id, trip.route, trip.service, trip.block, trip.shape, trip.headsign]
                    .map(|word| trips.words.get(word));
            let [id, route, service, block, shape] =
                [id, route, service, block, shape].map(|id| optional(id).map(|id| ids.of(id)));
            let values = [id, Some(start.into()), route, service, block, shape, optional(headsign).map(Cow::from)];
            for (builder, value) in text.iter_mut().zip(values) {
                builder.append_option(value);
            }
            direction.append_option(trip.direction.map(i32::from));
            start_ts.append_value(self.micros(run.start));
            end_ts.append_option(
                last_arrival(self.schedule.calls.of(run.trip)).map(|last| self.micros(last + run.shift)),
            );
            exact.append_option(run.is_exact);
        }
        let [mut id, mut start, mut route, mut service, mut block, mut shape, mut headsign] = text;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(id.finish()),
            Arc::new(start.finish()),
            Arc::new(route.finish()),
            Arc::new(service.finish()),
            Arc::new(direction.finish()),
            Arc::new(block.finish()),
            Arc::new(shape.finish()),
            Arc::new(headsign.finish()),
            Arc::new(start_ts.finish()),
            Arc::new(end_ts.finish()),
            Arc::new(exact.finish()),
        ];
        batch(&Table::ScheduledTrips.schema(), columns)
    }

    /// The bad rows of the day, as the quarantine takes them.
    pub fn rejects_batch(&self) -> Result<RecordBatch> {
        let ids = &self.schedule.feed.ids;
        let rejected =
            self.rejects.iter().map(|reject| Rejected { file: ids.file(reject.file).into(), ..reject.shown() });
        quarantine::batch(self.date, &rejected.collect::<Vec<_>>())
    }
}

/// The calls of the day's runs, a batch of whole runs at a time.
struct CallBatches<'a> {
    day: &'a Day,
    next: usize,
}

impl Iterator for CallBatches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let day = self.day;
        let calls_of = |run: &Run| day.schedule.calls.of(run.trip);
        let ahead = day.runs.get(self.next..).unwrap_or_default();
        let mut rows = 0;
        let mut taken = 0;
        while let Some(run) = ahead.get(taken).filter(|_| rows < BATCH_ROWS) {
            rows += calls_of(run).len();
            taken += 1;
        }
        self.next += taken;
        (taken > 0).then(|| CallRows::new(day, rows).fill(&ahead[..taken]))
    }
}

struct CallRows<'a> {
    day: &'a Day,
    trip: StringBuilder,
    start: StringBuilder,
    stop: StringBuilder,
    sequence: Int32Builder,
    instants: [TimestampMicrosecondBuilder; 2],
    codes: [Int32Builder; 3],
    distance: Float64Builder,
}

impl<'a> CallRows<'a> {
    fn new(day: &'a Day, rows: usize) -> Self {
        let text = || StringBuilder::with_capacity(rows, rows * 8);
        Self {
            day,
            trip: text(),
            start: text(),
            stop: text(),
            sequence: Int32Builder::with_capacity(rows),
            instants: [instants(rows), instants(rows)],
            codes: std::array::from_fn(|_| Int32Builder::with_capacity(rows)),
            distance: Float64Builder::with_capacity(rows),
        }
    }

    fn fill(mut self, runs: &[Run]) -> Result<RecordBatch> {
        let schedule = &self.day.schedule;
        let ids = &schedule.feed.ids;
        for run in runs {
            let Some(trip) = schedule.trips.all.get(run.trip as usize) else { continue };
            let (trip, start) = (ids.of(schedule.trips.words.get(trip.id)), clock(run.start));
            for call in schedule.calls.of(run.trip) {
                self.trip.append_value(&trip);
                self.start.append_value(&start);
                self.call(run, call, ids);
            }
        }
        let [mut arrival, mut departure] = self.instants;
        let [mut timepoint, mut pickup, mut drop_off] = self.codes;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trip.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.sequence.finish()),
            Arc::new(self.stop.finish()),
            Arc::new(arrival.finish()),
            Arc::new(departure.finish()),
            Arc::new(timepoint.finish()),
            Arc::new(pickup.finish()),
            Arc::new(drop_off.finish()),
            Arc::new(self.distance.finish()),
        ];
        batch(&Table::ScheduledStopTimes.schema(), columns)
    }

    fn call(&mut self, run: &Run, call: &Call, ids: &Ids) {
        self.sequence.append_value(call.sequence);
        self.stop.append_option(optional(self.day.schedule.calls.stops.get(call.stop)).map(|stop| ids.of(stop)));
        for (builder, seconds) in self.instants.iter_mut().zip([call.arrival(), call.departure()]) {
            builder.append_option(seconds.map(|seconds| self.day.micros(seconds + run.shift)));
        }
        for (builder, code) in self.codes.iter_mut().zip(call.codes()) {
            builder.append_option(code);
        }
        self.distance.append_option(call.distance());
    }
}

/// The first time of a run: the departure of the first call that has a time.
fn first_departure(calls: &[Call]) -> Option<i32> {
    calls.iter().find_map(|call| call.departure().or(call.arrival()))
}

/// The last time of a run: the arrival of the last call that has a time.
fn last_arrival(calls: &[Call]) -> Option<i32> {
    calls.iter().rev().find_map(|call| call.arrival().or(call.departure()))
}

/// A trip that runs and of which nobody knows when.
fn without_times(schedule: &Schedule, trip: &Trip, number: u32) -> Reject {
    let text = |word| schedule.trips.words.get(word);
    let row = serde_json::json!({
        "trip_id": text(trip.id), "route_id": text(trip.route), "service_id": text(trip.service),
    });
    Reject {
        dataset: TRIPS.dataset,
        file: TRIPS.file,
        line: trip.line,
        reason: Reason::NoTime,
        row_json: row.to_string(),
        trip: Some(number),
    }
}

fn instants(rows: usize) -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")
}
