//! Bringing a database to the schema of this version, also one that the prototype's own DDL made.
//!
//! The prototype's tables have our names and other shapes. They are moved, as they are, into the schema `prototype`:
//! nothing is copied, nothing is lost, and views on them go on working. What raw days do not bring, the names and
//! providers of payment methods, is taken over; everything else comes from loading the raw days again.

use serde::Serialize;

use super::context::Warehouse;
use super::lock::{Lock, hold};
use super::partition::patiently;
use super::schema::{self, Found, SCHEMA_VERSION};
use crate::error::{Error, Result};
use crate::postgres::{Session, get};

/// Where the prototype's tables go.
const ASIDE: &str = "prototype";

/// One table that was, or would be, moved aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Where it was.
    pub table: String,
    /// Where it is.
    pub now: String,
    /// Its rows; `None` for a partition, whose rows are its parent's.
    pub rows: Option<i64>,
}

/// What a migration did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// `empty`, `prototype`, or the version that was there.
    pub from: String,
    /// The version that is there now.
    pub to: u32,
    /// Versions whose migrations were applied.
    pub applied: Vec<u32>,
    /// Tables moved aside.
    pub moved: Vec<Moved>,
    /// Payment methods taken over.
    pub payment_methods: u64,
}

/// Brings the database to [`SCHEMA_VERSION`] in one transaction; with `dry_run` only says what that would be.
pub async fn migrate(warehouse: &Warehouse, dry_run: bool) -> Result<Migrated> {
    let session = warehouse.address.session().await?;
    hold(&session, &[Lock::Schema], warehouse.settings.lock_deadline_seconds).await?;
    let found = schema::find(&session).await?;
    let mut migrated = Migrated { from: name(&found), to: SCHEMA_VERSION, ..Migrated::default() };
    migrated.applied = schema::lacking(&found);
    match &found {
        Found::Version(version) if *version > SCHEMA_VERSION => {
            return Err(Error::config(format!(
                "the warehouse has schema version {version}, this metropulse knows {SCHEMA_VERSION}; upgrade \
                 metropulse, there is no way back"
            )));
        }
        Found::Version(version) if *version == SCHEMA_VERSION => return Ok(migrated),
        Found::Prototype(tables) => migrated.moved = plan(&session, tables).await?,
        Found::Version(_) | Found::Empty => {}
    }
    if dry_run {
        return Ok(migrated);
    }
    session.run("BEGIN").await?;
    if !migrated.moved.is_empty() {
        move_aside(warehouse, &session, &migrated.moved).await?;
    }
    schema::upgrade(&session, &found).await?;
    if !migrated.moved.is_empty() {
        migrated.payment_methods = take_over_payment_methods(&session).await?;
    }
    session.commit().await?;
    Ok(migrated)
}

/// Marks every service date that facts touch or the mart held: its table begins anew.
pub async fn mark_mart_dirty(warehouse: &Warehouse, reason: &str) -> Result<u64> {
    let sql = "INSERT INTO dwh.mart_dirty (service_date, reason, run_id) \
               SELECT service_date, $1, $2 FROM (SELECT service_date FROM dwh.fact_service_date \
               UNION SELECT service_date FROM dwh.mart_build) d ORDER BY 1";
    warehouse.session().await?.execute(sql, &[&reason, &warehouse.run_id]).await
}

async fn move_aside(warehouse: &Warehouse, session: &Session, moved: &[Moved]) -> Result<()> {
    let mut sql = format!("CREATE SCHEMA IF NOT EXISTS {ASIDE};");
    for one in moved {
        sql.push_str(&format!("ALTER TABLE {} SET SCHEMA {ASIDE};", one.table));
    }
    let tables: Vec<String> = moved.iter().map(|one| one.table.clone()).collect();
    patiently(session, &sql, &tables, warehouse.swap_deadline()).await
}

fn name(found: &Found) -> String {
    match found {
        Found::Empty => "empty".to_owned(),
        Found::Prototype(_) => "prototype".to_owned(),
        Found::Version(version) => version.to_string(),
    }
}

/// The tables to move, their partitions included.
///
/// # Errors
/// `Conflict` when the place is taken.
async fn plan(session: &Session, tables: &[String]) -> Result<Vec<Moved>> {
    let sql = "WITH RECURSIVE family AS ( \
                 SELECT to_regclass(t.name)::oid AS oid, t.place, false AS is_part \
                 FROM unnest($1::text[]) WITH ORDINALITY AS t (name, place) \
                 UNION ALL SELECT i.inhrelid, f.place, true FROM pg_inherits i JOIN family f ON i.inhparent = f.oid) \
               SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), quote_ident(c.relname), f.is_part, \
                 to_regclass($2 || '.' || quote_ident(c.relname)) IS NOT NULL \
               FROM family f JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname <> $2 ORDER BY f.place, f.is_part, c.relname";
    let mut moved = Vec::new();
    for row in session.rows(sql, &[&tables, &ASIDE]).await? {
        let (table, bare): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        let now = format!("{ASIDE}.{bare}");
        if get::<bool>(&row, 3)? {
            return Err(Error::conflict(format!(
                "{table} is to move to {now}, but a table of that name is there; rename or drop that one first"
            ))
            .with("table", table)
            .retryable(false));
        }
        let rows = if get::<bool>(&row, 2)? {
            None
        } else {
            Some(get(&session.row(&format!("SELECT count(*) FROM {table}"), &[]).await?, 0)?)
        };
        moved.push(Moved { table, now, rows });
    }
    Ok(moved)
}

/// Names and providers of payment methods, which no raw file brings.
async fn take_over_payment_methods(session: &Session) -> Result<u64> {
    let columns = session
        .row(
            "SELECT count(*) FROM information_schema.columns WHERE table_schema = $1::text \
             AND table_name = 'dim_payment_method' AND column_name IN ('code', 'name', 'provider')",
            &[&ASIDE],
        )
        .await?;
    if get::<i64>(&columns, 0)? < 3 {
        return Ok(0);
    }
    let sql = format!(
        "INSERT INTO dwh.dim_payment_method (code, name, provider) \
         SELECT DISTINCT ON (code) code::text, coalesce(name::text, code::text), provider::text \
         FROM {ASIDE}.dim_payment_method WHERE code <> '' ORDER BY code, name NULLS LAST, provider NULLS LAST \
         ON CONFLICT (code) DO UPDATE SET name = excluded.name, provider = excluded.provider"
    );
    session.execute(&sql, &[]).await
}
