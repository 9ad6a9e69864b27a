//! All recordings of a call, poll by poll, into the rows of one day.

use std::path::Path;

use arrow::array::RecordBatch;
use sha2::{Digest, Sha256};

use super::alerts::Alerts;
use super::message::{Entity, Message, Report, Update};
use super::positions::{BATCH_ROWS, Positions, Taken};
use super::recording::{Found, Poll, micros, no_message, received_micros};
use super::schedule::{Schedule, days};
use super::service::Service;
use super::spool::Spool;
use super::summary::Summary;
use super::trips::Trips;
use super::updates::{MOST_PENDING, Pending, Updates};
use super::wire::Malformed;
use crate::error::Result;
use crate::feeds::Ids;
use crate::model::{Dataset, Zone};

/// Takes batches of a dataset.
pub type Sink<'a> = dyn FnMut(Dataset, RecordBatch) -> Result<()> + 'a;

/// Whether the work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More recordings are welcome.
    On,
    /// Recordings are not in the order of time: begin again with [`Collector::sorted`].
    OutOfOrder,
}

/// Which day is collected, and what it is held against.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The service date.
    pub day: chrono::NaiveDate,
    /// The runs of the days around it, by the feed's own ids.
    pub schedule: Schedule,
    /// The service zone.
    pub zone: Zone,
    /// The clock of this machine.
    pub now_micros: i64,
    /// How the lake knows the feed's ids.
    pub ids: Ids,
}

/// Collects one day from recordings.
pub struct Collector {
    service: Service,
    ids: Ids,
    now_micros: i64,
    summary: Summary,
    positions: Positions,
    trips: Trips,
    updates: Updates,
    alerts: Alerts,
    spool: Option<Spool>,
    is_sorted: bool,
    flow: Flow,
}

impl Collector {
    /// Collects a day from recordings that come in the order of time, as far as each vehicle can tell.
    pub fn new(scope: Scope) -> Self {
        Self {
            service: Service::new(days(scope.day), scope.schedule, scope.zone),
            ids: scope.ids,
            now_micros: scope.now_micros,
            summary: Summary::default(),
            positions: Positions::default(),
            trips: Trips::default(),
            updates: Updates::default(),
            alerts: Alerts::default(),
            spool: None,
            is_sorted: false,
            flow: Flow::On,
        }
    }

    /// The same from recordings in any order: they are put aside in a scratch file, and collected by [`Self::finish`].
    ///
    /// # Errors
    /// `Storage` when there is no scratch space.
    pub fn sorted(scope: Scope, scratch: Option<&Path>) -> Result<Self> {
        let spool = Some(Spool::new(scratch)?);
        Ok(Self { spool, is_sorted: true, ..Self::new(scope) })
    }

    /// Takes in what was found of one recording.
    ///
    /// # Errors
    /// Those of the sink and of the scratch space; what is wrong with a recording stands in the summary.
    pub fn take(&mut self, name: &str, found: Found<'_>, sink: &mut Sink<'_>) -> Result<Flow> {
        let message = match found {
            Ok(bytes) => Message::read(bytes).map(|message| (bytes, message)).map_err(|e| no_message(bytes, e)),
            Err(why) => Err(why),
        };
        match message {
            Err(why) => self.summary.unreadable(name, why),
            Ok((bytes, message)) => match &mut self.spool {
                Some(spool) => {
                    let order = poll(name, &message, 0, self.now_micros, true).order(None);
                    spool.push(order, Sha256::digest(bytes).into(), name, bytes)?;
                }
                None => self.message(name, &message, sink)?,
            },
        }
        Ok(self.flow)
    }

