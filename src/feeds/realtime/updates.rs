//! Trip updates: the last word on each run and stop.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use hashbrown::HashMap;
use serde::Serialize;

use super::columns::{batch, instants, words};
use super::message::{Event, Stop, Update};
use super::names::{NONE, Name, Names};
use super::positions::{BATCH_ROWS, micros};
use super::recording::Poll;
use super::schedule::{start_date, start_time};
use super::service::Service;
use super::wire::Malformed;
use super::words::{Code, STOP_RELATIONSHIP, TRIP_RELATIONSHIP, code};
use super::{MOST, MOST_STOPS};
use crate::error::Result;
use crate::feeds::Ids;
use crate::model::Dataset;

/// When something was said: the update's time, then the poll's.
type Moment = (i64, i64);

/// What was last said of a stop of a run, or of the run as a whole.
#[derive(Clone, Copy, Debug)]
struct Word {
    sequence: Option<i32>,
    stop: Name,
    arrival: Event,
    departure: Event,
    relationship: Code,
    /// Which of the run's heads it came with.
    head: u32,
    said: Moment,
}

/// What an update says of its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    route: Name,
    vehicle: Name,
    relationship: Code,
}

/// The last words on one run.
#[derive(Debug, Default)]
struct Run {
    words: Vec<Word>,
    heads: Vec<Head>,
    /// Where the words on each stop are, by its sequence number, or without one by its name.
    places: HashMap<(Option<i32>, Name), usize>,
}

/// One row: a run, what was said of it, and the word on a stop.
struct Row<'a> {
    key: &'a (Name, Name),
    head: Option<&'a Head>,
    word: &'a Word,
}

/// Counts of trip updates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpdateCounts {
    /// Updates of runs.
    pub updates: u64,
    /// Updates of stops.
    pub stop_updates: u64,
    /// Updates of other service dates.
    pub other_days: u64,
    /// Updates with neither a time nor a date.
    pub without_day: u64,
    /// Updates that name no trip.
    pub without_trip: u64,
}

/// The trip updates of one day.
#[derive(Default)]
pub(super) struct Updates {
    pub(super) counts: UpdateCounts,
    names: Names,
    known: HashMap<(Name, Name), usize>,
    runs: Vec<((Name, Name), Run)>,
}

impl Updates {
    /// Takes an update in.
    pub(super) fn take(
        &mut self,
        update: &Update<'_>,
        poll: &Poll,
        service: &mut Service,
    ) -> std::result::Result<(), Malformed> {
        self.counts.updates += 1;
        self.counts.stop_updates += update.stops as u64;
        let trip = &update.trip;
        if trip.id.is_empty() {
            self.counts.without_trip += 1;
            return Ok(());
        }
        let at = update.timestamp.map(micros).or(poll.header_micros).or(poll.received_micros);
        let Some(day) = service.day(trip, start_date(trip.start_date), at) else {
            self.counts.without_day += 1;
            return Ok(());
        };
        if day != service.day {
            self.counts.other_days += 1;
            return Ok(());
        }
        let scheduled = service.run(trip, at).map(|run| run.start_time.as_str());
        let start = match scheduled {
            Some(start) => self.names.number(start.as_bytes()),
            None => self.names.number(start_time(trip.start_time).unwrap_or_default().as_bytes()),
        };
        let key = (self.names.number(trip.id), start);
        let place = match self.known.get(&key) {
            Some(known) => *known,
            None if self.runs.len() >= MOST => return Err(Malformed::TooMany),
            None => {
                self.known.insert(key, self.runs.len());
                self.runs.push((key, Run::default()));
                self.runs.len() - 1
            }
        };
        let names = &mut self.names;
        let head = Head {
            route: names.number(trip.route_id),
            vehicle: names.number(update.vehicle.name()),
            relationship: code(TRIP_RELATIONSHIP, trip.relationship),
        };
        let said = (at.unwrap_or(i64::MIN), poll.order(update.timestamp));
        self.runs[place].1.hear(update, head, said, names)
    }

    /// Hands out the last words, run by run in the order in which they were first heard of; one batch at least.
    pub(super) fn batches(&self, ids: &Ids, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let words = self.runs.iter().flat_map(|(key, run)| {
            run.words.iter().map(move |word| Row { key, head: run.heads.get(word.head as usize), word })
        });
        let mut rows = Vec::new();
        for row in words {
            rows.push(row);
            if rows.len() == BATCH_ROWS {
                sink(self.batch(&rows, ids)?)?;
                rows.clear();
            }
        }
        sink(self.batch(&rows, ids)?)
    }

