//! Writing a sheet of changes, by whole statements in one order that passes through no forbidden state.

use serde::{Deserialize, Serialize};

use super::super::client::{Session, get};
use super::super::copy_in::quoted;
use super::sheet::{AFFECTED, Op, SHEET, Sheet, of_affected};
use super::table::Table;
use crate::error::{Error, Result};

/// Rows that a dry run shows.
const SAMPLE_ROWS: usize = 20;

/// Which rows a table has, or were written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) rows: i64,
    /// The marks of all these rows.
    pub(crate) marks: i64,
}

/// Writes what the sheet asks for. With an expression for the mark of a row at `place` it sums up the rows that it wrote.
///
/// Foreign keys and (key, from) are deferred. Only one row of a key may be open at any time, so rows that close come before
/// rows that open.
///
/// # Errors
/// [`Error::Internal`] when other rows were there than were read.
pub(crate) async fn write(session: &Session, table: &Table, sheet: &Sheet, mark: Option<&str>) -> Result<Fingerprint> {
    let mut writer = Writer { session, table, sheet, mark, written: Fingerprint::default() };
    // The columns that are joined and filtered by; statistics on the values would cost more than all the joins.
    session.run(&format!("ANALYZE {SHEET} (op, kid, id); SET CONSTRAINTS ALL DEFERRED")).await?;
    writer.log().await?;
    writer.delete().await?;
    writer.update().await?;
    writer.insert().await?;
    Ok(writer.written)
}

struct Writer<'a> {
    session: &'a Session,
    table: &'a Table,
    sheet: &'a Sheet,
    mark: Option<&'a str>,
    written: Fingerprint,
}

impl Writer<'_> {
    /// Brings the log to what is kept of it.
    async fn log(&self) -> Result<()> {
        let Table { log, keys, .. } = self.table;
        let (name, meant) = (&log.name, log.is_meant(keys));
        let (end, its_end) = log.end();
        let (mut columns, mut values): (Vec<&str>, Vec<String>) = log.rest().into_iter().unzip();
        columns.push(end);
        values.push(its_end.clone());
        for item in self.table.logged() {
            columns.push(&item.name);
            values.push(item.write.clone());
        }
        let from = format!("{SHEET} s JOIN {AFFECTED} a USING (kid)");
        let steps = [
            (Op::Forget, format!("DELETE FROM {name} l USING {from} WHERE {meant}")),
            (Op::End, format!("UPDATE {name} l SET {end} = {its_end} FROM {from} WHERE {meant}")),
            (
                Op::Say,
                format!(
                    "INSERT INTO {name} ({}, {}) SELECT {}, {} FROM {from} WHERE true",
                    self.table.key_list(""),
                    columns.join(", "),
                    self.table.its_keys(),
                    values.join(", ")
                ),
            ),
        ];
        for (op, sql) in steps {
            self.expect(&[op], self.execute_op(op, &sql).await?)?;
        }
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let Table { name, surrogate, .. } = self.table;
        let sql = format!("DELETE FROM {name} m USING {SHEET} s WHERE s.id = m.{surrogate}");
        self.expect(&[Op::Delete], self.execute_op(Op::Delete, &sql).await?)
    }

    /// Updates versions: those that close, those that are open then, and those that become inferred.
    async fn update(&mut self) -> Result<()> {
        let bounds = set(&self.bounds());
        let all = set(&[self.values(), self.bounds()].concat());
        let inferred = self.blank();
        let steps = [
            (Op::Close, "true", &bounds),
            (Op::Update, "s.at_to IS NOT NULL", &all),
            (Op::Open, "true", &bounds),
            (Op::Update, "s.at_to IS NULL", &all),
            (Op::Infer, "true", &inferred),
        ];
        let (Table { name, surrogate, .. }, sheet) = (self.table, self.sheet);
        let mut updated = 0;
        for (op, condition, set) in steps.into_iter().filter(|(op, ..)| sheet.count(*op) > 0) {
            let sql = format!(
                "UPDATE {name} m SET {set} FROM {SHEET} s WHERE s.op = {} AND {condition} AND s.id = m.{surrogate}",
                op as i16
            );
            updated += self.write(&sql, "m.ctid").await?;
        }
        self.expect(&[Op::Close, Op::Open, Op::Update, Op::Infer], updated)
    }

    async fn insert(&mut self) -> Result<()> {
        if self.sheet.count(Op::Insert) == 0 {
            return Ok(());
        }
        let (names, values): (Vec<_>, Vec<_>) = [self.values(), self.bounds()].concat().into_iter().unzip();
        let sql = format!(
            "INSERT INTO {table} ({keys}, {}) SELECT {its_keys}, {} FROM {SHEET} s JOIN {AFFECTED} a USING (kid) \
             WHERE s.op = {} ORDER BY s.kid, s.at_from",
            names.join(", "),
            values.join(", "),
            Op::Insert as i16,
            table = self.table.name,
            keys = self.table.key_list(""),
            its_keys = self.table.its_keys(),
        );
        let inserted = self.write(&sql, "ctid").await?;
        self.expect(&[Op::Insert], inserted)
    }

    /// Runs a statement over the rows `s` of one kind, if there are any; it ends within its WHERE.
    async fn execute_op(&self, op: Op, sql: &str) -> Result<u64> {
        if self.sheet.count(op) == 0 {
            return Ok(0);
        }
        self.session.execute(&format!("{sql} AND s.op = {}", op as i16), &[]).await
    }

    /// Runs an INSERT or UPDATE of the table; the number of rows.
    async fn write(&mut self, sql: &str, place: &str) -> Result<u64> {
        let Some(mark) = self.mark else { return self.session.execute(sql, &[]).await };
        let sql = format!(
            "WITH written AS ({sql} RETURNING {place} AS place) \
             SELECT count(*), coalesce(bit_xor({mark}), 0) FROM written"
        );
        let row = self.session.row(&sql, &[]).await?;
        let count: i64 = get(&row, 0)?;
        self.written.rows += count;
        self.written.marks ^= get::<i64>(&row, 1)?;
        Ok(count.cast_unsigned())
    }

    /// (column, expression over the sheet's row `s`) for what a version shows.
    fn values(&self) -> Vec<(String, String)> {
        self.table.shown().map(|item| (item.name.clone(), item.write.clone())).collect()
    }

    /// (column, expression over the sheet's row `s`) for when it holds, and what every written row gets.
    fn bounds(&self) -> Vec<(String, String)> {
        let bounds = self.table.bounds.iter();
        let bounds =
            bounds.flat_map(|(from, to)| [(from.clone(), "s.at_from".to_owned()), (to.clone(), "s.at_to".to_owned())]);
        bounds.chain(self.table.stamps.iter().cloned()).collect()
    }

    /// What makes a version a member that only others know.
    fn blank(&self) -> String {
        let bounds = self.table.bounds.iter().flat_map(|(from, to)| [from, to]);
        let blank = self.table.shown().map(|item| &item.name).chain(bounds).map(|name| format!("{name} = NULL"));
        let flag = self.table.inferred.iter().map(|name| format!("{name} = true"));
        blank.chain(flag).collect::<Vec<_>>().join(", ")
    }

    /// A row that is not there although it was read: somebody else writes to the table.
    fn expect(&self, ops: &[Op], touched: u64) -> Result<()> {
        let planned: u64 = ops.iter().map(|op| self.sheet.count(*op)).sum();
        if touched == planned {
            return Ok(());
        }
        let message = format!("{touched} rows were written where {planned} were planned; nothing was published");
        Err(Error::internal(message).with("table", &self.table.name))
    }
}

