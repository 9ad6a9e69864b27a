//! How vehicles report: how often, how fresh, and whether they are where their run leads. All in percent of a day.
//!
//! A few vehicles with a bad clock, a bad receiver or a detour are in every fleet, so a few percent pass.

use chrono::NaiveDate;

use super::check::{counted, few, few_of, percent};
use super::{Brought, Check};
use crate::model::{Dimension, EARTH_RADIUS_M, Fact};

/// Reports that a vehicle under way makes in a minute, at least and at most.
const REPORTS_PER_MINUTE: (u32, u32) = (1, 60);
/// How old a report may be when it is received: what the best practices of GTFS-Realtime allow.
const OLDEST_SECONDS: u32 = 90;
/// How far a vehicle's clock may run ahead of who receives its report.
const AHEAD_SECONDS: u32 = 300;
/// How far from the shape of its run a vehicle may be.
const FARTHEST_M: u32 = 100;
/// Positions of a day that are measured against shapes, about: each is held against all points of its shape.
const MEASURED: u32 = 200_000;

/// The share of hours and positions of one raw day with something odd about their reports.
pub(super) fn report_checks(dt: NaiveDate) -> [Check; 3] {
    let positions = Fact::VEHICLE_POSITION.table;
    // Of all the positions of a large day a part is measured that does not depend on their order.
    let part = format!(
        "SELECT 65536.0 * {MEASURED} / greatest(sum(rows_loaded), 1) FROM dwh.load_ledger \
         WHERE target = '{positions}' AND dt = '{dt}'"
    );
    let measured = format!("f.dt = '{dt}' AND (hashint8(f.position_sk) & 65535) < ({part})");
    [rate(dt), age(dt), way(dt, positions, &measured)]
}

/// The same of positions that ClickHouse keeps, as far as it can tell by itself: queries on it.
pub(super) fn report_checks_elsewhere(dt: NaiveDate) -> [Check; 2] {
    let (table, (least, most)) = (Fact::VEHICLE_POSITION.table, REPORTS_PER_MINUTE);
    let share = |odd: String| format!("SELECT toInt64(ceil(100.0 * countIf({odd}) / greatest(count(), 1)))");
    let rate = format!(
        "{} FROM (SELECT 60000000 * (toInt64(count()) - 1) AS reports, \
           greatest(max(event_us) - min(event_us), toInt64(1000000)) AS span FROM vehicle_position \
         WHERE dt = toDate('{dt}') GROUP BY vehicle_id, intDiv(event_us, 3600000000) HAVING count() > 1)",
        share(format!("reports < span * {least} OR reports > span * {most}")),
    );
    let received = "coalesce(received_us, provider_us)";
    let age = format!(
        "{} FROM (SELECT assumeNotNull({received}) - event_us AS age FROM vehicle_position \
         WHERE dt = toDate('{dt}') AND isNotNull({received}))",
        share(format!("age < -{AHEAD_SECONDS}000000 OR age > {OLDEST_SECONDS}000000")),
    );
    [few_of("vehicles_report_each_minute", table, rate), few_of("positions_are_fresh", table, age)]
}

/// Whether positions that ClickHouse keeps are near the shapes that PostgreSQL has.
pub fn way_check(dt: NaiveDate) -> Brought {
    let of_day = format!("FROM vehicle_position WHERE dt = toDate('{dt}')");
    // As in the fact table a part of a large day, chosen by what a position is.
    let part = format!("65536.0 * {MEASURED} / greatest((SELECT count() {of_day}), 1)");
    Brought {
        check: way(
            dt,
            "(SELECT m.position_sk, m.trip_id, 'epoch'::timestamptz + m.event_us * interval '1 microsecond' AS event_ts, \
             m.lat, m.lon FROM pg_temp.measured_position m)",
            "true",
        ),
        rows: format!(
            "SELECT assumeNotNull(trip_id) AS trip_id, event_us, lat, lon {of_day} AND isNotNull(trip_id) \
             AND bitAnd(cityHash64(vehicle_id, event_us), 65535) < {part}"
        ),
        table: "pg_temp.measured_position",
        create: "CREATE TEMP TABLE measured_position (position_sk bigint GENERATED ALWAYS AS IDENTITY, \
                 trip_id text NOT NULL, event_us bigint NOT NULL, lat float8 NOT NULL, lon float8 NOT NULL) ON COMMIT DROP",
    }
}

