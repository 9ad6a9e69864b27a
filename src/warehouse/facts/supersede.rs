//! Business keys that several raw days claim: the newest day's row is in the fact table, older ones wait.
//!
//! All of it is set-based SQL inside the publication, between filling the side table and building its indexes. The
//! rows that lost are kept by business keys, because the versions they pointed to may be gone when they come back.

use std::sync::Arc;

use chrono::NaiveDate;

use crate::error::Result;
use crate::model::{Computed, Fact, FactKind, Registry};
use crate::postgres::{Session, get};
use crate::warehouse::ledger;
use crate::warehouse::members::{Members, Written, as_of_sql};

/// Rows that changed places: in which day and file, and how many.
pub(super) type Moves = Vec<(NaiveDate, i16, i64)>;

/// What settling a day's business keys did.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Rows that left the fact table for `superseded` (of this day or of older ones).
    pub(super) lost: Moves,
    /// Rows of older days that came back.
    pub(super) returned: Moves,
    /// Service dates of rows of other days that moved.
    pub(super) touched: Vec<NaiveDate>,
    /// Whether a key of the day was known before.
    pub(super) any_met: bool,
}

/// The SQL of one fact with a registry.
pub(super) struct Settlement<'a> {
    fact: &'a Fact,
    registry: Registry,
    side: String,
    dt: NaiveDate,
    zone: &'a str,
}

impl<'a> Settlement<'a> {
    /// A settlement for a fact with business keys of its own; `None` for facts without.
    pub(super) fn new(fact: &'a Fact, side: String, dt: NaiveDate, zone: &'a str) -> Option<Self> {
        fact.registry.map(|registry| Self { fact, registry, side, dt, zone })
    }

    /// Columns that a waiting row shares with the fact by name.
    fn shared(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.fact.taken.iter().map(|(_, name)| *name).collect();
        match self.fact.computed {
            Computed::Duration => names.push("duration_sec"),
            // Looked up again, from what the row says.
            Computed::Trip | Computed::DateAndTime | Computed::Nothing => {}
        }
        names.extend(["load_id", "inserted_at", "dt", "file_no"]);
        names
    }

    /// Moves fact rows `f` (from `source`, a FROM clause with its condition) to the waiting table.
    fn wait_sql(&self, source: &str) -> String {
        let shared = self.shared();
        let raws: Vec<&str> = self.fact.references.iter().map(|r| r.raw).collect();
        let keys: Vec<String> = self
            .fact
            .references
            .iter()
            .map(|r| {
                let (table, key, sk) = (r.member.table(), r.member.key(), r.member.surrogate());
                format!("(SELECT m.{key} FROM {table} m WHERE m.{sk} = f.{})", r.surrogate)
            })
            .collect();
        let plain: Vec<String> = shared.iter().map(|name| format!("f.{name}")).collect();
        format!(
            "INSERT INTO {waiting} ({}, {}) SELECT {}, {} FROM {source}",
            raws.join(", "),
            shared.join(", "),
            keys.join(", "),
            plain.join(", "),
            waiting = self.registry.superseded,
        )
    }

    fn local_date(&self, row: &str) -> String {
        format!("({} AT TIME ZONE '{}')::date", self.fact.time_sql(row, self.zone), self.zone)
    }

    /// Settles the day's keys, but for the registration of new ones: call with the side table filled and bare, the old
    /// partition still attached.
    pub(super) async fn settle(
        &self,
        session: &Session,
        old: Option<&str>,
        members: &Arc<Members>,
        written: &mut Written,
    ) -> Result<Settled> {
        let mut settled = Settled::default();
        let any_met = self.meet(session).await?;
        if any_met {
            self.keep_numbers(session).await?;
            self.yield_to_newer(session, &mut settled).await?;
            self.displace_older(session, &mut settled).await?;
        }
        if let Some(old) = old {
            self.leave_behind(session, old).await?;
            self.infer(session, members, written).await?;
            self.give_back(session, &mut settled).await?;
        }
        settled.touched.sort_unstable();
        settled.touched.dedup();
        settled.any_met = any_met;
        Ok(settled)
    }

