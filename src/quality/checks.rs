//! The checks themselves.

use chrono::NaiveDate;

use super::check::{counted, error, offending, warn, warned};
use super::reports::report_checks;
use super::schedule::{Reports, schedule_checks};
use super::telemetry::known_checks;
use super::{Check, Expect};
use crate::model::{Dataset, Dimension, Fact, Positions};

/// What must hold of the dimensions at any time.
pub fn standing_checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for dimension in Dimension::ALL {
        let (table, key) = (dimension.table, dimension.dataset.key());
        let sk = dimension.surrogate;
        checks.push(error(
            "key_not_null",
            table,
            format!("SELECT count(*) FROM {table} WHERE {key} IS NULL AND {sk} <> 0"),
        ));
        checks.push(error(
            "unknown_member_present",
            table,
            format!("SELECT count(*) - 1 FROM {table} WHERE {sk} = 0 AND {key} IS NULL"),
        ));
        match dimension.interval {
            Some((from, to)) => checks.extend(interval_checks(&dimension, from, to)),
            None => checks.push(error(
                "business_key_unique",
                table,
                format!("SELECT count(*) - count(DISTINCT {key}) FROM {table} WHERE {sk} <> 0"),
            )),
        }
        checks.push(warn("inferred_members", table, format!("SELECT count(*) FROM {table} WHERE is_inferred")));
    }
    checks
}

/// Intervals of one key follow each other, and at most the last one is open.
fn interval_checks(dimension: &Dimension, from: &str, to: &str) -> [Check; 3] {
    let (table, key, sk) = (dimension.table, dimension.dataset.key(), dimension.surrogate);
    [
        error(
            "interval_starts_before_it_ends",
            table,
            format!(
                "SELECT count(*) FROM {table} WHERE {from} >= {to} OR ({from} IS NULL AND NOT is_inferred AND {sk} <> 0)"
            ),
        ),
        error(
            "intervals_do_not_overlap",
            table,
            format!(
                "SELECT count(*) FROM (SELECT {to} AS ends, \
                 lead({from}) OVER (PARTITION BY {key} ORDER BY {from} NULLS FIRST) AS next_starts \
                 FROM {table} WHERE {sk} <> 0) v WHERE next_starts IS NOT NULL AND (ends IS NULL OR ends > next_starts)"
            ),
        ),
        error(
            "one_current_version",
            table,
            format!(
                "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE is_current GROUP BY {key} HAVING count(*) > 1) v"
            ),
        ),
    ]
}

/// What must hold of one raw day: its ledger, its facts. Of positions that ClickHouse keeps, what the warehouse knows of them;
/// [`telemetry_checks`](super::telemetry_checks) and [`way_check`](super::way_check) are the others.
pub fn day_checks(dt: NaiveDate, positions: Positions) -> Vec<Check> {
    let mut checks = vec![Check {
        expect: Expect::Some,
        ..error(
            "rows_loaded",
            "dwh.load_ledger",
            format!(
                "SELECT coalesce(sum(rows_loaded), 0)::bigint FROM dwh.load_ledger WHERE dt = '{dt}' AND target LIKE 'dwh.%'"
            ),
        )
    }];
    for dataset in Dataset::ALL {
        checks.push(conservation("staging_conserves_rows", dataset.staging_table(), dt));
    }
    for fact in Fact::ALL {
        let is_elsewhere = positions.are_elsewhere(fact.kind);
        if !is_elsewhere {
            checks.push(conservation("facts_conserve_rows", fact.table, dt));
        }
        // A dimension's guard refuses an empty snapshot; a day without one trip may be a strike.
        checks.push(warn(
            "files_hold_rows",
            fact.table,
            format!(
                "SELECT count(*) FROM (SELECT 1 FROM dwh.load_ledger WHERE target = '{}' AND dt = '{dt}' \
                 HAVING sum(rows_read) = 0) v",
                fact.table
            ),
        ));
        let references: Vec<String> = fact.references.iter().map(|r| format!("f.{} IS NULL", r.surrogate)).collect();
        if !references.is_empty() && !is_elsewhere {
            checks.push(offending("keys_not_null", fact.table, dt, &references.join(" OR ")));
        }
        if let Some(registry) = fact.registry {
            checks.push(unique(&fact, registry.key, registry.keys, dt));
        }
    }
    checks.extend(value_checks(dt));
    checks.extend(match positions {
        Positions::Warehouse => position_checks(dt),
        Positions::Telemetry => known_checks(dt),
    });
    checks.extend(schedule_checks(dt, &Reports::of(positions, dt)));
    match positions {
        Positions::Warehouse => checks.extend(report_checks(dt)),
        // How vehicles report only the rows can tell: `telemetry_checks` and `way_check` ask ClickHouse.
        Positions::Telemetry => {}
    }
    checks
}

