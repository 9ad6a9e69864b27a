//! What the warehouse knows of its days: ledger, failures, mart bookkeeping, quality, as-of misses.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::context::Warehouse;
use super::dimensions::dimension_fingerprint;
use super::failure::{self, Failure};
use super::schema;
use super::telemetry;
use crate::error::Result;
use crate::load::Part;
use crate::model::{Dimension, Fact, Member, Positions};
use crate::postgres::{Session, get};

/// One table and day of the ledger.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The table.
    pub target: String,
    /// The raw day.
    pub dt: NaiveDate,
    /// The files.
    pub parts: Vec<Part>,
    /// Rows read from them.
    pub rows_read: i64,
    /// Rows in the table.
    pub rows_loaded: i64,
    /// Rejected rows.
    pub rows_rejected: i64,
    /// When.
    pub loaded_at: DateTime<Utc>,
    /// When retention took the rows.
    pub purged_at: Option<DateTime<Utc>>,
    /// Whether it was loaded under today's settings.
    pub settings_differ: bool,
}

/// One service date of the mart.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The date.
    pub service_date: NaiveDate,
    /// Rows in the mart.
    pub rows: i64,
    /// When.
    pub built_at: DateTime<Utc>,
}

/// The last quality check of a day.
#[derive(Clone, Debug)]
pub struct Checked {
    /// When.
    pub checked_at: DateTime<Utc>,
    /// Checks of severity error that failed.
    pub failed: i64,
    /// Checks of severity warn that failed.
    pub warned: i64,
}

/// Facts of one day whose event no version of their key covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissedDay {
    /// The raw day of the facts.
    #[serde(skip)]
    pub dt: NaiveDate,
    /// The fact table.
    pub fact: &'static str,
    /// The dimension.
    pub dimension: &'static str,
    /// Events before the first version of their key.
    pub before_first: i64,
    /// Events in a gap or after a close.
    pub gap: i64,
}

/// What the warehouse knows.
#[derive(Clone, Debug)]
pub struct Status {
    /// The service zone that the first load fixed.
    pub time_zone: Option<String>,
    /// Where positions are kept.
    pub positions: Positions,
    /// Raw days whose positions in ClickHouse were begun to be replaced and not published, and since when.
    pub unfinished: BTreeMap<NaiveDate, DateTime<Utc>>,
    /// The version of the schema.
    pub schema_version: u32,
    /// Tables and days, by table and day.
    pub loaded: Vec<Loaded>,
    /// What the staged files of each raw day were made of, as their manifest says it; each once.
    pub origins: BTreeMap<NaiveDate, Vec<serde_json::Value>>,
    /// Failures on record.
    pub failures: Vec<Failure>,
    /// Service dates that the facts of each raw day touch.
    pub touched: BTreeMap<NaiveDate, Vec<NaiveDate>>,
    /// Service dates that wait for the mart, and since when.
    pub dirty: BTreeMap<NaiveDate, DateTime<Utc>>,
    /// Service dates of the mart.
    pub built: Vec<Built>,
    /// The last quality check of each day.
    pub checked: BTreeMap<NaiveDate, Checked>,
    /// As-of misses of the final state; only what is not zero.
    pub misses: Vec<MissedDay>,
}

/// Reads everything in one snapshot.
pub async fn status(warehouse: &Warehouse) -> Result<Status> {
    let session = warehouse.session().await?;
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let zone = session.rows("SELECT value FROM dwh.deployment WHERE name = 'time_zone'", &[]).await?;
    let mut status = Status {
        time_zone: zone.first().map(|row| get(row, 0)).transpose()?,
        positions: warehouse.positions().await?,
        unfinished: telemetry::unfinished(&session).await?,
        schema_version: schema::SCHEMA_VERSION,
        loaded: loaded(warehouse, &session).await?,
        origins: origins(&session).await?,
        failures: failure::read(&session).await?,
        touched: BTreeMap::new(),
        dirty: BTreeMap::new(),
        built: Vec::new(),
        checked: checked(&session).await?,
        misses: Vec::new(),
    };
    let sql =
        "SELECT dt, array_agg(DISTINCT service_date ORDER BY service_date) FROM dwh.fact_service_date GROUP BY dt";
    for row in session.rows(sql, &[]).await? {
        status.touched.insert(get(&row, 0)?, get(&row, 1)?);
    }
    let sql = "SELECT service_date, min(noted_at) FROM dwh.mart_dirty GROUP BY 1";
    for row in session.rows(sql, &[]).await? {
        status.dirty.insert(get(&row, 0)?, get(&row, 1)?);
    }
    let sql = "SELECT service_date, rows, built_at FROM dwh.mart_build ORDER BY 1";
    for row in session.rows(sql, &[]).await? {
        status.built.push(Built { service_date: get(&row, 0)?, rows: get(&row, 1)?, built_at: get(&row, 2)? });
    }
    for fact in Fact::ALL {
        let time = fact.time_sql("f", &warehouse.settings.time_zone);
        let rows = Events { fact: &fact, table: fact.table, time: &time, count: "count(*)" };
        for reference in fact.references {
            status.misses.extend(misses(warehouse, &session, &rows, reference.surrogate, reference.member).await?);
        }
    }
    let (table, time) = (telemetry::REFERENCES, telemetry::REFERENCE_TIME);
    let rows = Events { fact: &telemetry::FACT, table, time, count: "sum(f.position_cnt)" };
    for reference in telemetry::FACT.references {
        status.misses.extend(misses(warehouse, &session, &rows, reference.surrogate, reference.member).await?);
    }
    status.misses.sort_by_key(|missed| missed.dt);
    session.run("COMMIT").await?;
    Ok(status)
}

