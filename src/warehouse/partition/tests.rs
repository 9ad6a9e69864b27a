//! What a swap leaves behind, and what it leaves alone.

use super::*;
use crate::warehouse::live::{in_warehouse, texts};

const BROUGHT: [&str; 8] =
    ["trip_sk", "trip_id", "user_sk", "route_sk", "vehicle_sk", "start_stop_sk", "end_stop_sk", "start_ts"];
const TRIPS: &str = "SELECT concat_ws(' ', trip_id, dt, load_id, file_no, inserted_at IS NOT NULL) \
                     FROM dwh.fact_trip ORDER BY trip_id";
const PATIENCE: Duration = Duration::from_secs(30);

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 5, number).unwrap()
}

/// A side table of a day and run with trips of these ids, complete but for the swap; the transaction stays open.
async fn filled(session: &Session, dt: NaiveDate, run_id: &str, ids: &[&str]) -> Side {
    let side = Side::new("dwh.fact_trip", dt, run_id);
    session.run("BEGIN").await.unwrap();
    side.create(session, &BROUGHT, PATIENCE).await.unwrap();
    let sql = format!(
        "INSERT INTO {} ({}) SELECT n, id, 0, 0, 0, 0, 0, '{dt}Z' FROM unnest($1::text[]) WITH ORDINALITY AS trip (id, n)",
        side.name(),
        BROUGHT.join(", ")
    );
    session.execute(&sql, &[&ids]).await.unwrap();
    let shared = [("dt", format!("'{dt}'")), ("load_id", format!("'{run_id}'")), ("file_no", "0".to_owned())];
    side.complete(session, &shared).await.unwrap();
    side.finish(session, Built::default()).await.unwrap();
    side
}

async fn swapped(session: &Session, dt: NaiveDate, run_id: &str, ids: &[&str]) {
    let side = filled(session, dt, run_id, ids).await;
    side.swap(session, !ids.is_empty(), PATIENCE).await.unwrap();
    session.commit().await.unwrap();
}

#[tokio::test]
async fn a_swap_replaces_the_rows_of_its_day_and_no_other() {
    in_warehouse("partition", async |_, session| {
        swapped(session, day(1), "run1", &["a", "b"]).await;
        swapped(session, day(2), "run2", &["c"]).await;
        let loaded = ["a 2024-05-01 run1 0 t", "b 2024-05-01 run1 0 t", "c 2024-05-02 run2 0 t"];
        assert_eq!(texts(session, TRIPS).await, loaded);
        swapped(session, day(1), "run3", &["d"]).await;
        assert_eq!(texts(session, TRIPS).await, ["c 2024-05-02 run2 0 t", "d 2024-05-01 run3 0 t"]);
        swapped(session, day(1), "run4", &[]).await;
        assert_eq!(texts(session, TRIPS).await, ["c 2024-05-02 run2 0 t"]);
        assert_eq!(current(session, "dwh.fact_trip", day(1)).await.unwrap(), None);
        let second = current(session, "dwh.fact_trip", day(2)).await.unwrap();
        assert_eq!(second.as_deref(), Some("dwh.fact_trip_20240502"));
        let tables = "SELECT relname::text FROM pg_class WHERE relname ~ '^fact_trip_2' AND relkind = 'r'";
        assert_eq!(texts(session, tables).await, ["fact_trip_20240502"], "no side table stays");
    })
    .await;
}

#[tokio::test]
async fn a_partition_has_the_keys_and_indexes_of_its_parent_and_no_default_of_its_first_rows() {
    in_warehouse("partition_keys", async |_, session| {
        swapped(session, day(1), "run1", &["a"]).await;
        let lacking = "SELECT indexrelid::regclass::text FROM pg_index p WHERE indrelid = 'dwh.fact_trip'::regclass \
             AND NOT EXISTS (SELECT FROM pg_inherits h JOIN pg_index c ON c.indexrelid = h.inhrelid \
               WHERE h.inhparent = p.indexrelid AND c.indrelid = 'dwh.fact_trip_20240501'::regclass)";
        assert_eq!(texts(session, lacking).await, Vec::<String>::new());
        let keys = |table: &str| {
            format!(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass ORDER BY 1"
            )
        };
        let parents = texts(session, &keys("dwh.fact_trip")).await;
        assert_eq!(texts(session, &keys("dwh.fact_trip_20240501")).await, parents);
        assert_eq!(parents.iter().filter(|key| key.starts_with("FOREIGN KEY")).count(), 5);
        let defaults = "SELECT a.attname::text FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid \
                        AND a.attnum = d.adnum WHERE d.adrelid = 'dwh.fact_trip_20240501'::regclass ORDER BY 1";
        assert_eq!(texts(session, defaults).await, ["inserted_at"]);
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_run_left_aside_goes_with_the_next_run_of_its_day() {
    in_warehouse("partition_orphans", async |_, session| {
        let orphans =
            "SELECT relname::text FROM pg_class WHERE relname ~ '^fact_trip_.*_' AND relkind = 'r' ORDER BY 1";
        for (dt, run_id) in [(day(1), "aaaaaaaa0"), (day(2), "bbbbbbbb0")] {
            filled(session, dt, run_id, &["lost"]).await;
            session.commit().await.unwrap();
        }
        assert_eq!(texts(session, orphans).await, ["fact_trip_20240501_aaaaaaaa", "fact_trip_20240502_bbbbbbbb"]);
        swapped(session, day(1), "cccccccc0", &["a"]).await;
        assert_eq!(texts(session, orphans).await, ["fact_trip_20240502_bbbbbbbb"]);
        assert_eq!(texts(session, TRIPS).await, ["a 2024-05-01 cccccccc0 0 t"]);
    })
    .await;
}

#[tokio::test]
async fn a_swap_that_a_reader_holds_up_gives_up_at_its_deadline_and_leaves_all_as_it_was() {
    in_warehouse("partition_readers", async |warehouse, session| {
        swapped(session, day(1), "run1", &["a"]).await;
        let reader = warehouse.address.session().await.unwrap();
        reader.run("BEGIN; SELECT FROM dwh.fact_trip").await.unwrap();
        let side = filled(session, day(1), "run2", &["b"]).await;
        let error = side.swap(session, true, Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("readers kept dwh.fact_trip busy"), "{error}");
        assert!(error.is_retryable());
        reader.commit().await.unwrap();
        // The transaction is as it was before the attempt.
        assert_eq!(texts(session, TRIPS).await, ["a 2024-05-01 run1 0 t"]);
        side.swap(session, true, PATIENCE).await.unwrap();
        session.commit().await.unwrap();
        assert_eq!(texts(session, TRIPS).await, ["b 2024-05-01 run2 0 t"]);
    })
    .await;
}

#[test]
fn an_attempt_at_the_swap_ends_before_the_server_looks_for_deadlocks() {
    for (waited, limit) in [(0, "150ms"), (9, "150ms"), (10, "500ms"), (600, "500ms")] {
        assert_eq!(attempt(Duration::from_secs(waited)), limit);
    }
}
