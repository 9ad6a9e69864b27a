//! The table that is copied into: what the catalog says of it, or what it will be.

use arrow::datatypes::{DataType, Field};

use super::super::client::{Session, get, server_error};
use super::super::copy::PgType;
use super::super::copy_in::quoted;
use super::advice::advice;
use crate::error::{Error, Result};
use crate::load::Origin;

/// One column of the table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type as SQL writes it.
    pub(super) sql: String,
    /// The type, or what a domain stands for, if COPY BINARY is known for it here.
    pub(super) pg: Option<PgType>,
    /// Whether a row must bring a value.
    pub(super) is_required: bool,
    pub(super) is_generated: bool,
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    /// Whether this copy makes it.
    pub(super) is_new: bool,
    is_plain: bool,
    /// A unique index, an exclusion constraint or a trigger.
    waits_on: Option<String>,
}

/// Columns of a table, domains followed to what they stand for.
const COLUMNS: &str = "WITH RECURSIVE base AS ( \
       SELECT oid, oid AS at, typbasetype, typtype, NULL::int AS typmod, typnotnull, typdefault FROM pg_type \
     UNION ALL \
       SELECT b.oid, t.oid, t.typbasetype, t.typtype, d.typtypmod, b.typnotnull OR t.typnotnull, \
              coalesce(b.typdefault, t.typdefault) \
       FROM base b JOIN pg_type d ON d.oid = b.at JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd') \
     SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), b.at, \
            CASE WHEN b.typmod IS NULL THEN a.atttypmod ELSE b.typmod END, \
            (a.attnotnull OR b.typnotnull) AND NOT a.atthasdef AND a.attidentity = '' AND b.typdefault IS NULL, \
            a.attgenerated <> '', r.proname::text, t.typelem, e.at, er.proname::text \
     FROM pg_attribute a JOIN base b ON b.oid = a.atttypid AND b.typtype <> 'd' \
     JOIN pg_type t ON t.oid = b.at LEFT JOIN pg_proc r ON r.oid = t.typreceive \
     LEFT JOIN base e ON e.oid = t.typelem AND e.typtype <> 'd' AND r.proname = 'array_recv' \
     LEFT JOIN pg_type et ON et.oid = e.at LEFT JOIN pg_proc er ON er.oid = et.typreceive \
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Bytes of a name; PostgreSQL cuts longer ones without an error.
const NAME_BYTES: usize = 63;

/// The type of a row of [`COLUMNS`]: one that every database has, one of this database that goes as text, or an array.
fn type_of(row: &tokio_postgres::Row) -> Result<Option<PgType>> {
    let (oid, receive) = (get::<u32>(row, 2)?, get::<Option<String>>(row, 6)?);
    if let Some(known) = PgType::received(oid, receive.as_deref()) {
        return Ok(Some(known));
    }
    let Some(element) = get::<Option<u32>>(row, 8)? else { return Ok(None) };
    let (oid, receive) = (get::<u32>(row, 7)?, get::<Option<String>>(row, 9)?);
    let element = PgType::received(element, receive.as_deref());
    Ok(element.and_then(|element| PgType::array_of(element, oid)))
}

/// What makes two connections wait for each other: rows of one key, or code of the table's own.
const WAITS: &str = "SELECT coalesce( \
       (SELECT 'the unique index ' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
        WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion) ORDER BY c.relname LIMIT 1), \
       (SELECT 'the trigger ' || t.tgname FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal \
        ORDER BY t.tgname LIMIT 1))";

