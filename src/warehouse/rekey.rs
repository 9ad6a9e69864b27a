//! Facts follow the history: a changed as-of answer changes the fact's key, and renamed hours make the mart dirty.
//!
//! Both read two temporary tables of the publication: `changed` (key, from_ts, to_ts: stretches of event time) and
//! `retired` (key, sk: rows that are gone, whose facts must move).

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::members::as_of_sql;
use super::position_hours::{self, is_added_up};
use super::telemetry;
use crate::error::Result;
use crate::model::{Fact, Member};
use crate::postgres::history::Op;
use crate::postgres::history::sheet::{AFFECTED, SHEET};
use crate::postgres::{Session, get};

/// Makes the two tables out of the sheet of a dimension's load.
pub(super) async fn note_changes(session: &Session) -> Result<()> {
    let from = format!("FROM {SHEET} s JOIN {AFFECTED} a USING (kid) WHERE s.op =");
    session
        .run(&format!(
            "CREATE TEMP TABLE retired ON COMMIT DROP AS SELECT a.k0 AS key, s.id AS sk {from} {delete}; \
             CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT a.k0 AS key, \
               coalesce(s.at_from, '-infinity') AS from_ts, coalesce(s.at_to, 'infinity') AS to_ts {from} {changed}; \
             ANALYZE pg_temp.changed",
            delete = Op::Delete as i16,
            changed = Op::Changed as i16,
        ))
        .await
}

/// A table whose rows `f` refer to members as of their time.
struct Referring<'a> {
    table: &'a str,
    key: &'a str,
    column: &'a str,
    time: String,
}

impl Referring<'_> {
    /// An UPDATE of the rows whose as-of answer changed, but for those of a day that is `leaving`.
    fn update_sql(&self, member: Member, leaving: Option<NaiveDate>) -> String {
        let Self { table, key: id, column, time } = self;
        let staying = leaving.map_or_else(String::new, |dt| format!(" AND f.dt <> '{dt}'"));
        format!(
            "WITH held AS ( \
               SELECT m.{key} AS key, m.{msk} AS sk FROM {dimension} m \
                 WHERE m.{key} IN (SELECT c.key FROM pg_temp.changed c) \
               UNION ALL SELECT r.key, r.sk FROM pg_temp.retired r), \
             answer AS ( \
               SELECT f.{id} AS id, f.dt, {as_of} AS wanted \
               FROM pg_temp.changed c JOIN held h ON h.key = c.key \
               JOIN {table} f ON f.{column} = h.sk AND {time} >= c.from_ts AND {time} < c.to_ts{staying}) \
             UPDATE {table} f SET {column} = a.wanted FROM answer a \
             WHERE f.{id} = a.id AND f.dt = a.dt AND f.{column} <> a.wanted",
            key = member.key(),
            msk = member.surrogate(),
            dimension = member.table(),
            as_of = as_of_sql(member, "c.key", time),
        )
    }
}

/// Moves every fact whose as-of answer changed, but for those of a day that is `leaving`; rows moved by fact table.
pub(super) async fn rekey(
    session: &Session,
    member: Member,
    zone: &str,
    leaving: Option<NaiveDate>,
) -> Result<BTreeMap<&'static str, u64>> {
    let mut moved = BTreeMap::new();
    for fact in Fact::ALL {
        for reference in fact.references.iter().filter(|r| r.member == member) {
            let (table, key, column) = (fact.table, fact.surrogate, reference.surrogate);
            let rows = Referring { table, key, column, time: fact.time_sql("f", zone) };
            *moved.entry(table).or_default() += session.execute(&rows.update_sql(member, leaving), &[]).await?;
        }
    }
    if let Some(column) = telemetry::reference_to(member) {
        let (table, key, time) =
            (telemetry::REFERENCES, telemetry::REFERENCE_KEY, telemetry::REFERENCE_TIME.to_owned());
        let rows = Referring { table, key, column, time };
        let sql = format!("{} RETURNING f.position_cnt", rows.update_sql(member, leaving));
        for row in session.rows(&sql, &[]).await? {
            *moved.entry(telemetry::FACT.table).or_default() += get::<i64>(&row, 0)?.unsigned_abs();
        }
    }
    Ok(moved)
}

