//! Service dates that workers fill in shadow tables, and that one who knows all of them swaps in.
//!
//! A worker that is lost, or runs twice, leaves a shadow table that nobody names: it goes with the build it belongs to.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::client::{Mart, unique};
use super::load::Verified;
use super::rows::Digest;
use super::schema::TABLE;
use super::shadow::{Shadow, drop_tables, shadow_numbers};
use crate::error::{Error, Result};

/// A service date as a worker leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filled {
    /// The date.
    pub service_date: NaiveDate,
    /// Its rows.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: u64,
    /// Where they lie; `None` when the mart held these very rows.
    pub shadow: Option<String>,
}

impl Filled {
    fn wanted(&self) -> (NaiveDate, Digest) {
        (self.service_date, Digest { rows: self.rows, sum: self.sum })
    }
}

/// What tells whether somebody wrote a service date since: every build stamps its rows with its own beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    rows: u64,
    snapshot_ts: String,
}

impl Mart {
    /// Writes those of some service dates that differ from what the mart holds into one shadow table of a build.
    pub async fn fill_service_dates(
        &self,
        build: u64,
        dates: &[(NaiveDate, RecordBatch)],
        snapshot_ts: DateTime<Utc>,
    ) -> Result<Vec<Filled>> {
        let changes = self.changes(dates, snapshot_ts).await?;
        let shadow = if changes.filled.is_empty() {
            None
        } else {
            let shadow = Shadow::named(self, TABLE, &format!("{build}_{}", unique())).await?;
            self.fill(&shadow.name, &changes.filled).await?;
            Some(shadow.keep())
        };
        let filled =
            dates.iter().zip(changes.replaced.iter().zip(changes.wanted)).map(|((date, _), (replaced, wanted))| {
                Filled {
                    service_date: *date,
                    rows: wanted.rows,
                    sum: wanted.sum,
                    shadow: shadow.clone().filter(|_| replaced.changed),
                }
            });
        Ok(filled.collect())
    }

    /// What the mart holds of each service date now.
    pub async fn stamps(&self) -> Result<BTreeMap<NaiveDate, Stamp>> {
        let sql = format!(
            "SELECT toString(service_date), count(), toString(max(snapshot_ts)) FROM {TABLE} GROUP BY service_date"
        );
        let unreadable =
            || Error::database("ClickHouse's answer about its service dates cannot be read").with("table", TABLE);
        let stamp = |row: Vec<String>| match row.as_slice() {
            [date, rows, snapshot_ts] => {
                Some((date.parse().ok()?, Stamp { rows: rows.parse().ok()?, snapshot_ts: snapshot_ts.clone() }))
            }
            _ => None,
        };
        self.rows(&sql).await?.into_iter().map(|row| stamp(row).ok_or_else(unreadable)).collect()
    }

    /// Swaps filled service dates in, each as a whole, then drops dates that are empty now. Before the first of them it looks
    /// whether every shadow table holds what it should, and the mart of all these dates what it held when the build began.
    ///
    /// # Errors
    /// `Database` for a shadow table with other rows and `Conflict` for a date that somebody else wrote meanwhile: the mart is
    /// as it was then. Where the server goes away on the way, each date is as it was or as it becomes.
    pub async fn swap_filled(
        &self,
        build: u64,
        filled: &[Filled],
        emptied: &[NaiveDate],
        begun: &BTreeMap<NaiveDate, Stamp>,
    ) -> Result<()> {
        let verified = self.verified_shadows(build, filled).await?;
        self.refuse_changed(filled, emptied, begun).await?;
        for shadow in &verified {
            self.swap(shadow).await?;
        }
        self.drop_dates(emptied).await
    }

    async fn verified_shadows<'a>(&self, build: u64, filled: &'a [Filled]) -> Result<Vec<Verified<'a>>> {
        let mut shadows: Vec<&str> = filled.iter().filter_map(|one| one.shadow.as_deref()).collect();
        shadows.sort_unstable();
        shadows.dedup();
        let mut verified = Vec::with_capacity(shadows.len());
        for shadow in shadows {
            if !is_of(build, shadow) {
                return Err(Error::internal(format!("{shadow} is no shadow table of build {build}")));
            }
            let dates = filled.iter().filter(|one| one.shadow.as_deref() == Some(shadow));
            let wanted: Vec<_> = dates.map(Filled::wanted).collect();
            verified.push(self.verified(shadow, &wanted).await?);
        }
        Ok(verified)
    }

    /// Refuses a build whose dates somebody else wrote since it began.
    async fn refuse_changed(
        &self,
        filled: &[Filled],
        emptied: &[NaiveDate],
        begun: &BTreeMap<NaiveDate, Stamp>,
    ) -> Result<()> {
        let now = self.stamps().await?;
        let mut dates = filled.iter().map(|one| one.service_date).chain(emptied.iter().copied());
        if let Some(date) = dates.find(|date| now.get(date) != begun.get(date)) {
            return Err(changed(date));
        }
        let same: Vec<_> = filled.iter().filter(|one| one.shadow.is_none()).map(Filled::wanted).collect();
        if same.is_empty() {
            return Ok(());
        }
        let held = self.digests(TABLE, same.iter().map(|(date, _)| *date)).await?;
        let differs = |(date, wanted): &&(NaiveDate, Digest)| held.get(date).copied().unwrap_or_default() != *wanted;
        same.iter().find(differs).map_or(Ok(()), |(date, _)| Err(changed(*date)))
    }

    /// Drops every shadow table of a build, also those of workers that were lost.
    pub async fn drop_shadows(&self, build: u64) -> Result<()> {
        drop_tables(self, |name| is_of(build, name)).await
    }
}

fn changed(date: NaiveDate) -> Error {
    Error::conflict(format!(
        "somebody else wrote {date} into {TABLE} while it was built; nothing of this build was swapped in; run again"
    ))
    .with("table", TABLE)
    .with("service_date", date)
}

fn is_of(build: u64, name: &str) -> bool {
    let number = shadow_numbers(TABLE, name).and_then(|mut numbers| numbers.nth(1));
    number.is_some_and(|number| number == build.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shadows_of_a_build_are_its_own() {
        assert!(is_of(77, "mart_route_hourly_shadow_1000000000_77_1_2_3"));
        assert!(!is_of(77, "mart_route_hourly_shadow_1000000000_78_1_2_3"));
        assert!(!is_of(77, "mart_route_hourly_shadow_77_1_2_3"));
        assert!(!is_of(77, "mart_route_hourly_shadow_1_77_1; DROP TABLE x"));
        assert!(!is_of(77, "mart_route_hourly"));
    }
}
