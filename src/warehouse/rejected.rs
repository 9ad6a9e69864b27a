//! The quarantine: what `staging.rejected` holds, and the repairs that were made of it.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;

use super::context::Warehouse;
use super::copied::expect_rows;
use super::ledger;
use super::lock::Lock;
use crate::error::{Error, Result};
use crate::load::{Feed, Line, Repair};
use crate::model::Dataset;
use crate::postgres::copy::PgType;
use crate::postgres::{Session, Target, copy_here, get};

/// The table, and its name in the ledger for rows that feeds brought.
pub const REJECTED: &str = "staging.rejected";

/// The columns of `staging.rejected` that a load brings, in the order of its rows.
pub const REJECT_COLUMNS: [(&str, PgType); 7] = [
    ("dataset", PgType::Text),
    ("dt", PgType::Date),
    ("file", PgType::Text),
    ("row_number", PgType::Int8),
    ("reasons", PgType::TEXT_ARRAY),
    ("row_json", PgType::Jsonb),
    ("load_id", PgType::Varchar),
];

/// One rejected row.
#[derive(Clone, Debug, Serialize)]
pub struct Rejected {
    /// Its dataset.
    pub dataset: String,
    /// The raw day.
    pub dt: NaiveDate,
    /// The file.
    pub file: String,
    /// Its number in the file, from 1.
    pub row_number: i64,
    /// All reasons that hold.
    pub reasons: Vec<String>,
    /// The row as it came.
    pub row: Value,
    /// When.
    pub rejected_at: DateTime<Utc>,
}

/// Which rejected rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectedFilter<'a> {
    /// Of this dataset.
    pub dataset: Option<Dataset>,
    /// Of this raw day.
    pub dt: Option<NaiveDate>,
    /// For this reason, among others.
    pub reason: Option<&'a str>,
}

const CONDITION: &str = "($1::text IS NULL OR dataset = $1) AND ($2::date IS NULL OR dt = $2) \
                         AND ($3::text IS NULL OR $3 = ANY (reasons))";

/// Rejected rows, at most `limit` of them, and how many there are in all.
pub async fn rejected(warehouse: &Warehouse, filter: RejectedFilter<'_>, limit: u32) -> Result<(Vec<Rejected>, i64)> {
    let session = warehouse.session().await?;
    let dataset = filter.dataset.map(Dataset::name);
    let all = session
        .row(
            &format!("SELECT count(*) FROM staging.rejected WHERE {CONDITION}"),
            &[&dataset, &filter.dt, &filter.reason],
        )
        .await?;
    let sql = format!(
        "SELECT dataset, dt, file, row_number, reasons, row_json, rejected_at FROM staging.rejected \
         WHERE {CONDITION} ORDER BY dt, dataset, file, row_number LIMIT $4"
    );
    let limit = i64::from(limit);
    let rows = session.rows(&sql, &[&dataset, &filter.dt, &filter.reason, &limit]).await?;
    let rejected = |row: &tokio_postgres::Row| {
        Ok(Rejected {
            dataset: get(row, 0)?,
            dt: get(row, 1)?,
            file: get(row, 2)?,
            row_number: get(row, 3)?,
            reasons: get(row, 4)?,
            row: get(row, 5)?,
            rejected_at: get(row, 6)?,
        })
    };
    Ok((rows.iter().map(rejected).collect::<Result<_>>()?, get(&all, 0)?))
}

/// The datasets and days that have rejected rows.
pub async fn rejected_days(warehouse: &Warehouse, filter: RejectedFilter<'_>) -> Result<Vec<(NaiveDate, Dataset)>> {
    let session = warehouse.session().await?;
    let sql = format!("SELECT DISTINCT dt, dataset FROM staging.rejected WHERE {CONDITION} ORDER BY 1, 2");
    let dataset = filter.dataset.map(Dataset::name);
    let rows = session.rows(&sql, &[&dataset, &filter.dt, &filter.reason]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get::<String>(row, 1)?.parse()?))).collect()
}

