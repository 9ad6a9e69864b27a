//! Positions: repeats of a vehicle's last report left out, dates resolved, rows made into batches.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use hashbrown::HashMap;

use super::MOST;
use super::columns::Dates;
use super::message::{Report, Trip};
use super::names::{NONE, Name, Names};
use super::recording::{Poll, micros};
use super::row::{Row, Said};
use super::schedule::{Run, date};
use super::service::Service;
use super::wire::Malformed;
use super::words::{OCCUPANCY, VEHICLE_STOP_STATUS, code};
use crate::error::Result;
use crate::feeds::Ids;

/// Rows of one batch: more would leave the cache of a core before they are columns, and with fewer those who encode them wait for
/// each other more often.
pub(super) const BATCH_ROWS: usize = 16 * 1024;
/// A vehicle's clock may run ahead of its feed's by so much before its report is one from the future.
const AHEAD_MICROS: i64 = 300 * 1_000_000;

/// A vehicle's last report.
#[derive(Debug, Default)]
struct Last {
    said: Said,
    vehicle: Name,
    label: Name,
    recording: u64,
    order: i64,
    /// How it named its run and itself, on the wire. Of a vehicle without a name nothing is kept of the latter.
    trip_bytes: Box<[u8]>,
    vehicle_bytes: Box<[u8]>,
    is_new: bool,
}

/// Counts of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PositionCounts {
    /// Reports read.
    pub reports: u64,
    /// Reports that repeat the vehicle's last one.
    pub repeated: u64,
    /// Rows of the day.
    pub written: u64,
    /// Rows of other service dates, which are not written.
    pub other_days: BTreeMap<NaiveDate, u64>,
    /// Reports with neither a time nor a date.
    pub without_day: u64,
    /// Rows that name no vehicle.
    pub without_vehicle: u64,
    /// Rows whose time lies ahead of their feed's by more than five minutes, or of the clock that read them.
    pub in_the_future: u64,
    /// Rows whose `start_date` is no date.
    pub bad_start_dates: u64,
}

/// The positions of one day.
#[derive(Default)]
pub(super) struct Positions {
    pub(super) counts: PositionCounts,
    pub(super) names: Names,
    pub(super) rows: Vec<Row>,
    vehicles: HashMap<Box<[u8]>, usize>,
    last: Vec<Last>,
    /// The place of the vehicle that comes next, if the feed lists them as it did in the last poll.
    likely: usize,
    dates: Dates,
}

/// What became of a report.
pub(super) enum Taken<'a> {
    /// The last of the rows, one of the day, and the scheduled run that it was matched to.
    Row(Option<&'a Run>),
    /// Nothing to write.
    Nothing,
    /// It came before an earlier report of its vehicle: recordings are not in the order of time.
    OutOfOrder,
}

