//! Arrow rows into any table of PostgreSQL by COPY BINARY: nothing of ours need be there.
//!
//! Every column of every file is held against the table's catalog before a byte is sent, and all that does not fit is
//! named at once. What readers see:
//!
//! - One connection: one transaction. A table that is made or emptied for the load gets its rows frozen.
//! - Several connections into a table made for the load: it fills under another name and is renamed at the end.
//! - Several connections into a table that was there: each has a transaction of its own and waits, its rows sent and its
//!   constraints checked, until all are done; then they commit one after the other. A failure before leaves nothing
//!   behind. Only a server that dies between two of these commits leaves the first one's rows; the error says so.
//! - Where connections could wait for each other (unique indexes, exclusion constraints, triggers), or the table is
//!   emptied first, one connection does it all, and the outcome says why.

mod advice;
pub(super) mod catalog;
mod fit;

use std::sync::Arc;

use super::client::{Address, Session, is_lock_timeout};
use super::commit::is_unknown;
use super::copy::PgType;
use super::copy_in::{Target, copy_here, copy_parallel, copy_units, quoted};
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::load::{Feed, Origin};
use crate::queue::Queue;
use catalog::Table;

/// What to copy, and how.
pub struct CopyTable {
    /// The table as SQL names it: `trips`, `public.trips`, `"Trips"`; without a schema by the server's search path.
    pub table: String,
    /// The files; a new table gets the columns of all of them.
    pub origins: Vec<Origin>,
    /// Their rows.
    pub feed: Arc<dyn Feed>,
    /// Makes the table when it is not there.
    pub create: bool,
    /// Empties the table first.
    pub truncate: bool,
    /// Connections to use at most.
    pub connections: usize,
    /// Tells this run's side table from others'.
    pub run_id: String,
    /// How long to wait for locks that others hold on the table, each time.
    pub lock_deadline_seconds: u64,
}

/// What a copy did.
#[derive(Debug)]
pub struct Copied {
    /// Rows sent and committed.
    pub rows: u64,
    /// The table, with its schema.
    pub table: String,
    /// Whether the table was made.
    pub created: bool,
    /// Whether the rows came in frozen.
    pub frozen: bool,
    /// Connections used.
    pub connections: usize,
    /// Why fewer connections were used than asked for.
    pub one_connection_because: Option<String>,
}

/// What every variant of the load needs.
struct Load<'a> {
    address: &'a Address,
    copy: &'a CopyTable,
    table: Table,
    columns: Vec<(String, PgType)>,
    cancel: &'a Cancel,
    progress: &'a Progress,
}

impl CopyTable {
    /// Checks, then loads.
    ///
    /// # Errors
    /// `Schema` naming every column that does not fit; `NotFound` for a table that is not there; `Data` for a value that
    /// the table cannot hold; `Conflict` when another copy makes the same table.
    pub async fn run(&self, address: &Address, cancel: &Cancel, progress: &Progress) -> Result<Copied> {
        let session = address.session().await?;
        session.run("RESET search_path").await?;
        let first = self.origins.first().ok_or_else(|| Error::config("there is nothing to copy"))?;
        let table = match Table::read(&session, &self.table).await? {
            Some(table) => table,
            None if self.create => {
                let all = Origin { schema: self.feed.schema(), ..first.clone() };
                Table::made_after(&session, &self.table, &all).await?
            }
            None => {
                return Err(Error::not_found(format!(
                    "table {} is not there; create it, or ask for it to be made (create)",
                    self.table
                ))
                .with("table", &self.table)
                .retryable(false));
            }
        };
        let columns = fit::columns(&table, &self.origins)?;
        let load = Load { address, copy: self, table, columns, cancel, progress };
        let most = self.connections.clamp(1, self.feed.units().max(1));
        let alone = if most > 1 { load.table.one_connection_because(self.truncate) } else { None };
        let connections = if alone.is_some() { 1 } else { most };
        let loaded = if connections == 1 {
            load.at_once(&session).await
        } else if load.table.is_new {
            load.aside(&session, connections).await.map(|rows| (rows, false))
        } else {
            load.together(connections).await.map(|rows| (rows, false))
        };
        let (rows, frozen) = loaded.map_err(|e| load.waited(e))?;
        let table = load.table.name();
        Ok(Copied { rows, table, created: load.table.is_new, frozen, connections, one_connection_because: alone })
    }
}

