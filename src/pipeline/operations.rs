//! The life of a warehouse beside its days: taking days out, migrating, retention.

use std::time::Instant;

use chrono::{Days, NaiveDate, Utc};

use super::Pipeline;
use super::outcome::{Outcome, TableOutcome};
use super::report::{Report, TableReport};
use crate::error::{Error, Result};
use crate::model::Zone;
use crate::warehouse::{self, Elsewhere, Migrated, Purge, Undone};

impl Pipeline {
    /// Takes one raw day out of the warehouse, in one transaction: what stays is what never knew the day. With `dry_run`
    /// everything is worked out and nothing is kept.
    ///
    /// # Errors
    /// `NotFound` when the day is not loaded.
    pub async fn undo(&self, dt: NaiveDate, dry_run: bool) -> Result<Report> {
        let started = Instant::now();
        let leaving = self.telemetry().await?.map(|telemetry| telemetry.day(dt, Vec::new()));
        let leaving = leaving.as_ref().map(|day| day as &dyn Elsewhere);
        let undone = warehouse::undo(self.warehouse()?, dt, dry_run, leaving).await?;
        if !dry_run {
            self.progress.publish(format!("the undoing of dt={dt}"));
        }
        Ok(undo_report(dt, undone, dry_run).took(started))
    }

    /// Takes out every loaded day after `to`, the newest first, each in its own transaction: a rewind that is broken off
    /// has rewound to a later day. With `dry_run` only names the days and what they hold.
    pub async fn rewind(&self, to: NaiveDate, dry_run: bool) -> Result<Report> {
        let started = Instant::now();
        let warehouse = self.warehouse()?;
        let days = warehouse::days_after(warehouse, to).await?;
        let mut report = Report::new("rewind", None);
        report.unchanged = days.is_empty();
        for &dt in &days {
            self.cancel.check()?;
            if dry_run {
                report.steps.push(undo_report(dt, warehouse::held(warehouse, dt).await?, true));
            } else {
                report.steps.push(self.undo(dt, false).await?);
            }
        }
        report.rows = report.steps.iter().map(|step| step.rows).sum();
        report.outcome = Outcome::Rewound { to, days, dry_run };
        Ok(report.took(started))
    }

    /// Brings warehouse and mart to the schema of this version; tables of the prototype are moved aside.
    pub async fn migrate(&self, dry_run: bool) -> Result<Report> {
        let started = Instant::now();
        let warehouse = self.warehouse()?;
        let migrated = warehouse::migrate(warehouse, dry_run).await?;
        let mut report = Report::new("migrate", None);
        let mut mart_moved = None;
        if self.settings.mart.is_some() {
            let mart = self.mart().await?;
            mart_moved = mart.move_aside(dry_run).await?;
            if !dry_run {
                mart.apply_schema().await?;
                if mart_moved.is_some() {
                    // The new table is empty, whatever was built into the old one.
                    warehouse::mark_mart_dirty(warehouse, "migrate").await?;
                }
            }
        }
        report.unchanged = migrated.from == migrated.to.to_string() && mart_moved.is_none();
        let Migrated { from: from_version, to: to_version, applied, moved, payment_methods } = migrated;
        report.outcome =
            Outcome::Migrated { from_version, to_version, applied, moved, mart_moved, payment_methods, dry_run };
        Ok(report.took(started))
    }

    /// Drops what is older than so many days, counted back from today in the service zone.
    pub async fn purge(&self, older_than_days: u64, what: &[Purge], dry_run: bool) -> Result<Report> {
        let started = Instant::now();
        let today = Zone(self.settings.zone()?).local_date(Utc::now().timestamp_micros());
        let before = today
            .checked_sub_days(Days::new(older_than_days))
            .ok_or_else(|| Error::config(format!("{older_than_days} days before {today} is no date")))?;
        let purged = warehouse::purge(self.warehouse()?, before, what, dry_run).await?;
        let mut report = Report::new("purge", None);
        for (name, rows) in &purged.rows {
            report.table(name, TableReport { rows_written: *rows, ..TableReport::default() });
        }
        report.unchanged = purged.rows.values().all(|rows| *rows == 0) && purged.days.is_empty();
        report.outcome = Outcome::Purged { before, days: purged.days, dry_run };
        Ok(report.took(started))
    }
}

fn undo_report(dt: NaiveDate, undone: Undone, dry_run: bool) -> Report {
    let mut report = Report::new("undo", Some(dt));
    for (name, counts) in undone.tables {
        let mut table =
            TableReport { files: counts.files, rows_written: counts.rows_written(), ..TableReport::default() };
        table.outcome = TableOutcome::Undone(counts);
        report.table(&name, table);
    }
    report.unchanged = false;
    let Undone { dirty_dates, inferred_removed, repairs_removed, .. } = undone;
    report.outcome = Outcome::Undone { dirty_dates, inferred_removed, repairs_removed, dry_run };
    report
}
