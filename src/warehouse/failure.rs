//! The last failure of each step and day, for `status`: told by the one who failed, taken back by the next success.
//!
//! A process that was killed tells nothing; what it did not publish is missing, and that is what `status` then says.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::context::Warehouse;
use crate::error::{Error, Result};
use crate::postgres::{Session, get};

/// How long telling may take: the failure itself is what the caller waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last failure of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The step.
    pub step: String,
    /// The raw day; `None` for a step that has none.
    pub dt: Option<NaiveDate>,
    /// The kind of error.
    pub kind: String,
    /// Its message.
    pub message: String,
    /// When.
    pub failed_at: DateTime<Utc>,
}

/// Keeps a failure for `status`, as well as that can be done; a step that was stopped has not failed.
pub async fn record_failure(warehouse: &Warehouse, step: &str, dt: Option<NaiveDate>, error: &Error) {
    if matches!(error, Error::Cancelled(_)) {
        return;
    }
    // Nobody is left to tell of a failure to tell: the warehouse may be away, or not ours yet.
    let _ = tokio::time::timeout(PATIENCE, insert_failure(warehouse, step, dt, error)).await;
}

async fn insert_failure(warehouse: &Warehouse, step: &str, dt: Option<NaiveDate>, error: &Error) -> Result<()> {
    let session = warehouse.address.session().await?;
    let sql = "WITH gone AS (DELETE FROM dwh.step_failure WHERE step = $1 AND dt IS NOT DISTINCT FROM $2) \
               INSERT INTO dwh.step_failure (step, dt, kind, message, run_id) VALUES ($1, $2, $3, $4, $5)";
    session.execute(sql, &[&step, &dt, &error.kind(), &error.to_string(), &warehouse.run_id]).await?;
    Ok(())
}

/// Forgets the failure of a step that succeeded.
pub async fn forget_failure(warehouse: &Warehouse, step: &str, dt: Option<NaiveDate>) -> Result<()> {
    let session = warehouse.session().await?;
    let sql = "DELETE FROM dwh.step_failure WHERE step = $1 AND dt IS NOT DISTINCT FROM $2";
    session.execute(sql, &[&step, &dt]).await?;
    Ok(())
}

/// Every failure on record.
pub(super) async fn read(session: &Session) -> Result<Vec<Failure>> {
    let sql = "SELECT step, dt, kind, message, failed_at FROM dwh.step_failure ORDER BY dt NULLS FIRST, step";
    let rows = session.rows(sql, &[]).await?;
    let failure = |row: &tokio_postgres::Row| {
        Ok(Failure {
            step: get(row, 0)?,
            dt: get(row, 1)?,
            kind: get(row, 2)?,
            message: get(row, 3)?,
            failed_at: get(row, 4)?,
        })
    };
    rows.iter().map(failure).collect()
}
