//! Step 4: dirty service dates from the facts into the mart.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::{DateTime, Days, NaiveDate, Utc};

use super::Pipeline;
use super::input::on_thread;
use super::outcome::Outcome;
use super::report::{Report, TableReport};
use crate::clickhouse::{Mart, Replaced};
use crate::control::Progress;
use crate::error::{Error, Result};
use crate::model::{FactKind, Zone};
use crate::rollup::mart::{HourlyMart, RouteVersion, RouteVersions, schema};
use crate::warehouse::{self, MartSource, RouteName};

/// Service dates whose cells are in memory at once.
pub(super) const WINDOW_DATES: usize = 31;

/// The mart's table.
const TABLE: &str = "mart_route_hourly";

/// Where the facts of the mart come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MartFrom {
    /// The fact tables, by dirty service date.
    #[default]
    Warehouse,
    /// The raw files themselves.
    Lake,
}

impl std::str::FromStr for MartFrom {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "warehouse" => Ok(Self::Warehouse),
            "lake" => Ok(Self::Lake),
            other => Err(Error::config(format!("the mart's source is {other:?}, expected warehouse or lake"))),
        }
    }
}

impl Pipeline {
    /// Rebuilds service dates of the mart: from the warehouse the dirty ones and those whose rows the mart lost, all of
    /// them or those of the half-open range, with `force` the clean ones of the range too; from the lake those of the
    /// range, or all that its days touch. Readers see a date's rows before or after, never between.
    pub async fn build_route_hourly(
        &self,
        source: MartFrom,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        force: bool,
    ) -> Result<Report> {
        self.tracked("build_route_hourly", None, self.build_dates(source, from, to, force)).await
    }

    async fn build_dates(
        &self,
        source: MartFrom,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        force: bool,
    ) -> Result<Report> {
        let started = Instant::now();
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(Error::config(format!(
                "the dates run from {from} to {to}; the end is exclusive and must be later"
            )));
        }
        match source {
            MartFrom::Warehouse => self.build_from_warehouse(from, to, force).await,
            MartFrom::Lake => self.build_from_lake(from.zip(to)).await,
        }
        .map(|report| report.took(started))
    }

    async fn build_from_warehouse(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        force: bool,
    ) -> Result<Report> {
        let warehouse = self.warehouse()?;
        let (mart, source) = futures::future::try_join(self.ready_mart(), warehouse::mart_source(warehouse)).await?;
        let lost = lost(source.built().await?, &mart.rows_by_service_date().await?);
        let builds = source.builds(from, to, &lost, force).await?;
        let routes = if builds.is_empty() { Vec::new() } else { source.routes().await? };
        let zone = Zone(self.settings.zone()?);
        self.progress.begin("build mart", builds.len() as u64);
        let snapshot_ts = Utc::now();
        let mut done = Done::published_by(&self.progress);
        let mut written = Vec::with_capacity(builds.len());
        let most_bytes = usize::try_from(self.settings.memory_bytes / 8).unwrap_or(usize::MAX);
        let mut window = Window::default();
        for build in &builds {
            self.cancel.check()?;
            let date = build.service_date;
            window.push(date, rows_of(&source, zone, &routes, date).await?);
            if window.dates.len() >= WINDOW_DATES || window.bytes >= most_bytes {
                written.extend(done.replace(&mart, &window.take(), snapshot_ts).await?);
            }
            self.progress.add(1);
        }
        written.extend(done.replace(&mart, &window.take(), snapshot_ts).await?);
        source.end_snapshot().await?;
        for (build, rows) in builds.iter().zip(written) {
            source.record(build, rows).await?;
        }
        Ok(done.report("warehouse", lost))
    }

    async fn build_from_lake(&self, range: Option<(NaiveDate, NaiveDate)>) -> Result<Report> {
        let mart = self.ready_mart().await?;
        let source = self.mart_lock().await?;
        let mut lake = self.lake_mart(source.as_ref()).await?;
        let dates = match range {
            Some((from, to)) => from.iter_days().take_while(|date| *date < to).collect(),
            None => lake.touched(),
        };
        self.progress.begin("build mart", dates.len() as u64);
        let snapshot_ts = Utc::now();
        let mut done = Done::published_by(&self.progress);
        for window in dates.chunks(WINDOW_DATES) {
            let wanted = window.to_vec();
            let rows;
            (lake, rows) = on_thread(move || lake.rows(&wanted).map(|rows| (lake, rows))).await?;
            let rows_of = |date: &NaiveDate| {
                let found = rows.iter().find(|(found, _)| found == date).map(|(_, rows)| rows.clone());
                (*date, found.unwrap_or_else(|| RecordBatch::new_empty(schema())))
            };
            let rows: Vec<_> = window.iter().map(rows_of).collect();
            self.cancel.check()?;
            done.replace(&mart, &rows, snapshot_ts).await?;
            self.progress.add(window.len() as u64);
        }
        Ok(done.report("lake", Vec::new()))
    }
}

