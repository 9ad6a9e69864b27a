//! The quarantine: a look at rejected rows, and loading them again after a repair or under other rules.

use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Pipeline;
use super::day::{Day, not_judged};
use super::input::{Audience, Judged};
use super::outcome::Outcome;
use super::report::{Report, TableReport};
use crate::error::{Error, Result};
use crate::load::Repair;
use crate::model::{Dataset, Dimension, Fact};
use crate::warehouse::{self, Rejected, RejectedFilter};

/// A repaired row as the caller gives it: the columns named replace those of the rejected row.
#[derive(Clone, Debug, Deserialize)]
pub struct RepairedRow {
    /// The file, as `staging.rejected` names it.
    pub file: String,
    /// The row's number in it, from 1.
    pub row_number: i64,
    /// Columns and values.
    pub row: Map<String, Value>,
}

impl Pipeline {
    /// Rejected rows, at most `limit` of them, and how many there are in all.
    pub async fn rejected(&self, filter: RejectedFilter<'_>, limit: u32) -> Result<(Vec<Rejected>, i64)> {
        warehouse::rejected(self.warehouse()?, filter, limit).await
    }

    /// Judges the files of rejected rows again, with repaired rows in the place of the rejected ones, and loads what
    /// passes now. Without repairs it judges under the rules and the limit of today.
    ///
    /// # Errors
    /// `NotFound` when a repaired row is not among the rejected ones; `Conflict` when a file changed since it was
    /// loaded: load the day then.
    pub async fn requeue(&self, filter: RejectedFilter<'_>, rows: &[RepairedRow]) -> Result<Report> {
        let started = Instant::now();
        let warehouse = self.warehouse()?;
        for row in rows {
            self.check_columns(row)?;
        }
        let given: Vec<_> =
            rows.iter().map(|row| (row.file.clone(), row.row_number, Value::Object(row.row.clone()))).collect();
        let repairs = warehouse::repairs_of(warehouse, &given).await?;
        let mut scopes: Vec<(NaiveDate, Dataset)> = if rows.is_empty() {
            warehouse::rejected_days(warehouse, filter).await?
        } else {
            repairs.iter().map(|repair| (repair.dt, repair.dataset)).collect()
        };
        scopes.sort_unstable_by_key(|(dt, dataset)| (*dt, dataset.name()));
        scopes.dedup();
        let mut report = Report::new("requeue", None);
        let mut rows_passed = 0;
        for (dt, dataset) in scopes {
            let own = repairs.iter().filter(|repair| (repair.dt, repair.dataset) == (dt, dataset)).cloned().collect();
            let (step, passed) = self.requeue_dataset(dt, dataset, own).await?;
            report.steps.push(step);
            rows_passed += passed;
        }
        report.unchanged = report.steps.iter().all(|step| step.unchanged);
        report.rows = report.steps.iter().map(|step| step.rows).sum();
        report.outcome = Outcome::Requeued { rows_passed };
        Ok(report.took(started))
    }

    /// A column that its file cannot have is a typing error.
    fn check_columns(&self, row: &RepairedRow) -> Result<()> {
        let name = row.file.split_once('/').map_or(row.file.as_str(), |(_, rest)| rest);
        let dataset: Dataset = name.split(['/', '.']).next().unwrap_or_default().parse()?;
        match row.row.keys().find(|column| dataset.index(column).is_none()) {
            None => Ok(()),
            Some(column) => {
                Err(Error::config(format!("{dataset} has no column {column:?}; a repair names its columns"))
                    .with("file", &row.file)
                    .with("row", row.row_number))
            }
        }
    }

    /// What became of one dataset and day, and how many of its rows passed.
    async fn requeue_dataset(&self, dt: NaiveDate, dataset: Dataset, repairs: Vec<Repair>) -> Result<(Report, i64)> {
        let started = Instant::now();
        let warehouse = self.warehouse()?;
        let mut day = Day::new(dt);
        day.open(self, &[dataset]).await?;
        let before = warehouse.ledger(dataset.staging_table(), dt).await?;
        if !before.iter().map(|line| &line.part).eq(&day.identities(dataset)) {
            return Err(Error::conflict(format!(
                "the files of {dataset} of {dt} are not those that were loaded; load the day, then look at its rejects \
                 again"
            ))
            .with("dt", dt)
            .retryable(false));
        }
        let mut input = day.input(self, dataset).await?;
        input.repairs.retain(|kept| !repairs.iter().any(|r| (&r.file, r.row_number) == (&kept.file, kept.row_number)));
        input.repairs.extend(repairs.iter().cloned());
        let judged = self.judge(vec![input]).await?.pop().map(Arc::new).ok_or_else(|| not_judged(dataset))?;
        let mut report = Report::new("requeue", Some(dt));
        let after = judged.lines(Audience::Staging);
        let rejected = |lines: &[crate::load::Line]| lines.iter().map(|l| l.rows_rejected).sum::<u64>();
        let rows_passed = rejected(&before).cast_signed() - rejected(&after).cast_signed();
        if after == before && repairs.is_empty() {
            report.table(dataset.staging_table(), TableReport::unchanged(&before));
        } else {
            self.publish_stage(dt, vec![Arc::clone(&judged)], repairs, &mut report).await?;
            self.publish_warehouse(dt, judged, &mut report).await?;
        }
        report.outcome =
            Outcome::RequeuedDataset { dataset: dataset.name(), rows_passed, rows_rejected: rejected(&after) };
        Ok((report.took(started), rows_passed))
    }

    async fn publish_warehouse(&self, dt: NaiveDate, judged: Arc<Judged>, report: &mut Report) -> Result<()> {
        let dataset = judged.dataset;
        if let Some(fact) = Fact::of(dataset) {
            let telemetry = self.telemetry().await?;
            self.publish_facts(dt, vec![(fact, judged)], telemetry.as_ref(), report).await?;
        } else if let Some(dimension) = Dimension::ALL.into_iter().find(|d| d.dataset == dataset) {
            let load = self.prepare_dimension(dimension, dt, Arc::clone(&judged)).await?;
            report.table(dimension.table, self.publish_dimension(load, &judged, false).await?);
        }
        Ok(())
    }
}
