//! Taking a raw day out: everything it brought, in one transaction, so that what stays is what never knew the day.
//!
//! Facts go first (keys, rows that come back, dates), then the dimensions' statements, then staging; the partitions
//! themselves are dropped last, because that is the only part that needs readers out of the way for a moment.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::context::Warehouse;
use super::lock::Lock;
use super::partition::{current, patiently};
use super::rejected::{REJECTED, take_feed_rejects_out};
use super::telemetry::{self, Elsewhere};
use super::{dimensions, facts, ledger, members, schema};
use crate::error::{Error, Result};
use crate::model::{Dataset, Dimension, Fact, Member};
use crate::postgres::{Session, get};

/// What taking a day out did to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UndoneTable {
    /// Files whose ledger lines went.
    #[serde(skip)]
    pub files: u64,
    /// Rows that went (of a dimension: rows of the snapshot that are no statement any more).
    #[serde(skip_serializing_if = "is_zero")]
    pub rows_removed: u64,
    /// Rejected rows that went.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejects_removed: u64,
    /// Rows of older days that came back.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows_returned: u64,
    /// Versions that a dimension gained, changed and lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub versions_inserted: u64,
    /// See `versions_inserted`.
    #[serde(skip_serializing_if = "is_zero")]
    pub versions_updated: u64,
    /// See `versions_inserted`.
    #[serde(skip_serializing_if = "is_zero")]
    pub versions_deleted: u64,
    /// Rows of other days whose key changed.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows_rekeyed: u64,
    #[serde(skip)]
    is_dimension: bool,
}

fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

impl UndoneTable {
    /// Rows that were written one way or another.
    pub fn rows_written(&self) -> u64 {
        let versions = self.versions_inserted + self.versions_updated + self.versions_deleted;
        // What leaves a dimension is a statement; its rows are the versions.
        let rows = if self.is_dimension { versions } else { self.rows_removed };
        rows + self.rejects_removed + self.rows_returned + self.rows_rekeyed
    }
}

/// What taking a day out did.
#[derive(Clone, Debug, Default)]
pub struct Undone {
    /// By table.
    pub tables: BTreeMap<String, UndoneTable>,
    /// Service dates that the mart must build again.
    pub dirty_dates: Vec<NaiveDate>,
    /// Inferred members that nothing refers to any more.
    pub inferred_removed: u64,
    /// Repaired rows that were forgotten with their day.
    pub repairs_removed: u64,
}

/// Takes one raw day out; with `dry_run` everything is worked out and rolled back. `elsewhere` takes out what the warehouse
/// does not keep itself.
///
/// # Errors
/// `NotFound` when the ledger does not know the day.
pub async fn undo(
    warehouse: &Warehouse,
    dt: NaiveDate,
    dry_run: bool,
    elsewhere: Option<&dyn Elsewhere>,
) -> Result<Undone> {
    let session = warehouse.locked(&[Lock::Staging(dt), Lock::Dimensions, Lock::Facts]).await?;
    let unfinished = telemetry::unfinished(&session).await?.contains_key(&dt);
    let known = unfinished || !counts(&session, dt).await?.is_empty();
    if !known {
        return Err(Error::not_found(format!("day {dt} is not loaded: the ledger has no line of it"))
            .with("dt", dt)
            .retryable(false));
    }
    session.run("BEGIN").await?;
    let mut undone = take_day_out(warehouse, &session, dt, dry_run).await;
    if let (Ok(_), Some(elsewhere), false) = (&undone, elsewhere, dry_run)
        && let Err(e) = telemetry::swap(warehouse, &session, dt, elsewhere).await
    {
        undone = Err(e);
    }
    match &undone {
        Ok(_) if !dry_run => session.commit().await?,
        // Best effort after an error: closing the session rolls back as well.
        _ => drop(session.run("ROLLBACK").await),
    }
    undone
}

/// The loaded days after `dt`, the newest first.
pub async fn days_after(warehouse: &Warehouse, dt: NaiveDate) -> Result<Vec<NaiveDate>> {
    let session = warehouse.session().await?;
    let sql = "SELECT DISTINCT dt FROM dwh.load_ledger WHERE dt > $1 ORDER BY dt DESC";
    session.rows(sql, &[&dt]).await?.iter().map(|row| get(row, 0)).collect()
}

/// What a day holds by the ledger, as [`undo`] would remove it.
pub async fn held(warehouse: &Warehouse, dt: NaiveDate) -> Result<Undone> {
    let session = warehouse.session().await?;
    Ok(Undone { tables: counts(&session, dt).await?, ..Undone::default() })
}

async fn take_day_out(warehouse: &Warehouse, session: &Session, dt: NaiveDate, dry_run: bool) -> Result<Undone> {
    let mut undone = Undone { tables: counts(session, dt).await?, ..Undone::default() };
    warehouse.progress.begin(&format!("take out {dt}"), undone.tables.len() as u64);
    take_facts_out(warehouse, session, dt, &mut undone).await?;
    take_dimensions_out(warehouse, session, dt, &mut undone).await?;
    let staged = take_staging_out(warehouse, session, dt, &mut undone).await?;
    session.execute("DELETE FROM dwh.step_failure WHERE dt = $1", &[&dt]).await?;
    schema::release_zone(session).await?;
    schema::release_positions(session).await?;
    let leaving = unreferenced_without(session, dt).await?;
    undone.inferred_removed = leaving.iter().map(|(_, keys)| keys.len() as u64).sum();
    undone.dirty_dates.sort_unstable();
    undone.dirty_dates.dedup();
    if !dry_run {
        let mut partitions = staged;
        for fact in Fact::ALL {
            partitions.extend(current(session, fact.table, dt).await?);
        }
        if !partitions.is_empty() {
            let sql = format!("DROP TABLE {}", partitions.join(", "));
            patiently(session, &sql, &partitions, warehouse.swap_deadline()).await?;
        }
        members::remove(session, &leaving).await?;
    }
    Ok(undone)
}