    /// Finds the keys that are known already, and says whether there are any.
    async fn meet(&self, session: &Session) -> Result<bool> {
        let Registry { key, keys, superseded } = self.registry;
        let (side, sk, dt) = (&self.side, self.fact.surrogate, self.dt);
        session
            .run(&format!(
                "DELETE FROM {superseded} WHERE dt = '{dt}'; \
                 CREATE TEMP TABLE met ON COMMIT DROP AS \
                   SELECT p.{key} AS id, k.{sk} AS sk, k.dt FROM {side} p JOIN {keys} k ON k.{key} = p.{key}; \
                 ANALYZE pg_temp.met"
            ))
            .await?;
        get(&session.row("SELECT EXISTS (SELECT FROM pg_temp.met)", &[]).await?, 0)
    }

    /// Known keys keep their surrogate keys.
    async fn keep_numbers(&self, session: &Session) -> Result<()> {
        let (side, sk, key) = (&self.side, self.fact.surrogate, self.registry.key);
        session.run(&format!("UPDATE {side} p SET {sk} = m.sk FROM pg_temp.met m WHERE m.id = p.{key}")).await
    }

    /// Rows of this day that a newer day has too wait at once.
    async fn yield_to_newer(&self, session: &Session, settled: &mut Settled) -> Result<()> {
        let (side, key, dt) = (&self.side, self.registry.key, self.dt);
        let newer = format!("m.id = f.{key} AND m.dt > '{dt}'");
        session.run(&self.wait_sql(&format!("{side} f JOIN pg_temp.met m ON {newer}"))).await?;
        let counts = session
            .rows(
                &format!(
                    "WITH gone AS (DELETE FROM {side} f USING pg_temp.met m WHERE {newer} RETURNING f.dt, f.file_no) \
                     SELECT dt, file_no, count(*) FROM gone GROUP BY 1, 2"
                ),
                &[],
            )
            .await?;
        push_moves(&mut settled.lost, &counts)
    }

    /// Rows of older days that this day has too leave the fact table.
    async fn displace_older(&self, session: &Session, settled: &mut Settled) -> Result<()> {
        let Registry { keys, key, .. } = self.registry;
        let (table, sk, dt) = (self.fact.table, self.fact.surrogate, self.dt);
        let older = format!("m.sk = f.{sk} AND m.dt = f.dt AND m.dt < '{dt}'");
        session.run(&self.wait_sql(&format!("pg_temp.met m JOIN {table} f ON {older}"))).await?;
        let counts = session
            .rows(
                &format!(
                    "WITH gone AS (DELETE FROM {table} f USING pg_temp.met m WHERE {older} \
                       RETURNING f.dt, f.file_no, {} AS service_date) \
                     SELECT dt, file_no, count(*), array_agg(DISTINCT service_date) FROM gone GROUP BY 1, 2",
                    self.local_date("f")
                ),
                &[],
            )
            .await?;
        push_moves(&mut settled.lost, &counts)?;
        push_dates(&mut settled.touched, &counts)?;
        session
            .run(&format!("UPDATE {keys} k SET dt = '{dt}' FROM pg_temp.met m WHERE m.id = k.{key} AND m.dt < '{dt}'"))
            .await
    }

    /// Keys that this day had and has no more go back to the newest day that waits, or are forgotten.
    async fn leave_behind(&self, session: &Session, old: &str) -> Result<()> {
        let Registry { key, keys, superseded } = self.registry;
        let (side, sk) = (&self.side, self.fact.surrogate);
        session
            .run(&format!(
                "CREATE TEMP TABLE left_over ON COMMIT DROP AS \
                   SELECT o.{key} AS id, o.{sk} AS sk FROM {old} o \
                   WHERE NOT EXISTS (SELECT FROM {side} p WHERE p.{key} = o.{key}) \
                   AND NOT EXISTS (SELECT FROM pg_temp.met m WHERE m.id = o.{key}); \
                 CREATE TEMP TABLE coming_back ON COMMIT DROP AS \
                   SELECT DISTINCT ON (w.{key}) w.*, l.sk AS kept_sk FROM {superseded} w \
                   JOIN pg_temp.left_over l ON l.id = w.{key} ORDER BY w.{key}, w.dt DESC; \
                 DELETE FROM {superseded} w USING pg_temp.coming_back c WHERE c.{key} = w.{key} AND c.dt = w.dt; \
                 UPDATE {keys} k SET dt = c.dt FROM pg_temp.coming_back c WHERE c.{key} = k.{key}; \
                 DELETE FROM {keys} k USING pg_temp.left_over l WHERE l.id = k.{key} \
                   AND NOT EXISTS (SELECT FROM pg_temp.coming_back c WHERE c.{key} = l.id)"
            ))
            .await?;
        match self.fact.kind {
            FactKind::Trip => {
                let forget = format!(
                    "UPDATE dwh.fact_payment f SET trip_sk = NULL FROM pg_temp.left_over l WHERE f.trip_sk = l.sk \
                     AND NOT EXISTS (SELECT FROM pg_temp.coming_back c WHERE c.{key} = l.id)"
                );
                session.run(&forget).await
            }
            FactKind::Payment
            | FactKind::VehiclePosition
            | FactKind::ScheduledTrip
            | FactKind::ScheduledStopTime
            | FactKind::TripUpdate
            | FactKind::Alert => Ok(()),
        }
    }