/// Marks the service dates whose rows show a changed route; call when the facts are re-keyed.
///
/// An hour's name is that of its start, so a change an hour away may still show. Positions are looked at by hour.
pub(super) async fn dirty_routes(session: &Session, zone: &str, reason: &str, run_id: &str) -> Result<u64> {
    let near = |time: &str| format!("{time} >= c.from_ts - interval '1 hour' AND {time} < c.to_ts + interval '1 hour'");
    let selects: Vec<String> = Fact::ALL
        .iter()
        .filter(|fact| fact.kind.is_in_mart())
        .map(|fact| {
            let (rows, time) = if is_added_up(fact.kind) {
                (format!("{} f ON f.route_id = c.key", position_hours::TABLE), "f.hour_bucket".to_owned())
            } else {
                let rows =
                    format!("dwh.dim_route m ON m.route_id = c.key JOIN {} f ON f.route_sk = m.route_sk", fact.table);
                (rows, fact.time_sql("f", zone))
            };
            format!(
                "SELECT DISTINCT ({time} AT TIME ZONE $1)::date AS service_date FROM pg_temp.changed c JOIN {rows} AND {}",
                near(&time)
            )
        })
        .collect();
    let sql = format!(
        "WITH dirty AS ({}) INSERT INTO dwh.mart_dirty (service_date, reason, run_id) \
         SELECT service_date, $2, $3 FROM dirty ORDER BY 1",
        selects.join(" UNION ")
    );
    session.execute(&sql, &[&zone, &reason, &run_id]).await
}