/// Dates with their rows that go to the mart together: what a few statements do for many small dates, and no more of
/// large ones than memory has room for.
#[derive(Default)]
struct Window {
    dates: Vec<(NaiveDate, RecordBatch)>,
    bytes: usize,
}

impl Window {
    fn push(&mut self, date: NaiveDate, rows: RecordBatch) {
        self.bytes += rows.get_array_memory_size();
        self.dates.push((date, rows));
    }

    fn take(&mut self) -> Vec<(NaiveDate, RecordBatch)> {
        self.bytes = 0;
        std::mem::take(&mut self.dates)
    }
}

/// What happened to the dates of one build.
#[derive(Default)]
pub(super) struct Done {
    rebuilt: Vec<NaiveDate>,
    same: Vec<NaiveDate>,
    table: TableReport,
    progress: Progress,
}

impl Done {
    /// Nothing yet; what happens is published by these counters.
    pub(super) fn published_by(progress: &Progress) -> Self {
        Self { progress: progress.clone(), ..Self::default() }
    }

    /// Replaces dates; the rows that the mart has of each now.
    async fn replace(
        &mut self,
        mart: &Mart,
        dates: &[(NaiveDate, RecordBatch)],
        snapshot_ts: DateTime<Utc>,
    ) -> Result<Vec<u64>> {
        if dates.is_empty() {
            return Ok(Vec::new());
        }
        let replaced = mart.replace_service_dates(dates, snapshot_ts).await?;
        for ((date, _), replaced) in dates.iter().zip(&replaced) {
            self.count(*date, *replaced);
        }
        Ok(replaced.iter().map(|replaced| replaced.rows).collect())
    }

    /// Counts one date.
    pub(super) fn count(&mut self, date: NaiveDate, replaced: Replaced) {
        self.table.rows_loaded += replaced.rows;
        if replaced.changed {
            self.table.rows_written += replaced.rows;
            self.rebuilt.push(date);
            self.progress.publish(format!("{TABLE} {date}"));
        } else {
            self.same.push(date);
        }
    }

    pub(super) fn report(mut self, source: &'static str, lost: Vec<NaiveDate>) -> Report {
        self.table.unchanged = self.rebuilt.is_empty();
        let mut report = Report::new("build_route_hourly", None);
        report.table(TABLE, self.table);
        report.outcome = Outcome::MartBuilt {
            source,
            service_dates_rebuilt: self.rebuilt,
            service_dates_same: self.same,
            service_dates_lost: lost,
        };
        report
    }
}

/// The dates whose rows somebody else took away or added to: a dropped table or partition, another server.
fn lost(built: Vec<(NaiveDate, u64)>, held: &BTreeMap<NaiveDate, u64>) -> Vec<NaiveDate> {
    let differs = |(date, rows): &(NaiveDate, u64)| held.get(date).copied().unwrap_or_default() != *rows;
    built.into_iter().filter(differs).map(|(date, _)| date).collect()
}

/// The mart's rows of one service date.
async fn rows_of(source: &MartSource, zone: Zone, routes: &[RouteName], date: NaiveDate) -> Result<RecordBatch> {
    let mut mart = HourlyMart::new(zone, versions(routes));
    source
        .date(date, &mut |fact, batch| match fact {
            FactKind::Trip => mart.add_trips(&batch),
            FactKind::Payment => mart.add_payments(&batch),
            FactKind::VehiclePosition => mart.add_position_hours(&batch),
            FactKind::ScheduledTrip => mart.add_scheduled_trips(&batch),
            FactKind::ScheduledStopTime | FactKind::TripUpdate | FactKind::Alert => Ok(()),
        })
        .await?;
    let next = date + Days::new(1);
    let mut days = mart.finish(date..next)?;
    Ok(days.pop().map_or_else(|| RecordBatch::new_empty(schema()), |(_, rows)| rows))
}

pub(super) fn versions(routes: &[RouteName]) -> RouteVersions {
    let mut versions = RouteVersions::default();
    for route in routes {
        versions.insert(
            route.route_id.as_str(),
            RouteVersion {
                valid_from: route.valid_from_micros.unwrap_or(i64::MIN),
                valid_to: route.valid_to_micros,
                name: route.name.clone(),
                transport_type: route.transport_type.clone(),
                is_inferred: route.valid_from_micros.is_none(),
            },
        );
    }
    versions
}