    fn batch(&self, rows: &[Row<'_>], ids: &Ids) -> Result<RecordBatch> {
        let id = |of: fn(&Row<'_>) -> Name| self.names.id_column(ids, rows.iter().map(of));
        let head = |row: &Row<'_>| row.head.copied().unwrap_or_default();
        let number = |of: fn(&Word) -> Option<i32>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| of(row.word)).collect::<Int32Array>())
        };
        let instant = |of: fn(&Word) -> Option<u64>| instants(rows.iter().map(|row| of(row.word).map(micros)));
        let columns = vec![
            id(|row| row.key.0)?,
            self.names.column(rows.iter().map(|row| row.key.1))?,
            number(|word| word.sequence),
            id(|row| row.word.stop)?,
            self.names.id_column(ids, rows.iter().map(|row| head(row).route))?,
            self.names.id_column(ids, rows.iter().map(|row| head(row).vehicle))?,
            words(TRIP_RELATIONSHIP, rows.iter().map(|row| head(row).relationship))?,
            words(STOP_RELATIONSHIP, rows.iter().map(|row| row.word.relationship))?,
            instant(|word| word.arrival.time),
            number(|word| word.arrival.delay),
            instant(|word| word.departure.time),
            number(|word| word.departure.delay),
            instants(rows.iter().map(|row| Some(row.word.said.0).filter(|at| *at != i64::MIN))),
        ];
        batch(Dataset::TripUpdates.schema(), columns)
    }
}

impl Run {
    fn hear(
        &mut self,
        update: &Update<'_>,
        head: Head,
        said: Moment,
        names: &mut Names,
    ) -> std::result::Result<(), Malformed> {
        if update.stops > MOST_STOPS || self.words.len() > MOST_STOPS {
            return Err(Malformed::TooMany);
        }
        let known = self.heads.iter().position(|other| *other == head);
        let head_number = known.unwrap_or_else(|| {
            self.heads.push(head);
            self.heads.len() - 1
        }) as u32;
        if update.stops == 0 {
            let whole = Event { delay: update.delay, time: None };
            let stop = Stop { arrival: whole, departure: whole, ..Stop::default() };
            self.word(&stop, head_number, said, 0, names);
            return Ok(());
        }
        // Stops come in the order of the last time, less those that are behind: the next is likely the one after the last.
        let mut likely = 0;
        update.each_stop(|stop| likely = self.word(&stop, head_number, said, likely, names) + 1)
    }

    /// Takes in what is said of a stop and gives its place among the run's words.
    #[inline]
    fn word(&mut self, stop: &Stop<'_>, head: u32, said: Moment, likely: usize, names: &mut Names) -> usize {
        let place = match self.words.get(likely) {
            Some(word) if word.is_of(stop, names) => likely,
            Some(_) | None => self.place(stop, names),
        };
        let stop_name = match self.words.get(place) {
            Some(known) if said < known.said => return place,
            Some(known) => names.number_like(known.stop, stop.stop_id),
            None => names.number(stop.stop_id),
        };
        let word = Word {
            sequence: stop.sequence,
            stop: stop_name,
            arrival: stop.arrival,
            departure: stop.departure,
            relationship: code(STOP_RELATIONSHIP, stop.relationship),
            head,
            said,
        };
        match self.words.get_mut(place) {
            Some(known) => *known = word,
            None => self.words.push(word),
        }
        place
    }

    /// The place of a stop's words; a new stop's is behind the last.
    fn place(&mut self, stop: &Stop<'_>, names: &mut Names) -> usize {
        let key = (stop.sequence, if stop.sequence.is_some() { NONE } else { names.number(stop.stop_id) });
        *self.places.entry(key).or_insert(self.words.len())
    }
}

impl Word {
    /// Whether it is about that stop: of one sequence number, or without one of one stop.
    #[inline]
    fn is_of(&self, stop: &Stop<'_>, names: &Names) -> bool {
        match (self.sequence, stop.sequence) {
            (Some(own), Some(other)) => own == other,
            (None, None) => names.text(self.stop).as_bytes() == stop.stop_id,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}
