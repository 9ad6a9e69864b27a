//! Tables that hold a load until it is swapped in.

use std::str::Split;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::{Mart, unique};
use crate::error::Result;

/// After this time a shadow table belongs to no living run.
const ORPHAN_SECONDS: u64 = 24 * 3600;

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
        assert!(is_orphan("mart_route_hourly", "mart_route_hourly_shadow_1000000000_1_2_3", now));
        assert!(!is_orphan("mart_route_hourly", "mart_route_hourly_shadow_1999999999_1_2_3", now));
        assert!(!is_orphan("mart_route_hourly", "mart_route_hourly_shadow_copy", now));
        assert!(!is_orphan("mart_route_hourly", "mart_route_hourly", now));
        assert!(!is_orphan("mart_route_hourly", "mart_route_hourly_shadow_1000000000_of_mine", now));
    }
}
