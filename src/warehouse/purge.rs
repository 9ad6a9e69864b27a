//! Retention: staging of old days goes, what was learnt from it stays. Facts that the mart counts nothing of may go too.
//!
//! The ledger keeps the lines of a purged day and says when its rows went (`purged_at`), so an unchanged file is still
//! known and a corrected one still replaces what the day contributed. History needs no staging: what each day said is
//! in the dimensions' logs.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::NaiveDate;

use super::context::Warehouse;
use super::lock::Lock;
use super::members;
use super::partition::{current, patiently};
use crate::error::{Error, Result};
use crate::model::{Dataset, Fact};
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
    /// Rows of a fact table that the mart counts nothing of.
    Fact(Fact),
}

impl FromStr for Purge {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "staging" => Ok(Self::Staging),
            "rejected" => Ok(Self::Rejected),
            "quality" => Ok(Self::Quality),
            _ => {
                let mut facts = Fact::ALL.into_iter().filter(|fact| !fact.kind.is_in_mart());
                facts.find(|fact| fact.dataset.name() == name).map(Self::Fact).ok_or_else(|| {
                    Error::config(format!(
                        "{name:?} cannot be purged, expected staging, rejected, quality, scheduled_stop_times, trip_updates \
                         or alerts; what the mart is built from stays"
                    ))
                })
            }
        }
    }
}

/// The tables of staging, as a pattern of the ledger's targets.
const STAGING: &str = r"staging.%\_raw";

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Raw days whose staging or facts went.
    pub days: Vec<NaiveDate>,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
}

/// Drops what is of days before `before`; each day's staging is one transaction.
pub async fn purge(warehouse: &Warehouse, before: NaiveDate, what: &[Purge], dry_run: bool) -> Result<Purged> {
    let mut purged = Purged::default();
    if what.contains(&Purge::Staging) {
        purged.days = held_days(warehouse, STAGING, before).await?;
        warehouse.progress.begin("purge staging", purged.days.len() as u64);
        for &dt in &purged.days {
            warehouse.cancel.check()?;
            purge_staging(warehouse, dt, dry_run, &mut purged.rows).await?;
            if !dry_run {
                warehouse.progress.publish(format!("the purging of staging dt={dt}"));
            }
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
    for fact in Fact::ALL.into_iter().filter(|fact| what.contains(&Purge::Fact(*fact))) {
        let days = held_days(warehouse, fact.table, before).await?;
        warehouse.progress.begin(&format!("purge {}", fact.table), days.len() as u64);
        for &dt in &days {
            warehouse.cancel.check()?;
            purge_fact(warehouse, &fact, dt, dry_run, &mut purged.rows).await?;
            warehouse.progress.add(1);
        }
        purged.days.extend(days);
    }
    purged.days.sort_unstable();
    purged.days.dedup();
    Ok(purged)
}

/// The days whose rows some tables, by a pattern of their names, still hold.
async fn held_days(warehouse: &Warehouse, pattern: &str, before: NaiveDate) -> Result<Vec<NaiveDate>> {
    let session = warehouse.session().await?;
    let sql = "SELECT DISTINCT dt FROM dwh.load_ledger WHERE target LIKE $1 AND dt < $2 \
               AND purged_at IS NULL ORDER BY dt";
    session.rows(sql, &[&pattern, &before]).await?.iter().map(|row| get(row, 0)).collect()
}

/// Notes that retention took the rows of some tables and day; how many there were, by table.
async fn mark(session: &Session, pattern: &str, dt: NaiveDate) -> Result<Vec<(String, u64)>> {
    let sql = "WITH gone AS (UPDATE dwh.load_ledger SET purged_at = now() WHERE target LIKE $1 AND dt = $2 \
               AND purged_at IS NULL RETURNING target, rows_loaded) \
               SELECT target, sum(rows_loaded)::bigint FROM gone GROUP BY target";
    let rows = session.rows(sql, &[&pattern, &dt]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get::<i64>(row, 1)?.unsigned_abs()))).collect()
}

/// Drops one day of a fact, and the inferred members that nothing refers to any more.
async fn purge_fact(
    warehouse: &Warehouse,
    fact: &Fact,
    dt: NaiveDate,
    dry_run: bool,
    rows: &mut BTreeMap<String, u64>,
) -> Result<()> {
    let session = warehouse.locked(&[Lock::Dimensions, Lock::Facts]).await?;
    session.run("BEGIN").await?;
    let gone = take_fact_out(warehouse, &session, fact, dt, dry_run).await;
    end(&session, gone.is_ok() && !dry_run).await?;
    for (table, count) in gone? {
        *rows.entry(table).or_default() += count;
    }
    Ok(())
}

async fn take_fact_out(
    warehouse: &Warehouse,
    session: &Session,
    fact: &Fact,
    dt: NaiveDate,
    dry_run: bool,
) -> Result<Vec<(String, u64)>> {
    let gone = mark(session, fact.table, dt).await?;
    session.execute("DELETE FROM dwh.fact_service_date WHERE target = $1 AND dt = $2", &[&fact.table, &dt]).await?;
    if let (Some(partition), false) = (current(session, fact.table, dt).await?, dry_run) {
        let leaving = members::unreferenced(session, Some((fact, dt, None))).await?;
        patiently(session, &format!("DROP TABLE {partition}"), &[partition], warehouse.swap_deadline()).await?;
        members::remove(session, &leaving).await?;
    }
    Ok(gone)
}

/// Ends a transaction one way or the other.
async fn end(session: &Session, keep: bool) -> Result<()> {
    if keep {
        return session.commit().await;
    }
    // Best effort after an error: closing the session rolls back as well.
    drop(session.run("ROLLBACK").await);
    Ok(())
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
    end(&session, gone.is_ok() && !dry_run).await?;
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
    let gone = mark(session, STAGING, dt).await?;
    let mut partitions = Vec::new();
    for dataset in Dataset::ALL {
        partitions.extend(current(session, dataset.staging_table(), dt).await?);
    }
    if !dry_run && !partitions.is_empty() {
        let sql = format!("DROP TABLE {}", partitions.join(", "));
        patiently(session, &sql, &partitions, warehouse.swap_deadline()).await?;
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
        session.execute(&format!("DELETE {condition}"), &[&before]).await?
    };
    rows.insert(table.to_owned(), count);
    Ok(())
}
