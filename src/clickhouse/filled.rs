//! Service dates that workers fill in shadow tables, and that one who knows all of them swaps in.
//!
//! A worker that is lost, or runs twice, leaves a shadow table that nobody names: it goes with the build it belongs to.

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::client::{Mart, unique};
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
    /// Where they lie; `None` when the mart holds these very rows.
    pub shadow: Option<String>,
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
        let filled = dates.iter().zip(changes.replaced).map(|((date, _), replaced)| {
            let sent = changes.filled.iter().find(|(sent, _)| sent == date).map(|(_, encoded)| encoded.digest);
            Filled {
                service_date: *date,
                rows: replaced.rows,
                sum: sent.unwrap_or_default().sum,
                shadow: shadow.clone().filter(|_| sent.is_some()),
            }
        });
        Ok(filled.collect())
    }

    /// Swaps filled service dates in, each as a whole, after a look at what their shadow tables hold; then drops dates
    /// that are empty now.
    pub async fn swap_filled(&self, build: u64, filled: &[Filled], emptied: &[NaiveDate]) -> Result<()> {
        let mut shadows: Vec<&str> = filled.iter().filter_map(|one| one.shadow.as_deref()).collect();
        shadows.sort_unstable();
        shadows.dedup();
        for shadow in shadows {
            if !is_of(build, shadow) {
                return Err(Error::internal(format!("{shadow} is no shadow table of build {build}")));
            }
            let dates = filled.iter().filter(|one| one.shadow.as_deref() == Some(shadow));
            let wanted: Vec<_> = dates.map(|one| (one.service_date, Digest { rows: one.rows, sum: one.sum })).collect();
            self.swap(shadow, &wanted).await?;
        }
        self.drop_dates(emptied).await
    }

    /// Drops every shadow table of a build, also those of workers that were lost.
    pub async fn drop_shadows(&self, build: u64) -> Result<()> {
        drop_tables(self, |name| is_of(build, name)).await
    }
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
