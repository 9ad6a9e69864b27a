//! `stop_times.txt`: the calls of the trips that run on the days asked for. The large file: what no day needs is passed over.

use std::ops::Range;

use super::archive::Archive;
use super::reject::{Bad, Tally, keep_last};
use super::row::{Row, Source};
use super::rows::read;
use super::trips::{Known, Trips};
use super::value::{self, Unreadable};
use super::words::{Word, Words};
use crate::control::{Cancel, Progress};
use crate::error::Result;
use crate::model::{Dataset, Reason};

pub(super) const STOP_TIMES: Source = Source {
    file: "stop_times.txt",
    dataset: Dataset::ScheduledStopTimes,
    columns: &[
        "trip_id",
        "stop_sequence",
        "arrival_time",
        "departure_time",
        "stop_id",
        "timepoint",
        "pickup_type",
        "drop_off_type",
        "shape_dist_traveled",
    ],
    required: 2,
    keeps_all: false,
};
const TRIP: usize = 0;
const SEQUENCE: usize = 1;
const ARRIVAL: usize = 2;
const DEPARTURE: usize = 3;
const STOP: usize = 4;
const TIMEPOINT: usize = 5;
const PICKUP: usize = 6;
const DROP_OFF: usize = 7;
const DISTANCE: usize = 8;

/// Rows between two signs of life.
const TOLD_ROWS: u64 = 1 << 16;

/// A call of a trip at a stop. Blank numbers are [`BLANK`], a blank distance is NaN: a day can have millions of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) trip: u32,
    pub(super) sequence: i32,
    arrival: i32,
    departure: i32,
    pub(super) stop: Word,
    timepoint: i16,
    pickup: i16,
    drop_off: i16,
    distance: f64,
}

const BLANK: i32 = i32::MIN;
const BLANK_CODE: i16 = i16::MIN;

impl Call {
    pub(super) fn arrival(&self) -> Option<i32> {
        (self.arrival != BLANK).then_some(self.arrival)
    }

    pub(super) fn departure(&self) -> Option<i32> {
        (self.departure != BLANK).then_some(self.departure)
    }

    /// Timepoint, pickup and drop-off type.
    pub(super) fn codes(&self) -> [Option<i32>; 3] {
        [self.timepoint, self.pickup, self.drop_off].map(|code| (code != BLANK_CODE).then_some(i32::from(code)))
    }

    pub(super) fn distance(&self) -> Option<f64> {
        (!self.distance.is_nan()).then_some(self.distance)
    }
}

/// The calls of the trips asked for, by trip and sequence.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) stops: Words,
    all: Vec<Call>,
    ranges: Vec<Range<usize>>,
}

impl Calls {
    pub(super) fn read(
        archive: &Archive,
        trips: &Trips,
        tally: &mut Tally,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<Self> {
        let mut calls = Self { stops: Words::new(), all: Vec::new(), ranges: Vec::new() };
        // Rows of one trip stand together nearly always.
        let mut current = (Vec::new(), Known::Nothing);
        let mut rows = 0_u64;
        let mut each = |row: &Row<'_>, tally: &mut Tally| {
            rows += 1;
            if rows.is_multiple_of(TOLD_ROWS) {
                progress.add(TOLD_ROWS);
            }
            let id = row.get(TRIP);
            if current.0.as_slice() != id {
                current.0.clear();
                current.0.extend_from_slice(id);
                current.1 = trips.find(id);
            }
            let trip = match current.1 {
                Known::Trip(trip) => trip,
                Known::Rejected => {
                    tally.of_rejected_trip(&STOP_TIMES);
                    return Ok(());
                }
                Known::Nothing => return Err(Bad::new(if id.is_empty() { Reason::NoKey } else { Reason::Orphan })),
            };
            if trips.is_asked.get(trip as usize) == Some(&true) {
                let call = calls.call(trip, row).map_err(|Unreadable| Bad::unreadable().of(trip))?;
                calls.all.push(call);
            }
            Ok(())
        };
        archive.read(STOP_TIMES.file, |input| read(&STOP_TIMES, input, tally, cancel, &mut each))?;
        calls.sort(trips.all.len(), tally);
        Ok(calls)
    }

    /// The calls of a trip in their order.
    pub(super) fn of(&self, trip: u32) -> &[Call] {
        self.ranges.get(trip as usize).and_then(|range| self.all.get(range.clone())).unwrap_or_default()
    }

    fn call(&mut self, trip: u32, row: &Row<'_>) -> std::result::Result<Call, Unreadable> {
        Ok(Call {
            trip,
            sequence: value::integer(row.get(SEQUENCE))?.ok_or(Unreadable)?,
            arrival: value::seconds(row.get(ARRIVAL))?.unwrap_or(BLANK),
            departure: value::seconds(row.get(DEPARTURE))?.unwrap_or(BLANK),
            stop: self.stops.word(row.get(STOP)).ok_or(Unreadable)?,
            timepoint: value::code(row.get(TIMEPOINT))?.unwrap_or(BLANK_CODE),
            pickup: value::code(row.get(PICKUP))?.unwrap_or(BLANK_CODE),
            drop_off: value::code(row.get(DROP_OFF))?.unwrap_or(BLANK_CODE),
            distance: value::number(row.get(DISTANCE))?.unwrap_or(f64::NAN),
        })
    }

    /// Brings the calls into order; of two at one place of a trip the later row stays.
    fn sort(&mut self, trips: usize, tally: &mut Tally) {
        let place = |call: &Call| (call.trip, call.sequence);
        if !self.all.is_sorted_by_key(place) {
            self.all.sort_by_key(place);
        }
        for _ in 0..keep_last(&mut self.all, place) {
            tally.duplicate(&STOP_TIMES);
        }
        self.ranges = vec![0..0; trips];
        let mut start = 0;
        for of_trip in self.all.chunk_by(|a, b| a.trip == b.trip) {
            let end = start + of_trip.len();
            if let Some(range) = of_trip.first().and_then(|call| self.ranges.get_mut(call.trip as usize)) {
                *range = start..end;
            }
            start = end;
        }
    }
}
