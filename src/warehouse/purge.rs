//! Retention: staging of old days goes, what was learnt from it stays.
//!
//! The ledger keeps the lines of a purged day and says when its rows went (`purged_at`), so an unchanged file is still
//! known and a corrected one still replaces what the day contributed. History needs no staging: what each day said is
//! in the dimensions' logs.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::NaiveDate;

use super::context::Warehouse;
use super::lock::Lock;
use super::partition::{current, patiently};
use crate::error::{Error, Result};
use crate::model::Dataset;
use crate::postgres::{Session, get};

/// What retention may drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Rows of `staging.*_raw`.
    Staging,
    /// Rows of `staging.rejected`.
    Rejected,
    /// Results of quality checks.
    Quality,
}

impl FromStr for Purge {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "staging" => Ok(Self::Staging),
            "rejected" => Ok(Self::Rejected),
            "quality" => Ok(Self::Quality),
            _ => Err(Error::config(format!("{name:?} cannot be purged, expected staging, rejected or quality"))),
        }
    }
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Raw days whose staging went.
    pub days: Vec<NaiveDate>,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
}

/// Drops what is of days before `before`; each day's staging is one transaction.
pub async fn purge(warehouse: &Warehouse, before: NaiveDate, what: &[Purge], dry_run: bool) -> Result<Purged> {
    let mut purged = Purged::default();
    if what.contains(&Purge::Staging) {
        purged.days = staged_days(warehouse, before).await?;
        warehouse.progress.begin("purge staging", purged.days.len() as u64);
        for &dt in &purged.days {
            warehouse.cancel.check()?;
            purge_staging(warehouse, dt, dry_run, &mut purged.rows).await?;
            warehouse.progress.add(1);
        }
    }
    if what.contains(&Purge::Rejected) {
        let condition = "FROM staging.rejected WHERE dt < $1";
        purge_rows(warehouse, "staging.rejected", condition, before, dry_run, &mut purged.rows).await?;
    }
    if what.contains(&Purge::Quality) {
        let condition = "FROM dwh.quality_result WHERE checked_at < $1::date";
        purge_rows(warehouse, "dwh.quality_result", condition, before, dry_run, &mut purged.rows).await?;
    }
    Ok(purged)
}

async fn staged_days(warehouse: &Warehouse, before: NaiveDate) -> Result<Vec<NaiveDate>> {
    let session = warehouse.session().await?;
    let sql = "SELECT DISTINCT dt FROM dwh.load_ledger WHERE target LIKE 'staging.%' AND dt < $1 \
               AND purged_at IS NULL ORDER BY dt";
    session.rows(sql, &[&before]).await?.iter().map(|row| get(row, 0)).collect()
}

async fn purge_staging(
    warehouse: &Warehouse,
    dt: NaiveDate,
    dry_run: bool,
    rows: &mut BTreeMap<String, u64>,
) -> Result<()> {
    let session = warehouse.locked(&[Lock::Staging(dt)]).await?;
    session.run("BEGIN").await?;
    let gone = mark_and_drop(warehouse, &session, dt, dry_run).await;
    match &gone {
        Ok(_) if !dry_run => session.run("COMMIT").await?,
        // Best effort after an error: closing the session rolls back as well.
        _ => drop(session.run("ROLLBACK").await),
    }
    for (table, count) in gone? {
        *rows.entry(table).or_default() += count;
    }
    Ok(())
}

async fn mark_and_drop(
    warehouse: &Warehouse,
    session: &Session,
    dt: NaiveDate,
    dry_run: bool,
) -> Result<Vec<(String, u64)>> {
    let sql = "WITH gone AS (UPDATE dwh.load_ledger SET purged_at = now() WHERE target LIKE 'staging.%' AND dt = $1 \
               AND purged_at IS NULL RETURNING target, rows_loaded) \
               SELECT target, sum(rows_loaded)::bigint FROM gone GROUP BY target";
    let mut gone = Vec::new();
    for row in session.rows(sql, &[&dt]).await? {
        gone.push((get(&row, 0)?, get::<i64>(&row, 1)?.unsigned_abs()));
    }
    let mut partitions = Vec::new();
    for dataset in Dataset::ALL {
        partitions.extend(current(session, dataset.staging_table(), dt).await?);
    }
    if !dry_run && !partitions.is_empty() {
        let names = partitions.join(", ");
        patiently(session, &[format!("DROP TABLE {names}")], warehouse.swap_deadline(), &names).await?;
    }
    Ok(gone)
}

async fn purge_rows(
    warehouse: &Warehouse,
    table: &str,
    condition: &str,
    before: NaiveDate,
    dry_run: bool,
    rows: &mut BTreeMap<String, u64>,
) -> Result<()> {
    let session = warehouse.session().await?;
    let count = if dry_run {
        get::<i64>(&session.row(&format!("SELECT count(*) {condition}"), &[&before]).await?, 0)?.unsigned_abs()
    } else {
        session.touch(&format!("DELETE {condition}"), &[&before]).await?
    };
    rows.insert(table.to_owned(), count);
    Ok(())
}