impl Load<'_> {
    fn target(&self, table: String, freeze: bool) -> Target {
        Target { table, columns: self.columns.clone(), freeze }
    }

    /// Begins a transaction that waits for others' locks no longer than the deadline.
    fn begin(&self) -> String {
        format!("BEGIN; SET LOCAL lock_timeout = '{}s'", self.copy.lock_deadline_seconds.max(1))
    }

    /// The error of a wait that came to its deadline, or the error as it was.
    fn waited(&self, error: Error) -> Error {
        if !is_lock_timeout(&error) {
            return error;
        }
        Error::conflict(format!(
            "another session has held a lock on {} for {} s; nothing was copied, run again when it has ended \
             (pg_locks and pg_blocking_pids name it), or raise lock_deadline_seconds",
            self.table.name(),
            self.copy.lock_deadline_seconds.max(1)
        ))
        .with("table", self.table.name())
        .because(error)
    }

    fn feed(&self) -> Arc<dyn Feed> {
        Arc::clone(&self.copy.feed)
    }

    /// Everything in one transaction of the caller's session.
    async fn at_once(&self, session: &Session) -> Result<(u64, bool)> {
        let name = self.table.name();
        session.run(&self.begin()).await?;
        if self.table.is_new {
            session.run(&self.table.ddl(&self.table.table)).await?;
        } else if self.copy.truncate {
            session.run(&format!("TRUNCATE {name}")).await?;
        }
        let freeze = self.table.can_freeze() && (self.table.is_new || self.copy.truncate);
        let target = self.target(name, freeze);
        let rows = copy_here(session, &target, self.feed(), self.cancel, self.progress).await?;
        self.cancel.check()?;
        self.published(session.commit().await)?;
        Ok((rows, freeze))
    }

    /// What became of a commit of rows that a second copy would add once more.
    fn published(&self, committed: Result<()>) -> Result<()> {
        committed.map_err(|e| match is_unknown(&e) && !self.copy.truncate {
            true => e.and("a second copy would add the rows once more, so find out before").retryable(false),
            false => e,
        })
    }

    /// Fills a table of another name over several connections and renames it.
    async fn aside(&self, session: &Session, connections: usize) -> Result<u64> {
        self.table.hold(session).await?;
        self.table.drop_orphans(session).await?;
        let side = self.table.side(&self.copy.run_id);
        session.run(&self.table.ddl(&side)).await?;
        let filled = self.fill_and_rename(session, connections, &side).await;
        if filled.is_err() {
            // Best effort: the next copy into this table drops it as well.
            let _ = session.run(&format!("ROLLBACK; DROP TABLE IF EXISTS {}", self.table.sibling(&side))).await;
        }
        filled
    }

    async fn fill_and_rename(&self, session: &Session, connections: usize, side: &str) -> Result<u64> {
        let target = self.target(self.table.sibling(side), false);
        let (cancel, progress) = (self.cancel, self.progress);
        let rows = copy_parallel(self.address, &target, self.feed(), connections, cancel, progress).await?;
        self.cancel.check()?;
        let rename = format!("ALTER TABLE {} RENAME TO {}", self.table.sibling(side), quoted(&self.table.table));
        session.run(&format!("BEGIN; {rename}")).await?;
        self.published(session.commit().await)?;
        Ok(rows)
    }

    /// Fills the table itself over several connections that commit when all are done.
    async fn together(&self, connections: usize) -> Result<u64> {
        let target = self.target(self.table.name(), false);
        let queue = Arc::new(Queue::new(self.feed().units()));
        let loads = (0..connections).map(|_| {
            let (target, queue) = (&target, Arc::clone(&queue));
            async move {
                let session = self.address.session().await?;
                session.run(&self.begin()).await?;
                let rows = copy_units(&session, target, self.feed(), queue, self.cancel, self.progress).await?;
                session.run("SET CONSTRAINTS ALL IMMEDIATE").await?;
                Ok::<_, Error>((session, rows))
            }
        });
        let done = futures::future::try_join_all(loads).await?;
        self.cancel.check()?;
        let named = |error: Error| error.with("table", &target.table);
        // Between the commits nothing else is asked: whoever is lost by now leaves nothing behind.
        let asked = futures::future::try_join_all(done.iter().map(|(session, _)| session.underway())).await;
        let mut rows = 0;
        for (committed, ((session, copied), underway)) in done.iter().zip(asked.map_err(named)?).enumerate() {
            if let Err(error) = self.published(session.commit_known(underway).await) {
                let error = named(error);
                return Err(match committed {
                    0 => error,
                    _ => Error::database(format!(
                        "the server was lost while {connections} connections committed: {committed} of them had, with \
                         {rows} rows; take these out before the copy is repeated"
                    ))
                    .because(error)
                    .retryable(false)
                    .with("table", &target.table),
                });
            }
            rows += copied;
        }
        Ok(rows)
    }
}
