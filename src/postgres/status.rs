//! What the warehouse holds: every table and day of the ledger, dirty service dates, built ones.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::client::get;
use super::warehouse::Warehouse;
use crate::error::Result;

/// One table and day of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct Loaded {
    /// The table.
    pub target: String,
    /// The raw day.
    pub dt: NaiveDate,
    /// Files.
    pub files: i64,
    /// Rows read from them.
    pub rows_read: i64,
    /// Rows in the table.
    pub rows_loaded: i64,
    /// Rejected rows.
    pub rows_rejected: i64,
    /// When.
    pub loaded_at: DateTime<Utc>,
}

/// One service date of the mart.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The date.
    pub service_date: NaiveDate,
    /// Rows in the mart.
    pub rows: i64,
    /// When.
    pub built_at: DateTime<Utc>,
}

/// What the warehouse holds.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The service zone that the first load fixed.
    pub time_zone: Option<String>,
    /// Tables and days, by table and day.
    pub loaded: Vec<Loaded>,
    /// Service dates that wait for the mart.
    pub dirty: Vec<NaiveDate>,
    /// Service dates of the mart.
    pub built: Vec<Built>,
}

impl Warehouse {
    /// Reads the ledger and the mart's bookkeeping.
    pub async fn status(&self) -> Result<Status> {
        let session = self.session().await?;
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let zone = session.rows("SELECT value FROM dwh.deployment WHERE name = 'time_zone'", &[]).await?;
        let loaded = session
            .rows(
                "SELECT target, dt, count(*), sum(rows_read)::bigint, sum(rows_loaded)::bigint, \
                 sum(rows_rejected)::bigint, max(loaded_at) FROM dwh.load_ledger GROUP BY 1, 2 ORDER BY 1, 2",
                &[],
            )
            .await?;
        let dirty = session.rows("SELECT DISTINCT service_date FROM dwh.mart_dirty ORDER BY 1", &[]).await?;
        let built = session.rows("SELECT service_date, rows, built_at FROM dwh.mart_build ORDER BY 1", &[]).await?;
        session.run("COMMIT").await?;
        let loaded = loaded.iter().map(|row| {
            Ok(Loaded {
                target: get(row, 0)?,
                dt: get(row, 1)?,
                files: get(row, 2)?,
                rows_read: get(row, 3)?,
                rows_loaded: get(row, 4)?,
                rows_rejected: get(row, 5)?,
                loaded_at: get(row, 6)?,
            })
        });
        let built = built
            .iter()
            .map(|row| Ok(Built { service_date: get(row, 0)?, rows: get(row, 1)?, built_at: get(row, 2)? }));
        Ok(Status {
            time_zone: zone.first().map(|row| get(row, 0)).transpose()?,
            loaded: loaded.collect::<Result<_>>()?,
            dirty: dirty.iter().map(|row| get(row, 0)).collect::<Result<_>>()?,
            built: built.collect::<Result<_>>()?,
        })
    }
}
