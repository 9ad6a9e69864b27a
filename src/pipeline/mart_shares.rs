//! The mart from the lake by many workers: each makes the shares of a dataset and day, an engine brings them together by
//! key and by service date, workers fill shadow tables with finished dates, and one swaps them in.
//!
//! The rules are those of `lake_mart`. What the engine does in between is all that it does: of the shares of one dataset
//! and key those of the newest day count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::Deserialize;

use super::Pipeline;
use super::Table;
use super::input::on_thread;
use super::mart::Done;
use super::mart::WINDOW_DATES;
use super::report::Report;
use super::source::broken;
use super::streamed::{Stream, Streamed, streamed};
use crate::clickhouse::{Filled, Replaced, Stamp};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Zone};
use crate::rollup::mart::shares::{Sharer, by_date, of_dates, share_schema};
use crate::rollup::mart::{HourlyMart, RouteVersions};
use crate::warehouse::{self, MartSource};

/// What all workers of one build share.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MartBuild {
    /// A number of its own, above any process id.
    pub build: u64,
    /// When it began.
    pub snapshot_ts: DateTime<Utc>,
    /// The first service date of the range, if there is one.
    pub date_from: Option<NaiveDate>,
    /// The date after the last one.
    pub date_to: Option<NaiveDate>,
}

impl MartBuild {
    fn takes(&self, date: NaiveDate) -> bool {
        self.date_from.is_none_or(|from| from <= date) && self.date_to.is_none_or(|to| date < to)
    }
}

/// A build under way. Where there is a warehouse, nobody else builds the mart before this is dropped.
pub struct BegunMart {
    lock: Option<MartSource>,
    /// What the mart held when the build began.
    held: BTreeMap<NaiveDate, Stamp>,
    routes: RecordBatch,
}

impl BegunMart {
    /// The versions of routes that name the mart's rows.
    pub fn routes(&self) -> Table {
        (self.routes.schema(), vec![self.routes.clone()])
    }
}

impl Pipeline {
    /// Begins a build: makes the mart ready to be filled, and keeps other builds away where there is a warehouse.
    pub async fn begin_mart(&self) -> Result<BegunMart> {
        let mart = self.ready_mart().await?;
        let lock = self.mart_lock().await?;
        let held = mart.stamps().await?;
        let routes = self.mart_routes(lock.as_ref(), &self.lake()?.days().await?).await?.to_batch()?;
        Ok(BegunMart { lock, held, routes })
    }

    /// What keeps two builds of the mart apart, where there is a warehouse.
    pub(super) async fn mart_lock(&self) -> Result<Option<MartSource>> {
        match &self.settings.warehouse {
            Some(_) => Ok(Some(warehouse::mart_source(self.warehouse()?).await?)),
            None => Ok(None),
        }
    }

    /// The shares of a dataset and raw day, of which somebody listed files. Trips and payments come whatever their date: an
    /// older day's may lose to them.
    ///
    /// # Errors
    /// `NotFound` when it has no file here; `Data` when too many rows are rejected or a file cannot be read.
    pub async fn mart_shares(&self, dt: NaiveDate, dataset: Dataset, build: MartBuild) -> Result<Streamed> {
        let (zone, cancel) = (Zone(self.settings.zone()?), self.cancel.clone());
        let judged = self.judged_as_listed(dt, dataset).await?;
        Ok(streamed(share_schema(), move |sink| {
            let mut sharer = Sharer::new(dataset, dt, zone);
            let is_keyed = sharer.is_keyed();
            let mut give = |share: RecordBatch| {
                let share = if is_keyed { share } else { of_dates(&share, |date| build.takes(date))? };
                if share.num_rows() == 0 { Ok(()) } else { sink(share) }
            };
            judged.each(&cancel, &mut |_, kept, _| sharer.add(kept)?.map_or(Ok(()), &mut give))?;
            give(sharer.finish()?)
        }))
    }