/// Makes repairs of rows given as (file, row number, columns that change).
///
/// # Errors
/// `NotFound` when a row is not among the rejected ones, naming it.
pub async fn repairs_of(warehouse: &Warehouse, rows: &[(String, i64, Value)]) -> Result<Vec<Repair>> {
    let session = warehouse.session().await?;
    let sql = "SELECT r.dataset, r.dt, r.reasons, r.row_json::text, (r.row_json || $3::jsonb)::text, l.sha256 \
               FROM staging.rejected r JOIN dwh.load_ledger l ON l.dt = r.dt AND l.file = r.file \
               AND l.target LIKE 'staging.%' WHERE r.file = $1 AND r.row_number = $2";
    let mut repairs = Vec::with_capacity(rows.len());
    for (file, row_number, changes) in rows {
        let found = session.rows(sql, &[file, row_number, changes]).await?;
        let row = found.first().ok_or_else(|| {
            Error::not_found(format!("row {row_number} of {file} is not among the rejected rows"))
                .with("file", file)
                .with("row", row_number)
                .retryable(false)
        })?;
        repairs.push(Repair {
            dataset: get::<String>(row, 0)?.parse()?,
            dt: get(row, 1)?,
            file: file.clone(),
            row_number: *row_number,
            reasons: get(row, 2)?,
            row_json: get(row, 3)?,
            repaired: get(row, 4)?,
            sha256: get(row, 5)?,
        });
    }
    Ok(repairs)
}

/// The repairs of a raw day.
pub async fn repairs(warehouse: &Warehouse, dt: NaiveDate) -> Result<Vec<Repair>> {
    let session = warehouse.session().await?;
    let sql = "SELECT dataset, file, row_number, sha256, reasons, row_json::text, repaired::text \
               FROM staging.repaired WHERE dt = $1";
    let repair = |row: &tokio_postgres::Row| {
        Ok(Repair {
            dataset: get::<String>(row, 0)?.parse()?,
            dt,
            file: get(row, 1)?,
            row_number: get(row, 2)?,
            sha256: get(row, 3)?,
            reasons: get(row, 4)?,
            row_json: get(row, 5)?,
            repaired: get(row, 6)?,
        })
    };
    session.rows(sql, &[&dt]).await?.iter().map(repair).collect()
}

/// Replaces what the quarantine holds of a day's feeds. Their rows name files of the feed; those of a raw file its path,
/// which begins with the day.
pub async fn stage_feed_rejects(
    warehouse: &Warehouse,
    dt: NaiveDate,
    lines: &[Line],
    rows: Arc<dyn Feed>,
) -> Result<()> {
    let session = warehouse.locked(&[Lock::Staging(dt)]).await?;
    let replaced = replace_feed_rejects(warehouse, &session, dt, lines, rows).await;
    session.end(replaced.is_ok(), "ROLLBACK").await;
    replaced
}

async fn replace_feed_rejects(
    warehouse: &Warehouse,
    session: &Session,
    dt: NaiveDate,
    lines: &[Line],
    rows: Arc<dyn Feed>,
) -> Result<()> {
    session.run("BEGIN").await?;
    take_feed_rejects_out(session, dt).await?;
    let expected = lines.iter().map(|line| line.rows_rejected).sum();
    copy(warehouse, session, rows, expected).await?;
    ledger::write(session, REJECTED, dt, lines, &warehouse.fingerprint(&[]), &warehouse.run_id).await?;
    session.commit().await
}

/// Copies rejects into the quarantine, within a transaction.
pub(super) async fn copy(
    warehouse: &Warehouse,
    session: &Session,
    rejects: Arc<dyn Feed>,
    expected: u64,
) -> Result<()> {
    let columns = REJECT_COLUMNS.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
    let target = Target::new(REJECTED.to_owned(), columns);
    let copied = copy_here(session, &target, rejects, &warehouse.cancel, &warehouse.progress).await?;
    expect_rows(copied, expected, REJECTED)
}

/// Takes what the quarantine holds of a day's feeds out, within a transaction; how many rows that was.
pub(super) async fn take_feed_rejects_out(session: &Session, dt: NaiveDate) -> Result<u64> {
    session.execute("DELETE FROM staging.rejected WHERE dt = $1 AND file NOT LIKE 'dt=%'", &[&dt]).await
}

/// Keeps repairs, within the publication of staging that uses them.
pub(super) async fn keep(session: &Session, repairs: &[Repair], run_id: &str) -> Result<()> {
    let sql = "INSERT INTO staging.repaired (dataset, dt, file, row_number, sha256, reasons, row_json, repaired, run_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb, $9) \
               ON CONFLICT (dataset, dt, file, row_number) DO UPDATE SET sha256 = excluded.sha256, \
               repaired = excluded.repaired, run_id = excluded.run_id, repaired_at = excluded.repaired_at";
    for r in repairs {
        session
            .execute(
                sql,
                &[
                    &r.dataset.name(),
                    &r.dt,
                    &r.file,
                    &r.row_number,
                    &r.sha256,
                    &r.reasons,
                    &r.row_json,
                    &r.repaired,
                    &run_id,
                ],
            )
            .await?;
    }
    Ok(())
}
