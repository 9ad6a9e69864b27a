//! Cleaned positions of a raw day straight from the lake into ClickHouse, for streams too large for PostgreSQL: by
//! themselves, or as what a deployment keeps there in the place of a fact table.

use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;
use futures::future::BoxFuture;

use super::Pipeline;
use super::day::Day;
use super::input::{Audience, KeptRows};
use super::report::{Report, TableReport};
use crate::clickhouse::{Mart, TELEMETRY_TABLE, TelemetryDay, TelemetryLoad};
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::load::{Line, Rows, fingerprint};
use crate::model::{Dataset, Fact};
use crate::warehouse::{self, Elsewhere};

/// Changes with what this step makes of a file.
const RULES: &str = "2";

impl Pipeline {
    /// Replaces what a raw day holds of telemetry in ClickHouse. Unchanged files are not loaded again. Neither the
    /// warehouse nor the mart's own table takes part.
    ///
    /// # Errors
    /// `Config` where the warehouse keeps its positions in ClickHouse: then `load_facts` loads them.
    pub async fn load_telemetry(&self, dt: NaiveDate) -> Result<Report> {
        let started = Instant::now();
        if self.settings.warehouse.is_some() && self.warehouse()?.positions().await?.need_clickhouse() {
            return Err(Error::config(
                "this warehouse keeps its positions in ClickHouse (positions is \"telemetry\"), so they come with the \
                 facts; run load-facts, or the whole day",
            ));
        }
        let mart = self.telemetry_mart().await?;
        let mut day = Day::new(dt);
        day.open(self, &[Dataset::VehiclePositions]).await?;
        let mut report = Report::new("load_telemetry", Some(dt));
        if let Some(lines) = mart.telemetry_loaded(dt, &fingerprint(&[RULES])).await?
            && lines.iter().map(|line| &line.part).eq(&day.identities(Dataset::VehiclePositions))
        {
            report.table(TELEMETRY_TABLE, TableReport::unchanged(&lines));
            return Ok(report.took(started));
        }
        let judged = day.judged(self, Dataset::VehiclePositions).await?;
        let lines = judged.lines(Audience::Warehouse);
        let mut table = TableReport::of(&lines);
        judged.describe(&mut table);
        self.progress.begin("load telemetry", table.rows_loaded);
        let whole = TelemetryDay::new(mart, self.telemetry_load(dt, lines));
        let rows = Arc::new(KeptRows::new(judged, Audience::Warehouse));
        whole.fill(rows, &self.cancel, &self.progress).await?;
        let written = whole.swap().await;
        whole.end().await;
        table.rows_written = written?;
        report.table(TELEMETRY_TABLE, table);
        report.unchanged = false;
        Ok(report.took(started))
    }

    /// ClickHouse with the tables of telemetry.
    async fn telemetry_mart(&self) -> Result<Mart> {
        let mart = self.mart().await?;
        mart.apply_telemetry_schema().await?;
        Ok(mart)
    }

    fn telemetry_load(&self, dt: NaiveDate, lines: Vec<Line>) -> TelemetryLoad {
        TelemetryLoad {
            dt,
            lines,
            fingerprint: fingerprint(&[RULES]),
            run_id: self.run_id.clone(),
            inserts: self.settings.connections,
        }
    }

    /// ClickHouse, where this deployment keeps its positions there.
    pub(super) async fn telemetry(&self) -> Result<Option<Telemetry>> {
        if !self.warehouse()?.positions().await?.need_clickhouse() {
            return Ok(None);
        }
        Ok(Some(Telemetry { mart: self.telemetry_mart().await?, pipeline: self.clone() }))
    }
}

/// The positions that ClickHouse keeps for a warehouse.
pub(super) struct Telemetry {
    pub(super) mart: Mart,
    pipeline: Pipeline,
}

impl Telemetry {
    /// A day on its way there; without lines, on its way out.
    pub(super) fn day(&self, dt: NaiveDate, lines: Vec<Line>) -> InClickHouse {
        let Pipeline { cancel, progress, .. } = &self.pipeline;
        let day = TelemetryDay::new(self.mart.clone(), self.pipeline.telemetry_load(dt, lines));
        InClickHouse { day, cancel: cancel.clone(), progress: progress.clone() }
    }

    /// Whether ClickHouse holds the rows of which the ledger tells. The ledger alone cannot tell: the rows are not its own.
    pub(super) async fn holds(&self, dt: NaiveDate, lines: &[Line]) -> Result<bool> {
        let expected: u64 = lines.iter().map(|line| line.rows_loaded).sum();
        let is_whole = !warehouse::is_unfinished(self.pipeline.warehouse()?, dt).await?;
        Ok(is_whole && self.mart.telemetry_rows(dt).await? == expected)
    }
}

/// Whether ClickHouse lost, or may have lost, the rows of a fact and day that the ledger has.
pub(super) async fn is_lost(telemetry: Option<&Telemetry>, fact: &Fact, dt: NaiveDate, lines: &[Line]) -> Result<bool> {
    match telemetry {
        Some(telemetry) if fact.kind.is_telemetry() => Ok(!telemetry.holds(dt, lines).await?),
        Some(_) | None => Ok(false),
    }
}

/// A day of positions, as the warehouse's publication carries it along.
pub(super) struct InClickHouse {
    day: TelemetryDay,
    cancel: Cancel,
    progress: Progress,
}

impl Elsewhere for InClickHouse {
    fn fill(&self, rows: Arc<dyn Rows>) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.day.fill(rows, &self.cancel, &self.progress))
    }

    fn swap(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.day.swap().await.map(drop) })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.day.end())
    }
}
