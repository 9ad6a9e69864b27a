//! Writing a sheet of changes, by whole statements in one order that passes through no forbidden state.

use serde_json::Value;

use super::super::client::{Session, get};
use super::ddl::list;
use super::sheet::{AFFECTED, Op, SHEET, of_affected};
use super::spec::Merged;
use super::target::{Target, quote};
use crate::error::{Error, Result};

/// Rows that a dry run shows.
const SAMPLE_ROWS: usize = 20;

/// Applies the sheet; only one row of a key may be open at any time, so rows that close come before rows that open.
pub(super) async fn apply(session: &Session, target: &Target, has_null: bool, report: &Merged) -> Result<()> {
    let table = target.place.table();
    let surrogate = quote(&target.surrogate);
    session.run(&format!("ANALYZE {SHEET}; SET CONSTRAINTS ALL DEFERRED")).await?;
    if report.said_rows > 0 {
        apply_log(session, target).await?;
    }
    let delete =
        format!("DELETE FROM {table} m USING {SHEET} s WHERE s.op = {} AND s.id = m.{surrogate}", Op::Delete as i16);
    expect(session.touch(&delete, &[]).await?, report.versions_deleted, target)?;
    let mut updated = 0;
    if report.versions_updated > 0 {
        let set: Vec<String> =
            assignments(target).into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
        for condition in ["at_to IS NOT NULL", "at_to IS NULL"] {
            let sql = format!(
                "UPDATE {table} m SET {} FROM {SHEET} s WHERE s.op = {} AND s.{condition} AND s.id = m.{surrogate}",
                set.join(", "),
                Op::Update as i16
            );
            updated += session.touch(&sql, &[]).await?;
        }
    }
    expect(updated, report.versions_updated, target)?;
    let (names, values): (Vec<_>, Vec<_>) = assignments(target).into_iter().unzip();
    let insert = format!(
        "INSERT INTO {table} ({keys}, {}) SELECT {its_keys}, {} FROM {SHEET} s JOIN {AFFECTED} a USING (kid) \
         WHERE s.op = {} ORDER BY s.kid, s.at_from",
        names.join(", "),
        values.join(", "),
        Op::Insert as i16,
        keys = list(&target.keys, ""),
        its_keys = its_keys(target),
    );
    expect(session.touch(&insert, &[]).await?, report.versions_inserted, target)?;
    check_overlaps(session, target, has_null).await
}

/// A row that is not there although it was read: somebody else writes to the table.
fn expect(touched: u64, planned: u64, target: &Target) -> Result<()> {
    if touched == planned {
        return Ok(());
    }
    let message = format!("{touched} rows were written where {planned} were planned; nothing was published");
    Err(Error::internal(message).with("table", target.place.table()))
}

async fn apply_log(session: &Session, target: &Target) -> Result<()> {
    let said = target.place.said();
    let attributes: String = (0..target.attributes.len()).map(|i| format!(", s.a{i}")).collect();
    session
        .run(&format!(
            "DELETE FROM {said} l USING {SHEET} s WHERE s.op = {forget} AND s.id = l.said_id; \
             INSERT INTO {said} ({keys}, said_from, said_to, stated, {names}) \
             SELECT {its_keys}, s.at_from, s.at_to, s.stated{attributes} FROM {SHEET} s JOIN {AFFECTED} a USING (kid) \
             WHERE s.op = {say}",
            forget = Op::Forget as i16,
            say = Op::Say as i16,
            keys = list(&target.keys, ""),
            names = list(&target.attributes, ""),
            its_keys = its_keys(target),
        ))
        .await
}

fn its_keys(target: &Target) -> String {
    (0..target.keys.len()).map(|i| format!("a.k{i}")).collect::<Vec<_>>().join(", ")
}

/// (column, expression over the sheet's row `s`) for every column that a version fills.
fn assignments(target: &Target) -> Vec<(String, String)> {
    let attributes = target.attributes.iter().enumerate();
    let mut list: Vec<_> = attributes.map(|(i, c)| (quote(&c.name), format!("s.a{i}"))).collect();
    let names = &target.rules.names;
    list.push((quote(&names.valid_from), "s.at_from".to_owned()));
    list.push((quote(&names.valid_to), "s.at_to".to_owned()));
    if let Some(current) = names.current.as_ref().filter(|_| target.sets_current) {
        list.push((quote(current), "s.at_to IS NULL".to_owned()));
    }
    list
}

/// No two versions of a key may hold at one time; looked at in the same transaction, before the commit.
async fn check_overlaps(session: &Session, target: &Target, has_null: bool) -> Result<()> {
    let names = &target.rules.names;
    let select = format!("a.kid, m.{} AS starts, m.{} AS ends", quote(&names.valid_from), quote(&names.valid_to));
    let sql = format!(
        "SELECT {keys} FROM (SELECT kid, ends, lead(starts) OVER (PARTITION BY kid ORDER BY starts) AS following \
           FROM ({versions}) v) v JOIN {AFFECTED} a USING (kid) \
         WHERE following IS NOT NULL AND (ends IS NULL OR ends > following) LIMIT 1",
        keys = (0..target.keys.len()).map(|i| format!("a.k{i}::text")).collect::<Vec<_>>().join(" || ', ' || "),
        versions = of_affected(target, has_null, &select, &target.place.table()),
    );
    match session.rows(&sql, &[]).await?.first() {
        None => Ok(()),
        Some(row) => {
            let key: Option<String> = get(row, 0)?;
            let message = format!("versions of key {} would overlap; nothing was published", key.unwrap_or_default());
            Err(Error::internal(message).with("table", target.place.table()))
        }
    }
}

/// Some rows of the sheet as a reader would see them.
pub(super) async fn sample(session: &Session, target: &Target) -> Result<Vec<Value>> {
    let columns = |columns: &[super::wire::Column], prefix: &str| {
        columns.iter().enumerate().map(|(i, c)| format!(", {prefix}{i} AS {}", quote(&c.name))).collect::<String>()
    };
    let names = &target.rules.names;
    let sql = format!(
        "SELECT to_jsonb(x)::text FROM (SELECT CASE s.op WHEN {delete} THEN 'delete' WHEN {update} THEN 'update' ELSE 'insert' END \
           AS change{keys}, s.id AS {surrogate}, s.at_from AS {from}, s.at_to AS {to}{attributes} \
         FROM {SHEET} s JOIN {AFFECTED} a USING (kid) WHERE s.op <= {insert} ORDER BY s.kid, s.at_from LIMIT {SAMPLE_ROWS}) x",
        delete = Op::Delete as i16,
        update = Op::Update as i16,
        insert = Op::Insert as i16,
        keys = columns(&target.keys, "a.k"),
        attributes = columns(&target.attributes, "s.a"),
        surrogate = quote(&target.surrogate),
        from = quote(&names.valid_from),
        to = quote(&names.valid_to),
    );
    let rows = session.rows(&sql, &[]).await?;
    let texts = rows.iter().map(|row| get::<String>(row, 0));
    texts
        .map(|text| serde_json::from_str(&text?).map_err(|e| Error::internal("a sample row cannot be read").because(e)))
        .collect()
}