impl Positions {
    /// Takes a report in. `entity` names vehicles that have neither id nor label, for their repeats alone.
    ///
    /// # Errors
    /// When the report names its run or vehicle by what is no message, or one vehicle more than there can be.
    #[inline]
    pub(super) fn take<'s>(
        &mut self,
        report: &Report<'_>,
        entity: &[u8],
        poll: &Poll,
        service: &'s mut Service,
    ) -> std::result::Result<Taken<'s>, Malformed> {
        let (place, label) = self.vehicle(report, entity)?;
        let said = self.statement_of(report, place, label)?;
        self.counts.reports += 1;
        self.likely = place + 1;
        let (order, last) = (poll.order(report.timestamp), &mut self.last[place]);
        let is_new = std::mem::take(&mut last.is_new);
        let repeats = !is_new && last.said == said;
        let backwards = order < last.order || (order == last.order && last.recording != poll.number && !repeats);
        if !is_new && backwards && !poll.is_sorted {
            return Ok(Taken::OutOfOrder);
        }
        (last.recording, last.order) = (poll.number, order);
        if repeats {
            self.counts.repeated += 1;
            return Ok(Taken::Nothing);
        }
        last.said = said;
        let vehicle = last.vehicle;
        self.row(report, said, vehicle, poll, service)
    }

    /// The place of a report's vehicle among those that were seen, and the vehicle's label; a new one gets the next place,
    /// while there is one.
    #[inline]
    fn vehicle(&mut self, report: &Report<'_>, entity: &[u8]) -> std::result::Result<(usize, Name), Malformed> {
        match self.last.get(self.likely) {
            Some(last) if !last.vehicle_bytes.is_empty() && *last.vehicle_bytes == *report.vehicle => {
                Ok((self.likely, last.label))
            }
            Some(_) | None => self.look_up(report, entity),
        }
    }

    fn look_up(&mut self, report: &Report<'_>, entity: &[u8]) -> std::result::Result<(usize, Name), Malformed> {
        let vehicle = report.vehicle()?;
        let name = vehicle.name();
        // Entities have names of their own, which are no vehicle's.
        let key = if name.is_empty() { Cow::Owned([b"\0", entity].concat()) } else { Cow::Borrowed(name) };
        let next = self.last.len();
        let place = match self.vehicles.get(&*key) {
            Some(place) => *place,
            None if next >= MOST => return Err(Malformed::TooMany),
            None => {
                self.vehicles.insert(key.into(), next);
                let vehicle = self.names.number(name);
                self.last.push(Last { vehicle, order: i64::MIN, is_new: true, ..Last::default() });
                next
            }
        };
        let last = &mut self.last[place];
        last.label = self.names.number_like(last.label, vehicle.label);
        if !name.is_empty() && *last.vehicle_bytes != *report.vehicle {
            last.vehicle_bytes = (&*report.vehicle).into();
        }
        Ok((place, last.label))
    }

    /// What a report says.
    #[inline]
    fn statement_of(&mut self, report: &Report<'_>, place: usize, label: Name) -> std::result::Result<Said, Malformed> {
        let (last, names) = (&mut self.last[place], &mut self.names);
        let known = &last.said;
        let stop = names.number_like(known.stop, report.stop_id);
        let run = if *last.trip_bytes == *report.trip {
            // A vehicle that is new has said nothing of a run, in no bytes.
            *known
        } else {
            let trip = report.trip()?;
            last.trip_bytes = (&*report.trip).into();
            Said {
                trip: names.number_like(known.trip, trip.id),
                start_time: names.number_like(known.start_time, trip.start_time),
                start_date: names.number_like(known.start_date, trip.start_date),
                route: names.number_like(known.route, trip.route_id),
                direction: trip.direction_id,
                ..Said::default()
            }
        };
        Ok(Said {
            own_time: report.timestamp,
            stop,
            label,
            sequence: report.stop_sequence,
            status: code(VEHICLE_STOP_STATUS, report.status),
            occupancy: code(OCCUPANCY, report.occupancy),
            latitude: report.latitude.filter(|n| !n.is_nan()),
            longitude: report.longitude.filter(|n| !n.is_nan()),
            bearing: report.bearing.filter(|n| !n.is_nan()),
            speed: report.speed.filter(|n| !n.is_nan()),
            odometer: report.odometer.filter(|n| !n.is_nan()),
            ..run
        })
    }

    fn row<'s>(
        &mut self,
        report: &Report<'_>,
        said: Said,
        vehicle: Name,
        poll: &Poll,
        service: &'s mut Service,
    ) -> std::result::Result<Taken<'s>, Malformed> {
        // Only a schedule asks for the run's own words.
        let trip = if service.schedule.is_empty() { Trip::default() } else { report.trip()? };
        let event_micros = report.timestamp.map(micros).or(poll.header_micros);
        let start_date = self.dates.of(said.start_date, &self.names);
        self.counts.bad_start_dates += u64::from(start_date.is_none() && said.start_date != NONE);
        let Some(day) = service.day(&trip, start_date, event_micros) else {
            self.counts.without_day += 1;
            return Ok(Taken::Nothing);
        };
        if day != service.day {
            *self.counts.other_days.entry(date(day)).or_default() += 1;
            return Ok(Taken::Nothing);
        }
        let limit = poll.header_micros.map_or(poll.now_micros, |header| (header + AHEAD_MICROS).min(poll.now_micros));
        self.counts.in_the_future += u64::from(event_micros.is_some_and(|at| at > limit));
        self.counts.without_vehicle += u64::from(vehicle == NONE);
        self.counts.written += 1;
        let (header_micros, received_micros) = (poll.header_micros, poll.received_micros);
        self.rows.push(Row { said, vehicle, event_micros, header_micros, received_micros });
        Ok(Taken::Row(service.run(&trip, event_micros)))
    }

    /// The rows since the last time, as a batch.
    pub(super) fn batch(&mut self, ids: &Ids) -> Result<RecordBatch> {
        let batch = super::columns::positions(&self.rows, &mut self.names, ids);
        self.rows.clear();
        batch
    }
}