fn set(columns: &[(String, String)]) -> String {
    columns.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// No two versions of a key may hold at one time; looked at in the same transaction, before the commit.
///
/// It asks for the least key rather than for any one: with LIMIT 1 the server hopes for an early hit, which never comes,
/// and joins row by row, with cost that grows by the square.
///
/// # Errors
/// [`Error::Internal`] when versions of a key would overlap.
pub(crate) async fn check_overlaps(session: &Session, table: &Table, has_null: bool) -> Result<()> {
    let Some((from, to)) = &table.bounds else { return Ok(()) };
    let sql = format!(
        "SELECT min(concat_ws(', ', {keys})) FROM (SELECT kid, ends, lead(starts) OVER (PARTITION BY kid ORDER BY starts) AS following \
           FROM ({versions}) v) v JOIN {AFFECTED} a USING (kid) \
         WHERE following IS NOT NULL AND (ends IS NULL OR ends > following)",
        keys = (0..table.keys.len()).map(|i| format!("a.k{i}::text")).collect::<Vec<_>>().join(", "),
        versions = of_affected(table, has_null, &format!("a.kid, m.{from} AS starts, m.{to} AS ends"), &table.name),
    );
    match get::<Option<String>>(&session.row(&sql, &[]).await?, 0)? {
        None => Ok(()),
        Some(key) => Err(Error::internal(format!("versions of key {key} would overlap; nothing was published"))
            .with("table", &table.name)),
    }
}

/// Some rows of the sheet as a reader would see them.
pub(crate) async fn sample(session: &Session, table: &Table) -> Result<Vec<serde_json::Value>> {
    let keys = table.keys.iter().enumerate().map(|(i, key)| format!(", a.k{i} AS {}", quoted(&key.name)));
    let bounds = table.bounds.iter().map(|(from, to)| format!(", s.at_from AS {from}, s.at_to AS {to}"));
    let values = table.shown().map(|item| format!(", {} AS {}", item.write, item.name));
    let sql = format!(
        "SELECT to_jsonb(x)::text FROM (SELECT CASE s.op WHEN {delete} THEN 'delete' WHEN {insert} THEN 'insert' ELSE 'update' END \
           AS change{keys}, s.id AS {surrogate}{bounds}{values} \
         FROM {SHEET} s JOIN {AFFECTED} a USING (kid) WHERE s.op <= {insert} ORDER BY s.kid, s.at_from LIMIT {SAMPLE_ROWS}) x",
        delete = Op::Delete as i16,
        insert = Op::Insert as i16,
        keys = keys.collect::<String>(),
        bounds = bounds.collect::<String>(),
        values = values.collect::<String>(),
        surrogate = table.surrogate,
    );
    let rows = session.rows(&sql, &[]).await?;
    let texts = rows.iter().map(|row| get::<String>(row, 0));
    texts
        .map(|text| serde_json::from_str(&text?).map_err(|e| Error::internal("a sample row cannot be read").because(e)))
        .collect()
}