    /// Reads what was put aside, and hands out what is left.
    ///
    /// # Errors
    /// Those of the sink and of the scratch space.
    pub fn finish(mut self, sink: &mut Sink<'_>) -> Result<Summary> {
        if let Some(spool) = self.spool.take() {
            spool.each(|name, bytes| match Message::read(bytes) {
                Ok(message) => self.message(name, &message, sink),
                Err(e) => {
                    self.summary.unreadable(name, e.to_string());
                    Ok(())
                }
            })?;
        }
        if !self.positions.rows.is_empty() {
            sink(Dataset::VehiclePositions, self.positions.batch(&self.ids)?)?;
        }
        if self.trips.count() > 0 {
            sink(Dataset::Trips, self.trips.batch(self.service.day, &self.positions.names, &self.ids)?)?;
        }
        if self.updates.counts.updates > 0 {
            self.updates.batches(&self.ids, &mut |batch| sink(Dataset::TripUpdates, batch))?;
        }
        if self.alerts.counts.alerts > 0 {
            sink(Dataset::Alerts, self.alerts.batch()?)?;
        }
        self.summary.positions = self.positions.counts;
        self.summary.updates = self.updates.counts;
        self.summary.alerts = self.alerts.counts;
        Ok(self.summary)
    }

    fn message(&mut self, name: &str, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let poll = poll(name, message, self.summary.recordings, self.now_micros, self.is_sorted);
        self.summary.count_recording(&poll, message.entities);
        let mut unreadable = None;
        let mut failed = Ok(());
        let mut pending = Vec::new();
        let walked = message.each(|entity| {
            if self.flow == Flow::OutOfOrder || failed.is_err() {
                return;
            }
            match entity.and_then(|entity| self.entity(&entity, &poll, &mut pending)) {
                Ok(()) => {}
                Err(e) => {
                    self.summary.entities_unreadable += 1;
                    unreadable = Some(e);
                }
            }
            if self.positions.rows.len() >= BATCH_ROWS {
                failed = self.positions.batch(&self.ids).and_then(|batch| sink(Dataset::VehiclePositions, batch));
            }
            if failed.is_ok() && pending.len() >= MOST_PENDING {
                failed = self.hear(&mut pending, &mut unreadable);
            }
        });
        failed?;
        self.hear(&mut pending, &mut unreadable)?;
        if let Some(e) = walked.err().or(unreadable) {
            self.summary.damaged(name, e.to_string());
        }
        Ok(())
    }

    /// Hears the updates that wait for it.
    fn hear(&mut self, pending: &mut Vec<Pending<'_>>, unreadable: &mut Option<Malformed>) -> Result<()> {
        let (entities, last) = self.updates.hear(pending)?;
        self.summary.entities_unreadable += entities;
        *unreadable = last.or(*unreadable);
        pending.clear();
        Ok(())
    }

    fn entity<'a>(
        &mut self,
        entity: &Entity<'a>,
        poll: &Poll,
        pending: &mut Vec<Pending<'a>>,
    ) -> std::result::Result<(), Malformed> {
        if entity.is_deleted {
            self.summary.entities_deleted += 1;
            return Ok(());
        }
        if let Some(bytes) = entity.vehicle {
            let mut report = Report::default();
            report.read(bytes)?;
            match self.positions.take(&report, entity.id, poll, &mut self.service)? {
                Taken::Row(run) => {
                    let scheduled = run.map(|run| self.positions.names.number(run.start_time.as_bytes()));
                    if let Some(row) = self.positions.rows.last() {
                        self.trips.take(row, scheduled, &mut self.positions.names);
                    }
                }
                Taken::Nothing => {}
                Taken::OutOfOrder => self.flow = Flow::OutOfOrder,
            }
        }
        if let Some(bytes) = entity.alert {
            self.alerts.take(entity.id, bytes, poll, &mut self.service, &self.ids)?;
        }
        if let Some(bytes) = entity.trip_update {
            pending.extend(self.updates.take(Update::read(bytes)?, poll, &mut self.service)?);
        }
        Ok(())
    }
}

/// When a message that says anything was made, or else received, in microseconds; `None` where neither it nor its name tells.
pub fn told_at(name: &str, bytes: &[u8]) -> Option<i64> {
    let message = Message::read(bytes).ok().filter(|message| message.entities > 0)?;
    message.header.timestamp.map(micros).or_else(|| received_micros(name))
}

fn poll(name: &str, message: &Message<'_>, number: u64, now_micros: i64, is_sorted: bool) -> Poll {
    Poll {
        number,
        header_micros: message.header.timestamp.map(micros),
        received_micros: received_micros(name),
        now_micros,
        is_sorted,
    }
}