    /// The rows that come back go into the fact table.
    async fn give_back(&self, session: &Session, settled: &mut Settled) -> Result<()> {
        session.run(&self.return_sql(self.fact.table)).await?;
        let counts = session
            .rows(
                &format!(
                    "SELECT c.dt, c.file_no, count(*), array_agg(DISTINCT {}) FROM pg_temp.coming_back c GROUP BY 1, 2",
                    self.local_date("c")
                ),
                &[],
            )
            .await?;
        push_moves(&mut settled.returned, &counts)?;
        push_dates(&mut settled.touched, &counts)
    }

    /// Members that only returning rows name are inferred anew.
    async fn infer(&self, session: &Session, members: &Arc<Members>, written: &mut Written) -> Result<()> {
        for reference in self.fact.references.iter().filter(|r| r.member.is_inferred()) {
            let (dimension, business, raw) = (reference.member.table(), reference.member.key(), reference.raw);
            let sql = format!(
                "SELECT DISTINCT c.{raw} FROM pg_temp.coming_back c WHERE c.{raw} <> '' \
                 AND NOT EXISTS (SELECT FROM {dimension} m WHERE m.{business} = c.{raw})"
            );
            let rows = session.rows(&sql, &[]).await?;
            let keys = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>>>()?;
            members.infer(session, reference.member, keys, &ledger::load_id(self.dt), written).await?;
        }
        Ok(())
    }

    fn return_sql(&self, table: &str) -> String {
        let shared = self.shared();
        let fks: Vec<&str> = self.fact.references.iter().map(|r| r.surrogate).collect();
        let time = self.fact.time_sql("c", self.zone);
        let looked_up: Vec<String> =
            self.fact.references.iter().map(|r| as_of_sql(r.member, &format!("c.{}", r.raw), &time)).collect();
        let plain: Vec<String> = shared.iter().map(|name| format!("c.{name}")).collect();
        let (trip, trip_sk) = match self.fact.computed {
            Computed::Trip => (", trip_sk", ", (SELECT k.trip_sk FROM dwh.trip_key k WHERE k.trip_id = c.trip_id)"),
            Computed::Duration | Computed::DateAndTime | Computed::Nothing => ("", ""),
        };
        format!(
            "INSERT INTO {table} ({sk}, {}, {}{trip}) SELECT c.kept_sk, {}, {}{trip_sk} FROM pg_temp.coming_back c",
            fks.join(", "),
            shared.join(", "),
            looked_up.join(", "),
            plain.join(", "),
            sk = self.fact.surrogate,
        )
    }

    /// Registers the keys nobody knew. In key order: a B-tree grows best that way.
    pub(super) async fn register(&self, session: &Session, any_met: bool) -> Result<()> {
        let Registry { key, keys, .. } = self.registry;
        let (side, sk, dt) = (&self.side, self.fact.surrogate, self.dt);
        let unknown = format!("WHERE NOT EXISTS (SELECT FROM pg_temp.met m WHERE m.id = p.{key})");
        session
            .run(&format!(
                "INSERT INTO {keys} ({key}, {sk}, dt) SELECT p.{key}, p.{sk}, '{dt}' FROM {side} p {} ORDER BY p.{key}",
                if any_met { &unknown } else { "" }
            ))
            .await
    }
}

