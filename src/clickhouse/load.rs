//! Replacing whole service dates.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use super::client::Mart;
use super::rows::{self, Digest};
use super::schema::{COLUMNS, TABLE, digests_sql};
use super::shadow::Shadow;
use crate::error::{Error, Result};

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
    /// What each of them will hold.
    pub wanted: Vec<Digest>,
}

/// Service dates of a shadow table that hold what they should.
pub(super) struct Verified<'a> {
    shadow: &'a str,
    dates: Vec<NaiveDate>,
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
        if !changes.filled.is_empty() {
            let shadow = Shadow::create(self, TABLE).await?;
            let swapped = self.fill_and_swap(&shadow.name, &changes.filled).await;
            shadow.remove().await;
            swapped?;
        }
        self.drop_dates(&changes.emptied).await?;
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
            changes.wanted.push(wanted);
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
        self.swap(&self.verified(shadow, &wanted).await?).await
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

    /// Looks at what a shadow table stored.
    ///
    /// # Errors
    /// `Database` when it is not what was sent.
    pub(super) async fn verified<'a>(&self, shadow: &'a str, dates: &[(NaiveDate, Digest)]) -> Result<Verified<'a>> {
        let stored = self.digests(shadow, dates.iter().map(|(date, _)| *date)).await?;
        for (date, wanted) in dates {
            let found = stored.get(date).copied().unwrap_or_default();
            if found != *wanted {
                return Err(Error::database(format!(
                    "ClickHouse stored {} rows with checksum {:016x} for {date}, expected {} rows with {:016x}; that date was left as it was",
                    found.rows, found.sum, wanted.rows, wanted.sum
                ))
                .with("table", TABLE)
                .with("service_date", date));
            }
        }
        Ok(Verified { shadow, dates: dates.iter().map(|(date, _)| *date).collect() })
    }

    /// Puts service dates of a shadow table in the place of the mart's.
    pub(super) async fn swap(&self, Verified { shadow, dates }: &Verified<'_>) -> Result<()> {
        let swaps: Vec<String> = dates.iter().map(|date| format!("REPLACE PARTITION '{date}' FROM {shadow}")).collect();
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
    pub(super) async fn digests(
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