async fn take_facts_out(warehouse: &Warehouse, session: &Session, dt: NaiveDate, undone: &mut Undone) -> Result<()> {
    for fact in Fact::ALL {
        let Some(table) = undone.tables.get_mut(fact.table) else { continue };
        warehouse.cancel.check()?;
        let taken = facts::take_out(warehouse, session, fact, dt).await?;
        table.rows_returned = taken.returned_rows;
        undone.dirty_dates.extend(taken.dirty_dates);
        drop_temporary(session, &["met", "left_over", "coming_back"]).await?;
        warehouse.progress.add(1);
    }
    Ok(())
}

async fn take_dimensions_out(
    warehouse: &Warehouse,
    session: &Session,
    dt: NaiveDate,
    undone: &mut Undone,
) -> Result<()> {
    for dimension in Dimension::ALL {
        let Some(table) = undone.tables.get_mut(dimension.table) else { continue };
        warehouse.cancel.check()?;
        let taken = dimensions::take_out(warehouse, session, dimension, dt).await?;
        table.versions_inserted = taken.written.inserted;
        table.versions_updated = taken.written.updated;
        table.versions_deleted = taken.written.deleted;
        table.rows_rekeyed = taken.rekeyed.values().sum();
        drop_temporary(session, &["retired", "changed"]).await?;
        warehouse.progress.add(1);
    }
    Ok(())
}

/// The partitions that are left to drop.
async fn take_staging_out(
    warehouse: &Warehouse,
    session: &Session,
    dt: NaiveDate,
    undone: &mut Undone,
) -> Result<Vec<String>> {
    let mut partitions = Vec::new();
    for dataset in Dataset::ALL {
        let Some(table) = undone.tables.get_mut(dataset.staging_table()) else { continue };
        partitions.extend(current(session, dataset.staging_table(), dt).await?);
        let sql = "DELETE FROM staging.rejected WHERE dataset = $1 AND dt = $2 AND file LIKE 'dt=%'";
        table.rejects_removed = session.execute(sql, &[&dataset.name(), &dt]).await?;
        ledger::write(session, dataset.staging_table(), dt, &[], "", &warehouse.run_id).await?;
        warehouse.progress.add(1);
    }
    if let Some(table) = undone.tables.get_mut(REJECTED) {
        table.rejects_removed = take_feed_rejects_out(session, dt).await?;
        ledger::write(session, REJECTED, dt, &[], "", &warehouse.run_id).await?;
    }
    undone.repairs_removed = session.execute("DELETE FROM staging.repaired WHERE dt = $1", &[&dt]).await?;
    Ok(partitions)
}

/// What the ledger says of a day, by table.
async fn counts(session: &Session, dt: NaiveDate) -> Result<BTreeMap<String, UndoneTable>> {
    let sql = "SELECT target, count(*), sum(CASE WHEN purged_at IS NULL THEN rows_loaded ELSE 0 END)::bigint \
               FROM dwh.load_ledger WHERE dt = $1 GROUP BY target";
    let mut tables = BTreeMap::new();
    for row in session.rows(sql, &[&dt]).await? {
        let (files, rows): (i64, i64) = (get(&row, 1)?, get(&row, 2)?);
        let (files, rows_removed) = (files.unsigned_abs(), rows.unsigned_abs());
        let target: String = get(&row, 0)?;
        let is_dimension = Dimension::ALL.iter().any(|dimension| dimension.table == target);
        tables.insert(target, UndoneTable { files, rows_removed, is_dimension, ..UndoneTable::default() });
    }
    Ok(tables)
}

/// The next table of the transaction makes them anew.
async fn drop_temporary(session: &Session, names: &[&str]) -> Result<()> {
    let names: Vec<String> = names.iter().map(|name| format!("pg_temp.{name}")).collect();
    session.run(&format!("DROP TABLE IF EXISTS {}", names.join(", "))).await
}

/// Inferred members that only facts of one day refer to.
async fn unreferenced_without(session: &Session, dt: NaiveDate) -> Result<Vec<(Member, Vec<i64>)>> {
    let mut found = Vec::new();
    for member in Member::ALL.into_iter().filter(|member| member.is_inferred()) {
        let (table, surrogate) = (member.table(), member.surrogate());
        let mut sql = format!("SELECT m.{surrogate} FROM {table} m WHERE m.is_inferred");
        for fact in Fact::ALL {
            for reference in fact.references.iter().filter(|reference| reference.member == member) {
                sql.push_str(&format!(
                    " AND NOT EXISTS (SELECT FROM {} f WHERE f.{} = m.{surrogate} AND f.dt <> $1)",
                    fact.table, reference.surrogate
                ));
            }
        }
        if let Some(column) = telemetry::reference_to(member) {
            sql.push_str(&format!(
                " AND NOT EXISTS (SELECT FROM {} f WHERE f.{column} = m.{surrogate} AND f.dt <> $1)",
                telemetry::REFERENCES
            ));
        }
        let rows = session.rows(&sql, &[&dt]).await?;
        let surrogates = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>>>()?;
        if !surrogates.is_empty() {
            found.push((member, surrogates));
        }
    }
    Ok(found)
}
