//! The PostgreSQL that tests run against: `METROPULSE_TEST_PG_URL`; without it they are skipped, unless
//! `METROPULSE_REQUIRE_SERVICES=1` makes that an error.

use tokio_postgres::{Client, NoTls};

/// A connection, or nothing when the test is to be skipped.
pub async fn connect() -> Option<Client> {
    let Ok(url) = std::env::var("METROPULSE_TEST_PG_URL") else {
        let required = std::env::var("METROPULSE_REQUIRE_SERVICES").is_ok_and(|v| v == "1");
        assert!(!required, "METROPULSE_TEST_PG_URL is not set, but METROPULSE_REQUIRE_SERVICES=1");
        eprintln!("skipped: METROPULSE_TEST_PG_URL is not set");
        return None;
    };
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    Some(client)
}
