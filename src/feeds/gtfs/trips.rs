//! `trips.txt` and `frequencies.txt`: the trips of a feed, those of the days asked for in full.

use chrono::NaiveDate;

use super::archive::Archive;
use super::calendar::Calendar;
use super::reject::{Bad, Tally};
use super::row::{Row, Source};
use super::rows::read;
use super::value::{self, Unreadable};
use super::words::{Word, Words};
use crate::control::Cancel;
use crate::error::Result;
use crate::model::{Dataset, Reason};

pub(super) const TRIPS: Source = Source {
    file: "trips.txt",
    dataset: Dataset::ScheduledTrips,
    columns: &["trip_id", "route_id", "service_id", "direction_id", "block_id", "shape_id", "trip_headsign"],
    required: 3,
    keeps_all: false,
};
const TRIP: usize = 0;
const ROUTE: usize = 1;
const SERVICE: usize = 2;
const DIRECTION: usize = 3;
const BLOCK: usize = 4;
const SHAPE: usize = 5;
const HEADSIGN: usize = 6;

pub(super) const FREQUENCIES: Source = Source {
    file: "frequencies.txt",
    dataset: Dataset::ScheduledTrips,
    columns: &["trip_id", "start_time", "end_time", "headway_secs", "exact_times"],
    required: 4,
    keeps_all: false,
};

/// A trip as the feed describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub(super) id: Word,
    pub(super) route: Word,
    pub(super) service: Word,
    /// The service in the calendar; `None` when no calendar names it, so that it never runs.
    pub(super) calendar: Option<Word>,
    pub(super) block: Word,
    pub(super) shape: Word,
    pub(super) headsign: Word,
    pub(super) direction: Option<i16>,
    pub(super) line: u64,
}

/// Runs at a headway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frequency {
    pub(super) trip: u32,
    pub(super) start: i32,
    pub(super) end: i32,
    pub(super) headway: i32,
    pub(super) is_exact: bool,
}

/// All trips, and what runs at headways.
#[derive(Debug)]
pub(super) struct Trips {
    pub(super) words: Words,
    pub(super) all: Vec<Trip>,
    /// The trip of a word, where the word is a trip's id.
    by_id: Vec<u32>,
    /// Whether a trip runs on any of the days asked for.
    pub(super) is_asked: Vec<bool>,
    /// In the order of the trips.
    pub(super) frequencies: Vec<Frequency>,
    /// Whether a trip runs at headways, so that it has no run of its own times.
    pub(super) has_frequency: Vec<bool>,
}

const NO_TRIP: u32 = u32::MAX;
/// A trip whose row cannot be used.
const REJECTED: u32 = u32::MAX - 1;

/// What a trip's id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Trip(u32),
    /// A trip whose row cannot be used.
    Rejected,
    Nothing,
}

impl Trips {
    pub(super) fn read(
        archive: &Archive,
        calendar: &Calendar,
        days: &[NaiveDate],
        tally: &mut Tally,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut trips = Self {
            words: Words::new(),
            all: Vec::new(),
            by_id: Vec::new(),
            is_asked: Vec::new(),
            frequencies: Vec::new(),
            has_frequency: Vec::new(),
        };
        let mut each = |row: &Row<'_>, tally: &mut Tally| trips.trip(calendar, row, tally);
        archive.read(TRIPS.file, |input| read(&TRIPS, input, tally, cancel, &mut each))?;
        for reject in tally.rejects.iter().filter(|reject| reject.file == TRIPS.file) {
            trips.refuse(reject.value(TRIPS.columns[TRIP]).as_deref().unwrap_or_default());
        }
        tally.without_service(&TRIPS, trips.all.iter().filter(|trip| trip.calendar.is_none()).count());
        trips.is_asked = trips.all.iter().map(|trip| days.iter().any(|day| trip.runs(calendar, *day))).collect();
        trips.has_frequency = vec![false; trips.all.len()];
        if archive.has(FREQUENCIES.file) {
            let mut each = |row: &Row<'_>, tally: &mut Tally| trips.frequency(row, tally);
            archive.read(FREQUENCIES.file, |input| read(&FREQUENCIES, input, tally, cancel, &mut each))?;
            trips.frequencies.sort_by_key(|frequency| frequency.trip);
        }
        Ok(trips)
    }

