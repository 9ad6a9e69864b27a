//! Whether what was seen on a day fits the schedule of that day, in percent.
//!
//! Every agency has a few vehicles that report a wrong trip and a few runs without a working device, so a few percent pass.
//! A day without a schedule, or without reports that name trips, has nothing to compare.

use chrono::NaiveDate;

use super::Check;
use super::check::{counted_over, few, few_of, percent};
use super::telemetry::references;
use crate::model::{Fact, Positions};

/// Rows `f` that stand for reports of one raw day.
struct Naming {
    /// What follows `FROM`.
    rows: String,
    /// What a report names.
    column: &'static str,
    /// Whether it names anything.
    known: &'static str,
    /// How many reports some rows are.
    count: &'static str,
}

impl Naming {
    fn number(&self, condition: &str) -> String {
        format!("coalesce({} FILTER (WHERE {condition}), 0)", self.count)
    }
}

/// The reports of a day, by what they may name of the schedule.
pub(super) struct Reports {
    trips: Naming,
    routes: Naming,
    stops: Naming,
}

impl Reports {
    /// Positions where they are kept: as rows of a fact, or counted when they were loaded.
    pub(super) fn of(positions: Positions, dt: NaiveDate) -> Self {
        let fact = || format!("{} f WHERE f.dt = '{dt}'", Fact::VEHICLE_POSITION.table);
        let mentions =
            |column: &str| format!("dwh.telemetry_mention f WHERE f.dt = '{dt}' AND f.column_name = '{column}'");
        let each = |rows, column, known| Naming { rows, column, known, count: "count(*)" };
        let many = |rows, column, known| Naming { rows, column, known, count: "sum(f.position_cnt)" };
        match positions {
            Positions::Warehouse => Self {
                trips: each(fact(), "f.trip_id", "f.trip_id IS NOT NULL"),
                routes: each(fact(), "f.route_sk", "f.route_sk <> 0"),
                stops: each(fact(), "f.stop_id", "f.stop_id IS NOT NULL"),
            },
            Positions::Telemetry => Self {
                trips: many(mentions("trip_id"), "f.value", "true"),
                routes: many(references(dt), "f.route_sk", "f.route_sk <> 0"),
                stops: many(mentions("stop_id"), "f.value", "true"),
            },
        }
    }
}

/// The share of reports and runs of one raw day that do not fit its schedule.
pub(super) fn schedule_checks(dt: NaiveDate, reports: &Reports) -> Vec<Check> {
    let of_day = |table: &str| format!("{table} s WHERE s.dt = '{dt}'");
    let (runs, calls) = (of_day(Fact::SCHEDULED_TRIP.table), of_day(Fact::SCHEDULED_STOP_TIME.table));
    let stops = format!("dwh.dim_stop m WHERE m.stop_sk IN (SELECT s.stop_sk FROM {calls})");
    let positions = |name, naming: &Naming, planned: String, from: &str| {
        let Naming { column, known, .. } = naming;
        // PostgreSQL hashes what is planned for IN, and looks for it only where a report says something.
        let strange = format!("{known} AND ({column} IN (SELECT {planned})) IS NOT TRUE");
        let share = percent(&naming.number(&strange), &naming.number(known));
        few(counted_over(
            name,
            Fact::VEHICLE_POSITION.table,
            naming.rows.clone(),
            format!("CASE WHEN EXISTS (SELECT FROM {from}) THEN {share} ELSE 0 END"),
        ))
    };
    vec![
        positions("positions_name_planned_runs", &reports.trips, format!("s.trip_id FROM {runs}"), &runs),
        positions("positions_name_planned_routes", &reports.routes, format!("s.route_sk FROM {runs}"), &runs),
        positions("positions_name_planned_stops", &reports.stops, format!("m.stop_id FROM {stops}"), &calls),
        runs_seen(dt, &reports.trips),
    ]
}

/// Planned runs that no report names. Runs that only promise a headway and cancelled ones are not looked for.
///
/// A run is known by its trip and start time. What names a trip alone, as every position does, names the trip's only run; of
/// a trip with several it does not tell which, so that these are looked for only if a performed trip names one of them.
fn runs_seen(dt: NaiveDate, positions: &Naming) -> Check {
    let (runs, trips, updates) = (Fact::SCHEDULED_TRIP.table, Fact::TRIP.table, Fact::TRIP_UPDATE.table);
    let Naming { rows, column, known, .. } = positions;
    let naming = |what: &str| {
        format!(
            "SELECT n.trip_id, coalesce(n.start_time, o.start_time) AS start_time \
             FROM ({what}) n LEFT JOIN only_run o ON o.trip_id = n.trip_id"
        )
    };
    let named = naming(&format!(
        "SELECT DISTINCT {column} AS trip_id, NULL AS start_time FROM {rows} AND {known} \
         UNION SELECT f.scheduled_trip_id, f.scheduled_start_time FROM {trips} f \
         WHERE f.dt = '{dt}' AND f.scheduled_trip_id IS NOT NULL"
    ));
    let cancelled = naming(&format!(
        "SELECT f.trip_id, f.start_time FROM {updates} f WHERE f.dt = '{dt}' AND f.schedule_relationship = 'CANCELED'"
    ));
    let sql = format!(
        "WITH run AS (SELECT s.trip_id, s.start_time, s.exact_times FROM {runs} s WHERE s.dt = '{dt}'), \
         only_run AS (SELECT trip_id, min(start_time) AS start_time FROM run GROUP BY trip_id HAVING count(*) = 1), \
         named AS MATERIALIZED (SELECT DISTINCT * FROM ({named}) n), cancelled AS ({cancelled}), \
         untold AS (SELECT trip_id FROM named GROUP BY trip_id HAVING count(start_time) = 0) \
         SELECT CASE WHEN EXISTS (SELECT FROM named) THEN {} ELSE 0 END \
         FROM run r LEFT JOIN named n ON n.trip_id = r.trip_id AND n.start_time = r.start_time \
         WHERE r.exact_times IS NOT FALSE \
           AND NOT EXISTS (SELECT FROM cancelled c WHERE c.trip_id = r.trip_id AND c.start_time = r.start_time) \
           AND NOT EXISTS (SELECT FROM untold u WHERE u.trip_id = r.trip_id)",
        percent("count(*) FILTER (WHERE n.trip_id IS NULL)", "count(*)")
    );
    few_of("planned_runs_are_seen", runs, sql)
}
