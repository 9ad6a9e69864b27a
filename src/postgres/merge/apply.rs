//! Writing a sheet of changes, by whole statements in one order that passes through no forbidden state.

use serde_json::Value;

use super::super::client::{Session, get};
use super::ddl::list;
use super::digests::OWN_MARK;
use super::parts::Fingerprint;
use super::sheet::{AFFECTED, Op, SHEET, Sheet, of_affected};
use super::target::{Target, quote};
use crate::error::{Error, Result};

/// Rows that a dry run shows.
const SAMPLE_ROWS: usize = 20;

/// Applies the sheet, and gives the rows it wrote if they are asked for.
///
/// Only one row of a key may be open at any time, so rows that close come before rows that open.
pub(super) async fn apply(
    session: &Session,
    target: &Target,
    has_null: bool,
    sheet: &Sheet,
    has_marks: bool,
) -> Result<Fingerprint> {
    let mut writer = Writer { session, target, has_marks, written: Fingerprint::default() };
    let table = target.place.table();
    // The columns that are joined and filtered by; statistics on the values would cost more than all the joins.
    session.run(&format!("ANALYZE {SHEET} (op, kid, id); SET CONSTRAINTS ALL DEFERRED")).await?;
    if sheet.count(Op::Say) + sheet.count(Op::Forget) > 0 {
        apply_log(session, target).await?;
    }
    if sheet.count(Op::Delete) > 0 {
        let sql = format!(
            "DELETE FROM {table} m USING {SHEET} s WHERE s.op = {} AND s.id = m.{}",
            Op::Delete as i16,
            quote(&target.surrogate)
        );
        expect(session.touch(&sql, &[]).await?, sheet.count(Op::Delete), target)?;
    }
    update(&mut writer, sheet).await?;
    if sheet.count(Op::Insert) > 0 {
        let (names, values): (Vec<_>, Vec<_>) = values(target).chain(bounds(target)).unzip();
        let sql = format!(
            "INSERT INTO {table} ({keys}, {}) SELECT {its_keys}, {} FROM {SHEET} s JOIN {AFFECTED} a USING (kid) \
             WHERE s.op = {} ORDER BY s.kid, s.at_from",
            names.join(", "),
            values.join(", "),
            Op::Insert as i16,
            keys = list(&target.keys, ""),
            its_keys = its_keys(target),
        );
        expect(writer.write(&sql, "ctid").await?, sheet.count(Op::Insert), target)?;
    }
    check_overlaps(session, target, has_null).await?;
    Ok(writer.written)
}

/// Writes to the table, and sums up the rows it writes.
struct Writer<'a> {
    session: &'a Session,
    target: &'a Target,
    has_marks: bool,
    written: Fingerprint,
}

impl Writer<'_> {
    /// Runs an INSERT or UPDATE; the number of rows.
    async fn write(&mut self, sql: &str, place: &str) -> Result<u64> {
        if !self.has_marks {
            return self.session.touch(sql, &[]).await;
        }
        let sql = format!(
            "WITH written AS ({sql} RETURNING {place} AS place) \
             SELECT count(*), coalesce(bit_xor({OWN_MARK}), 0) FROM written"
        );
        let row = self.session.row(&sql, &[]).await?;
        let count: i64 = get(&row, 0)?;
        self.written.rows += count;
        self.written.marks ^= get::<i64>(&row, 1)?;
        Ok(count.cast_unsigned())
    }
}

/// Updates versions: those that close, then those that are open.
async fn update(writer: &mut Writer<'_>, sheet: &Sheet) -> Result<()> {
    let target = writer.target;
    let bounds: Vec<_> = bounds(target).collect();
    let all: Vec<_> = values(target).chain(bounds.iter().cloned()).collect();
    let steps = [
        (Op::Close, "TRUE", &bounds),
        (Op::Update, "s.at_to IS NOT NULL", &all),
        (Op::Open, "TRUE", &bounds),
        (Op::Update, "s.at_to IS NULL", &all),
    ];
    let mut updated = 0;
    for (op, condition, columns) in steps.into_iter().filter(|(op, ..)| sheet.count(*op) > 0) {
        let set: Vec<String> = columns.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let sql = format!(
            "UPDATE {} m SET {} FROM {SHEET} s WHERE s.op = {} AND {condition} AND s.id = m.{}",
            target.place.table(),
            set.join(", "),
            op as i16,
            quote(&target.surrogate)
        );
        updated += writer.write(&sql, "m.ctid").await?;
    }
    expect(updated, sheet.count(Op::Close) + sheet.count(Op::Open) + sheet.count(Op::Update), target)
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

/// (column, expression over the sheet's row `s`) for what a version shows.
fn values(target: &Target) -> impl Iterator<Item = (String, String)> {
    target.attributes.iter().enumerate().map(|(i, c)| (quote(&c.name), format!("s.a{i}")))
}

/// (column, expression over the sheet's row `s`) for when it holds.
fn bounds(target: &Target) -> impl Iterator<Item = (String, String)> {
    let names = &target.rules.names;
    let flag = names.current.as_ref().filter(|_| target.sets_current);
    let bounds = [(quote(&names.valid_from), "s.at_from".to_owned()), (quote(&names.valid_to), "s.at_to".to_owned())];
    bounds.into_iter().chain(flag.map(|current| (quote(current), "s.at_to IS NULL".to_owned())))
}

/// No two versions of a key may hold at one time; looked at in the same transaction, before the commit.
///
/// It asks for the least key rather than for any one: with LIMIT 1 the server hopes for an early hit, which never comes,
/// and joins row by row, with cost that grows by the square.
async fn check_overlaps(session: &Session, target: &Target, has_null: bool) -> Result<()> {
    let names = &target.rules.names;
    let select = format!("a.kid, m.{} AS starts, m.{} AS ends", quote(&names.valid_from), quote(&names.valid_to));
    let sql = format!(
        "SELECT min(concat_ws(', ', {keys})) FROM (SELECT kid, ends, lead(starts) OVER (PARTITION BY kid ORDER BY starts) AS following \
           FROM ({versions}) v) v JOIN {AFFECTED} a USING (kid) \
         WHERE following IS NOT NULL AND (ends IS NULL OR ends > following)",
        keys = (0..target.keys.len()).map(|i| format!("a.k{i}::text")).collect::<Vec<_>>().join(", "),
        versions = of_affected(target, has_null, &select, &target.place.table()),
    );
    match get::<Option<String>>(&session.row(&sql, &[]).await?, 0)? {
        None => Ok(()),
        Some(key) => Err(Error::internal(format!("versions of key {key} would overlap; nothing was published"))
            .with("table", target.place.table())),
    }
}

/// Some rows of the sheet as a reader would see them.
pub(super) async fn sample(session: &Session, target: &Target) -> Result<Vec<Value>> {
    let columns = |columns: &[super::wire::Column], prefix: &str| {
        columns.iter().enumerate().map(|(i, c)| format!(", {prefix}{i} AS {}", quote(&c.name))).collect::<String>()
    };
    let names = &target.rules.names;
    let sql = format!(
        "SELECT to_jsonb(x)::text FROM (SELECT CASE s.op WHEN {delete} THEN 'delete' WHEN {insert} THEN 'insert' ELSE 'update' END \
           AS change{keys}, s.id AS {surrogate}, s.at_from AS {from}, s.at_to AS {to}{attributes} \
         FROM {SHEET} s JOIN {AFFECTED} a USING (kid) WHERE s.op <= {insert} ORDER BY s.kid, s.at_from LIMIT {SAMPLE_ROWS}) x",
        delete = Op::Delete as i16,
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
