//! Cleaned positions of a raw day straight from the lake into ClickHouse, for streams too large for PostgreSQL.

use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;

use super::Pipeline;
use super::day::Day;
use super::input::{Audience, KeptRows};
use super::report::{Report, TableReport};
use crate::clickhouse::{TELEMETRY_TABLE, TelemetryDay, TelemetryLoad};
use crate::error::Result;
use crate::load::fingerprint;
use crate::model::Dataset;

/// Changes with what this step makes of a file.
const RULES: &str = "2";

impl Pipeline {
    /// Replaces what a raw day holds of telemetry in ClickHouse. Unchanged files are not loaded again. Neither the
    /// warehouse nor the mart's own table takes part.
    pub async fn load_telemetry(&self, dt: NaiveDate) -> Result<Report> {
        let started = Instant::now();
        let mart = self.mart().await?;
        mart.apply_telemetry_schema().await?;
        let mut day = Day::new(dt);
        day.open(self, &[Dataset::VehiclePositions]).await?;
        let mut report = Report::new("load_telemetry", Some(dt));
        let fingerprint = fingerprint(&[RULES]);
        if let Some(lines) = mart.telemetry_loaded(dt, &fingerprint).await?
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
        let load =
            TelemetryLoad { dt, lines, fingerprint, run_id: self.run_id.clone(), inserts: self.settings.connections };
        let whole = TelemetryDay::new(mart, load);
        let rows = Arc::new(KeptRows::new(judged, Audience::Warehouse));
        whole.fill(rows, &self.cancel, &self.progress).await?;
        let written = whole.swap().await;
        whole.end().await;
        table.rows_written = written?;
        report.table(TELEMETRY_TABLE, table);
        report.unchanged = false;
        Ok(report.took(started))
    }
}
