//! A day's partition, filled aside and swapped in.
//!
//! A side table has the parent's columns and defaults and no index, so COPY runs at full speed. What all rows of a day
//! have in common is a default of the side table, not a value of each row. Then it gets the parent's constraints and
//! indexes, read from the catalog, and takes the old partition's place. The swap waits for
//! readers only a moment at a time: a queued ACCESS EXCLUSIVE lock would block every later reader behind one long
//! query.

use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};

use crate::error::{Error, Result};
use crate::postgres::{Address, Session, get, is_lock_timeout};
use crate::queue::Queue;

/// Of `default_statistics_target`: 300 times as many rows are looked at.
const SAMPLE_TARGET: u32 = 30;

/// One day of one partitioned table, being built aside.
#[derive(Clone, Debug)]
pub(super) struct Side {
    schema: String,
    parent: String,
    dt: NaiveDate,
    table: String,
}

/// What of its parent a side table has before [`Side::finish`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Built {
    /// Keys and indexes.
    pub(super) indexes: bool,
    /// Foreign keys, checked.
    pub(super) foreign_keys: bool,
}

impl Side {
    /// A side table of `parent` (`schema.table`) for one day and run.
    pub(super) fn new(parent: &str, dt: NaiveDate, run_id: &str) -> Self {
        let (schema, parent) = parent.split_once('.').unwrap_or(("public", parent));
        let tag: String = run_id.chars().take(8).collect();
        let table = format!("{parent}_{}_{tag}", dt.format("%Y%m%d"));
        Self { schema: schema.to_owned(), parent: parent.to_owned(), dt, table }
    }

    /// The side table's qualified name.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Takes back unfinished publications. Dropping a table with foreign keys needs its dimensions, so this too waits for
    /// readers only a moment; what stays then goes at the next run.
    pub(super) fn undo_sql(sides: &[Self]) -> String {
        let names: Vec<String> = sides.iter().map(Self::name).collect();
        format!("ROLLBACK; SET lock_timeout = '500ms'; DROP TABLE IF EXISTS {}; SET lock_timeout = 0", names.join(", "))
    }

    fn parent_name(&self) -> String {
        format!("{}.{}", self.schema, self.parent)
    }

    fn final_name(&self) -> String {
        format!("{}_{}", self.parent, self.dt.format("%Y%m%d"))
    }

    /// Drops what a crashed run left behind and makes the empty side table, whose rows are of this day and load.
    ///
    /// The bound that makes attaching instant is there from the start: checking it costs a row less than a scan later.
    /// Inside the caller's transaction.
    pub(super) async fn create(&self, session: &Session, load_id: &str, deadline: Duration) -> Result<()> {
        drop_orphans(session, &self.schema, &self.final_name(), deadline).await?;
        session
            .run(&format!(
                "CREATE TABLE {side} (LIKE {parent} INCLUDING DEFAULTS, \
                   CONSTRAINT {bound} CHECK (dt IS NOT NULL AND dt >= '{from}' AND dt < '{to}')); \
                 ALTER TABLE {side} ALTER dt SET DEFAULT '{from}', ALTER load_id SET DEFAULT '{load_id}'",
                side = self.name(),
                parent = self.parent_name(),
                bound = self.bound(),
                from = self.dt,
                to = self.dt + Days::new(1),
            ))
            .await
    }

    /// Tells the planner about some columns of the filled side table: without, whatever reads the new partition before
    /// autovacuum does would be planned for an empty one.
    ///
    /// A small sample does. It leaves the rest to autovacuum, which counts a table as looked at only when all columns are.
    pub(super) async fn sample(&self, address: &Address, columns: &[&str]) -> Result<()> {
        let session = address.session().await?;
        let sql = format!(
            "BEGIN; SET LOCAL default_statistics_target = {SAMPLE_TARGET}; ANALYZE {} ({}); COMMIT",
            self.name(),
            columns.join(", ")
        );
        session.run(&sql).await?;
        session.release().await;
        Ok(())
    }

    /// Gives the filled side table what it lacks of the parent's constraints and indexes.
    pub(super) async fn finish(&self, session: &Session, built: Built) -> Result<()> {
        let mut sql = self.ordinary_sql();
        if !built.indexes {
            for key in self.keys(session).await? {
                sql.push_str(&format!("ALTER TABLE {} ADD {key};", self.name()));
            }
            for index in self.indexes(session).await? {
                sql.push_str(&format!("{index};"));
            }
        }
        if !built.foreign_keys {
            for (_, key) in self.foreign_keys(session).await? {
                sql.push_str(&format!("ALTER TABLE {} ADD {key};", self.name()));
            }
        }
        session.run(&sql).await
    }

