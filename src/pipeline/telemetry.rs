//! Cleaned positions of a raw day straight from the lake into ClickHouse, for streams too large for PostgreSQL.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::Pipeline;
use super::day::Day;
use super::input::{Audience, Judged, KeptRows};
use super::report::{Report, TableReport};
use crate::clickhouse::{PositionRows, TELEMETRY_TABLE, TelemetryFile, TelemetryLoad};
use crate::error::Result;
use crate::load::{Line, Rows};
use crate::model::Dataset;

/// Changes with what this step makes of a file.
const RULES: &str = "1";

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
        let fingerprint = fingerprint();
        let loaded = mart.telemetry_loaded(dt, &fingerprint).await?;
        if let Some(files) = &loaded {
            let same = day
                .identities(Dataset::VehiclePositions)
                .iter()
                .map(|p| (&p.file, p.size_bytes, &p.sha256))
                .eq(files.iter().map(|f| (&f.file, f.size_bytes, &f.sha256)));
            if same {
                report.table(TELEMETRY_TABLE, TableReport::unchanged(&lines(files)));
                return Ok(report.took(started));
            }
        }
        let judged = day.judged(self, Dataset::VehiclePositions).await?;
        let files: Vec<TelemetryFile> = judged.lines(Audience::Warehouse).iter().map(file).collect();
        let mut table = TableReport::of(&lines(&files));
        judged.describe(&mut table);
        self.progress.begin("load telemetry", table.rows_loaded);
        let load = TelemetryLoad {
            dt,
            files,
            rows: Arc::new(Kept::new(judged)),
            fingerprint,
            run_id: self.run_id.clone(),
            inserts: self.settings.connections,
        };
        table.rows_written = mart.replace_telemetry(load, &self.cancel, &self.progress).await?;
        report.table(TELEMETRY_TABLE, table);
        report.unchanged = false;
        Ok(report.took(started))
    }
}

fn fingerprint() -> String {
    Sha256::digest(RULES).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn file(line: &Line) -> TelemetryFile {
    TelemetryFile {
        file: line.part.file.clone(),
        size_bytes: line.part.size_bytes,
        sha256: line.part.sha256.clone(),
        rows_read: line.rows_read,
        rows_loaded: line.rows_loaded,
        rows_duplicate: line.rows_duplicate,
        rows_rejected: line.rows_rejected,
    }
}

fn lines(files: &[TelemetryFile]) -> Vec<Line> {
    files
        .iter()
        .map(|f| Line {
            part: crate::load::Part { file: f.file.clone(), size_bytes: f.size_bytes, sha256: f.sha256.clone() },
            rows_read: f.rows_read,
            rows_loaded: f.rows_loaded,
            rows_duplicate: f.rows_duplicate,
            rows_superseded: 0,
            rows_rejected: f.rows_rejected,
        })
        .collect()
}

/// The kept positions of a day.
struct Kept(KeptRows);

impl Kept {
    fn new(judged: Arc<Judged>) -> Self {
        Self(KeptRows::new(judged, Audience::Warehouse))
    }
}

impl PositionRows for Kept {
    fn units(&self) -> usize {
        self.0.units()
    }

    fn read(&self, unit: usize, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.0.read(unit, &mut |batch, _| sink(batch))
    }
}
