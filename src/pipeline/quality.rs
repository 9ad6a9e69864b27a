//! Step 5: checks on the warehouse and the mart, stored, and an error when one that matters fails.

use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use chrono::NaiveDate;

use super::Pipeline;
use super::outcome::Outcome as Told;
use super::report::Report;
use crate::clickhouse::Mart;
use crate::error::{Error, Result};
use crate::quality::{
    Brought, Check, Outcome, Severity, day_checks, mart_checks, queries, standing_checks, telemetry_checks, way_check,
};
use crate::queue::Queue;
use crate::warehouse::{self, QualityRow, Warehouse};

impl Pipeline {
    /// Checks the dimensions, the facts of a day (all loaded days without one) and the mart's dates.
    ///
    /// # Errors
    /// [`Error::Quality`] with the report when a check of severity `error` fails.
    pub async fn check_quality(&self, dt: Option<NaiveDate>) -> Result<Report> {
        self.tracked("check_quality", dt, self.check(dt)).await
    }

    async fn check(&self, dt: Option<NaiveDate>) -> Result<Report> {
        let started = Instant::now();
        let warehouse = self.warehouse()?;
        let days = match dt {
            Some(dt) => vec![dt],
            None => warehouse::loaded_days(warehouse).await?,
        };
        let mut planned: Vec<(Check, Option<NaiveDate>)> =
            standing_checks().into_iter().map(|check| (check, None)).collect();
        let positions = warehouse.positions().await?;
        planned
            .extend(days.iter().flat_map(|&day| day_checks(day, positions).into_iter().map(move |c| (c, Some(day)))));
        self.progress.begin("check quality", planned.len() as u64);
        let found = self.count(warehouse, planned.iter().map(|(check, _)| check).collect()).await?;
        let mut outcomes: Vec<Outcome> =
            planned.into_iter().zip(found).map(|((check, day), found)| check.judge(found, day)).collect();
        if let Some(telemetry) = self.telemetry().await? {
            for &day in &days {
                outcomes.extend(compared(warehouse, &telemetry.mart, telemetry_checks(day), Some(day)).await?);
                outcomes.push(brought(warehouse, &telemetry.mart, way_check(day), day).await?);
            }
        }
        if self.settings.mart.is_some() {
            let dates = warehouse::built_dates(warehouse, &days).await?;
            outcomes.extend(compared(warehouse, &self.mart().await?, mart_checks(&dates), None).await?);
        }
        let rows: Vec<QualityRow<'_>> = outcomes.iter().map(stored).collect();
        warehouse::record_quality(warehouse, &rows).await?;
        conclude(dt, outcomes, started)
    }

    /// The numbers of some checks, over several connections.
    async fn count(&self, warehouse: &Warehouse, checks: Vec<&Check>) -> Result<Vec<i64>> {
        let queries = queries(checks.iter().copied());
        let queue = Queue::new(queries.len());
        let workers = (0..self.settings.connections.max(1)).map(|_| async {
            let mut found = Vec::new();
            while let Some(query) = queue.take().map(|piece| &queries[piece]) {
                let names = || query.checks.iter().map(|&place| checks[place].name).collect::<Vec<_>>().join(", ");
                let numbers = warehouse::numbers(warehouse, &query.sql).await.map_err(|e| e.with("check", names()))?;
                found.extend(query.checks.iter().copied().zip(numbers));
                self.progress.add(query.checks.len() as u64);
            }
            Ok::<_, Error>(found)
        });
        let mut found = futures::future::try_join_all(workers).await?.concat();
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, number)| number).collect())
    }
}

/// The outcomes of checks that ask ClickHouse and PostgreSQL for one number.
async fn compared(
    warehouse: &Warehouse,
    mart: &Mart,
    checks: Vec<(Check, String)>,
    dt: Option<NaiveDate>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for (check, ours) in checks {
        let (_, batches) = mart.query(&check.sql).await.map_err(|e| e.with("check", check.name))?;
        let found = first_number(&batches)?;
        let expected: i64 = warehouse::numbers(warehouse, &ours).await?.iter().sum();
        outcomes.push(check.judge(found - expected, dt));
    }
    Ok(outcomes)
}

/// The outcome of a check that the warehouse makes over rows of ClickHouse.
async fn brought(warehouse: &Warehouse, mart: &Mart, brought: Brought, dt: NaiveDate) -> Result<Outcome> {
    let Brought { mut check, rows, table, create } = brought;
    let (_, batches) = mart.query(&rows).await.map_err(|e| e.with("check", check.name))?;
    let found = warehouse::number_over(warehouse, batches, table, create, &check.sql).await;
    let found = found.map_err(|e| e.with("check", check.name))?;
    check.sql = format!("-- over the rows of ClickHouse: {rows}\n{}", check.sql);
    Ok(check.judge(found, Some(dt)))
}

/// The report, or the error that a failed check of severity `error` is.
fn conclude(dt: Option<NaiveDate>, checks: Vec<Outcome>, started: Instant) -> Result<Report> {
    let failed = |outcome: &&Outcome| !outcome.passed && outcome.severity == Severity::Error;
    let found = checks.iter().filter(failed).count();
    let warned = checks.iter().filter(|o| !o.passed && o.severity == Severity::Warn).count();
    let named: Vec<String> = checks
        .iter()
        .filter(failed)
        .take(5)
        .map(|o| format!("{} on {} (found {}, expected {})", o.name, o.table, o.found, o.expected))
        .collect();
    let message = format!("{found} of {} quality checks failed: {}", checks.len(), named.join("; "));
    let mut report = Report::new("check_quality", dt);
    report.outcome = Told::Checked { checks, failed: found, warned };
    let report = report.took(started);
    if found == 0 {
        return Ok(report);
    }
    let told = serde_json::to_string(&report).map_err(|e| Error::internal("a report is no JSON").because(e))?;
    Err(Error::quality(message).reporting(told))
}

fn stored(outcome: &Outcome) -> QualityRow<'_> {
    QualityRow {
        dt: outcome.dt,
        name: outcome.name,
        table: &outcome.table,
        severity: outcome.severity.name(),
        passed: outcome.passed,
        found: outcome.found.to_string(),
        expected: outcome.expected,
    }
}

fn first_number(batches: &[RecordBatch]) -> Result<i64> {
    batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>().map(|column| column.value(0)))
        .ok_or_else(|| Error::internal("a check gave no number"))
}
