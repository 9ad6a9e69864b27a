//! The ledger: what each file brought, in the same transaction as the rows themselves.

use chrono::NaiveDate;

use crate::error::{Error, Result};
use crate::load::{Line, Part};
use crate::postgres::{Session, get};

/// The name under which a raw day's rows are loaded, as the prototype wrote it.
pub fn load_id(dt: NaiveDate) -> String {
    format!("batch_{dt}")
}

/// The lines of one table and day, in file order, with the fingerprint they were loaded under.
pub(super) async fn read(session: &Session, target: &str, dt: NaiveDate) -> Result<(Vec<Line>, Option<String>)> {
    let rows = session
        .rows(
            "SELECT file, size_bytes, sha256, rows_read, rows_loaded, rows_duplicate, rows_superseded, rows_rejected, \
             settings_fingerprint, etag, origin FROM dwh.load_ledger WHERE target = $1 AND dt = $2 ORDER BY file_no",
            &[&target, &dt],
        )
        .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let count = |index| get::<i64>(row, index).map(i64::unsigned_abs);
        lines.push(Line {
            part: Part {
                file: get(row, 0)?,
                size_bytes: count(1)?,
                sha256: get(row, 2)?,
                etag: get(row, 9)?,
                origin: get(row, 10)?,
            },
            rows_read: count(3)?,
            rows_loaded: count(4)?,
            rows_duplicate: count(5)?,
            rows_superseded: count(6)?,
            rows_rejected: count(7)?,
        });
    }
    let fingerprint = rows.first().map(|row| get(row, 8)).transpose()?;
    Ok((lines, fingerprint))
}

/// The lines of an unchanged load: the same files under the same settings, and no row repaired since.
pub(super) async fn unchanged(
    session: &Session,
    target: &str,
    dt: NaiveDate,
    parts: &[Part],
    fingerprint: &str,
) -> Result<Option<Vec<Line>>> {
    let (lines, stored) = read(session, target, dt).await?;
    let same = lines.iter().map(|line| &line.part).eq(parts.iter());
    let same = same && (parts.is_empty() || stored.as_deref() == Some(fingerprint));
    if !same || is_repaired(session, target, dt).await? {
        return Ok(None);
    }
    keep_up(session, target, dt, &lines, parts).await?;
    Ok(Some(lines))
}

/// Notes what the object store says of the same bytes by now, so that the next run need not read them to know, and what the
/// day says that they were made of.
async fn keep_up(session: &Session, target: &str, dt: NaiveDate, lines: &[Line], parts: &[Part]) -> Result<()> {
    let is_news = |(line, part): &(&Line, &Part)| {
        (part.etag.is_some() && line.part.etag != part.etag) || line.part.origin != part.origin
    };
    for (_, part) in lines.iter().zip(parts).filter(is_news) {
        let sql = "UPDATE dwh.load_ledger SET etag = coalesce($4, etag), origin = $5 \
                   WHERE target = $1 AND dt = $2 AND file = $3";
        session.execute(sql, &[&target, &dt, &part.file, &part.etag, &part.origin]).await?;
    }
    Ok(())
}

/// The files of a day whose bytes are known by what the object store says of them.
pub(super) async fn known(session: &Session, dt: NaiveDate) -> Result<Vec<Part>> {
    let sql = "SELECT DISTINCT file, size_bytes, sha256, etag FROM dwh.load_ledger WHERE dt = $1 AND etag IS NOT NULL";
    let part = |row: &tokio_postgres::Row| {
        let size_bytes = get::<i64>(row, 1)?.unsigned_abs();
        Ok(Part { file: get(row, 0)?, size_bytes, sha256: get(row, 2)?, etag: get(row, 3)?, origin: None })
    };
    session.rows(sql, &[&dt]).await?.iter().map(part).collect()
}

/// Whether rows of these very files were repaired after this table was loaded from them.
async fn is_repaired(session: &Session, target: &str, dt: NaiveDate) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM staging.repaired r JOIN dwh.load_ledger l \
               ON l.dt = r.dt AND l.file = r.file AND l.sha256 = r.sha256 \
               WHERE l.target = $1 AND l.dt = $2 AND r.dt = $2 AND r.repaired_at > l.loaded_at)";
    get(&session.row(sql, &[&target, &dt]).await?, 0)
}

/// Replaces the lines of one table and day, within the publication.
pub(super) async fn write(
    session: &Session,
    target: &str,
    dt: NaiveDate,
    lines: &[Line],
    fingerprint: &str,
    run_id: &str,
) -> Result<()> {
    session.execute("DELETE FROM dwh.load_ledger WHERE target = $1 AND dt = $2", &[&target, &dt]).await?;
    for (file_no, line) in lines.iter().enumerate() {
        line.check(target)?;
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let file_no = i16::try_from(file_no).map_err(|_| {
            Error::data(format!("{} files of one dataset and day, expected at most {}", lines.len(), i16::MAX))
        })?;
        session
            .execute(
                "INSERT INTO dwh.load_ledger (target, dt, file, file_no, size_bytes, sha256, rows_read, rows_loaded, \
                 rows_duplicate, rows_superseded, rows_rejected, settings_fingerprint, run_id, etag, origin) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                &[
                    &target,
                    &dt,
                    &line.part.file,
                    &file_no,
                    &count(line.part.size_bytes),
                    &line.part.sha256,
                    &count(line.rows_read),
                    &count(line.rows_loaded),
                    &count(line.rows_duplicate),
                    &count(line.rows_superseded),
                    &count(line.rows_rejected),
                    &fingerprint,
                    &run_id,
                    &line.part.etag,
                    &line.part.origin,
                ],
            )
            .await?;
    }
    Ok(())
}
