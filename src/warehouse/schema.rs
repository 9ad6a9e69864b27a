//! The warehouse's own tables: which version is there, bringing it to ours, and the settings that the first load fixes.

use super::lock::{Lock, hold};
use super::position_hours;
use crate::error::{Error, Result};
use crate::model::{Fact, Positions, Zone};
use crate::postgres::{Session, get};

/// The text of `ddl/dwh_schema.sql`.
pub const DDL: &str = include_str!("../../ddl/dwh_schema.sql");

/// The version of [`DDL`].
pub const SCHEMA_VERSION: u32 = 8;

/// Part of every settings fingerprint: raised when a new version makes something else of the same file, so that every
/// day counts as changed. Bookkeeping alone does not raise it.
pub(super) const LOAD_VERSION: &str = "1";

/// What [`DDL`] cannot do by itself because a table is there already: (version it leads to, statements).
const MIGRATIONS: [(u32, &str); 7] = [
    (2, include_str!("../../ddl/migrations/0002_operations.sql")),
    (3, include_str!("../../ddl/migrations/0003_stated_columns.sql")),
    (4, include_str!("../../ddl/migrations/0004_feeds.sql")),
    (5, include_str!("../../ddl/migrations/0005_etags.sql")),
    (6, include_str!("../../ddl/migrations/0006_typed_logs.sql")),
    (7, include_str!("../../ddl/migrations/0007_telemetry.sql")),
    (8, include_str!("../../ddl/migrations/0008_origins.sql")),
];

/// The tables that the prototype had as well, in other shapes.
const PROTOTYPE_TABLES: [&str; 17] = [
    "staging.vehicle_positions_raw",
    "staging.users_raw",
    "staging.routes_raw",
    "staging.trips_raw",
    "staging.payments_raw",
    "staging.vehicles_raw",
    "staging.stops_raw",
    "dwh.dim_date",
    "dwh.dim_time",
    "dwh.dim_user",
    "dwh.dim_route",
    "dwh.dim_vehicle",
    "dwh.dim_stop",
    "dwh.dim_payment_method",
    "dwh.fact_trip",
    "dwh.fact_payment",
    "dwh.fact_vehicle_position",
];

/// What a database holds of the warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// None of our tables.
    Empty,
    /// Tables of our names that no metropulse made, as `schema.table`.
    Prototype(Vec<String>),
    /// A schema of metropulse.
    Version(u32),
}

/// Looks at the catalog.
pub(super) async fn find(session: &Session) -> Result<Found> {
    let there = session.row("SELECT to_regclass('dwh.deployment') IS NOT NULL", &[]).await?;
    if get::<bool>(&there, 0)? {
        let stored = value(session, "schema_version").await?;
        // Made by hand from the script, which writes no version: the oldest there is.
        return stored.map_or(Ok(Found::Version(1)), |text| parse_version(&text));
    }
    let sql = "SELECT t.name FROM unnest($1::text[]) WITH ORDINALITY AS t (name, place) \
               WHERE to_regclass(t.name) IS NOT NULL ORDER BY t.place";
    let names: Vec<&str> = PROTOTYPE_TABLES.to_vec();
    let rows = session.rows(sql, &[&names]).await?;
    let tables = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>>>()?;
    Ok(if tables.is_empty() { Found::Empty } else { Found::Prototype(tables) })
}

fn parse_version(text: &str) -> Result<Found> {
    text.parse().map(Found::Version).map_err(|_| {
        Error::config(format!(
            "schema_version in dwh.deployment is {text:?}, expected a number such as {SCHEMA_VERSION}"
        ))
    })
}

