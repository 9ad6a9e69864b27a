//! Whether what was seen on a day fits the schedule of that day, in percent.
//!
//! Every agency has a few vehicles that report a wrong trip and a few runs without a working device, so a few percent pass.
//! A day without a schedule, or without reports that name trips, has nothing to compare.

use chrono::NaiveDate;

use super::Check;
use super::checks::{counted, few, few_of, percent};
use crate::model::Fact;

/// The share of reports and runs of one raw day that do not fit its schedule.
pub(super) fn schedule_checks(dt: NaiveDate) -> Vec<Check> {
    let of_day = |table: &str| format!("{table} s WHERE s.dt = '{dt}'");
    let (runs, calls) = (of_day(Fact::SCHEDULED_TRIP.table), of_day(Fact::SCHEDULED_STOP_TIME.table));
    let stops = format!("dwh.dim_stop m WHERE m.stop_sk IN (SELECT s.stop_sk FROM {calls})");
    let positions = |name, known: &str, column: &str, planned: String, from: &str| {
        // PostgreSQL hashes what is planned for IN, and looks for it only where a report says something.
        let strange = format!("{known} AND (f.{column} IN (SELECT {planned})) IS NOT TRUE");
        let share = percent(&format!("count(*) FILTER (WHERE {strange})"), &format!("count(*) FILTER (WHERE {known})"));
        few(counted(
            name,
            Fact::VEHICLE_POSITION.table,
            dt,
            format!("CASE WHEN EXISTS (SELECT FROM {from}) THEN {share} ELSE 0 END"),
        ))
    };
    vec![
        positions(
            "positions_name_planned_runs",
            "f.trip_id IS NOT NULL",
            "trip_id",
            format!("s.trip_id FROM {runs}"),
            &runs,
        ),
        positions(
            "positions_name_planned_routes",
            "f.route_sk <> 0",
            "route_sk",
            format!("s.route_sk FROM {runs}"),
            &runs,
        ),
        positions(
            "positions_name_planned_stops",
            "f.stop_id IS NOT NULL",
            "stop_id",
            format!("m.stop_id FROM {stops}"),
            &calls,
        ),
        runs_seen(dt),
    ]
}

/// Planned runs that no report names. Runs that only promise a headway and cancelled ones are not looked for.
fn runs_seen(dt: NaiveDate) -> Check {
    let (runs, positions, updates) =
        (Fact::SCHEDULED_TRIP.table, Fact::VEHICLE_POSITION.table, Fact::TRIP_UPDATE.table);
    let unseen = format!(
        "count(*) FILTER (WHERE NOT EXISTS (SELECT FROM {positions} p WHERE p.dt = f.dt AND p.trip_id = f.trip_id))"
    );
    let sql = format!(
        "SELECT CASE WHEN count(*) = 0 THEN 0 \
           WHEN EXISTS (SELECT FROM {positions} p WHERE p.dt = '{dt}' AND p.trip_id IS NOT NULL) THEN {} ELSE 0 END \
         FROM {runs} f WHERE f.dt = '{dt}' AND f.exact_times IS NOT FALSE AND NOT EXISTS (SELECT FROM {updates} u \
           WHERE u.dt = f.dt AND u.trip_id = f.trip_id AND u.schedule_relationship = 'CANCELED')",
        percent(&unseen, "count(*)")
    );
    few_of("planned_runs_are_seen", runs, sql)
}
