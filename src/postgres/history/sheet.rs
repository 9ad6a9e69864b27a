//! The sheet of changes: a temporary table with the columns of the table itself, and beside it the affected keys.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::client::Session;
use super::super::copy_in::{copy_bytes, hand_over, quoted};
use super::affected::Affected;
use super::table::Table;
use super::wire::{HEADER, columns_bytes, instant_bytes, put_field};
use crate::error::Result;
use crate::history::{Columns, Value, Values};

/// The sheet's table.
pub(crate) const SHEET: &str = "pg_temp.history_sheet";
/// The affected keys' table.
pub(crate) const AFFECTED: &str = "pg_temp.history_affected";

/// What a row of the sheet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A version that goes.
    Delete = 1,
    /// A version of which only the bounds change, and that is closed then; its values are not sent.
    Close = 2,
    /// A version of which only the bounds change, and that is open then.
    Open = 3,
    /// A version whose values change.
    Update = 4,
    /// A new version.
    Insert = 5,
    /// A row of the log that goes.
    Forget = 6,
    /// A row of the log of which only the end changes; its values are not sent.
    End = 7,
    /// A row of the log that comes.
    Say = 8,
    /// A version that becomes a member that only others know.
    Infer = 9,
    /// A stretch of time in which another version answers than before.
    Changed = 10,
}

/// How many kinds of rows there are, and one.
const OPS: usize = 11;

/// One row; what an operation does not need stays empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) op: Op,
    pub(crate) key: i32,
    pub(crate) id: Option<i64>,
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
    pub(crate) stated: Option<&'a Columns>,
    pub(crate) values: Option<&'a Values>,
}

impl Entry<'_> {
    /// A row that asks for something of a key, and says no more.
    pub(crate) fn new(op: Op, key: i32) -> Self {
        Self { op, key, id: None, from: None, to: None, stated: None, values: None }
    }
}

/// Rows of the sheet on their way to the server.
#[derive(Default)]
pub(crate) struct Sheet {
    out: BytesMut,
    columns: usize,
    counts: [u64; OPS],
}

impl Sheet {
    /// A sheet for values over so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// How many rows ask for this.
    pub(crate) fn count(&self, op: Op) -> u64 {
        self.counts[op as usize]
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Adds a row; `put` appends a value as a field.
    pub(crate) fn push(&mut self, entry: &Entry<'_>, put: &dyn Fn(&mut BytesMut, usize, &Value)) {
        if self.out.is_empty() {
            self.out.put_slice(HEADER);
        }
        self.counts[entry.op as usize] += 1;
        let out = &mut self.out;
        out.put_i16(6 + self.columns as i16);
        put_field(out, Some(&(entry.op as i16).to_be_bytes()));
        put_field(out, Some(&entry.key.to_be_bytes()));
        put_field(out, entry.id.map(i64::to_be_bytes).as_ref().map(|bytes| &bytes[..]));
        put_field(out, entry.from.map(instant_bytes).as_ref().map(|bytes| &bytes[..]));
        put_field(out, entry.to.map(instant_bytes).as_ref().map(|bytes| &bytes[..]));
        put_field(out, entry.stated.map(columns_bytes).as_deref());
        for index in 0..self.columns {
            match entry.values.and_then(|values| values.get(index)) {
                Some(value) => put(out, index, value),
                None => put_field(out, None),
            }
        }
    }

    /// Sends what was pushed and begins anew.
    pub(crate) async fn send(&mut self, session: &Session) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.out.put_i16(-1);
        send(session, SHEET, vec![self.out.split().freeze()]).await
    }
}

/// Makes sheet and affected keys for this transaction, and sends the keys.
pub(crate) async fn create<P: Copy>(session: &Session, table: &Table, affected: &mut Affected<P>) -> Result<()> {
    let list = |types: &mut dyn Iterator<Item = &String>, letter: char| {
        types.enumerate().map(|(i, sql_type)| format!(", {letter}{i} {sql_type}")).collect::<String>()
    };
    session
        .run(&format!(
            "CREATE TEMP TABLE history_sheet (op int2, kid int4, id int8, at_from timestamptz, at_to timestamptz, \
               stated bit varying{}) ON COMMIT DROP; \
             CREATE TEMP TABLE history_affected (kid int4{}) ON COMMIT DROP",
            list(&mut table.items.iter().map(|item| &item.sheet_type), 'a'),
            list(&mut table.keys.iter().map(|key| &key.sql_type), 'k'),
        ))
        .await?;
    send(session, AFFECTED, affected.take_chunks()).await?;
    session.run(&format!("ANALYZE {AFFECTED}")).await
}

/// Discards both, for another table of the same transaction.
pub(crate) async fn discard(session: &Session) -> Result<()> {
    session.run(&format!("DROP TABLE IF EXISTS {SHEET}, {AFFECTED}")).await
}

async fn send(session: &Session, table: &str, chunks: Vec<Bytes>) -> Result<()> {
    let statement = format!("COPY {table} FROM STDIN (FORMAT BINARY)");
    copy_bytes(session, &statement, table, move |sender| {
        chunks.into_iter().try_for_each(|chunk| hand_over(sender, chunk))
    })
    .await
}

/// A query over the affected keys `a` and the rows `m` of a table that are theirs. Records compare NULL as equal.
pub(crate) fn of_affected(owner: &Table, has_null: bool, select: &str, table: &str) -> String {
    let keys = owner.keys.iter().map(|key| quoted(&key.name)).enumerate();
    let pairs: Vec<String> = keys.clone().map(|(i, key)| format!("m.{key} = a.k{i}")).collect();
    let plain = format!("SELECT {select} FROM {AFFECTED} a JOIN {table} m ON {}", pairs.join(" AND "));
    if !has_null {
        return plain;
    }
    let each = |prefix: char, suffix: &str, glue: &str, name: bool| {
        let names = keys
            .clone()
            .map(|(i, key)| if name { format!("{prefix}.{key}{suffix}") } else { format!("{prefix}.k{i}{suffix}") });
        names.collect::<Vec<_>>().join(glue)
    };
    format!(
        "{plain} UNION ALL SELECT {select} FROM \
         (SELECT a.*, ROW({a_keys}) AS merge_its_key FROM {AFFECTED} a WHERE {a_null}) a JOIN \
         (SELECT m.*, m.ctid, m.xmin, ROW({m_keys}) AS merge_its_key FROM {table} m WHERE {m_null}) m ON m.merge_its_key = a.merge_its_key",
        a_keys = each('a', "", ", ", false),
        a_null = each('a', " IS NULL", " OR ", false),
        m_keys = each('m', "", ", ", true),
        m_null = each('m', " IS NULL", " OR ", true),
    )
}
