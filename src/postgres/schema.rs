//! The warehouse's own tables, applied by the product, and the settings that its first load fixes.

use super::client::{Session, get};
use super::lock::{Lock, hold};
use crate::error::{Error, Result};

/// The text of `ddl/dwh_schema.sql`.
pub const DDL: &str = include_str!("../../ddl/dwh_schema.sql");

/// The version of [`DDL`]; part of every settings fingerprint.
pub const SCHEMA_VERSION: &str = "1";

/// Brings the warehouse to [`SCHEMA_VERSION`]; does nothing when it is there.
pub(super) async fn prepare(session: &Session, deadline_seconds: u64) -> Result<()> {
    if version(session).await?.as_deref() == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    hold(session, &[Lock::Schema], deadline_seconds).await?;
    if let Some(newer) = version(session).await?.filter(|v| v.as_str() > SCHEMA_VERSION) {
        return Err(Error::config(format!(
            "the warehouse has schema version {newer}, this metropulse knows {SCHEMA_VERSION}; upgrade metropulse"
        )));
    }
    session.run(&format!("BEGIN; {DDL}; COMMIT")).await?;
    session
        .touch(
            "INSERT INTO dwh.deployment (name, value) VALUES ('schema_version', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[&SCHEMA_VERSION],
        )
        .await?;
    session.run("SELECT pg_advisory_unlock_all()").await
}

async fn version(session: &Session) -> Result<Option<String>> {
    let there = session.row("SELECT to_regclass('dwh.deployment') IS NOT NULL", &[]).await?;
    if !get::<bool>(&there, 0)? {
        return Ok(None);
    }
    value(session, "schema_version").await
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
        .touch(
            "INSERT INTO dwh.deployment (name, value) VALUES ('time_zone', $1) ON CONFLICT (name) DO NOTHING",
            &[&zone],
        )
        .await?;
    check_zone(session, zone).await
}