/// Brings an empty warehouse, or one of an older metropulse, to [`SCHEMA_VERSION`]; does nothing when it is there.
pub(super) async fn prepare(session: &Session, deadline_seconds: u64) -> Result<()> {
    if is_current(&find(session).await?)? {
        return Ok(());
    }
    hold(session, &[Lock::Schema], deadline_seconds).await?;
    // Another run may have done it meanwhile.
    let found = find(session).await?;
    if !is_current(&found)? {
        session.run("BEGIN").await?;
        upgrade(session, &found).await?;
        session.commit().await?;
    }
    session.run("SELECT pg_advisory_unlock_all()").await
}

/// Whether nothing is to be done.
///
/// # Errors
/// `Config` when the warehouse is of a newer metropulse, or of the prototype.
fn is_current(found: &Found) -> Result<bool> {
    match found {
        Found::Version(version) if *version > SCHEMA_VERSION => Err(Error::config(format!(
            "the warehouse has schema version {version}, this metropulse knows {SCHEMA_VERSION}; upgrade metropulse"
        ))),
        Found::Version(version) => Ok(*version == SCHEMA_VERSION),
        Found::Empty => Ok(false),
        Found::Prototype(tables) => Err(Error::config(format!(
            "the warehouse holds {} that metropulse did not make ({}{}); run `metropulse migrate`, which moves them \
             aside into the schema prototype and keeps every row",
            if tables.len() == 1 { "a table".to_owned() } else { format!("{} tables", tables.len()) },
            tables.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", "),
            if tables.len() > 3 { ", ..." } else { "" },
        ))),
    }
}

/// Applies what lies between `found` and [`SCHEMA_VERSION`], inside the caller's transaction.
pub(super) async fn upgrade(session: &Session, found: &Found) -> Result<()> {
    let denied = |e: Error| match e.detail().context.get("sqlstate").map(String::as_str) {
        Some("42501") => Error::config(format!(
            "this role may not bring the warehouse to schema version {SCHEMA_VERSION}; let its owner run \
             `metropulse migrate`"
        ))
        .because(e),
        _ => e,
    };
    for (_, sql) in pending(found) {
        session.run(sql).await.map_err(denied)?;
    }
    session.run(DDL).await.map_err(denied)?;
    if lacks_position_hours(found)
        && let Some(zone) = value(session, "time_zone").await?
    {
        let zone = zone
            .parse()
            .map_err(|_| Error::config(format!("time_zone in dwh.deployment is {zone:?}, which names no time zone")))?;
        position_hours::make_all(session, Zone(zone)).await.map_err(denied)?;
    }
    let sql = "INSERT INTO dwh.deployment (name, value) VALUES ('schema_version', $1) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    session.execute(sql, &[&SCHEMA_VERSION.to_string()]).await?;
    Ok(())
}

/// The versions that `found` still lacks; an empty database gets the newest at once.
pub(super) fn lacking(found: &Found) -> Vec<u32> {
    match found {
        Found::Version(version) => (version + 1..=SCHEMA_VERSION).collect(),
        Found::Empty | Found::Prototype(_) => Vec::new(),
    }
}

/// Whether days may be loaded whose positions nobody added up: version 3 began to.
fn lacks_position_hours(found: &Found) -> bool {
    match found {
        Found::Version(version) => *version < 3,
        Found::Empty | Found::Prototype(_) => false,
    }
}

/// The statements that `found` still lacks before [`DDL`].
fn pending(found: &Found) -> Vec<(u32, &'static str)> {
    match found {
        Found::Version(version) => MIGRATIONS.into_iter().filter(|(to, _)| to > version).collect(),
        Found::Empty | Found::Prototype(_) => Vec::new(),
    }
}

async fn value(session: &Session, name: &str) -> Result<Option<String>> {
    let rows = session.rows("SELECT value FROM dwh.deployment WHERE name = $1", &[&name]).await?;
    rows.first().map(|row| get(row, 0)).transpose()
}

