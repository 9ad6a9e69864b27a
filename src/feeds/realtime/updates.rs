//! Trip updates: the last word on each run and stop. Runs are shared out among the cores, as their stops are all the work.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use chrono::NaiveDate;
use hashbrown::HashMap;
use serde::Serialize;

use super::columns::{batch, instants, words};
use super::message::{Event, Stop, Update};
use super::names::{NONE, Name, Names, TextColumns};
use super::positions::BATCH_ROWS;
use super::recording::{Poll, micros};
use super::schedule::{date, start_date, start_time};
use super::service::Service;
use super::wire::Malformed;
use super::words::{Code, STOP_RELATIONSHIP, TRIP_RELATIONSHIP, code};
use super::{MOST, MOST_STOPS};
use crate::error::{Error, Result};
use crate::feeds::Ids;
use crate::model::Dataset;

/// Cores that are worth sharing runs with: behind them stands one that finds the updates.
const MOST_SHARES: usize = 4;
/// Less than this is read sooner than threads begin.
const WORTH_THREADS_BYTES: usize = 256 << 10;
/// Stops that a vehicle may pass between two polls: to look at the words on each is less than to look one up.
const FEW_STOPS: usize = 4;
/// Updates that may wait to be heard.
pub(super) const MOST_PENDING: usize = 4 * 1024;

/// When something was said: the update's time, then the poll's.
type Moment = (i64, i64);

/// What was last said of a stop of a run, or of the run as a whole.
#[derive(Clone, Copy, Debug, Default)]
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
    /// Where the words on the first stop of the last update are.
    next: usize,
}

/// The runs of one core: every so many of all, in the order in which they were first heard of.
#[derive(Default)]
struct Share {
    /// The stops.
    names: Names,
    runs: Vec<Run>,
}

/// An update whose run is known and whose stops are still to be read.
pub(super) struct Pending<'a> {
    update: Update<'a>,
    /// The number of its run.
    run: usize,
    head: Head,
    said: Moment,
}

/// One row: a run, what was said of it, and the word on a stop.
struct Row<'a> {
    key: &'a (Name, Name),
    head: Option<&'a Head>,
    stop: Name,
    word: &'a Word,
}

/// Counts of trip updates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpdateCounts {
    /// Updates of runs.
    pub updates: u64,
    /// Updates of stops.
    pub stop_updates: u64,
    /// Updates of other service dates, which are not written.
    pub other_days: BTreeMap<NaiveDate, u64>,
    /// Updates with neither a time nor a date.
    pub without_day: u64,
    /// Updates that name no trip.
    pub without_trip: u64,
}

/// The trip updates of one day.
pub(super) struct Updates {
    pub(super) counts: UpdateCounts,
    names: Names,
    known: HashMap<(Name, Name), usize>,
    /// Trip and start time of each run, by its number.
    runs: Vec<(Name, Name)>,
    shares: Vec<Share>,
}

impl Default for Updates {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = (0..cores.clamp(1, MOST_SHARES)).map(|_| Share::default()).collect();
        Self {
            counts: UpdateCounts::default(),
            names: Names::default(),
            known: HashMap::new(),
            runs: Vec::new(),
            shares,
        }
    }
}

impl Updates {
    /// Takes an update in; what it says of its stops is for [`Self::hear`].
    pub(super) fn take<'a>(
        &mut self,
        update: Update<'a>,
        poll: &Poll,
        service: &mut Service,
    ) -> std::result::Result<Option<Pending<'a>>, Malformed> {
        self.counts.updates += 1;
        self.counts.stop_updates += update.stops as u64;
        let trip = &update.trip;
        if trip.id.is_empty() {
            self.counts.without_trip += 1;
            return Ok(None);
        }
        let at = update.timestamp.map(micros).or(poll.header_micros).or(poll.received_micros);
        let Some(day) = service.day(trip, start_date(trip.start_date), at) else {
            self.counts.without_day += 1;
            return Ok(None);
        };
        if day != service.day {
            *self.counts.other_days.entry(date(day)).or_default() += 1;
            return Ok(None);
        }
        let scheduled = service.run(trip, at).map(|run| run.start_time.as_str());
        let start = match scheduled {
            Some(start) => self.names.number(start.as_bytes()),
            None => self.names.number(start_time(trip.start_time).unwrap_or_default().as_bytes()),
        };
        let key = (self.names.number(trip.id), start);
        let run = match self.known.get(&key) {
            Some(known) => *known,
            None if self.runs.len() >= MOST => return Err(Malformed::TooMany),
            None => {
                let next = self.runs.len();
                self.known.insert(key, next);
                self.runs.push(key);
                let share = next % self.shares.len();
                self.shares[share].runs.push(Run::default());
                next
            }
        };
        let names = &mut self.names;
        let head = Head {
            route: names.number(trip.route_id),
            vehicle: names.number(update.vehicle.name()),
            relationship: code(TRIP_RELATIONSHIP, trip.relationship),
        };
        let said = (at.unwrap_or(i64::MIN), poll.order(update.timestamp));
        Ok(Some(Pending { update, run, head, said }))
    }

    /// Hears updates in their order, and says how many cannot be read, and why the last one cannot.
    ///
    /// # Errors
    /// When a thread breaks off.
    pub(super) fn hear(&mut self, pending: &[Pending<'_>]) -> Result<(u64, Option<Malformed>)> {
        let count = self.shares.len();
        let is_little = pending.iter().map(|update| update.update.size_bytes()).sum::<usize>() < WORTH_THREADS_BYTES;
        let outcomes: Vec<_> = if is_little {
            self.shares.iter_mut().enumerate().map(|(share, of_core)| of_core.hear(pending, share, count)).collect()
        } else {
            std::thread::scope(|scope| {
                let hear = |(share, of_core): (usize, &mut Share)| of_core.hear(pending, share, count);
                let mut shares = self.shares.iter_mut().enumerate();
                let own = shares.next();
                let others: Vec<_> = shares.map(|share| scope.spawn(move || hear(share))).collect();
                let own = own.map(hear);
                let others = others.into_iter().map(|thread| {
                    thread.join().map_err(|_| Error::internal("a thread that reads trip updates broke off"))
                });
                own.into_iter().map(Ok).chain(others).collect::<Result<_>>()
            })?
        };
        let unreadable = outcomes.iter().map(|(unreadable, _)| unreadable).sum();
        let last = outcomes.into_iter().filter_map(|(_, last)| last).max_by_key(|(number, _)| *number);
        Ok((unreadable, last.map(|(_, why)| why)))
    }

    /// Hands out the last words, run by run in the order in which they were first heard of; one batch at least.
    pub(super) fn batches(&mut self, ids: &Ids, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let Self { names, runs, shares, .. } = self;
        let mut rows = Vec::new();
        for (number, key) in runs.iter().enumerate() {
            let share = &shares[number % shares.len()];
            let Some(run) = share.runs.get(number / shares.len()) else { continue };
            for word in &run.words {
                let stop = names.number(share.names.text(word.stop).as_bytes());
                rows.push(Row { key, head: run.heads.get(word.head as usize), stop, word });
                if rows.len() == BATCH_ROWS {
                    sink(rows_of(&rows, &names.columns(ids)?)?)?;
                    rows.clear();
                }
            }
        }
        sink(rows_of(&rows, &names.columns(ids)?)?)
    }
}

