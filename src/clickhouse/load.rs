//! Replacing whole service dates.

use std::collections::BTreeMap;
use std::str::Split;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use super::client::{Mart, unique};
use super::rows::{self, Digest};
use super::schema::{COLUMNS, TABLE, digests_sql};
use crate::error::{Error, Result};

/// After this time a shadow table belongs to no living run.
const ORPHAN_SECONDS: u64 = 24 * 3600;

/// What became of one service date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Rows of the date in the mart afterwards.
    pub rows: u64,
    /// Whether anything was written; `false` when the mart held the same rows already.
    pub changed: bool,
}

/// How some service dates differ from what the mart holds.
#[derive(Default)]
pub(super) struct Changes {
    /// Each of them, as it will be.
    pub replaced: Vec<Replaced>,
    /// Those that lose all rows.
    pub emptied: Vec<NaiveDate>,
    /// Those that get others.
    pub filled: Vec<(NaiveDate, rows::Encoded)>,
}

impl Mart {
    /// Makes rows (columns of [`crate::rollup::mart::schema`]) the whole content of each of some different service dates;
    /// each date atomically, all of them with a handful of statements. Dates whose rows the mart already holds,
    /// `snapshot_ts` aside, are not written again; no rows at all drop the date. At most a hundred dates, as a server
    /// takes no more partitions in one INSERT.
    ///
    /// Each call fills a shadow table of its own, so two loaders never mix: of each date the later swap wins as a whole.
    pub async fn replace_service_dates(
        &self,
        dates: &[(NaiveDate, RecordBatch)],
        snapshot_ts: DateTime<Utc>,
    ) -> Result<Vec<Replaced>> {
        let changes = self.changes(dates, snapshot_ts).await?;
        self.drop_dates(&changes.emptied).await?;
        if !changes.filled.is_empty() {
            let shadow = Shadow::create(self, TABLE).await?;
            let swapped = self.fill_and_swap(&shadow.name, &changes.filled).await;
            shadow.remove().await;
            swapped?;
        }
        Ok(changes.replaced)
    }

    /// Which of some service dates differ from what the mart holds, with the rows of those that do.
    pub(super) async fn changes(
        &self,
        dates: &[(NaiveDate, RecordBatch)],
        snapshot_ts: DateTime<Utc>,
    ) -> Result<Changes> {
        let held = self.digests(TABLE, dates.iter().map(|(date, _)| *date)).await?;
        let mut changes = Changes::default();
        for (date, rows) in dates {
            let encoded = rows::encode(*date, rows, snapshot_ts).map_err(|e| e.with("service_date", date))?;
            let wanted = encoded.digest;
            let changed = held.get(date).copied().unwrap_or_default() != wanted;
            changes.replaced.push(Replaced { rows: wanted.rows, changed });
            match (changed, wanted.rows) {
                (false, _) => {}
                // Replacing from a shadow without that partition empties the mart on old servers and fails on new ones.
                (true, 0) => changes.emptied.push(*date),
                (true, _) => changes.filled.push((*date, encoded)),
            }
        }
        Ok(changes)
    }

    /// Drops the rows of service dates.
    pub(super) async fn drop_dates(&self, dates: &[NaiveDate]) -> Result<()> {
        if dates.is_empty() {
            return Ok(());
        }
        let drops: Vec<String> = dates.iter().map(|date| format!("DROP PARTITION '{date}'")).collect();
        self.execute(&format!("ALTER TABLE {TABLE} {}", drops.join(", "))).await
    }

    async fn fill_and_swap(&self, shadow: &str, dates: &[(NaiveDate, rows::Encoded)]) -> Result<()> {
        self.fill(shadow, dates).await?;
        let wanted: Vec<_> = dates.iter().map(|(date, encoded)| (*date, encoded.digest)).collect();
        self.swap(shadow, &wanted).await
    }

    /// Sends rows to a shadow table.
    pub(super) async fn fill(&self, shadow: &str, dates: &[(NaiveDate, rows::Encoded)]) -> Result<()> {
        let columns: Vec<_> = COLUMNS.iter().map(|c| c.0).collect();
        let bytes = match dates {
            [(_, only)] => only.bytes.clone(),
            several => several.iter().map(|(_, one)| one.bytes.clone()).collect::<Vec<_>>().concat().into(),
        };
        self.insert(&format!("{shadow} ({})", columns.join(", ")), bytes).await
    }

    /// Puts service dates of a shadow table in the place of the mart's, if they are what they should be.
    pub(super) async fn swap(&self, shadow: &str, dates: &[(NaiveDate, Digest)]) -> Result<()> {
        let stored = self.digests(shadow, dates.iter().map(|(date, _)| *date)).await?;
        let mut swaps = Vec::with_capacity(dates.len());
        for (date, wanted) in dates {
            let found = stored.get(date).copied().unwrap_or_default();
            if found != *wanted {
                return Err(Error::database(format!(
                    "ClickHouse stored {} rows with checksum {:016x} for {date}, expected {} rows with {:016x}; the mart was left as it was",
                    found.rows, found.sum, wanted.rows, wanted.sum
                ))
                .with("table", TABLE)
                .with("service_date", date));
            }
            swaps.push(format!("REPLACE PARTITION '{date}' FROM {shadow}"));
        }
        self.execute(&format!("ALTER TABLE {TABLE} {}", swaps.join(", "))).await
    }