/// The rows of a table are those the ledger says were loaded.
fn conservation(name: &'static str, table: &str, dt: NaiveDate) -> Check {
    let number = format!(
        "count(*) - (SELECT coalesce(sum(rows_loaded), 0)::bigint FROM dwh.load_ledger \
         WHERE target = '{table}' AND dt = '{dt}' AND purged_at IS NULL)"
    );
    counted(name, table, dt, number)
}

/// A business key stands once in the fact table, in the day that the register of keys names.
fn unique(fact: &Fact, key: &str, keys: &str, dt: NaiveDate) -> Check {
    let (table, sk) = (fact.table, fact.surrogate);
    error(
        "business_key_unique",
        table,
        format!(
            "SELECT (SELECT count(*) - count(DISTINCT {key}) FROM {table} WHERE dt = '{dt}') + \
             (SELECT count(*) FROM {table} f LEFT JOIN {keys} k ON k.{key} = f.{key} AND k.{sk} = f.{sk} AND k.dt = f.dt \
             WHERE f.dt = '{dt}' AND k.{key} IS NULL)"
        ),
    )
}

/// What must hold of the values of positions that PostgreSQL keeps.
fn position_checks(dt: NaiveDate) -> Vec<Check> {
    let positions = Fact::VEHICLE_POSITION.table;
    vec![
        offending(
            "coordinates_in_range",
            positions,
            dt,
            "f.lat IS NULL OR f.lon IS NULL OR f.lat NOT BETWEEN -90 AND 90 OR f.lon NOT BETWEEN -180 AND 180 \
             OR (f.lat = 0 AND f.lon = 0)",
        ),
        offending("speed_in_range", positions, dt, "f.speed NOT BETWEEN 0 AND 200"),
        warned(offending(
            "dates_in_calendar",
            positions,
            dt,
            // PostgreSQL hashes the calendar for IN, and would look each row up for EXISTS.
            "(f.event_date_sk IN (SELECT d.date_sk FROM dwh.dim_date d)) IS NOT TRUE",
        )),
    ]
}

fn value_checks(dt: NaiveDate) -> Vec<Check> {
    vec![
        offending("trip_ends_after_it_starts", Fact::TRIP.table, dt, "f.end_ts < f.start_ts"),
        warned(offending(
            "payment_has_its_trip",
            Fact::PAYMENT.table,
            dt,
            "f.trip_id IS NOT NULL AND f.trip_sk IS NULL",
        )),
        warn(
            "mart_is_current",
            "dwh.mart_dirty",
            format!(
                "SELECT count(DISTINCT m.service_date) FROM dwh.mart_dirty m JOIN dwh.fact_service_date f \
                 ON f.service_date = m.service_date WHERE f.dt = '{dt}'"
            ),
        ),
    ]
}

/// What must hold of the mart for some service dates, as queries on the mart itself: (check, the warehouse's number).
///
/// The first query of each pair runs on ClickHouse, the second on PostgreSQL; they must give one number.
pub fn mart_checks(dates: &[NaiveDate]) -> Vec<(Check, String)> {
    if dates.is_empty() {
        return Vec::new();
    }
    let quoted: Vec<String> = dates.iter().map(|date| format!("'{date}'")).collect();
    let dates = quoted.join(", ");
    let mart = "mart_route_hourly";
    vec![
        (
            error(
                "mart_holds_its_rows",
                mart,
                format!("SELECT toInt64(count()) FROM {mart} WHERE service_date IN ({dates})"),
            ),
            format!("SELECT coalesce(sum(rows), 0)::bigint FROM dwh.mart_build WHERE service_date IN ({dates})"),
        ),
        (
            error(
                "mart_route_hour_unique",
                mart,
                format!(
                    "SELECT toInt64(count() - uniqExact(route_id, hour_bucket)) FROM {mart} WHERE service_date IN ({dates})"
                ),
            ),
            "SELECT 0::bigint".to_owned(),
        ),
    ]
}
