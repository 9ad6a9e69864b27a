//! Positions: repeats of a vehicle's last report left out, dates resolved, rows made into batches.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use super::MOST;
use super::columns::Dates;
use super::message::Report;
use super::names::{NONE, Name, Names};
use super::recording::Poll;
use super::schedule::Run;
use super::service::Service;
use super::words::{Code, OCCUPANCY, VEHICLE_STOP_STATUS, code};
use crate::error::Result;
use crate::feeds::Ids;

/// Rows of one batch: as many as stay in the cache of a core while they are made into columns.
pub(super) const BATCH_ROWS: usize = 8 * 1024;
/// A vehicle's clock may run ahead of its feed's by so much before its report is one from the future.
const AHEAD_MICROS: i64 = 300 * 1_000_000;

/// What a vehicle says; the poll that brought it plays no part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) own_time: Option<u64>,
    pub(super) trip: Name,
    pub(super) start_time: Name,
    pub(super) start_date: Name,
    pub(super) route: Name,
    pub(super) stop: Name,
    pub(super) label: Name,
    pub(super) direction: Option<i32>,
    pub(super) sequence: Option<i32>,
    pub(super) status: Code,
    pub(super) occupancy: Code,
    pub(super) latitude: Option<f32>,
    pub(super) longitude: Option<f32>,
    pub(super) bearing: Option<f32>,
    pub(super) speed: Option<f32>,
    pub(super) odometer: Option<f64>,
}

/// One row of the raw dataset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) said: Said,
    pub(super) vehicle: Name,
    pub(super) event_micros: Option<i64>,
    pub(super) header_micros: Option<i64>,
    pub(super) received_micros: Option<i64>,
}

/// A vehicle's last report.
#[derive(Clone, Copy, Debug)]
struct Last {
    said: Said,
    vehicle: Name,
    recording: u64,
    order: i64,
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
    /// Rows of other service dates, by date in days since the epoch.
    pub other_days: BTreeMap<i32, u64>,
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
    /// It names one vehicle more than there can be.
    TooMany,
}

impl Positions {
    /// Takes a report in. `entity` names vehicles that have neither id nor label, for their repeats alone.
    pub(super) fn take<'s>(
        &mut self,
        report: &Report<'_>,
        entity: &[u8],
        poll: &Poll,
        service: &'s mut Service,
    ) -> Taken<'s> {
        self.counts.reports += 1;
        let Some(vehicle) = self.vehicle(report, entity) else { return Taken::TooMany };
        let (said, is_new) = self.statement_of(report, vehicle);
        let order = poll.order(report.timestamp);
        let now = Last { said, vehicle: self.last[vehicle].vehicle, recording: poll.number, order };
        if !is_new {
            let last = &self.last[vehicle];
            let repeats = last.said == said;
            let backwards = order < last.order || (order == last.order && last.recording != now.recording && !repeats);
            if backwards && !poll.is_sorted {
                return Taken::OutOfOrder;
            }
            if repeats {
                self.last[vehicle] = now;
                self.counts.repeated += 1;
                return Taken::Nothing;
            }
        }
        self.last[vehicle] = now;
        self.row(report, &now, poll, service)
    }

    /// The place of a report's vehicle among those that were seen; a new one gets the next, while there is one.
    fn vehicle(&mut self, report: &Report<'_>, entity: &[u8]) -> Option<usize> {
        let name = report.vehicle.name();
        let known = self.vehicles.get(name).copied();
        if let (Some(place), false) = (known, name.is_empty()) {
            return Some(place);
        }
        // Entities have names of their own, which are no vehicle's.
        let key = if name.is_empty() { [b"\0", entity].concat() } else { name.to_vec() };
        let next = self.last.len();
        match self.vehicles.get(key.as_slice()) {
            Some(place) => Some(*place),
            None if next >= MOST => None,
            None => {
                self.vehicles.insert(key.into(), next);
                Some(next)
            }
        }
    }

    /// What a report says, and whether its vehicle is new.
    fn statement_of(&mut self, report: &Report<'_>, vehicle: usize) -> (Said, bool) {
        let is_new = vehicle == self.last.len();
        if is_new {
            let name = self.names.number(report.vehicle.name());
            self.last.push(Last { said: Said::default(), vehicle: name, recording: 0, order: i64::MIN });
        }
        let (last, names) = (&self.last[vehicle].said, &mut self.names);
        let said = Said {
            own_time: report.timestamp,
            trip: names.number_like(last.trip, report.trip.id),
            start_time: names.number_like(last.start_time, report.trip.start_time),
            start_date: names.number_like(last.start_date, report.trip.start_date),
            route: names.number_like(last.route, report.trip.route_id),
            stop: names.number_like(last.stop, report.stop_id),
            label: names.number_like(last.label, report.vehicle.label),
            direction: report.trip.direction_id,
            sequence: report.stop_sequence,
            status: code(VEHICLE_STOP_STATUS, report.status),
            occupancy: code(OCCUPANCY, report.occupancy),
            latitude: report.latitude.filter(|n| !n.is_nan()),
            longitude: report.longitude.filter(|n| !n.is_nan()),
            bearing: report.bearing.filter(|n| !n.is_nan()),
            speed: report.speed.filter(|n| !n.is_nan()),
            odometer: report.odometer.filter(|n| !n.is_nan()),
        };
        (said, is_new)
    }

    fn row<'s>(&mut self, report: &Report<'_>, now: &Last, poll: &Poll, service: &'s mut Service) -> Taken<'s> {
        let (said, vehicle) = (now.said, now.vehicle);
        let event_micros = report.timestamp.map(micros).or(poll.header_micros);
        let date = self.dates.of(said.start_date, &self.names);
        self.counts.bad_start_dates += u64::from(date.is_none() && said.start_date != NONE);
        let Some(day) = service.day(&report.trip, date, event_micros) else {
            self.counts.without_day += 1;
            return Taken::Nothing;
        };
        if day != service.day {
            *self.counts.other_days.entry(day).or_default() += 1;
            return Taken::Nothing;
        }
        let limit = poll.header_micros.map_or(poll.now_micros, |header| (header + AHEAD_MICROS).min(poll.now_micros));
        self.counts.in_the_future += u64::from(event_micros.is_some_and(|at| at > limit));
        self.counts.without_vehicle += u64::from(vehicle == NONE);
        self.counts.written += 1;
        let (header_micros, received_micros) = (poll.header_micros, poll.received_micros);
        self.rows.push(Row { said, vehicle, event_micros, header_micros, received_micros });
        Taken::Row(service.run(&report.trip, event_micros))
    }

    /// The rows since the last time, as a batch.
    pub(super) fn batch(&mut self, ids: &Ids) -> Result<RecordBatch> {
        let batch = super::columns::positions(&self.rows, &self.names, ids);
        self.rows.clear();
        batch
    }
}

/// Microseconds of seconds since the epoch; [`super::message::time`] lets none pass that do not fit.
pub(super) fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000)
}
