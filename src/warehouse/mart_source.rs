//! What the mart is built from: the facts of one service date, and which dates are dirty.
//!
//! Positions were added up by route and hour when they were loaded and are not read again; the server groups payments and
//! planned runs by route and hour, trips come one by one. Everything of one build is read in one snapshot, and the dirty marks
//! that the snapshot saw are the only ones that its end takes away.

use std::time::Duration;

use arrow::array::RecordBatch;
use chrono::{Days, NaiveDate};

use super::context::Warehouse;
use super::flavour;
use super::lock::Lock;
use super::position_hours::{self, is_added_up};
use crate::error::Result;
use crate::model::{Fact, FactKind, HOUR_MICROS, Zone};
use crate::postgres::{Session, get, read};

const QUARTER_MICROS: i64 = HOUR_MICROS / 4;
/// How long a session may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(30);

/// One service date to build, and the dirty marks it answers.
#[derive(Clone, Debug)]
pub struct Build {
    /// The service date.
    pub service_date: NaiveDate,
    /// The marks seen.
    pub marks: Vec<i64>,
}

/// One version of a route, for the names of its hours.
#[derive(Clone, Debug)]
pub struct RouteName {
    /// The business key.
    pub route_id: String,
    /// First instant, microseconds; `None` for an inferred member.
    pub valid_from_micros: Option<i64>,
    /// First instant after it.
    pub valid_to_micros: Option<i64>,
    /// The name.
    pub name: Option<String>,
    /// The type of transport.
    pub transport_type: Option<String>,
}

/// One build of the mart: a snapshot of the warehouse under the mart's lock.
pub struct MartSource {
    session: Session,
    zone: Zone,
    run_id: String,
}

/// Takes the mart's lock and a snapshot.
pub async fn mart_source(warehouse: &Warehouse) -> Result<MartSource> {
    let session = warehouse.locked(&[Lock::Mart]).await?;
    // Locks come before the snapshot. A swap is no row that a snapshot could hide: between two statements it would
    // take a day's old rows away and show new ones or none. What positions add up to are rows, which it does hide.
    let read = Fact::ALL.into_iter().filter(|fact| fact.kind.is_in_mart() && !is_added_up(fact.kind));
    let tables = read.map(|fact| fact.table).collect::<Vec<_>>().join(", ");
    session
        // The planner takes every event time for an hour of its own, and so workers for too dear.
        .run(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL parallel_tuple_cost = 0.001; \
             {}",
            flavour::hold_for_reading(&tables)
        ))
        .await?;
    Ok(MartSource { session, zone: warehouse.zone, run_id: warehouse.run_id.clone() })
}

impl MartSource {
    /// The dates that were built and are clean, with the rows that the mart had of them then.
    pub async fn built(&self) -> Result<Vec<(NaiveDate, u64)>> {
        let sql = "SELECT service_date, rows FROM dwh.mart_build b \
                   WHERE NOT EXISTS (SELECT FROM dwh.mart_dirty d WHERE d.service_date = b.service_date) ORDER BY 1";
        let rows = self.session.rows(sql, &[]).await?;
        rows.iter().map(|row| Ok((get(row, 0)?, get::<i64>(row, 1)?.unsigned_abs()))).collect()
    }

    /// The dates to build within the half-open range: dirty ones and `lost` ones, with `force` clean ones too.
    pub async fn builds(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        lost: &[NaiveDate],
        force: bool,
    ) -> Result<Vec<Build>> {
        let sql = "SELECT service_date, coalesce(array_agg(id) FILTER (WHERE id IS NOT NULL), '{}') FROM ( \
                     SELECT service_date, id FROM dwh.mart_dirty \
                     UNION ALL SELECT unnest($4::date[]), NULL \
                     UNION ALL SELECT service_date, NULL FROM dwh.mart_build WHERE $3 \
                     UNION ALL SELECT service_date, NULL FROM dwh.fact_service_date WHERE $3 AND target = ANY ($5)) d \
                   WHERE ($1::date IS NULL OR service_date >= $1) AND ($2::date IS NULL OR service_date < $2) \
                   GROUP BY 1 ORDER BY 1";
        let in_mart = Fact::ALL.iter().filter(|fact| fact.kind.is_in_mart());
        let in_mart: Vec<&str> = in_mart.map(|fact| fact.table).collect();
        let rows = self.session.rows(sql, &[&from, &to, &force, &lost, &in_mart]).await?;
        rows.iter().map(|row| Ok(Build { service_date: get(row, 0)?, marks: get(row, 1)? })).collect()
    }

