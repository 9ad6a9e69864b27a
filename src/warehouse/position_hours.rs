//! `dwh.agg_position_route_hourly`: the positions of a raw day by route and hour, kept so that the mart does not read
//! the positions again.
//!
//! The rows are added up while a day's positions are loaded and published with them. They name routes and vehicles by
//! business keys, which no late snapshot changes. How they were made is in `settings_fingerprint`; rows that are missing
//! or were made otherwise are an error of the build that needs them, never a gap in the mart.

use std::sync::Arc;

use arrow::array::{Date32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Field, Schema};
use chrono::NaiveDate;

use super::copied::{batch_of, copy_rows};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::load;
use crate::model::{Fact, FactKind, Zone};
use crate::postgres::{Session, get};
use crate::rollup::mart::POSITION_HOURS;

/// The table.
pub(super) const TABLE: &str = "dwh.agg_position_route_hourly";

/// Raised when a new version adds positions up in another way; its migration then makes all rows anew.
const VERSION: &str = "1";

/// Whether the mart is built from what a fact's rows add up to.
pub(super) const fn is_added_up(fact: FactKind) -> bool {
    match fact {
        FactKind::VehiclePosition => true,
        FactKind::Trip
        | FactKind::Payment
        | FactKind::ScheduledTrip
        | FactKind::ScheduledStopTime
        | FactKind::TripUpdate
        | FactKind::Alert => false,
    }
}

/// The settings that the rows depend on.
fn fingerprint(zone: Zone) -> String {
    load::fingerprint(&[VERSION, zone.0.name()])
}

/// Replaces the rows of one raw day, within the publication of its positions.
pub(super) async fn replace(
    session: &Session,
    zone: Zone,
    dt: NaiveDate,
    hours: &RecordBatch,
    cancel: &Cancel,
) -> Result<()> {
    session.execute(&format!("DELETE FROM {TABLE} WHERE dt = $1"), &[&dt]).await?;
    if hours.num_rows() == 0 {
        return Ok(());
    }
    let rows = rows_of(dt, hours, &fingerprint(zone))?;
    copy_rows(session, TABLE, rows, cancel).await
}

/// Rows of the table from those of [`crate::rollup::mart::PositionHours`].
fn rows_of(dt: NaiveDate, hours: &RecordBatch, fingerprint: &str) -> Result<RecordBatch> {
    let rows = hours.num_rows();
    let mut fields: Vec<Field> = hours.schema().fields().iter().map(|field| (**field).clone()).collect();
    let mut columns = hours.columns().to_vec();
    fields.push(Field::new("dt", DataType::Date32, false));
    columns.push(Arc::new(Date32Array::from_value(Date32Type::from_naive_date(dt), rows)));
    fields.push(Field::new("settings_fingerprint", DataType::Utf8, false));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(fingerprint, rows))));
    batch_of(&Arc::new(Schema::new(fields)), columns)
}

/// A query for the rows of some raw days within `[from, to)` (SQL instants), as partial results of the mart, in an order
/// of their own, so that floats add up to the same each time.
pub(super) fn sql(days: &str, from: &str, to: &str) -> String {
    format!(
        "SELECT {} FROM {TABLE} WHERE dt IN ({days}) AND hour_bucket >= {from} AND hour_bucket < {to} \
         ORDER BY dt, hour_bucket, route_id",
        POSITION_HOURS.join(", ")
    )
}

/// Makes sure that the rows of some raw days are there and stand for all their positions.
///
/// # Errors
/// `Data` when rows are missing, too many, or made under other settings.
pub(super) async fn check(session: &Session, zone: Zone, days: &[NaiveDate]) -> Result<()> {
    let sql = format!(
        "SELECT dt, l.positions, coalesce(h.positions, 0), coalesce(h.is_stale, false) FROM \
           (SELECT dt, sum(rows_loaded)::bigint AS positions FROM dwh.load_ledger \
            WHERE target = $1 AND dt = ANY ($2) GROUP BY dt) l LEFT JOIN \
           (SELECT dt, sum(position_cnt)::bigint AS positions, bool_or(settings_fingerprint <> $3) AS is_stale \
            FROM {TABLE} WHERE dt = ANY ($2) GROUP BY dt) h USING (dt) ORDER BY dt"
    );
    for row in session.rows(&sql, &[&Fact::VEHICLE_POSITION.table, &days, &fingerprint(zone)]).await? {
        let (dt, expected, found): (NaiveDate, i64, i64) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let wrong = if get::<bool>(&row, 3)? {
            "was made under other settings".to_owned()
        } else if found != expected {
            format!("stands for {found} positions, the ledger says {expected}")
        } else {
            continue;
        };
        return Err(Error::data(format!(
            "what {TABLE} holds of raw day {dt} {wrong}; take the day out (metropulse undo {dt}) and load it again"
        ))
        .with("table", TABLE)
        .with("dt", dt)
        .retryable(false));
    }
    Ok(())
}

/// Makes the rows of every loaded day from its positions, for a warehouse of an older version.
pub(super) async fn make_all(session: &Session, zone: Zone) -> Result<u64> {
    let fact = Fact::VEHICLE_POSITION.table;
    let sql = format!(
        "INSERT INTO {TABLE} (dt, route_id, hour_bucket, position_cnt, speed_sum, speed_cnt, vehicles, \
           settings_fingerprint) \
         SELECT g.dt, coalesce(r.route_id, ''), g.hour_bucket, sum(g.position_cnt)::bigint, sum(g.speed_sum), \
           sum(g.speed_cnt)::bigint, \
           coalesce(array_agg(DISTINCT v.vehicle_id) FILTER (WHERE v.vehicle_id IS NOT NULL), '{{}}'), $2 \
         FROM (SELECT f.dt, f.route_sk, f.vehicle_sk, \
                 f.event_ts - (l.at - date_trunc('hour', l.at)) AS hour_bucket, count(*) AS position_cnt, \
                 coalesce(sum(f.speed), 0) AS speed_sum, count(f.speed) AS speed_cnt \
               FROM {fact} f CROSS JOIN LATERAL (SELECT f.event_ts AT TIME ZONE $1 AS at) l GROUP BY 1, 2, 3, 4) g \
         LEFT JOIN dwh.dim_route r USING (route_sk) LEFT JOIN dwh.dim_vehicle v USING (vehicle_sk) GROUP BY 1, 2, 3"
    );
    session.execute(&sql, &[&zone.0.name(), &fingerprint(zone)]).await
}