/// Which of the affected keys `$1` a fact refers to, by any of their rows.
pub(super) fn referenced_sql(member: Member) -> String {
    let registry = telemetry::reference_to(member).map(|column| {
        format!("EXISTS (SELECT FROM {} f WHERE f.{column} = m.{})", telemetry::REFERENCES, member.surrogate())
    });
    let tests: Vec<String> = Fact::ALL
        .iter()
        .flat_map(|fact| fact.references.iter().map(move |reference| (fact, reference)))
        .filter(|(_, reference)| reference.member == member)
        .map(|(fact, reference)| {
            format!("EXISTS (SELECT FROM {} f WHERE f.{} = m.{})", fact.table, reference.surrogate, member.surrogate())
        })
        .chain(registry)
        .collect();
    format!(
        "SELECT DISTINCT a.kid FROM {AFFECTED} a JOIN {table} m ON m.{key} = a.k0 WHERE a.kid = ANY ($1) AND ({})",
        tests.join(" OR "),
        key = member.key(),
        table = member.table()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::get;
    use crate::warehouse::live::{in_warehouse, partition, report, texts};

    const POSITIONS: &str = "dwh.fact_vehicle_position";
    const KEYS: &str = "SELECT position_sk || ':' || route_sk FROM dwh.fact_vehicle_position ORDER BY position_sk";

    /// Route A has a version from midnight to noon and one from then on, route B has one.
    async fn world(session: &Session) {
        session
            .run(
                "BEGIN; SET CONSTRAINTS ALL DEFERRED; \
                 INSERT INTO dwh.dim_route (route_sk, route_id, valid_from, valid_to) VALUES \
                   (11, 'A', '2024-05-01 00:00Z', '2024-05-01 12:00Z'), (12, 'A', '2024-05-01 12:00Z', NULL), \
                   (21, 'B', '2024-05-01 00:00Z', NULL)",
            )
            .await
            .unwrap();
        partition(session, POSITIONS, "2024-05-01").await;
        let reports = "(1, '2024-05-01 09:59:59Z', 0, 11), (2, '2024-05-01 10:00Z', 0, 11), \
                       (3, '2024-05-01 12:00Z', 0, 12), (4, '2024-05-01 11:00Z', 0, 21)";
        report(session, POSITIONS, reports).await;
    }

    /// What a load of the dimension asked for: rows of the sheet (op, key, id, from, to), of keys that are numbered from 1.
    async fn asked(session: &Session, keys: &str, rows: &str) {
        let sql = format!(
            "CREATE TEMP TABLE history_sheet ON COMMIT DROP AS SELECT op::smallint, kid::integer, id::bigint, \
               at_from::timestamptz, at_to::timestamptz FROM (VALUES {rows}) AS sheet (op, kid, id, at_from, at_to); \
             CREATE TEMP TABLE history_affected ON COMMIT DROP AS SELECT kid::integer, k0 \
               FROM unnest('{{{keys}}}'::text[]) WITH ORDINALITY AS affected (k0, kid)"
        );
        session.run(&sql).await.unwrap();
    }

    #[tokio::test]
    async fn facts_move_to_the_version_that_answers_for_their_time_now_and_others_stay() {
        in_warehouse("rekey", async |_, session| {
            world(session).await;
            session
                .run(
                    "UPDATE dwh.dim_route SET valid_to = '2024-05-01 10:00Z' WHERE route_sk = 11; \
                     UPDATE dwh.dim_route SET valid_from = '2024-05-01 10:00Z' WHERE route_sk = 12",
                )
                .await
                .unwrap();
            asked(session, "A", "(10, 1, NULL, '2024-05-01 10:00Z', '2024-05-01 12:00Z')").await;
            note_changes(session).await.unwrap();
            let moved = rekey(session, Member::Route, "UTC", None).await.unwrap();
            assert_eq!(texts(session, KEYS).await, ["1:11", "2:12", "3:12", "4:21"]);
            assert_eq!((moved[POSITIONS], moved.values().sum::<u64>()), (1, 1));
        })
        .await;
    }

    #[tokio::test]
    async fn no_fact_is_left_at_a_version_that_is_gone_but_those_of_a_day_that_goes_too() {
        in_warehouse("rekey_gone", async |_, session| {
            world(session).await;
            let taken_out = "DELETE FROM dwh.dim_route WHERE route_sk = 12; \
                             UPDATE dwh.dim_route SET valid_to = NULL WHERE route_sk = 11";
            session.run(taken_out).await.unwrap();
            let delete = Op::Delete as i16;
            asked(session, "A", &format!("({delete}, 1, 12, NULL, NULL), (10, 1, NULL, '2024-05-01 12:00Z', NULL)"))
                .await;
            note_changes(session).await.unwrap();
            let leaving = rekey(session, Member::Route, "UTC", NaiveDate::from_ymd_opt(2024, 5, 1)).await.unwrap();
            assert_eq!(leaving.values().sum::<u64>(), 0);
            assert_eq!(texts(session, KEYS).await, ["1:11", "2:11", "3:12", "4:21"]);
            let moved = rekey(session, Member::Route, "UTC", None).await.unwrap();
            assert_eq!(moved[POSITIONS], 1);
            assert_eq!(texts(session, KEYS).await, ["1:11", "2:11", "3:11", "4:21"]);
            // The foreign keys hold again.
            session.run("SET CONSTRAINTS ALL IMMEDIATE").await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_changed_route_makes_the_local_dates_within_an_hour_of_the_change_dirty() {
        in_warehouse("rekey_dirty", async |_, session| {
            session
                .run("BEGIN; INSERT INTO dwh.dim_route (route_sk, route_id, is_inferred) VALUES (1, 'A', true)")
                .await
                .unwrap();
            partition(session, "dwh.fact_trip", "2024-05-02").await;
            let trip = "INSERT INTO dwh.fact_trip (trip_sk, trip_id, user_sk, route_sk, vehicle_sk, start_stop_sk, \
                 end_stop_sk, start_ts, load_id, dt, file_no) \
                 VALUES (1, 'T', 0, 1, 0, 0, 0, '2024-05-02 05:45Z', '', '2024-05-02', 0)";
            session.run(trip).await.unwrap();
            // Half past midnight to one in Chicago.
            asked(session, "A", "(10, 1, NULL, '2024-05-02 05:30Z', '2024-05-02 06:00Z')").await;
            note_changes(session).await.unwrap();
            let cases: [(&str, &[&str]); 4] =
                [("04:29:59", &[]), ("04:30", &["2024-05-01"]), ("06:59:59", &["2024-05-02"]), ("07:00", &[])];
            for (time, expected) in cases {
                let set =
                    format!("UPDATE dwh.fact_trip SET start_ts = '2024-05-02 {time}Z'; DELETE FROM dwh.mart_dirty");
                session.run(&set).await.unwrap();
                let count = dirty_routes(session, "America/Chicago", "routes", "run").await.unwrap();
                let dates = texts(session, "SELECT service_date::text FROM dwh.mart_dirty ORDER BY 1").await;
                assert_eq!(
                    (dates, count),
                    (expected.iter().map(|&date| date.to_owned()).collect(), expected.len() as u64)
                );
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_key_is_referred_to_where_a_fact_has_any_of_its_versions() {
        in_warehouse("rekey_referenced", async |_, session| {
            world(session).await;
            session
                .run("INSERT INTO dwh.dim_route (route_sk, route_id, is_inferred) VALUES (31, 'C', true)")
                .await
                .unwrap();
            asked(session, "A,B,C", "(10, 1, NULL, NULL, NULL)").await;
            let found = async |keys: Vec<i32>| -> Vec<i32> {
                let rows = session.rows(&referenced_sql(Member::Route), &[&keys]).await.unwrap();
                let mut found: Vec<i32> = rows.iter().map(|row| get(row, 0).unwrap()).collect();
                found.sort_unstable();
                found
            };
            assert_eq!(found(vec![1, 2, 3]).await, [1, 2]);
            assert_eq!(found(vec![1, 3]).await, [1]);
        })
        .await;
    }
}
