//! A day's partition, filled aside and swapped in.
//!
//! A side table begins with the columns that COPY brings and no index, so COPY runs at full speed. What all rows of a day
//! have in common (`dt`, `load_id`, …) is not stored in each row: those columns come after the rows, with a default that
//! PostgreSQL keeps once, in the catalog, and shows for every row that was there before. So the columns of a partition
//! stand in another order than the parent's. Whatever writes a row anew (an UPDATE, VACUUM FULL, a restored dump) writes
//! the values out, which costs space and nothing else.
//!
//! Then the side table gets the parent's constraints and indexes, read from the catalog, and takes the old partition's
//! place. The swap waits for readers only a moment at a time: a queued ACCESS EXCLUSIVE lock would block every later
//! reader behind one long query.

mod keys;
mod rows;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use chrono::NaiveDate;

use super::flavour;
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::postgres::{Session, get, is_lock_timeout};

pub(super) use keys::Built;

/// One day of one partitioned table, being built aside.
#[derive(Clone, Debug)]
pub(super) struct Side {
    schema: String,
    parent: String,
    dt: NaiveDate,
    table: String,
}

impl Side {
    /// A side table of `parent` (`schema.table`) for one day and run.
    pub(super) fn new(parent: &str, dt: NaiveDate, run_id: &str) -> Self {
        let (schema, parent) = parent.split_once('.').unwrap_or(("public", parent));
        let tag: String = run_id.chars().take(8).collect();
        let table = format!("{parent}_{}_{tag}", dt.format("%Y%m%d"));
        Self { schema: schema.to_owned(), parent: parent.to_owned(), dt, table }
    }

    /// The side table's qualified name.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Takes back unfinished publications. Dropping a table with foreign keys needs its dimensions, so this too waits for
    /// readers only a moment; what stays then goes at the next run.
    pub(super) fn undo_sql(sides: &[Self]) -> String {
        let names: Vec<String> = sides.iter().map(Self::name).collect();
        flavour::undo(&names)
    }

    fn parent_name(&self) -> String {
        format!("{}.{}", self.schema, self.parent)
    }

    fn final_name(&self) -> String {
        format!("{}_{}", self.parent, self.dt.format("%Y%m%d"))
    }

    fn bound(&self) -> String {
        format!("{}_dt_bound", self.parent)
    }

    /// Takes the old partition's place, inside the caller's transaction and as its last act.
    ///
    /// `keep` says whether the side table has rows worth attaching; without it the day's partition just goes.
    pub(super) async fn swap(&self, session: &Session, keep: bool, deadline: Duration) -> Result<()> {
        let old = current(session, &self.parent_name(), self.dt).await?;
        // Attaching alone would lock less and let a reader's transaction go on over it: its rows, committed before, would
        // appear in a snapshot that does not hold their ledger lines yet.
        let mut sql = flavour::close_parent(&self.parent_name());
        if let Some(old) = &old {
            sql.push_str(&format!("DROP TABLE {old};"));
        }
        if keep {
            let (parent, side) = (self.parent_name(), self.name());
            sql.push_str(&flavour::attach(&parent, &side, self.dt, &self.bound(), &self.final_name()));
        } else {
            sql.push_str(&format!("DROP TABLE {};", self.name()));
        }
        patiently(session, &sql, &[self.parent_name()], deadline).await
    }
}

/// How long one attempt at the swap waits for readers; who comes later waits as long.
///
/// Readers that follow one another without a gap, each slower than the first attempts, are met by the later ones. All are
/// shorter than PostgreSQL's `deadlock_timeout` of a second: where a reader and the swap wait for each other it is the swap
/// that gives up.
fn attempt(waited: Duration) -> &'static str {
    if waited < Duration::from_secs(10) { "150ms" } else { "500ms" }
}

/// Runs a statement that needs these tables for itself, a moment at a time, until the deadline.
///
/// A table that is attached, moved or dropped locks the dimensions that it refers to as well. Readers take facts and
/// dimensions in either order, and where they leave no gap one of them always has what comes second: so every other
/// attempt takes the dimensions first.
pub(super) async fn patiently(session: &Session, sql: &str, tables: &[String], deadline: Duration) -> Result<()> {
    let rows = session.rows(flavour::REFERRED, &[&tables]).await?;
    let dimensions = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>>>()?;
    let mut ways = vec![sql.to_owned()];
    if !dimensions.is_empty() {
        ways.push(format!("{} {sql}", flavour::close(&dimensions)));
    }
    let started = Instant::now();
    let mut pauses = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
    for sql in ways.iter().cycle() {
        session.run(&flavour::begin_attempt(attempt(started.elapsed()))).await?;
        match session.run(sql).await {
            Ok(()) => return session.run(flavour::END_ATTEMPT).await,
            Err(e) if is_lock_timeout(&e) => {
                session.run(flavour::FORGET_ATTEMPT).await?;
                if started.elapsed() >= deadline {
                    let table = tables.join(", ");
                    return Err(Error::conflict(format!(
                        "readers kept {table} busy for {} s, so the new partition could not take its place; \
                         nothing was published, run again or raise swap_deadline_seconds",
                        deadline.as_secs()
                    ))
                    .with("table", table));
                }
                pauses.pause().await;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The attached partition of one day, if there is one.
pub(super) async fn current(session: &Session, parent: &str, dt: NaiveDate) -> Result<Option<String>> {
    let name = format!("{parent}_{}", dt.format("%Y%m%d"));
    let rows = session.rows(flavour::IS_PARTITION, &[&name, &parent]).await?;
    Ok((!rows.is_empty()).then_some(name))
}

/// Drops side tables of one day that no run owns any more; the caller holds the lock that covers them.
async fn drop_orphans(session: &Session, schema: &str, partition: &str, deadline: Duration) -> Result<()> {
    let rows = session.rows(flavour::SIDES, &[&schema, &partition]).await?;
    for row in &rows {
        let orphan: String = get(row, 0)?;
        patiently(session, &format!("DROP TABLE {orphan}"), &[orphan], deadline).await?;
    }
    Ok(())
}
