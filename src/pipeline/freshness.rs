//! How fresh the warehouse's tables and the mart are, by the ledger and the mart's bookkeeping.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::model::{Dataset, Dimension, Fact};
use crate::warehouse::{self, Loaded};

/// How fresh a table is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Freshness {
    table: String,
    days: usize,
    newest_dt: Option<NaiveDate>,
    /// From the newest day to today in the service zone.
    lag_days: Option<i64>,
    rows_loaded: i64,
    loaded_at: Option<DateTime<Utc>>,
    age_seconds: Option<i64>,
}

/// How fresh the mart is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MartFreshness {
    service_dates: usize,
    newest_service_date: Option<NaiveDate>,
    rows: i64,
    built_at: Option<DateTime<Utc>>,
    age_seconds: Option<i64>,
    dirty: Vec<NaiveDate>,
    dirty_since: Option<DateTime<Utc>>,
}

pub(super) fn freshness(known: &warehouse::Status, today: NaiveDate) -> Vec<Freshness> {
    let staging = Dataset::ALL.iter().map(|dataset| dataset.staging_table());
    let dimensions = Dimension::ALL.iter().map(|dimension| dimension.table);
    let facts = Fact::ALL.iter().map(|fact| fact.table);
    let one = |table: &'static str| {
        let of: Vec<&Loaded> = known.loaded.iter().filter(|loaded| loaded.target == table).collect();
        let newest_dt = of.iter().map(|loaded| loaded.dt).max();
        let loaded_at = of.iter().map(|loaded| loaded.loaded_at).max();
        Freshness {
            table: table.to_owned(),
            days: of.len(),
            newest_dt,
            lag_days: newest_dt.map(|newest| (today - newest).num_days()),
            rows_loaded: of.iter().filter(|l| l.purged_at.is_none()).map(|loaded| loaded.rows_loaded).sum(),
            loaded_at,
            age_seconds: loaded_at.map(age_seconds),
        }
    };
    staging.chain(dimensions).chain(facts).map(one).collect()
}

pub(super) fn mart_freshness(known: &warehouse::Status) -> MartFreshness {
    let built_at = known.built.iter().map(|built| built.built_at).max();
    MartFreshness {
        service_dates: known.built.len(),
        newest_service_date: known.built.iter().map(|built| built.service_date).max(),
        rows: known.built.iter().map(|built| built.rows).sum(),
        built_at,
        age_seconds: built_at.map(age_seconds),
        dirty: known.dirty.keys().copied().collect(),
        dirty_since: known.dirty.values().min().copied(),
    }
}

fn age_seconds(at: DateTime<Utc>) -> i64 {
    (Utc::now() - at).num_seconds().max(0)
}