    /// The trip of an id.
    pub(super) fn find(&self, id: &[u8]) -> Known {
        match self.words.find(id).and_then(|word| self.by_id.get(word.index())) {
            Some(&REJECTED) => Known::Rejected,
            Some(&NO_TRIP) | None => Known::Nothing,
            Some(trip) => Known::Trip(*trip),
        }
    }

    /// The rows of `frequencies.txt` for a trip, in their order.
    pub(super) fn frequencies_of(&self, trip: u32) -> &[Frequency] {
        let first = self.frequencies.partition_point(|frequency| frequency.trip < trip);
        let after = self.frequencies.partition_point(|frequency| frequency.trip <= trip);
        self.frequencies.get(first..after).unwrap_or_default()
    }

    fn trip(&mut self, calendar: &Calendar, row: &Row<'_>, tally: &mut Tally) -> std::result::Result<(), Bad> {
        let mut word = |column: usize| self.words.word(row.get(column)).ok_or(Unreadable);
        let trip = Trip {
            id: word(TRIP)?,
            route: word(ROUTE)?,
            service: word(SERVICE)?,
            calendar: calendar.find(row.get(SERVICE)),
            block: word(BLOCK)?,
            shape: word(SHAPE)?,
            headsign: word(HEADSIGN)?,
            direction: value::code(row.get(DIRECTION))?,
            line: row.line,
        };
        if trip.id == Word::NONE {
            return Err(Bad::new(Reason::NoKey));
        }
        self.make_room();
        let number = self.all.len() as u32;
        match self.by_id.get_mut(trip.id.index()) {
            Some(known) if *known != NO_TRIP => {
                tally.duplicate(&TRIPS);
                if let Some(earlier) = self.all.get_mut(*known as usize) {
                    *earlier = trip;
                }
            }
            Some(free) => {
                *free = number;
                self.all.push(trip);
            }
            None => {}
        }
        Ok(())
    }

    /// Remembers a trip whose row cannot be used, unless another row of it can.
    fn refuse(&mut self, id: &str) {
        let Some(word) = self.words.word(id.as_bytes()).filter(|word| *word != Word::NONE) else { return };
        self.make_room();
        if let Some(free) = self.by_id.get_mut(word.index()).filter(|known| **known == NO_TRIP) {
            *free = REJECTED;
        }
    }

    /// Gives each word a place in `by_id`.
    fn make_room(&mut self) {
        if self.by_id.len() < self.words.len() {
            self.by_id.resize(self.words.len().next_power_of_two(), NO_TRIP);
        }
    }

    fn frequency(&mut self, row: &Row<'_>, tally: &mut Tally) -> std::result::Result<(), Bad> {
        if row.get(0).is_empty() {
            return Err(Bad::new(Reason::NoKey));
        }
        let trip = match self.find(row.get(0)) {
            Known::Trip(trip) => trip,
            Known::Rejected => {
                tally.of_rejected_trip(&FREQUENCIES);
                return Ok(());
            }
            Known::Nothing => return Err(Bad::new(Reason::Orphan)),
        };
        if let Some(has) = self.has_frequency.get_mut(trip as usize) {
            *has = true;
        }
        let bad = Bad::unreadable().of(trip);
        let read = || {
            let (start, end) = (value::seconds(row.get(1))?, value::seconds(row.get(2))?);
            Ok::<_, Unreadable>((start, end, value::integer(row.get(3))?, value::code(row.get(4))?))
        };
        let (start, end, headway, exact) = read().map_err(|Unreadable| bad)?;
        let (Some(start), Some(end), Some(headway @ 1..)) = (start, end, headway) else { return Err(bad) };
        if end < start {
            return Err(bad);
        }
        let is_exact = match exact {
            Some(1) => true,
            Some(0) | None => false,
            Some(_) => return Err(bad),
        };
        self.frequencies.push(Frequency { trip, start, end, headway, is_exact });
        Ok(())
    }
}

impl Trip {
    /// Whether the trip runs on a date.
    pub(super) fn runs(&self, calendar: &Calendar, date: NaiveDate) -> bool {
        self.calendar.is_some_and(|service| calendar.runs(service, date))
    }
}