    /// Builds keys and indexes ahead of [`Side::finish`], several at once: for a side table whose rows stay as they are.
    pub(super) async fn index(&self, address: &Address, connections: usize) -> Result<()> {
        let session = address.session().await?;
        let (keys, mut builds) = (self.keys(&session).await?, self.indexes(&session).await?);
        // The primary key's index comes up like the others; making it the key is an entry in the catalog.
        let primary = format!("{}_pkey", self.table);
        let (mut primary_sql, mut others) = (String::new(), String::new());
        for key in keys {
            if let Some(columns) = key.strip_prefix("PRIMARY KEY ") {
                builds.insert(0, format!("CREATE UNIQUE INDEX {primary} ON {} {columns}", self.name()));
                primary_sql = format!("ALTER TABLE {} ADD PRIMARY KEY USING INDEX {primary};", self.name());
            } else {
                others.push_str(&format!("ALTER TABLE {} ADD {key};", self.name()));
            }
        }
        session.run(&self.ordinary_sql()).await?;
        // A BRIN index is made in no time and fills the gap at the end.
        builds.sort_by_key(|sql| sql.contains(" USING brin "));
        let queue = Queue::new(builds.len());
        let workers = (0..connections.max(1)).map(|_| async {
            let session = address.session().await?;
            while let Some(build) = queue.take() {
                session.run(&builds[build]).await?;
            }
            session.release().await;
            Ok::<_, Error>(())
        });
        futures::future::try_join_all(workers).await?;
        session.run(&format!("{primary_sql}{others}")).await?;
        session.release().await;
        Ok(())
    }

    /// Adds and checks the foreign keys ahead of [`Side::finish`]: for a side table whose members are all in place.
    ///
    /// A key is added unchecked first, which holds one dimension for an instant, and then checked while `quiet`.
    pub(super) async fn refer(&self, address: &Address, quiet: &tokio::sync::Mutex<()>) -> Result<()> {
        let session = address.session().await?;
        let keys = self.foreign_keys(&session).await?;
        for (name, key) in &keys {
            session.run(&format!("ALTER TABLE {} ADD CONSTRAINT {name} {key} NOT VALID", self.name())).await?;
        }
        for (name, _) in &keys {
            let _quiet = quiet.lock().await;
            session.run(&format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", self.name())).await?;
        }
        session.release().await;
        Ok(())
    }

    /// The rows are in: what they have in common is no default any more.
    fn ordinary_sql(&self) -> String {
        format!("ALTER TABLE {} ALTER dt DROP DEFAULT, ALTER load_id DROP DEFAULT;", self.name())
    }

    /// The parent's primary and unique keys, as definitions.
    async fn keys(&self, session: &Session) -> Result<Vec<String>> {
        let sql = "SELECT pg_get_constraintdef(oid) FROM pg_constraint \
                   WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u') ORDER BY contype, conname";
        session.rows(sql, &[&self.parent_name()]).await?.iter().map(|row| get(row, 0)).collect()
    }

    /// The parent's foreign keys, as quoted names and definitions.
    async fn foreign_keys(&self, session: &Session) -> Result<Vec<(String, String)>> {
        let sql = "SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint \
                   WHERE conrelid = $1::text::regclass AND contype = 'f' ORDER BY conname";
        let rows = session.rows(sql, &[&self.parent_name()]).await?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
    }

    /// Statements that make the parent's indexes, but for those of its keys.
    async fn indexes(&self, session: &Session) -> Result<Vec<String>> {
        let indexes = session
            .rows(
                "SELECT am.amname::text, string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k), \
                 pg_get_expr(i.indpred, i.indrelid) \
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam \
                 CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k \
                 WHERE i.indrelid = $1::text::regclass \
                 AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u')) \
                 GROUP BY c.relname, am.amname, i.indpred, i.indrelid ORDER BY c.relname",
                &[&self.parent_name()],
            )
            .await?;
        let make = |row: &tokio_postgres::Row| {
            let predicate = get::<Option<String>>(row, 2)?.map(|p| format!(" WHERE {p}")).unwrap_or_default();
            let (method, columns) = (get::<String>(row, 0)?, get::<String>(row, 1)?);
            Ok(format!("CREATE INDEX ON {} USING {method} ({columns}){predicate}", self.name()))
        };
        indexes.iter().map(make).collect()
    }

    fn bound(&self) -> String {
        format!("{}_dt_bound", self.parent)
    }

    /// Takes the old partition's place, inside the caller's transaction and as its last act.
    ///
    /// `keep` says whether the side table has rows worth attaching; without it the day's partition just goes.
    pub(super) async fn swap(&self, session: &Session, keep: bool, deadline: Duration) -> Result<()> {
        let old = current(session, &self.parent_name(), self.dt).await?;
        // Attaching alone would lock less and let a reader's transaction go on over it: its rows, committed before, would
        // appear in a snapshot that does not hold their ledger lines yet.
        let mut sql = format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE;", self.parent_name());
        let mut dimensions = Vec::new();
        if let Some(old) = &old {
            sql.push_str(&format!("DROP TABLE {old};"));
            let referred = "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint \
                            WHERE conrelid = to_regclass($1) AND contype = 'f' ORDER BY 1";
            let rows = session.rows(referred, &[old]).await?;
            dimensions = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>>>()?;
        }
        if keep {
            sql.push_str(&format!(
                "ALTER TABLE {parent} ATTACH PARTITION {side} FOR VALUES FROM ('{from}') TO ('{to}'); \
                 ALTER TABLE {side} DROP CONSTRAINT {bound}; ALTER TABLE {side} RENAME TO {last};",
                parent = self.parent_name(),
                side = self.name(),
                from = self.dt,
                to = self.dt + Days::new(1),
                bound = self.bound(),
                last = self.final_name(),
            ));
        } else {
            sql.push_str(&format!("DROP TABLE {};", self.name()));
        }
        let mut ways = vec![sql];
        if !dimensions.is_empty() {
            // Dropping a table locks the dimensions that it refers to. Readers take facts and dimensions in either order,
            // and one without a gap between its queries would meet the same order each time.
            ways.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; {}", dimensions.join(", "), ways[0]));
        }
        patiently(session, &ways, deadline, &self.parent_name()).await
    }
}

/// How long one attempt at the swap waits for readers; who comes later waits as long.
///
/// Readers that follow one another without a gap, each slower than the first attempts, are met by the later ones. All are
/// shorter than PostgreSQL's `deadlock_timeout` of a second: where a reader and the swap wait for each other it is the swap
/// that gives up.
fn attempt(waited: Duration) -> &'static str {
    if waited < Duration::from_secs(10) { "150ms" } else { "500ms" }
}