    /// Every version of every route.
    pub async fn routes(&self) -> Result<Vec<RouteName>> {
        let sql = "SELECT route_id, (extract(epoch FROM valid_from) * 1000000)::bigint, \
                   (extract(epoch FROM valid_to) * 1000000)::bigint, name, transport_type \
                   FROM dwh.dim_route WHERE route_id IS NOT NULL";
        let rows = self.session.rows(sql, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(RouteName {
                    route_id: get(row, 0)?,
                    valid_from_micros: get(row, 1)?,
                    valid_to_micros: get(row, 2)?,
                    name: get(row, 3)?,
                    transport_type: get(row, 4)?,
                })
            })
            .collect()
    }

    /// Gives `sink` the facts of one service date, as partial results of [`crate::rollup::mart`]. Hours of neighbouring
    /// dates at its edges may be among them.
    ///
    /// Trips come one by one: with their rider and vehicle hardly two of them share a group.
    ///
    /// # Errors
    /// `Data` when the positions of a raw day are not added up, or were under other settings.
    pub async fn date(
        &self,
        service_date: NaiveDate,
        sink: &mut (dyn FnMut(FactKind, RecordBatch) -> Result<()> + Send),
    ) -> Result<()> {
        for fact in Fact::ALL.into_iter().filter(|fact| fact.kind.is_in_mart()) {
            let days = self.raw_days(&fact, service_date).await?;
            if !days.is_empty() {
                if is_added_up(fact.kind) {
                    position_hours::check(&self.session, self.zone, &days).await?;
                }
                let sql = self.sql(&fact, service_date, &days);
                read(&self.session, &sql, &mut |batch| sink(fact.kind, batch)).await?;
            }
        }
        Ok(())
    }

    async fn raw_days(&self, fact: &Fact, service_date: NaiveDate) -> Result<Vec<NaiveDate>> {
        let sql = "SELECT dt FROM dwh.fact_service_date WHERE target = $1 AND service_date = $2 ORDER BY dt";
        self.session.rows(sql, &[&fact.table, &service_date]).await?.iter().map(|row| get(row, 0)).collect()
    }

    fn sql(&self, fact: &Fact, service_date: NaiveDate, days: &[NaiveDate]) -> String {
        // An hour more on either side: a zone may jump across midnight. The rollup keeps the date's own hours.
        let from = self.zone.day_start_micros(service_date) - HOUR_MICROS;
        let to = self.zone.day_start_micros(service_date + Days::new(1)) + HOUR_MICROS;
        let time = fact.time_sql("f", self.zone.0.name());
        let days = days.iter().map(|day| format!("'{day}'")).collect::<Vec<_>>().join(", ");
        let filter = format!("f.dt IN ({days}) AND {time} >= {} AND {time} < {}", instant(from), instant(to));
        let bucket = hour_sql(self.zone, &time, from, to);
        let route = "coalesce(r.route_id, '') AS route_id";
        match fact.kind {
            FactKind::Trip => format!(
                "SELECT {route}, {bucket} AS hour_bucket, u.user_id, v.vehicle_id, 1::bigint AS trip_cnt, \
                   coalesce(f.fare_amount, 0)::numeric(38,2) AS fare_sum, {fare_cnt} AS fare_cnt, \
                   coalesce(f.duration_sec, 0) AS duration_sum_sec, {duration_cnt} AS duration_cnt, \
                   coalesce(f.distance_m, 0) AS distance_sum_m, {distance_cnt} AS distance_cnt \
                 FROM dwh.fact_trip f LEFT JOIN dwh.dim_route r USING (route_sk) \
                   LEFT JOIN dwh.dim_user u USING (user_sk) LEFT JOIN dwh.dim_vehicle v USING (vehicle_sk) \
                 WHERE {filter}",
                fare_cnt = one_if_known("fare_amount"),
                duration_cnt = one_if_known("duration_sec"),
                distance_cnt = one_if_known("distance_m"),
            ),
            FactKind::Payment => format!(
                "SELECT {route}, hour_bucket, payment_cnt, amount_sum, amount_cnt \
                 FROM (SELECT f.route_sk, {bucket} AS hour_bucket, count(*) AS payment_cnt, \
                   coalesce(sum(f.amount), 0)::numeric(38,2) AS amount_sum, count(f.amount) AS amount_cnt \
                   FROM dwh.fact_payment f WHERE {filter} GROUP BY 1, 2) g LEFT JOIN dwh.dim_route r USING (route_sk)"
            ),
            FactKind::VehiclePosition => position_hours::sql(&days, &instant(from), &instant(to)),
            FactKind::ScheduledTrip => format!(
                "SELECT {route}, hour_bucket, scheduled_trip_cnt \
                 FROM (SELECT f.route_sk, {bucket} AS hour_bucket, count(*) AS scheduled_trip_cnt \
                   FROM dwh.fact_scheduled_trip f WHERE {filter} GROUP BY 1, 2) g \
                 LEFT JOIN dwh.dim_route r USING (route_sk)"
            ),
            // The mart counts nothing of them: no row.
            FactKind::ScheduledStopTime | FactKind::TripUpdate | FactKind::Alert => {
                format!("SELECT FROM {} WHERE false", fact.table)
            }
        }
    }

    /// Whether the session is still there, and with it the lock.
    pub async fn holds_lock(&self) -> bool {
        let answer = tokio::time::timeout(ANSWER, self.session.run("SELECT"));
        answer.await.is_ok_and(|answer| answer.is_ok())
    }

    /// Ends the snapshot; the lock stays. Call before [`Self::record`].
    pub async fn end_snapshot(&self) -> Result<()> {
        self.session.run("COMMIT").await
    }

    /// Records that the mart holds a date as the snapshot saw it; marks made since then stay.
    pub async fn record(&self, build: &Build, rows: u64) -> Result<()> {
        let (marks, date) = (&build.marks, &build.service_date);
        if rows == 0 {
            let sql = "WITH gone AS (DELETE FROM dwh.mart_dirty WHERE id = ANY ($1)) \
                       DELETE FROM dwh.mart_build WHERE service_date = $2";
            self.session.execute(sql, &[marks, date]).await?;
            return Ok(());
        }
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let sql = "WITH gone AS (DELETE FROM dwh.mart_dirty WHERE id = ANY ($1)) \
                   INSERT INTO dwh.mart_build (service_date, rows, run_id) VALUES ($2, $3, $4) \
                   ON CONFLICT (service_date) DO UPDATE \
                   SET rows = excluded.rows, run_id = excluded.run_id, built_at = now()";
        self.session.execute(sql, &[marks, date, &rows, &self.run_id]).await?;
        Ok(())
    }
}