impl Share {
    /// Hears those of the updates that are of its runs: how many cannot be read, with the number of the last one and why.
    fn hear(&mut self, pending: &[Pending<'_>], share: usize, shares: usize) -> (u64, Option<(usize, Malformed)>) {
        let (mut unreadable, mut last) = (0, None);
        for (number, update) in pending.iter().enumerate().filter(|(_, update)| update.run % shares == share) {
            let Some(run) = self.runs.get_mut(update.run / shares) else { continue };
            if let Err(why) = run.hear(&update.update, update.head, update.said, &mut self.names) {
                unreadable += 1;
                last = Some((number, why));
            }
        }
        (unreadable, last)
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
        let (mut likely, mut first) = (self.next, None);
        let heard = update.each_stop(|stop| {
            let place = self.word(stop, head_number, said, likely, names);
            first.get_or_insert(place);
            likely = place + 1;
        });
        self.next = first.unwrap_or(self.next);
        heard
    }

    /// Takes in what is said of a stop and gives its place among the run's words.
    #[inline(always)]
    fn word(&mut self, stop: &Stop<'_>, head: u32, said: Moment, likely: usize, names: &mut Names) -> usize {
        for place in likely..likely + FEW_STOPS {
            let Some(word) = self.words.get_mut(place) else { break };
            if word.is_of(stop, names) {
                word.hear(stop, head, said, names);
                return place;
            }
        }
        self.word_elsewhere(stop, head, said, names)
    }

    /// The same of a stop that is not among those which are likely next.
    #[inline(never)]
    fn word_elsewhere(&mut self, stop: &Stop<'_>, head: u32, said: Moment, names: &mut Names) -> usize {
        let place = self.place(stop, names);
        match self.words.get_mut(place) {
            Some(known) => known.hear(stop, head, said, names),
            None => {
                let mut first = Word { sequence: stop.sequence, said, ..Word::default() };
                first.hear(stop, head, said, names);
                self.words.push(first);
            }
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
    /// Takes in what is said of its stop, unless something later was said before.
    #[inline(always)]
    fn hear(&mut self, stop: &Stop<'_>, head: u32, said: Moment, names: &mut Names) {
        if said < self.said {
            return;
        }
        self.stop = names.number_like(self.stop, stop.stop_id);
        (self.arrival, self.departure) = (stop.arrival, stop.departure);
        self.relationship = code(STOP_RELATIONSHIP, stop.relationship);
        (self.head, self.said) = (head, said);
    }

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

fn rows_of(rows: &[Row<'_>], texts: &TextColumns) -> Result<RecordBatch> {
    let head = |row: &Row<'_>| row.head.copied().unwrap_or_default();
    let number = |of: fn(&Word) -> Option<i32>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row.word)).collect::<Int32Array>())
    };
    let instant = |of: fn(&Word) -> Option<NonZero<u64>>| {
        instants(rows.iter().map(|row| of(row.word).map(|seconds| micros(seconds.get()))))
    };
    let columns = vec![
        texts.of_ids(rows, |row| row.key.0)?,
        texts.of(rows, |row| row.key.1)?,
        number(|word| word.sequence),
        texts.of_ids(rows, |row| row.stop)?,
        texts.of_ids(rows, |row| head(row).route)?,
        texts.of_ids(rows, |row| head(row).vehicle)?,
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
