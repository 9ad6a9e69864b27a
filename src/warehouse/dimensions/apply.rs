//! Writing a sheet of changes: log, versions, and the temporary tables that facts follow.

use serde::Serialize;

use super::Shape;
use super::sheet::{Counts, Op, TABLE};
use crate::error::{Error, Result};
use crate::postgres::{Session, get};

/// Rows written to a dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// New versions.
    pub inserted: u64,
    /// Versions whose interval or values changed.
    pub updated: u64,
    /// Versions that went.
    pub deleted: u64,
}

impl Written {
    fn total(self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// From so many changed rows on, the server learns the new size at once: without, it would plan what follows in the
/// same transaction (and the facts that load a moment later) for an empty table, with cost that grows by the square.
const ANALYZE_ROWS: u64 = 1_000;

/// Applies the sheet. Foreign keys and (key, from) are deferred; the order keeps at most one open row a key.
///
/// # Errors
/// [`Error::Internal`] when other rows were there than were read, or versions of a key would overlap.
pub(super) async fn apply(session: &Session, shape: &Shape, planned: &Counts, load_id: &str) -> Result<Written> {
    apply_log(session, shape).await?;
    let dimension = shape.dimension;
    let (table, sk, key) = (dimension.table, dimension.surrogate, dimension.dataset.key());
    session
        .run(&format!(
            "CREATE TEMP TABLE retired ON COMMIT DROP AS SELECT key, sk FROM {TABLE} WHERE op = 'delete'; \
             CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT key, \
               coalesce({from}, '-infinity') AS from_ts, coalesce({to}, 'infinity') AS to_ts \
               FROM {TABLE} WHERE op = 'changed'; ANALYZE pg_temp.changed",
            from = instant("at_from"),
            to = instant("at_to"),
        ))
        .await?;
    let deleted =
        session.touch(&format!("DELETE FROM {table} m USING pg_temp.retired r WHERE r.sk = m.{sk}"), &[]).await?;
    expect(deleted, planned.of(Op::Delete), table)?;
    let mut updated = 0;
    // Rows that close come before rows that open: only one row of a key may be open at any time.
    for condition in ["at_to IS NOT NULL", "at_to IS NULL"] {
        for op in [Op::Move, Op::Update].into_iter().filter(|op| planned.of(*op) > 0) {
            updated += session.touch(&update_sql(shape, op, condition), &[&load_id]).await?;
        }
    }
    updated += session.touch(&infer_sql(shape), &[]).await?;
    expect(updated, planned.of(Op::Move) + planned.of(Op::Update) + planned.of(Op::Infer), table)?;
    let inserted = session.touch(&insert_sql(shape), &[&load_id]).await?;
    expect(inserted, planned.of(Op::Insert), table)?;
    let written = Written { inserted, updated, deleted };
    if written.total() >= ANALYZE_ROWS {
        session.run(&format!("ANALYZE {table}; ANALYZE {log}", log = shape.log())).await?;
    }
    if let Some((from, to)) = dimension.interval {
        check_overlaps(session, table, key, from, to).await?;
    }
    Ok(written)
}

/// A row that is not there although it was read: somebody else writes to the dimension.
fn expect(touched: u64, planned: u64, table: &str) -> Result<()> {
    if touched == planned {
        return Ok(());
    }
    let message = format!("{touched} rows were written where {planned} were planned; nothing was published");
    Err(Error::internal(message).with("table", table))
}

async fn apply_log(session: &Session, shape: &Shape) -> Result<()> {
    let log = shape.log();
    session
        .run(&format!(
            "DELETE FROM {log} l USING {TABLE} s WHERE s.op = 'log_gone' AND s.key = l.key AND s.from_dt = l.from_dt; \
             INSERT INTO {log} (key, from_dt, to_dt, is_mention, stated, said) \
             SELECT key, from_dt, to_dt, is_mention, stated::bit varying, CASE WHEN is_mention THEN '{{}}' ELSE said END \
             FROM {TABLE} WHERE op = 'log_put' \
             ON CONFLICT (key, from_dt) DO UPDATE SET to_dt = excluded.to_dt, is_mention = excluded.is_mention, \
               stated = excluded.stated, said = excluded.said"
        ))
        .await
}

fn instant(column: &str) -> String {
    format!("'epoch'::timestamptz + {column} * interval '1 microsecond'")
}

/// (column, expression over the sheet's row `s`) for the columns that an operation fills.
fn assignments(shape: &Shape, op: Op) -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = Vec::new();
    if op != Op::Move {
        let filled = shape.filled().into_iter();
        list.extend(
            filled.map(|(name, kind, index)| (name.to_owned(), kind.from_canonical(&format!("s.said[{}]", index + 1)))),
        );
    }
    if let Some((from, to)) = shape.dimension.interval {
        list.push((from.to_owned(), instant("s.at_from")));
        list.push((to.to_owned(), instant("s.at_to")));
    }
    list.push(("is_inferred".to_owned(), "false".to_owned()));
    list.push(("load_id".to_owned(), "$1".to_owned()));
    list
}

fn update_sql(shape: &Shape, op: Op, condition: &str) -> String {
    let set: Vec<String> =
        assignments(shape, op).into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!(
        "UPDATE {table} m SET {set} FROM {TABLE} s WHERE s.op = '{op}' AND s.{condition} AND s.sk = m.{sk}",
        op = op.code(),
        table = shape.dimension.table,
        set = set.join(", "),
        sk = shape.dimension.surrogate,
    )
}

fn infer_sql(shape: &Shape) -> String {
    let mut set: Vec<String> = shape.filled().into_iter().map(|(name, ..)| format!("{name} = NULL")).collect();
    if let Some((from, to)) = shape.dimension.interval {
        set.push(format!("{from} = NULL, {to} = NULL"));
    }
    format!(
        "UPDATE {table} m SET {set}, is_inferred = true FROM {TABLE} s WHERE s.op = 'infer' AND s.sk = m.{sk}",
        table = shape.dimension.table,
        set = set.join(", "),
        sk = shape.dimension.surrogate,
    )
}

fn insert_sql(shape: &Shape) -> String {
    let (names, values): (Vec<String>, Vec<String>) = assignments(shape, Op::Insert).into_iter().unzip();
    format!(
        "INSERT INTO {table} ({key}, {names}) SELECT s.key, {values} FROM {TABLE} s WHERE s.op = 'insert' \
         ORDER BY s.key, s.at_from",
        table = shape.dimension.table,
        key = shape.dimension.dataset.key(),
        names = names.join(", "),
        values = values.join(", "),
    )
}

/// No two versions of a key may hold at one time; looked at in the same transaction, before the commit.
///
/// It asks for the least key rather than for any one: with LIMIT 1 the server hopes for an early hit, which never comes,
/// and joins row by row, with cost that grows by the square.
async fn check_overlaps(session: &Session, table: &str, key: &str, from: &str, to: &str) -> Result<()> {
    let sql = format!(
        "SELECT min(key) FROM (SELECT m.{key} AS key, m.{to} AS ends, \
           lead(m.{from}) OVER (PARTITION BY m.{key} ORDER BY m.{from}) AS next_starts \
         FROM {table} m JOIN pg_temp.affected a ON a.key = m.{key}) v \
         WHERE next_starts IS NOT NULL AND (ends IS NULL OR ends > next_starts)"
    );
    match get::<Option<String>>(&session.row(&sql, &[]).await?, 0)? {
        None => Ok(()),
        Some(key) => Err(Error::internal(format!("versions of key {key:?} would overlap; nothing was published"))
            .with("table", table)),
    }
}