    /// How many rows the mart holds of each service date.
    pub async fn rows_by_service_date(&self) -> Result<BTreeMap<NaiveDate, u64>> {
        let sql = format!("SELECT toString(service_date), count() FROM {TABLE} GROUP BY service_date");
        let unreadable =
            || Error::database("ClickHouse's answer to a count of rows cannot be read").with("table", TABLE);
        let count = |row: Vec<String>| match row.as_slice() {
            [date, rows] => Some((date.parse().ok()?, rows.parse().ok()?)),
            _ => None,
        };
        self.rows(&sql).await?.into_iter().map(|row| count(row).ok_or_else(unreadable)).collect()
    }

    /// Rows and checksum of service dates in a table like the mart; dates without rows are absent.
    async fn digests(
        &self,
        table: &str,
        dates: impl Iterator<Item = NaiveDate>,
    ) -> Result<BTreeMap<NaiveDate, Digest>> {
        let unreadable = || Error::database("ClickHouse's answer to a checksum cannot be read").with("table", table);
        let digest = |row: Vec<String>| match row.as_slice() {
            [date, rows, sum] => {
                Some((date.parse().ok()?, Digest { rows: rows.parse().ok()?, sum: sum.parse().ok()? }))
            }
            _ => None,
        };
        let answer = self.rows(&digests_sql(table, dates)).await?;
        answer.into_iter().map(|row| digest(row).ok_or_else(unreadable)).collect()
    }
}

/// A table like another that holds one load until it is swapped in.
pub(super) struct Shadow<'a> {
    mart: &'a Mart,
    pub(super) name: String,
}

impl<'a> Shadow<'a> {
    /// Creates one whose name says when, so that a leftover can be told from one in use.
    pub(super) async fn create(mart: &'a Mart, table: &str) -> Result<Self> {
        Self::named(mart, table, &unique()).await
    }

    /// The same, with what else is to be told from the name: digits and underscores.
    pub(super) async fn named(mart: &'a Mart, table: &str, mark: &str) -> Result<Self> {
        let shadow = Self { mart, name: format!("{table}_shadow_{}_{mark}", epoch_seconds()) };
        mart.execute(&format!("CREATE TABLE {} AS {table}", shadow.name)).await?;
        Ok(shadow)
    }

    /// Leaves it to whoever swaps it in.
    pub(super) fn keep(mut self) -> String {
        std::mem::take(&mut self.name)
    }

    /// Drops it now. A failure is no failure of the load: it is an orphan then.
    pub(super) async fn remove(mut self) {
        let name = std::mem::take(&mut self.name);
        let _ = self.mart.execute(&format!("DROP TABLE IF EXISTS {name}")).await;
    }
}

impl Drop for Shadow<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.mart.leave(format!("DROP TABLE IF EXISTS {}", self.name));
        }
    }
}

fn epoch_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Drops shadows of a table that no run can still be filling.
pub(super) async fn drop_orphans(mart: &Mart, table: &str) -> Result<()> {
    let now = epoch_seconds();
    drop_tables(mart, |name| is_orphan(table, name, now)).await
}

/// Drops the tables of these names.
pub(super) async fn drop_tables(mart: &Mart, goes: impl Fn(&str) -> bool) -> Result<()> {
    let tables = mart.rows("SELECT name FROM system.tables WHERE database = currentDatabase()").await?;
    for name in tables.into_iter().flatten().filter(|name| goes(name)) {
        mart.execute(&format!("DROP TABLE IF EXISTS {name}")).await?;
    }
    Ok(())
}

/// The numbers in the name of a shadow table of ours: when it was made, then what else tells it from others.
pub(super) fn shadow_numbers<'a>(table: &str, name: &'a str) -> Option<Split<'a, char>> {
    let made = name.strip_prefix(table)?.strip_prefix("_shadow_")?;
    made.bytes().all(|b| b.is_ascii_digit() || b == b'_').then(|| made.split('_'))
}

fn is_orphan(table: &str, name: &str, now: u64) -> bool {
    let made = shadow_numbers(table, name).and_then(|mut numbers| numbers.next()?.parse::<u64>().ok());
    made.is_some_and(|seconds| seconds + ORPHAN_SECONDS < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_old_shadows_are_orphans() {
        let now = 2_000_000_000;
        assert!(is_orphan(TABLE, "mart_route_hourly_shadow_1000000000_1_2_3", now));
        assert!(!is_orphan(TABLE, "mart_route_hourly_shadow_1999999999_1_2_3", now));
        assert!(!is_orphan(TABLE, "mart_route_hourly_shadow_copy", now));
        assert!(!is_orphan(TABLE, "mart_route_hourly", now));
        assert!(!is_orphan(TABLE, "mart_route_hourly_shadow_1000000000_of_mine", now));
    }
}
