//! Whole tables into Arrow, in parts, over several connections that share one snapshot.
//!
//! Every session holds the table's lock before a part is handed out: one that came to it later would wait behind whoever
//! truncates or swaps the table, and read what they left.
//!
//! A part is a range of a heap's blocks (`ctid`), of which PostgreSQL reads no other block. What has no such blocks to
//! itself, or must be read through its parent, is one part.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::task::JoinSet;

use super::client::{Session, get, is_lock_timeout};
use super::copy_in::quoted;
use super::copy_table::catalog::no_name;
use super::database::Database;
use super::query::{QUESTION, end, read_all};
use crate::error::{Error, Result};
use crate::queue::Queue;

/// As [`QUESTION`], with one snapshot throughout.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path TO DEFAULT";
/// Blocks of one part: 16 MiB at PostgreSQL's usual size.
const PART_BLOCKS: i64 = 2_048;

/// Reads columns of a table (all of them when none are named), as one snapshot shows them, in the order of its blocks.
///
/// # Errors
/// [`Error::NotFound`] for a table that is not there, [`Error::Schema`] for a column that is not there or has no Arrow
/// counterpart.
pub async fn read_table(
    database: &Database,
    table: &str,
    columns: Option<&[String]>,
    connections: usize,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let first = database.address.session().await?;
    first.run(QUESTION).await?;
    let found = Found::look_up(&first, table, columns).await?;
    first.run("COMMIT").await?;
    // A swap is no row that a snapshot could hide, so the lock comes before the snapshot.
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", found.name);
    first.run(BEGIN).await?;
    if found.may_lock {
        first.run(&lock).await?;
    }
    let parts = match found.may_lock && connections > 1 {
        true => found.parts(&first).await?,
        false => vec![found.sql(&found.name, "")],
    };
    let snapshot: String = get(&first.row("SELECT pg_export_snapshot()", &[]).await?, 0)?;
    let mut sessions = vec![first];
    for _ in 1..connections.min(parts.len()) {
        // The read goes on with fewer: where the server grants no more sessions, or where somebody waits to change the
        // table, who would be waited for and who waits for the first session.
        let Ok(session) = database.address.session().await else { break };
        session
            .run(&format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{snapshot}'; SET LOCAL lock_timeout = '200ms'"))
            .await?;
        match session.run(&lock).await {
            Ok(()) => sessions.push(session),
            Err(e) if is_lock_timeout(&e) => break,
            Err(e) => return Err(e),
        }
    }
    let (queue, parts) = (Arc::new(Queue::new(parts.len())), Arc::new(parts));
    let mut workers: JoinSet<Result<Vec<Read>>> = JoinSet::new();
    for session in sessions {
        workers.spawn(work(session, Arc::clone(&parts), Arc::clone(&queue)));
    }
    let mut done = Vec::with_capacity(parts.len());
    while let Some(read) = workers.join_next().await {
        done.extend(read.map_err(|e| Error::internal("reading a table ended early").because(e))??);
    }
    done.sort_by_key(|read| read.part);
    let schema = done.first().map(|read| Arc::clone(&read.schema));
    let schema = schema.ok_or_else(|| Error::internal("a table was read in no part"))?;
    Ok((schema, done.into_iter().flat_map(|read| read.batches).collect()))
}

/// One part of a table.
struct Read {
    part: usize,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// Reads parts until none is left.
async fn work(session: Session, parts: Arc<Vec<String>>, queue: Arc<Queue>) -> Result<Vec<Read>> {
    let mut done = Vec::new();
    while let Some(part) = queue.take() {
        let (schema, batches) = read_all(&session, &parts[part]).await?;
        done.push(Read { part, schema, batches });
    }
    end(session).await?;
    Ok(done)
}

/// A table, or whatever else a query may name.
struct Found {
    name: String,
    /// Whether it is a table, open to this user as a whole.
    may_lock: bool,
    columns: String,
}

impl Found {
    async fn look_up(session: &Session, table: &str, columns: Option<&[String]>) -> Result<Self> {
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), \
                     c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, 'SELECT'), \
                     array(SELECT attname::text FROM pg_attribute a \
                           WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)";
        let rows = session.query(sql, &[&table]).await.map_err(|e| no_name(table, e))?;
        let missing = || Error::not_found(format!("there is no table {table} in the warehouse")).with("table", table);
        let row = rows.first().ok_or_else(missing)?;
        let (name, may_lock, all) = (get(row, 0)?, get(row, 1)?, get::<Vec<String>>(row, 2)?);
        let wanted = columns.unwrap_or(&all);
        if let Some(unknown) = wanted.iter().find(|column| !all.contains(column)) {
            let message = format!("table {table} has no column {unknown}; it has {}", all.join(", "));
            return Err(Error::schema(message).with("table", table).with("column", unknown));
        }
        let columns = wanted.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        Ok(Self { name, may_lock, columns })
    }

    fn sql(&self, from: &str, condition: &str) -> String {
        format!("SELECT {} FROM {from}{condition}", self.columns)
    }

    /// The queries whose rows together are the table's.
    async fn parts(&self, session: &Session) -> Result<Vec<String>> {
        // Rows behind a policy, of a partition that only its parent opens to this user, or of heirs, come through the table
        // itself.
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), \
                     pg_relation_size(c.oid) / current_setting('block_size')::int8, \
                     coalesce(am.amname = 'heap', false) AND NOT (c.relkind = 'r' AND c.relhassubclass) \
                       AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active($1::text::regclass) \
                   FROM (SELECT relid FROM pg_partition_tree($1::text::regclass) WHERE isleaf \
                         UNION SELECT $1::text::regclass) t \
                     JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
                     LEFT JOIN pg_am am ON am.oid = c.relam \
                   WHERE c.relkind <> 'p' ORDER BY 1";
        let rows = session.rows(sql, &[&self.name]).await?;
        let mut parts = Vec::new();
        for row in &rows {
            let (leaf, blocks): (String, i64) = (get(row, 0)?, get(row, 1)?);
            if !get::<bool>(row, 2)? {
                return Ok(vec![self.sql(&self.name, "")]);
            }
            for from in (0..blocks.max(1)).step_by(PART_BLOCKS as usize) {
                let to = from + PART_BLOCKS;
                // The last part has no end: nothing that the snapshot shows may lie beyond a size that was looked at.
                let end = if to < blocks { format!(" AND ctid < '({to},0)'") } else { String::new() };
                parts.push(self.sql(&leaf, &format!(" WHERE ctid >= '({from},0)'{end}")));
            }
        }
        if parts.is_empty() {
            parts.push(self.sql(&self.name, ""));
        }
        Ok(parts)
    }
}
