//! Numbers for quality checks, and the table that keeps their outcomes.

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use super::context::Warehouse;
use super::copied::copy_rows;
use crate::error::Result;
use crate::postgres::get;

/// One outcome of a check, as stored.
#[derive(Clone, Debug)]
pub struct QualityRow<'a> {
    /// The raw day it was about.
    pub dt: Option<NaiveDate>,
    /// The check.
    pub name: &'a str,
    /// The table.
    pub table: &'a str,
    /// `warn` or `error`.
    pub severity: &'a str,
    /// Whether it holds.
    pub passed: bool,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: &'a str,
}

/// Runs a query that gives one row of `bigint`.
pub async fn numbers(warehouse: &Warehouse, sql: &str) -> Result<Vec<i64>> {
    let session = warehouse.session().await?;
    let row = session.row(sql, &[]).await?;
    let numbers = (0..row.len()).map(|place| get(&row, place)).collect();
    session.release().await;
    numbers
}

/// Runs a query that gives one `bigint` over rows that are brought along, in a table that only its transaction sees.
pub async fn number_over(
    warehouse: &Warehouse,
    rows: Vec<RecordBatch>,
    table: &str,
    create: &str,
    sql: &str,
) -> Result<i64> {
    let session = warehouse.session().await?;
    session.run("BEGIN").await?;
    session.run(create).await?;
    for batch in rows.into_iter().filter(|batch| batch.num_rows() > 0) {
        copy_rows(&session, table, batch, &warehouse.cancel).await?;
    }
    session.run(&format!("ANALYZE {table}")).await?;
    let number = get(&session.row(sql, &[]).await?, 0)?;
    session.run("ROLLBACK").await?;
    session.release().await;
    Ok(number)
}

/// Every raw day of the ledger.
pub async fn loaded_days(warehouse: &Warehouse) -> Result<Vec<NaiveDate>> {
    let session = warehouse.session().await?;
    let rows = session.rows("SELECT DISTINCT dt FROM dwh.load_ledger ORDER BY dt", &[]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Built service dates that the facts of some raw days touch and nothing has dirtied since.
pub async fn built_dates(warehouse: &Warehouse, days: &[NaiveDate]) -> Result<Vec<NaiveDate>> {
    let session = warehouse.session().await?;
    let sql = "SELECT service_date FROM dwh.mart_build b \
               WHERE EXISTS (SELECT FROM dwh.fact_service_date f WHERE f.service_date = b.service_date AND f.dt = ANY ($1)) \
               AND NOT EXISTS (SELECT FROM dwh.mart_dirty d WHERE d.service_date = b.service_date) ORDER BY 1";
    session.rows(sql, &[&days]).await?.iter().map(|row| get(row, 0)).collect()
}

/// Stores outcomes under this run.
pub async fn record_quality(warehouse: &Warehouse, outcomes: &[QualityRow<'_>]) -> Result<()> {
    let session = warehouse.session().await?;
    session.run("BEGIN").await?;
    for outcome in outcomes {
        session
            .execute(
                "INSERT INTO dwh.quality_result (run_id, dt, name, table_name, severity, passed, found, expected) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                &[
                    &warehouse.run_id,
                    &outcome.dt,
                    &outcome.name,
                    &outcome.table,
                    &outcome.severity,
                    &outcome.passed,
                    &outcome.found,
                    &outcome.expected,
                ],
            )
            .await?;
    }
    session.commit().await
}