/// Runs statements that need an exclusive lock, a moment at a time, until the deadline; of several ways to the same end
/// one after the other.
pub(super) async fn patiently(session: &Session, ways: &[String], deadline: Duration, table: &str) -> Result<()> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(20);
    for sql in ways.iter().cycle() {
        session.run(&format!("SET LOCAL lock_timeout = '{}'; SAVEPOINT swap", attempt(started.elapsed()))).await?;
        match session.run(sql).await {
            Ok(()) => return session.run("RELEASE SAVEPOINT swap; SET LOCAL lock_timeout = 0").await,
            Err(e) if is_lock_timeout(&e) => {
                session.run("ROLLBACK TO SAVEPOINT swap; RELEASE SAVEPOINT swap").await?;
                if started.elapsed() >= deadline {
                    return Err(Error::conflict(format!(
                        "readers kept {table} busy for {} s, so the new partition could not take its place; \
                         nothing was published, run again or raise swap_deadline_seconds",
                        deadline.as_secs()
                    ))
                    .with("table", table));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The attached partition of one day, if there is one.
pub(super) async fn current(session: &Session, parent: &str, dt: NaiveDate) -> Result<Option<String>> {
    let name = format!("{parent}_{}", dt.format("%Y%m%d"));
    let rows = session
        .rows(
            "SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass($2)",
            &[&name, &parent],
        )
        .await?;
    Ok((!rows.is_empty()).then_some(name))
}

/// Drops side tables of one day that no run owns any more; the caller holds the lock that covers them.
async fn drop_orphans(session: &Session, schema: &str, partition: &str, deadline: Duration) -> Result<()> {
    let rows = session
        .rows(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT c.relispartition \
             AND c.relname ~ ('^' || $2 || '_[0-9a-f]{8}$')",
            &[&schema, &partition],
        )
        .await?;
    for row in &rows {
        let orphan: String = get(row, 0)?;
        patiently(session, &[format!("DROP TABLE {orphan}")], deadline, &orphan).await?;
    }
    Ok(())
}