fn one_if_known(column: &str) -> String {
    format!("(f.{column} IS NOT NULL)::int::bigint")
}

fn instant(micros: i64) -> String {
    format!("('epoch'::timestamptz + {micros} * interval '1 microsecond')")
}

/// The start of the local clock hour that holds `time`, for times in `[from, to)`.
///
/// The session's zone is UTC, so `date_trunc` cuts at UTC hours; a zone whose offset is not a whole number of hours
/// is shifted first, and where the offset changes on the way each stretch has its own shift.
fn hour_sql(zone: Zone, time: &str, from: i64, to: i64) -> String {
    let shift = |at: i64| zone.offset_seconds(at).rem_euclid(3600);
    let cut = |seconds: i32| match seconds {
        0 => format!("date_trunc('hour', {time})"),
        _ => format!("date_trunc('hour', {time} + interval '{seconds} s') - interval '{seconds} s'"),
    };
    let first = from - from.rem_euclid(QUARTER_MICROS);
    let mut whens = String::new();
    let mut current = shift(first);
    let quarters = (to - first) / QUARTER_MICROS;
    for at in (1..=quarters).map(|n| first + n * QUARTER_MICROS) {
        if shift(at) != current {
            whens.push_str(&format!(" WHEN {time} < {} THEN {}", instant(at), cut(current)));
            current = shift(at);
        }
    }
    if whens.is_empty() { cut(current) } else { format!("CASE{whens} ELSE {} END", cut(current)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        crate::model::epoch_micros(text.parse().unwrap())
    }

    #[test]
    fn whole_hour_zones_need_no_shift() {
        let zone = Zone("America/Chicago".parse().unwrap());
        let sql = hour_sql(zone, "t", micros("2016-11-06T05:00:00Z"), micros("2016-11-07T07:00:00Z"));
        assert_eq!(sql, "date_trunc('hour', t)");
    }

    #[test]
    fn a_half_hour_change_makes_two_stretches() {
        // Lord Howe goes from +11:00 to +10:30 on 2024-04-06T15:00Z.
        let zone = Zone("Australia/Lord_Howe".parse().unwrap());
        let (from, to) = (micros("2024-04-06T12:00:00Z"), micros("2024-04-07T14:30:00Z"));
        let sql = hour_sql(zone, "t", from, to);
        let change = micros("2024-04-06T15:00:00Z");
        assert!(sql.starts_with("CASE WHEN t < ") && sql.contains(&change.to_string()), "{sql}");
        assert!(sql.contains("THEN date_trunc('hour', t) ELSE") && sql.contains("1800 s"), "{sql}");
    }
}