/// Refuses another service zone than the one this warehouse was first loaded with.
pub(super) async fn check_zone(session: &Session, zone: &str) -> Result<()> {
    match value(session, "time_zone").await? {
        Some(fixed) if fixed != zone => Err(Error::config(format!(
            "time_zone is {zone}, but this warehouse was loaded with {fixed}, and every service day and hour in it \
             depends on that; use {fixed}, or load the days again into an empty warehouse"
        ))),
        _ => Ok(()),
    }
}

/// Fixes the service zone, within the first publication.
pub(super) async fn fix_zone(session: &Session, zone: &str) -> Result<()> {
    session
        .execute(
            "INSERT INTO dwh.deployment (name, value) VALUES ('time_zone', $1) ON CONFLICT (name) DO NOTHING",
            &[&zone],
        )
        .await?;
    check_zone(session, zone).await
}

/// Where the positions of this warehouse are kept: as it remembers, else as is `wanted`, else in PostgreSQL.
///
/// # Errors
/// `Config` when something else is wanted than the warehouse remembers.
pub(super) async fn positions(session: &Session, wanted: Option<Positions>) -> Result<Positions> {
    let Some(known) = value(session, "positions").await? else { return Ok(wanted.unwrap_or_default()) };
    let known = Positions::ALL.into_iter().find(|positions| positions.name() == known).ok_or_else(|| {
        Error::config(format!("positions in dwh.deployment is {known:?}, expected warehouse or telemetry"))
    })?;
    match wanted {
        Some(wanted) if wanted.name() != known.name() => Err(Error::config(format!(
            "positions is {wanted:?}, but the loaded days of this warehouse have theirs in {known:?}, and the two do not \
             mix; leave the setting out or say {known:?}; to move the days, take them out (metropulse rewind), then run \
             them again with {wanted:?}",
            wanted = wanted.name(),
            known = known.name(),
        ))),
        _ => Ok(known),
    }
}

/// Remembers where positions are kept, within the first publication that has any.
pub(super) async fn fix_positions(session: &Session, kept: Positions) -> Result<()> {
    let sql = "INSERT INTO dwh.deployment (name, value) VALUES ('positions', $1) ON CONFLICT (name) DO NOTHING";
    session.execute(sql, &[&kept.name()]).await?;
    positions(session, Some(kept)).await.map(drop)
}

/// Forgets it when no positions are loaded any more, within the publication that took the last ones out.
pub(super) async fn release_positions(session: &Session) -> Result<()> {
    let fact = Fact::VEHICLE_POSITION;
    let sql = "DELETE FROM dwh.deployment WHERE name = 'positions' \
               AND NOT EXISTS (SELECT FROM dwh.load_ledger WHERE target IN ($1, $2))";
    session.execute(sql, &[&fact.table, &fact.dataset.staging_table()]).await.map(drop)
}

/// Lets the zone go again when nothing is loaded any more, within the publication that took the last day out.
pub(super) async fn release_zone(session: &Session) -> Result<()> {
    session
        .run("DELETE FROM dwh.deployment WHERE name = 'time_zone' AND NOT EXISTS (SELECT FROM dwh.load_ledger)")
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("10").unwrap(), Found::Version(10));
        assert!(is_current(&parse_version("10").unwrap()).unwrap_err().to_string().contains("upgrade metropulse"));
        assert!(parse_version("ten").is_err());
    }

    #[test]
    fn migrations_lead_up_to_the_current_version() {
        assert!(MIGRATIONS.is_sorted_by_key(|(to, _)| *to));
        assert!(MIGRATIONS.iter().all(|(to, _)| (2..=SCHEMA_VERSION).contains(to)));
        assert!(pending(&Found::Version(SCHEMA_VERSION)).is_empty());
        assert_eq!(pending(&Found::Version(1)).len(), MIGRATIONS.len());
        assert_eq!(lacking(&Found::Version(1)), (2..=SCHEMA_VERSION).collect::<Vec<_>>());
        assert!(lacking(&Found::Version(SCHEMA_VERSION)).is_empty() && lacking(&Found::Empty).is_empty());
    }
}