/// Hours of vehicles in which they report too rarely or too often, between their first and last report of the hour.
fn rate(dt: NaiveDate) -> Check {
    let (table, (least, most)) = (Fact::VEHICLE_POSITION.table, REPORTS_PER_MINUTE);
    let odd = percent(
        &format!("count(*) FILTER (WHERE 60 * h.reports NOT BETWEEN h.seconds * {least} AND h.seconds * {most})"),
        "count(*)",
    );
    // Reports of one instant are spread over a second.
    let sql = format!(
        "SELECT {odd} FROM (SELECT count(*) - 1 AS reports, \
           greatest(extract(epoch FROM max(f.event_ts) - min(f.event_ts)), 1) AS seconds FROM {table} f \
         WHERE f.dt = '{dt}' AND f.vehicle_sk <> 0 GROUP BY f.vehicle_sk, date_trunc('hour', f.event_ts) HAVING count(*) > 1) h"
    );
    few_of("vehicles_report_each_minute", table, sql)
}

/// Positions that were old when they were received, or told before they happened.
fn age(dt: NaiveDate) -> Check {
    let received = "coalesce(f.received_at, f.provider_ts)";
    let odd =
        format!("{received} - f.event_ts NOT BETWEEN interval '-{AHEAD_SECONDS} s' AND interval '{OLDEST_SECONDS} s'");
    let share =
        percent(&format!("count(*) FILTER (WHERE {odd})"), &format!("count(*) FILTER (WHERE {received} IS NOT NULL)"));
    few(counted("positions_are_fresh", Fact::VEHICLE_POSITION.table, dt, share))
}

/// Positions `f` (`rows`, those that are `measured`) far from the shape of the run that they name, as the shape was at their
/// time.
///
/// Shapes and positions are laid on Mercator's map, where PostgreSQL's own types measure; on it a metre is as long as at the
/// equator, so what is measured is brought to the length that it has at the position's latitude.
fn way(dt: NaiveDate, rows: &str, measured: &str) -> Check {
    let (runs, shapes) = (Fact::SCHEDULED_TRIP.table, Dimension::SHAPE.table);
    let share = percent("count(*) FILTER (WHERE NOT m.is_near)", "count(*)");
    let sql = format!(
        "WITH planned AS MATERIALIZED (SELECT DISTINCT r.trip_id, s.shape_id FROM {runs} r \
           JOIN {shapes} s ON s.shape_sk = r.shape_sk WHERE r.dt = '{dt}' AND s.shape_id IS NOT NULL), \
         versions AS (SELECT s.shape_sk, s.shape_id, s.points, \
             CASE WHEN row_number() OVER w = 1 THEN '-infinity' ELSE s.valid_from END AS begins, \
             coalesce(lead(s.valid_from) OVER w, 'infinity') AS ends \
           FROM {shapes} s WHERE s.shape_id IN (SELECT shape_id FROM planned) \
           WINDOW w AS (PARTITION BY s.shape_id ORDER BY s.valid_from NULLS FIRST)), \
         paths AS MATERIALIZED (SELECT v.shape_id, v.begins, v.ends, \
             ('[' || string_agg({}::text, ',' ORDER BY e.place) || ']')::path AS path \
           FROM versions v \
           CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(v.points) WHEN 'array' THEN v.points ELSE '[]' END) \
             WITH ORDINALITY AS e (point, place) \
           CROSS JOIN LATERAL (SELECT {} AS lat, {} AS lon) n \
           WHERE n.lat BETWEEN -89 AND 89 AND n.lon BETWEEN -180 AND 180 \
           GROUP BY v.shape_sk, v.shape_id, v.begins, v.ends HAVING count(*) > 1), \
         measured AS (SELECT bool_or(({} <-> p.path) * cos(radians(f.lat)) <= {FARTHEST_M}) AS is_near \
           FROM {rows} f JOIN planned t ON t.trip_id = f.trip_id \
           JOIN paths p ON p.shape_id = t.shape_id AND p.begins <= f.event_ts AND f.event_ts < p.ends \
           WHERE f.lat BETWEEN -89 AND 89 AND f.lon BETWEEN -180 AND 180 AND {measured} \
           GROUP BY f.position_sk) \
         SELECT {share} FROM measured m",
        on_map("n.lat::float8", "n.lon::float8"),
        number("e.point -> 0"),
        number("e.point -> 1"),
        on_map("f.lat", "f.lon"),
    );
    few_of("positions_keep_to_their_shape", Fact::VEHICLE_POSITION.table, sql)
}

/// A place as a point of Mercator's map, in metres of the equator.
fn on_map(lat: &str, lon: &str) -> String {
    format!("point({EARTH_RADIUS_M} * radians({lon}), {EARTH_RADIUS_M} * asinh(tan(radians({lat}))))")
}

/// A number of JSON; nothing for anything else, which nobody checked.
fn number(json: &str) -> String {
    format!("CASE jsonb_typeof({json}) WHEN 'number' THEN ({json})::numeric END")
}