async fn origins(session: &Session) -> Result<BTreeMap<NaiveDate, Vec<serde_json::Value>>> {
    let sql = "SELECT dt, origin FROM dwh.load_ledger WHERE target LIKE 'staging.%' AND origin IS NOT NULL \
               ORDER BY target, dt, file_no";
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in session.rows(sql, &[]).await? {
        let of_day = found.entry(get(&row, 0)?).or_default();
        let origin = get(&row, 1)?;
        if !of_day.contains(&origin) {
            of_day.push(origin);
        }
    }
    Ok(found)
}

async fn loaded(warehouse: &Warehouse, session: &Session) -> Result<Vec<Loaded>> {
    let sql = "SELECT target, dt, file, size_bytes, sha256, rows_read, rows_loaded, rows_rejected, loaded_at, \
               purged_at, settings_fingerprint FROM dwh.load_ledger ORDER BY target, dt, file_no";
    let mut loaded: Vec<Loaded> = Vec::new();
    for row in session.rows(sql, &[]).await? {
        let (target, dt): (String, NaiveDate) = (get(&row, 0)?, get(&row, 1)?);
        let size_bytes = get::<i64>(&row, 3)?.unsigned_abs();
        let part = Part { file: get(&row, 2)?, size_bytes, sha256: get(&row, 4)?, ..Part::default() };
        if loaded.last().is_none_or(|last| last.target != target || last.dt != dt) {
            let settings_differ = get::<String>(&row, 10)? != expected_fingerprint(warehouse, &target);
            loaded.push(Loaded {
                target,
                dt,
                parts: Vec::new(),
                rows_read: 0,
                rows_loaded: 0,
                rows_rejected: 0,
                loaded_at: get(&row, 8)?,
                purged_at: get(&row, 9)?,
                settings_differ,
            });
        }
        let Some(last) = loaded.last_mut() else { continue };
        last.parts.push(part);
        last.rows_read += get::<i64>(&row, 5)?;
        last.rows_loaded += get::<i64>(&row, 6)?;
        last.rows_rejected += get::<i64>(&row, 7)?;
    }
    Ok(loaded)
}

fn expected_fingerprint(warehouse: &Warehouse, target: &str) -> String {
    match Dimension::ALL.iter().find(|dimension| dimension.table == target) {
        Some(dimension) => dimension_fingerprint(warehouse, dimension),
        None => warehouse.fingerprint(&[]),
    }
}

/// Rows `f` that stand for the events of a fact.
struct Events<'a> {
    fact: &'a Fact,
    table: &'a str,
    /// Their time.
    time: &'a str,
    /// How many events some of them are.
    count: &'a str,
}

/// Looks only at versions that some event of a day could miss: first ones that begin, and last ones or ones before
/// a gap that end, within the dates the day's facts touch. For most days there are none, and no fact is read.
async fn misses(
    warehouse: &Warehouse,
    session: &Session,
    events: &Events<'_>,
    foreign_key: &str,
    member: Member,
) -> Result<Vec<MissedDay>> {
    let Some((from, to)) = member.interval() else { return Ok(Vec::new()) };
    let Events { fact, table: rows, time, count } = events;
    let sql = format!(
        "WITH v AS (SELECT m.{sk} AS sk, m.{from} AS begins, m.{to} AS ends, row_number() OVER w AS place, \
            lead(m.{from}) OVER w AS next FROM {table} m WHERE m.{from} IS NOT NULL \
            WINDOW w AS (PARTITION BY m.{key} ORDER BY m.{from})), \
         edge AS MATERIALIZED (SELECT sk, CASE WHEN place = 1 THEN begins END AS begins, \
            CASE WHEN ends IS DISTINCT FROM next THEN ends END AS ends FROM v \
            WHERE place = 1 OR ends IS DISTINCT FROM next), \
         day AS MATERIALIZED (SELECT dt, min(service_date)::timestamp AT TIME ZONE $1 AS low, \
            (max(service_date) + 1)::timestamp AT TIME ZONE $1 AS high \
            FROM dwh.fact_service_date WHERE target = $2 GROUP BY dt) \
         SELECT f.dt, coalesce({count} FILTER (WHERE {time} < e.begins), 0)::bigint, \
            coalesce({count} FILTER (WHERE {time} >= e.ends), 0)::bigint \
         FROM day d JOIN edge e ON e.begins > d.low OR e.ends < d.high \
         JOIN {rows} f ON f.dt = d.dt AND f.{foreign_key} = e.sk AND ({time} < e.begins OR {time} >= e.ends) \
         GROUP BY f.dt ORDER BY f.dt",
        sk = member.surrogate(),
        table = member.table(),
        key = member.key(),
    );
    let rows = session.rows(&sql, &[&warehouse.settings.time_zone, &fact.table]).await?;
    let missed = |row: &tokio_postgres::Row| {
        let (dt, before_first, gap) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        Ok(MissedDay { dt, fact: fact.table, dimension: member.table(), before_first, gap })
    };
    rows.iter().map(missed).collect()
}

/// The last quality check of each day.
async fn checked(session: &Session) -> Result<BTreeMap<NaiveDate, Checked>> {
    let sql = "SELECT DISTINCT ON (dt) dt, max(checked_at) AS at, \
                 count(*) FILTER (WHERE NOT passed AND severity = 'error'), \
                 count(*) FILTER (WHERE NOT passed AND severity = 'warn') \
               FROM dwh.quality_result WHERE dt IS NOT NULL GROUP BY dt, run_id ORDER BY dt, at DESC";
    let mut days = BTreeMap::new();
    for row in session.rows(sql, &[]).await? {
        let checked = Checked { checked_at: get(&row, 1)?, failed: get(&row, 2)?, warned: get(&row, 3)? };
        days.insert(get(&row, 0)?, checked);
    }
    Ok(days)
}
