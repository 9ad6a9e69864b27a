//! What tests beside the code need of a server: a warehouse of their own, and a short way to what it holds.

use std::sync::Arc;

use super::Warehouse;
use crate::config::{Secret, Settings};
use crate::control::{Cancel, Progress};
use crate::postgres::{Address, Session, get};

/// Runs a test in an empty warehouse of this name on the server of `METROPULSE_TEST_PG_URL`, and drops it. Without a server
/// the test is skipped, unless `METROPULSE_REQUIRE_SERVICES=1` makes that an error.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub(super) async fn in_warehouse(name: &str, test: impl AsyncFnOnce(&Warehouse, &Session)) {
    let Ok(url) = std::env::var("METROPULSE_TEST_PG_URL") else {
        let is_required = std::env::var("METROPULSE_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
        assert!(!is_required, "METROPULSE_TEST_PG_URL is not set, but METROPULSE_REQUIRE_SERVICES=1");
        eprintln!("skipped: METROPULSE_TEST_PG_URL is not set");
        return;
    };
    let admin = Address::parse(&Secret::new(url.as_str()), "tests").unwrap().session().await.unwrap();
    let database = format!("metropulse_unit_{name}");
    let remove = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
    admin.run(&remove).await.unwrap();
    admin.run(&format!("CREATE DATABASE {database} TEMPLATE template0")).await.unwrap();
    // Of two names the last one counts.
    let joint = if url.contains('?') { '&' } else { '?' };
    let warehouse = Some(Secret::new(format!("{url}{joint}dbname={database}")));
    let settings = Arc::new(Settings { warehouse, ..Settings::default() });
    let warehouse = Warehouse::new(settings, "0123456789abcdef", Cancel::default(), Progress::default()).unwrap();
    let session = warehouse.session().await.unwrap();
    test(&warehouse, &session).await;
    admin.run(&remove).await.unwrap();
}

/// The rows of a query that gives one text each.
pub(super) async fn texts(session: &Session, sql: &str) -> Vec<String> {
    session.rows(sql, &[]).await.unwrap().iter().map(|row| get(row, 0).unwrap()).collect()
}

/// Makes an empty partition of a day by hand.
pub(super) async fn partition(session: &Session, parent: &str, dt: &str) {
    let name = format!("{parent}_{}", dt.replace('-', ""));
    let sql = format!(
        "CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{dt}') TO ('{}')",
        dt.parse::<chrono::NaiveDate>().unwrap() + chrono::Days::new(1)
    );
    session.run(&sql).await.unwrap();
}

/// Reports of vehicle positions, as rows of a table with the fact's columns: (number, instant, vehicle, route) in SQL. Their
/// raw day is that of the instant in UTC.
pub(super) async fn report(session: &Session, table: &str, rows: &str) {
    let sql = format!(
        "INSERT INTO {table} (position_sk, event_ts, event_date_sk, event_time_sk, vehicle_sk, route_sk, load_id, dt, file_no) \
         SELECT n, at::timestamptz, 0, 0, vehicle, route, '', (at::timestamptz AT TIME ZONE 'UTC')::date, 0 \
         FROM (VALUES {rows}) AS report (n, at, vehicle, route)"
    );
    session.run(&sql).await.unwrap();
}