fn push_moves(moves: &mut Moves, rows: &[tokio_postgres::Row]) -> Result<()> {
    for row in rows {
        moves.push((get(row, 0)?, get(row, 1)?, get(row, 2)?));
    }
    Ok(())
}

fn push_dates(dates: &mut Vec<NaiveDate>, rows: &[tokio_postgres::Row]) -> Result<()> {
    for row in rows {
        dates.extend(get::<Vec<NaiveDate>>(row, 3)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::context::Warehouse;
    use crate::warehouse::live::{in_warehouse, partition, texts};

    const REGISTRY: &str = "SELECT concat_ws(' ', trip_id, trip_sk, dt) FROM dwh.trip_key ORDER BY trip_id";
    const TRIPS: &str = "SELECT concat_ws(' ', trip_id, trip_sk, dt) FROM dwh.fact_trip ORDER BY trip_id, dt";
    const WAITING: &str = "SELECT concat_ws(' ', trip_id, route_id, vehicle_id, dt) FROM dwh.superseded_trip";

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2024, 5, number).unwrap()
    }

    /// Trips of one day: (number, id, vehicle) in SQL. Each starts an hour before midnight in Chicago.
    async fn insert(session: &Session, table: &str, dt: NaiveDate, rows: &str) {
        let sql = format!(
            "INSERT INTO {table} (trip_sk, trip_id, user_sk, route_sk, vehicle_sk, start_stop_sk, end_stop_sk, start_ts, \
               load_id, dt, file_no) \
             SELECT sk, id, 0, 1, vehicle, 0, 0, '{dt} 23:00'::timestamp AT TIME ZONE 'America/Chicago', '', '{dt}', 0 \
             FROM (VALUES {rows}) AS trip (sk, id, vehicle)"
        );
        session.run(&sql).await.unwrap();
    }

    async fn side(session: &Session, name: &str) {
        session.run(&format!("CREATE TABLE {name} (LIKE dwh.fact_trip INCLUDING DEFAULTS)")).await.unwrap();
    }

    /// Day 2 has the trips T1 and T2, under the numbers 1 and 2.
    async fn world(session: &Session) {
        let members = "INSERT INTO dwh.dim_route (route_sk, route_id, valid_from) VALUES (1, 'R', '2024-01-01Z'); \
             INSERT INTO dwh.dim_vehicle (vehicle_sk, vehicle_id, is_inferred) VALUES (5, 'V', true); \
             INSERT INTO dwh.trip_key (trip_id, trip_sk, dt) VALUES ('T1', 1, '2024-05-02'), ('T2', 2, '2024-05-02'); \
             SELECT setval('dwh.vehicle_sk', 5)";
        session.run(members).await.unwrap();
        partition(session, "dwh.fact_trip", "2024-05-02").await;
        insert(session, "dwh.fact_trip", day(2), "(1, 'T1', 0), (2, 'T2', 5)").await;
    }

    async fn settle(warehouse: &Warehouse, session: &Session, side: &str, dt: u32, old: Option<&str>) -> Settled {
        let members = Arc::new(Members::read(session, warehouse.address.clone(), &[]).await.unwrap());
        let settlement = Settlement::new(&Fact::TRIP, side.to_owned(), day(dt), "America/Chicago").unwrap();
        session.run("BEGIN").await.unwrap();
        let settled = settlement.settle(session, old, &members, &mut Written::default()).await.unwrap();
        settlement.register(session, settled.any_met).await.unwrap();
        session.commit().await.unwrap();
        settled
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_newer_day_takes_a_trip_over_under_its_number_and_gives_it_back_when_it_leaves() {
        in_warehouse("supersede", async |warehouse, session| {
            world(session).await;
            side(session, "dwh.side").await;
            insert(session, "dwh.side", day(3), "(8, 'T2', 0), (9, 'T3', 0)").await;
            let settled = settle(warehouse, session, "dwh.side", 3, None).await;
            assert_eq!((settled.lost, settled.returned), (vec![(day(2), 0, 1)], vec![]));
            assert_eq!(settled.touched, [day(2)], "local dates of what left");
            assert_eq!(texts(session, TRIPS).await, ["T1 1 2024-05-02"]);
            assert_eq!(texts(session, WAITING).await, ["T2 R V 2024-05-02"]);
            assert_eq!(texts(session, REGISTRY).await, ["T1 1 2024-05-02", "T2 2 2024-05-03", "T3 9 2024-05-03"]);

            partition(session, "dwh.fact_trip", "2024-05-03").await;
            partition(session, "dwh.fact_payment", "2024-05-03").await;
            // While it waits its vehicle goes, and its route gets a version that answers for its time.
            session
                .run(
                    "INSERT INTO dwh.fact_trip SELECT * FROM dwh.side; DELETE FROM dwh.dim_vehicle WHERE vehicle_sk = 5; \
                     UPDATE dwh.dim_route SET valid_to = '2024-05-02Z'; \
                     INSERT INTO dwh.dim_route (route_sk, route_id, valid_from) VALUES (11, 'R', '2024-05-02Z'); \
                     INSERT INTO dwh.fact_payment (payment_sk, payment_id, user_sk, route_sk, payment_method_sk, trip_sk, \
                       paid_at, load_id, dt, file_no) \
                     SELECT n, 'P' || n, 0, 0, 0, n, '2024-05-03Z', '', '2024-05-03', 0 FROM unnest('{2,9}'::int[]) AS n",
                )
                .await
                .unwrap();
            side(session, "dwh.empty").await;
            let settled = settle(warehouse, session, "dwh.empty", 3, Some("dwh.fact_trip_20240503")).await;
            assert_eq!((settled.lost, settled.returned), (vec![], vec![(day(2), 0, 1)]));
            assert_eq!(settled.touched, [day(2)], "local dates of what came back");
            assert_eq!(texts(session, REGISTRY).await, ["T1 1 2024-05-02", "T2 2 2024-05-02"]);
            assert_eq!(texts(session, WAITING).await, Vec::<String>::new());
            let back = "SELECT concat_ws(' ', f.trip_id, f.trip_sk, f.route_sk, v.vehicle_id, v.is_inferred) \
                        FROM dwh.fact_trip f JOIN dwh.dim_vehicle v USING (vehicle_sk) WHERE f.dt = '2024-05-02' AND trip_sk = 2";
            assert_eq!(texts(session, back).await, ["T2 2 11 V t"]);
            let payments = "SELECT concat_ws(' ', payment_id, trip_sk) FROM dwh.fact_payment ORDER BY 1";
            assert_eq!(texts(session, payments).await, ["P2 2", "P9"], "no payment refers to a trip that nobody knows");
        })
        .await;
    }

    #[tokio::test]
    async fn an_older_day_that_comes_late_leaves_a_trip_to_the_newer_one() {
        in_warehouse("supersede_late", async |warehouse, session| {
            world(session).await;
            side(session, "dwh.side").await;
            insert(session, "dwh.side", day(1), "(8, 'T2', 5), (9, 'T4', 0)").await;
            let settled = settle(warehouse, session, "dwh.side", 1, None).await;
            assert_eq!((settled.lost, settled.returned), (vec![(day(1), 0, 1)], vec![]));
            assert_eq!(settled.touched, [], "no row of another day moved");
            assert_eq!(texts(session, TRIPS).await, ["T1 1 2024-05-02", "T2 2 2024-05-02"]);
            assert_eq!(texts(session, "SELECT trip_id || trip_sk FROM dwh.side").await, ["T49"]);
            assert_eq!(texts(session, WAITING).await, ["T2 R V 2024-05-01"]);
            assert_eq!(texts(session, REGISTRY).await, ["T1 1 2024-05-02", "T2 2 2024-05-02", "T4 9 2024-05-01"]);
        })
        .await;
    }

    #[test]
    fn only_facts_with_a_business_key_of_their_own_are_settled() {
        let settled = |fact: &Fact| Settlement::new(fact, "dwh.side".to_owned(), day(1), "UTC").is_some();
        let tables: Vec<&str> = Fact::ALL.iter().filter(|fact| settled(fact)).map(|fact| fact.table).collect();
        assert_eq!(tables, ["dwh.fact_trip", "dwh.fact_payment"]);
    }
}
