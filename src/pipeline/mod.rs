//! The steps of a day, composed of the rooms below. The one way through for data.
//!
//! `day` opens a raw day once, `input` judges its files and reads them again as clean rows; `stage`, `dimensions` and `facts` feed them to the warehouse;
//! `mart` rolls facts up into ClickHouse; `quality` looks at the result. Feeds come in and go out by `gtfs`, `realtime`, `recording` and `tides`. Every step returns a [`Report`] and writes
//! nothing when its input is what the ledger already holds.
//!
//! Tests: `tests/python/pipeline`.

mod catalog;
mod cleaned;
mod copy;
mod day;
mod dimensions;
mod facts;
mod feed_name;
mod feed_rejects;
mod freshness;
mod generate;
mod gtfs;
mod hours;
mod input;
mod kept_rejects;
mod lake_mart;
mod listed;
mod mart;
mod mart_shares;
mod merge;
mod operations;
mod outcome;
mod pieces;
mod quality;
mod realtime;
mod recording;
mod repair;
mod report;
mod requeue;
mod rollup;
mod source;
mod stage;
mod status;
mod streamed;
mod telemetry;
mod tides;
mod wait;

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use self::day::Day;
use crate::clickhouse::Mart;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::postgres::{self, asked};
use crate::warehouse::{self, Warehouse};

pub use catalog::{Catalog, catalog};
pub use cleaned::worker_schema;
pub use copy::CopyOptions;
pub use gtfs::describe::{DescribeGtfs, FirstDay, GtfsDescription};
pub use gtfs::ingest::IngestGtfs;
pub use gtfs::origin::Why;
pub use gtfs::outcome::{DayReport, FeedReport, KeptVersion};
pub use mart::MartFrom;
pub use mart_shares::{BegunMart, MartBuild};
pub use outcome::{AsOfMisses, Outcome, TableOutcome};
pub use pieces::{Layout, Piece};
pub use realtime::ingest::Recordings;
pub use realtime::outcome::{Damaged, IngestedRealtime, Positions, ScheduleSource, ScheduleUsed, ScheduleVersion};
pub use recording::collect::Collect;
pub use recording::outcome::{Collected, FeedCounts};
pub use recording::recorded::RecordedDay;
pub use report::{Report, TableReport};
pub use requeue::RepairedRow;
pub use source::Source;
pub use status::{State, Status};
pub use streamed::{Failure, Stream, Streamed};
pub use tides::export::ExportTides;
pub use tides::ingest::IngestTides;
pub use tides::outcome::{ExportedTides, IngestedTides, TidesDay};
pub use wait::Watch;

/// A result as Arrow batches of one schema.
pub type Table = (SchemaRef, Vec<RecordBatch>);

/// One run over one deployment: settings, a run id, a way to stop it and a way to watch it.
#[derive(Clone)]
pub struct Pipeline {
    settings: Arc<Settings>,
    run_id: String,
    cancel: Cancel,
    progress: Progress,
    warehouse: Arc<OnceLock<Warehouse>>,
}

impl Pipeline {
    /// A pipeline for one call. Nothing is connected before a step needs it.
    pub fn new(settings: Arc<Settings>, cancel: Cancel, progress: Progress) -> Self {
        Self { settings, run_id: run_id(), cancel, progress, warehouse: Arc::default() }
    }

    fn lake(&self) -> Result<Lake> {
        let url = self.settings.lake.as_deref().ok_or_else(|| {
            Error::config(
                "no lake is set; pass lake=\"folder or s3://bucket\", set METROPULSE_LAKE, or use the embedded one",
            )
        })?;
        Lake::open(url, &self.settings.lake_options)
    }

    fn warehouse(&self) -> Result<&Warehouse> {
        if let Some(warehouse) = self.warehouse.get() {
            return Ok(warehouse);
        }
        let settings = Arc::clone(&self.settings);
        let (cancel, progress) = (self.cancel.clone(), self.progress.clone());
        let warehouse = Warehouse::new(settings, &self.run_id, cancel, progress)?;
        Ok(self.warehouse.get_or_init(|| warehouse))
    }

    fn mart_url(&self) -> Result<&str> {
        self.settings.mart.as_deref().ok_or_else(|| {
            Error::config(
                "no mart is set; pass mart=\"http://host:8123/default\", set CH_JDBC_URL, or use the embedded one",
            )
        })
    }

    async fn mart(&self) -> Result<Mart> {
        let Settings { mart_user, mart_password, .. } = &*self.settings;
        let mart = Mart::connect(self.mart_url()?, mart_user.as_deref(), mart_password.as_ref()).await?;
        Ok(mart.for_run(&self.settings.shown_as(&self.run_id)))
    }

    /// The mart with its schema applied.
    async fn ready_mart(&self) -> Result<Mart> {
        let mart = self.mart().await?;
        mart.apply_schema().await?;
        Ok(mart)
    }