impl Table {
    /// The table of a name; `None` when it is not there.
    pub(super) async fn read(session: &Session, name: &str) -> Result<Option<Self>> {
        let sql = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text FROM pg_class c \
                   JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)::oid";
        // Some servers take a malformed name for one that is not there.
        session.query_one("SELECT parse_ident($1)", &[&name]).await.map_err(|e| no_name(name, e))?;
        let found = session.query_opt(sql, &[&name]).await.map_err(|e| no_name(name, e))?;
        let Some(row) = found else { return Ok(None) };
        let (oid, schema, table, kind) =
            (get::<u32>(&row, 0)?, get::<String>(&row, 1)?, get::<String>(&row, 2)?, get::<String>(&row, 3)?);
        if !matches!(kind.as_str(), "r" | "p") {
            return Err(Error::config(format!("{name} is no table, rows cannot be copied into it")).with("table", name));
        }
        let mut columns = Vec::new();
        for row in session.rows(COLUMNS, &[&oid]).await? {
            let base = type_of(&row)?;
            columns.push(Column {
                name: get(&row, 0)?,
                sql: get(&row, 1)?,
                pg: base.map(|pg| get(&row, 3).map(|typmod| pg.with_typmod(typmod))).transpose()?,
                is_required: get(&row, 4)?,
                is_generated: get(&row, 5)?,
            });
        }
        let waits_on = get(&session.row(WAITS, &[&oid]).await?, 0)?;
        Ok(Some(Self { schema, table, columns, is_new: false, is_plain: kind == "r", waits_on }))
    }

    /// The table that a file's schema asks for.
    pub(super) async fn made_after(session: &Session, name: &str, origin: &Origin) -> Result<Self> {
        let row = session
            .query_one("SELECT parse_ident($1), current_schema()::text", &[&name])
            .await
            .map_err(|e| no_name(name, e))?;
        let mut parts: Vec<String> = get(&row, 0)?;
        let (Some(table), schema, true) = (parts.pop(), parts.pop(), parts.is_empty()) else {
            return Err(Error::config(format!("{name} is no name of a table, expected table or schema.table")));
        };
        let schema = match schema {
            Some(schema) => schema,
            None => get::<Option<String>>(&row, 1)?
                .ok_or_else(|| Error::config(format!("the search path names no schema; write schema.{table}")))?,
        };
        if table.len() > NAME_BYTES {
            let message = format!("the table's name has {} bytes, of which PostgreSQL keeps {NAME_BYTES}", table.len());
            return Err(Error::config(message).with("table", name));
        }
        let (mut columns, mut unfit) = (Vec::new(), Vec::new());
        for field in origin.schema.fields() {
            let pg = made_for(field);
            if field.name().len() > NAME_BYTES {
                unfit.push(format!(
                    "column {:?} has a name of {} bytes, of which PostgreSQL keeps {NAME_BYTES}: rename it",
                    field.name(),
                    field.name().len()
                ));
            }
            if pg.is_none() {
                unfit.push(format!(
                    "column {:?} is {}: {}",
                    field.name(),
                    field.data_type(),
                    advice(field.data_type(), None)
                ));
            }
            let sql = pg.map(|pg| pg.to_string()).unwrap_or_default();
            columns.push(Column { name: field.name().clone(), sql, pg, is_required: false, is_generated: false });
        }
        if !unfit.is_empty() {
            let message = format!("no table can be made for {}: {}", origin.name, unfit.join("; "));
            return Err(Error::schema(message).with("file", &origin.name).with("table", name));
        }
        Ok(Self { schema, table, columns, is_new: true, is_plain: true, waits_on: None })
    }

    /// The qualified, quoted name.
    pub(super) fn name(&self) -> String {
        self.sibling(&self.table)
    }

    /// The qualified, quoted name of another table of the same schema.
    pub(super) fn sibling(&self, table: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(table))
    }

    /// The statement that makes the table under a name.
    pub(super) fn ddl(&self, table: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{} {}", quoted(&c.name), c.sql)).collect();
        format!("CREATE TABLE {} ({})", self.sibling(table), columns.join(", "))
    }

    /// The name under which the table fills before it is there.
    pub(super) fn side(&self, run_id: &str) -> String {
        let tag: String = run_id.chars().take(8).collect();
        format!("{}{tag}", self.side_prefix())
    }

    fn side_prefix(&self) -> String {
        // A name has room for 63 bytes.
        let mut kept = self.table.len().min(45);
        while !self.table.is_char_boundary(kept) {
            kept -= 1;
        }
        format!("{}_loading_", &self.table[..kept])
    }

    /// Keeps other copies from making the same table, until the session ends.
    pub(super) async fn hold(&self, session: &Session) -> Result<()> {
        let name = format!("metropulse copy {}", self.name());
        let row = session.row("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", &[&name]).await?;
        if get(&row, 0)? {
            return Ok(());
        }
        Err(Error::conflict(format!("another copy is making {}", self.name())).with("table", self.name()))
    }

    /// Drops what a killed copy of this table left behind; the caller holds the lock.
    pub(super) async fn drop_orphans(&self, session: &Session) -> Result<()> {
        let prefix = self.side_prefix();
        let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
        let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relkind = 'r' AND left(c.relname::text, $3) = $2 \
                   AND substr(c.relname::text, $3 + 1) ~ '^[0-9a-f]{8}$'";
        for row in session.rows(sql, &[&self.schema, &prefix, &length]).await? {
            session.run(&format!("DROP TABLE {}", self.sibling(&get::<String>(&row, 0)?))).await?;
        }
        Ok(())
    }

    /// Partitioned tables refuse FREEZE.
    pub(super) fn can_freeze(&self) -> bool {
        self.is_plain
    }

    /// Why several connections cannot load this table side by side.
    pub(super) fn one_connection_because(&self, truncate: bool) -> Option<String> {
        if truncate && !self.is_new {
            return Some("the table is emptied in the same transaction".into());
        }
        self.waits_on.clone()
    }
}

/// The type of a column made for a field.
fn made_for(field: &Field) -> Option<PgType> {
    match (field.extension_type_name(), field.data_type()) {
        (Some("arrow.uuid"), DataType::FixedSizeBinary(16)) => Some(PgType::Uuid),
        (_, arrow) => PgType::of_arrow(arrow),
    }
}

/// The error of looking a table up: a name that is none is a mistake of the caller.
pub(crate) fn no_name(name: &str, error: tokio_postgres::Error) -> Error {
    let malformed = error.code().is_some_and(|code| matches!(code.code(), "42601" | "42602" | "22023" | "0A000"));
    if malformed {
        return Error::config(format!("{name} is no name of a table, expected table or schema.table")).because(error);
    }
    server_error(error, "the table cannot be looked up")
}
