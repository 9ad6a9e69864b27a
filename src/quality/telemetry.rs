//! The checks of positions that ClickHouse keeps: of the warehouse what it knows of them, of ClickHouse what only the rows
//! can tell. They find the numbers that the checks of the fact table would find.

use chrono::NaiveDate;

use super::Check;
use super::check::{counted_over, error, warned};
use super::reports::report_checks_elsewhere;
use crate::model::Fact;

/// What the positions of a day refer to, as rows `f`.
pub(super) fn references(dt: NaiveDate) -> String {
    format!("dwh.telemetry_reference f WHERE f.dt = '{dt}'")
}

/// The positions of a day, by the ledger.
fn loaded(dt: NaiveDate) -> String {
    let table = Fact::VEHICLE_POSITION.table;
    format!(
        "SELECT coalesce(sum(rows_loaded), 0)::bigint FROM dwh.load_ledger WHERE target = '{table}' AND dt = '{dt}'"
    )
}

/// What the warehouse can tell: keys and dates.
pub(super) fn known_checks(dt: NaiveDate) -> Vec<Check> {
    let table = Fact::VEHICLE_POSITION.table;
    let sum = |condition: &str| format!("coalesce(sum(f.position_cnt) FILTER (WHERE {condition}), 0)::bigint");
    vec![
        // A position that no row of the registry stands for has no keys.
        counted_over(
            "keys_not_null",
            table,
            references(dt),
            format!("abs(({}) - {})", loaded(dt), sum("f.vehicle_sk IS NOT NULL AND f.route_sk IS NOT NULL")),
        ),
        warned(counted_over(
            "dates_in_calendar",
            table,
            references(dt),
            sum("(to_char(f.local_date, 'YYYYMMDD')::int IN (SELECT d.date_sk FROM dwh.dim_date d)) IS NOT TRUE"),
        )),
    ]
}

/// What must hold of the rows in ClickHouse, as queries on it: (check, the warehouse's number).
///
/// The first query of each pair runs on ClickHouse, the second on PostgreSQL; they must give one number.
pub fn telemetry_checks(dt: NaiveDate) -> Vec<(Check, String)> {
    let table = Fact::VEHICLE_POSITION.table;
    let of_day = |number: &str| format!("SELECT toInt64({number}) FROM vehicle_position WHERE dt = toDate('{dt}')");
    let none = || "SELECT 0::bigint".to_owned();
    let mut checks = vec![
        (error("facts_conserve_rows", table, of_day("count()")), loaded(dt)),
        (
            error(
                "coordinates_in_range",
                table,
                of_day(
                    "countIf(NOT (lat >= -90 AND lat <= 90 AND lon >= -180 AND lon <= 180) OR (lat = 0 AND lon = 0))",
                ),
            ),
            none(),
        ),
        (
            error(
                "speed_in_range",
                table,
                of_day("countIf(ifNull(speed, toFloat64(0)) < 0 OR ifNull(speed, toFloat64(0)) > 200)"),
            ),
            none(),
        ),
    ];
    checks.extend(report_checks_elsewhere(dt).map(|check| (check, none())));
    checks
}