    /// Builds the service dates of shares that come in order of date, and leaves them in shadow tables.
    pub async fn fill_mart(&self, shares: Stream, routes: Stream, build: MartBuild) -> Result<Vec<Filled>> {
        let mart = self.mart().await?;
        let mut versions = RouteVersions::default();
        for batch in routes {
            versions.add_batch(&batch.map_err(broken)?)?;
        }
        let zone = Zone(self.settings.zone()?);
        let mut windows = Windows { zone, versions, shares, ahead: Vec::new(), cancel: self.cancel.clone(), build };
        let mut filled = Vec::new();
        loop {
            let rows;
            (windows, rows) = on_thread(move || windows.next().map(|rows| (windows, rows))).await?;
            if rows.is_empty() {
                return Ok(filled);
            }
            self.cancel.check()?;
            filled.extend(mart.fill_service_dates(build.build, &rows, build.snapshot_ts).await?);
        }
    }

    /// Ends a build: swaps in what workers filled, drops dates of the range that nobody filled, and removes the build's shadow
    /// tables.
    ///
    /// # Errors
    /// `Conflict` when somebody else wrote one of these dates since the build began; else as [`Mart::swap_filled`].
    ///
    /// [`Mart::swap_filled`]: crate::clickhouse::Mart::swap_filled
    pub async fn swap_mart(&self, begun: BegunMart, filled: Vec<Filled>, build: MartBuild) -> Result<Report> {
        let started = Instant::now();
        let mart = self.mart().await?;
        let BegunMart { lock, held, .. } = begun;
        // A network may cut a session that lay still for hours: who built in between shows by the stamps.
        let _lock = match lock {
            Some(lock) if lock.holds_lock().await => Some(lock),
            Some(_) | None => self.mart_lock().await?,
        };
        let dates: BTreeSet<NaiveDate> = filled.iter().map(|one| one.service_date).collect();
        if dates.len() < filled.len() {
            return Err(Error::internal("two workers filled one service date"));
        }
        let is_ranged = build.date_from.is_some() || build.date_to.is_some();
        let emptied: Vec<NaiveDate> =
            held.keys().copied().filter(|date| is_ranged && build.takes(*date) && !dates.contains(date)).collect();
        mart.swap_filled(build.build, &filled, &emptied, &held).await?;
        mart.drop_shadows(build.build).await?;
        let mut done = Done::published_by(&self.progress);
        for one in &filled {
            done.count(one.service_date, Replaced { rows: one.rows, changed: one.shadow.is_some() });
        }
        for date in emptied {
            done.count(date, Replaced { rows: 0, changed: true });
        }
        Ok(done.report("lake", Vec::new()).took(started))
    }

    /// Gives a build up: its shadow tables go, the mart stays as it is.
    pub async fn abandon_mart(&self, build: MartBuild) -> Result<()> {
        self.mart().await?.drop_shadows(build.build).await
    }
}

/// Shares in order of service date, made into finished dates, a window of them at a time.
struct Windows {
    zone: Zone,
    versions: RouteVersions,
    shares: Stream,
    /// Rows that were read and belong to later windows.
    ahead: Vec<(NaiveDate, RecordBatch)>,
    cancel: Cancel,
    build: MartBuild,
}

impl Windows {
    /// The rows of the next dates; none at the end.
    fn next(&mut self) -> Result<Vec<(NaiveDate, RecordBatch)>> {
        let mut mart = HourlyMart::new(self.zone, self.versions.clone());
        let mut dates: BTreeSet<NaiveDate> = BTreeSet::new();
        loop {
            let mut runs = std::mem::take(&mut self.ahead).into_iter();
            while let Some((date, rows)) = runs.next() {
                if dates.len() == WINDOW_DATES && !dates.contains(&date) {
                    self.ahead = std::iter::once((date, rows)).chain(runs).collect();
                    return finished(&mart, &dates);
                }
                if dates.last().is_some_and(|last| date < *last) {
                    return Err(Error::internal(format!("shares of {date} come after later ones")));
                }
                if self.build.takes(date) {
                    dates.insert(date);
                    mart.add_share(&rows)?;
                }
            }
            self.cancel.check()?;
            match self.shares.next() {
                Some(batch) => self.ahead = by_date(&batch.map_err(broken)?)?,
                None => return finished(&mart, &dates),
            }
        }
    }
}

fn finished(mart: &HourlyMart, dates: &BTreeSet<NaiveDate>) -> Result<Vec<(NaiveDate, RecordBatch)>> {
    match (dates.first(), dates.last()) {
        (Some(first), Some(last)) => mart.finish(*first..*last + Days::new(1)),
        (None, _) | (_, None) => Ok(Vec::new()),
    }
}