    /// Applies the schemas of warehouse and mart; safe to repeat.
    pub async fn apply_schema(&self) -> Result<Report> {
        let started = Instant::now();
        self.warehouse()?.prepare().await?;
        if self.settings.mart.is_some() {
            self.ready_mart().await?;
        }
        self.telemetry().await?;
        Ok(Report::new("apply_schema", None).took(started))
    }

    /// Makes sure the calendar holds every date from `start` to `end`, both included.
    pub async fn load_calendar(&self, start: NaiveDate, end: NaiveDate) -> Result<Report> {
        let started = Instant::now();
        let calendar = warehouse::load_calendar(self.warehouse()?, start, end).await?;
        let mut report = Report::new("load_calendar", None);
        report.rows = calendar.dates + calendar.times;
        if report.rows > 0 {
            self.progress.publish(format!("dwh.dim_date and dwh.dim_time from {start} to {end}"));
        }
        report.unchanged = report.rows == 0;
        report.outcome = Outcome::Calendar { dates: calendar.dates, times: calendar.times };
        Ok(report.took(started))
    }

    /// Everything for one raw day, in order: calendar of its year, staging, dimensions, facts, mart, quality.
    pub async fn run(&self, dt: NaiveDate) -> Result<Report> {
        let started = Instant::now();
        let (first, last) = calendar_years(dt);
        let mut steps = vec![self.load_calendar(first, last).await?];
        let mut day = Day::new(dt);
        steps.push(self.stage_of(&mut day).await?);
        steps.push(self.load_dimensions_of(&mut day).await?);
        steps.push(self.load_facts_of(&mut day).await?);
        drop(day);
        steps.push(self.build_route_hourly(MartFrom::Warehouse, None, None, false).await?);
        steps.push(self.check_quality(Some(dt)).await?);
        let mut report = Report::new("run", Some(dt));
        report.unchanged = steps.iter().all(|s| s.unchanged || s.step == "check_quality");
        report.steps = steps;
        Ok(report.took(started))
    }

    /// Runs a step and keeps its failure, if it fails, for `status`.
    async fn tracked<T>(
        &self,
        step: &'static str,
        dt: Option<NaiveDate>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let outcome = self.explained(work.await);
        // Without a warehouse there is nowhere to note it.
        if self.settings.warehouse.is_none() {
            return outcome;
        }
        match &outcome {
            Ok(_) => warehouse::forget_failure(self.warehouse()?, step, dt).await?,
            Err(error) => {
                if let Ok(warehouse) = self.warehouse() {
                    warehouse::record_failure(warehouse, step, dt, error).await;
                }
            }
        }
        outcome
    }

    /// Runs a read-only query on the warehouse.
    pub async fn warehouse_query(&self, sql: &str) -> Result<Table> {
        postgres::query(self.warehouse()?, sql).await
    }

    /// Reads a table of the warehouse, in parts by several connections; see [`postgres::read_table`].
    pub async fn warehouse_table(
        &self,
        table: &str,
        columns: Option<&[String]>,
        connections: Option<usize>,
    ) -> Result<Table> {
        let connections = connections.unwrap_or(self.settings.connections);
        postgres::read_table(self.warehouse()?, table, columns, connections).await
    }

    /// Runs a query on the mart.
    pub async fn mart_query(&self, sql: &str) -> Result<Table> {
        self.mart().await?.query(sql).await
    }

    /// The counters of the step under way.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the caller asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// An outcome as the caller shall hear it: what the server stopped at the caller's wish was cancelled, and who
    /// stopped a call hears what stands of it.
    pub fn explained<T>(&self, outcome: Result<T>) -> Result<T> {
        asked(outcome, self.cancel.is_cancelled()).map_err(|error| {
            let standing = self.progress.standing();
            if error.is_cancelled() && !error.detail().message.ends_with(&standing) {
                error.and(standing)
            } else {
                error
            }
        })
    }

    /// Ends the run: closes what it has open at the servers and leaves no setting behind.
    pub async fn end(&self) {
        if let Some(warehouse) = self.warehouse.get() {
            warehouse.address.hand_back().await;
        }
    }

    /// Stops what is under way: our own work at its next batch, the server's statements at once.
    pub async fn stop(&self) {
        self.cancel.cancel();
        if let Some(warehouse) = self.warehouse.get() {
            warehouse.address.cancel_all().await;
        }
    }
}

/// The calendar that one raw day needs: its own year and, for days that spill over New Year, the neighbours'.
fn calendar_years(dt: NaiveDate) -> (NaiveDate, NaiveDate) {
    use chrono::Datelike;
    let year = dt.year();
    let first = NaiveDate::from_ymd_opt(year - 1, 12, 1).unwrap_or(dt);
    let last = NaiveDate::from_ymd_opt(year + 1, 1, 31).unwrap_or(dt);
    (first, last)
}

/// Sixteen hexadecimal digits that differ between runs, also in forked processes.
fn run_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let seed = format!("{now}/{}/{}", std::process::id(), RandomState::new().hash_one(now));
    hex(&Sha256::digest(seed.as_bytes())[..8])
}
