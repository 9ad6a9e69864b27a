//! Sessions with PostgreSQL: connecting, errors with their SQLSTATE, and stopping what is under way.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, Config};

use super::tls::Policy;
use crate::config::Secret;
use crate::error::{Error, Result, with_causes};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const DEFAULT_PORT: u16 = 5432;

/// The address of a warehouse, and the sessions that are open on it.
///
/// A connection costs the server a process with cold caches, more than a small day's statements; so a session that
/// did its work is kept for the next one of the same run.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Policy,
    open: Arc<Mutex<Vec<CancelToken>>>,
    idle: Idle,
}

/// Connections between two pieces of work: no transaction open, no lock held.
type Idle = Arc<Mutex<Vec<Connection>>>;

impl Address {
    /// Parses a `postgresql://` URL or a `key=value` string. The error never repeats it: it may hold a password.
    pub fn parse(url: &Secret) -> Result<Self> {
        let mut tls = Policy::default();
        let stripped = strip_tls(url.expose(), &mut tls)?;
        let mut config: Config = stripped.parse().map_err(|e: tokio_postgres::Error| {
            Error::config("the warehouse URL cannot be read; expected postgresql://user:password@host:port/database")
                .because(e)
        })?;
        if let Some(mode) = tls.mode {
            config.ssl_mode(mode);
        }
        config.application_name("metropulse").connect_timeout(CONNECT_TIMEOUT);
        Ok(Self { config, tls, open: Arc::default(), idle: Arc::default() })
    }

    /// Hosts with their ports, and the database, for messages.
    pub fn shown(&self) -> String {
        let ports = self.config.get_ports();
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(number, host)| {
                // One port stands for all hosts.
                let port = ports.get(number).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
                match host {
                    tokio_postgres::config::Host::Tcp(name) => format!("{name}:{port}"),
                    #[cfg(unix)]
                    tokio_postgres::config::Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        format!("{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or(""))
    }

    /// A session: UTC, ISO dates, no statement of another schema by accident.
    pub async fn session(&self) -> Result<Session> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(connection) if connection.client.is_closed() => {}
                Some(connection) => return Ok(Session { connection, idle: Arc::clone(&self.idle) }),
                None => return self.connect().await,
            }
        }
    }

    async fn connect(&self) -> Result<Session> {
        let unreachable = |e: tokio_postgres::Error| {
            let shown = self.shown();
            wrong(e, "cannot connect to the warehouse").with("warehouse", shown)
        };
        let (client, connection) = self.config.connect(self.tls.connector()?).await.map_err(unreachable)?;
        let driver = tokio::spawn(async move {
            // A broken connection shows as an error of the statement under way; there is no one else to tell.
            let _ = connection.await;
        });
        client
            .batch_execute(
                "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; \
                 SET client_min_messages = 'warning'; SET search_path = pg_catalog; SET jit = off",
            )
            .await
            .map_err(unreachable)?;
        let token = client.cancel_token();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        Ok(Session { connection: Connection { client, driver }, idle: Arc::clone(&self.idle) })
    }

    /// Asks the server to stop every statement of every session of this address.
    pub async fn cancel_all(&self) {
        let tokens = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for token in tokens {
            if let Ok(tls) = self.tls.connector() {
                // Best effort: a session that ended meanwhile cannot be cancelled.
                let _ = tokio::time::timeout(Duration::from_millis(500), token.cancel_query(tls)).await;
            }
        }
    }
}

/// One connection for one piece of work. Dropping it rolls back what is open and closes the connection.
pub struct Session {
    connection: Connection,
    idle: Idle,
}

struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.connection.client
    }
}

impl Session {
    /// Ends a piece of work that went well: locks go, the connection stays for the next piece.
    ///
    /// Only for a session whose transaction has ended and whose settings are as [`Address::session`] made them; drop any
    /// other.
    pub async fn release(self) {
        let Self { connection, idle } = self;
        if connection.client.batch_execute("SELECT pg_advisory_unlock_all()").await.is_ok() {
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    /// Ends a publication. After a failure `undo` takes it back, so that locks are free when the caller hears of it;
    /// where even that fails the connection is closed, the server rolls back and the next run clears up.
    pub async fn end(self, went_well: bool, undo: &str) {
        if went_well || self.run(undo).await.is_ok() {
            self.release().await;
        }
    }

    /// Runs statements without parameters.
    pub async fn run(&self, sql: &str) -> Result<()> {
        self.connection
            .client
            .batch_execute(sql)
            .await
            .map_err(|e| wrong(e, "a statement failed").with("sql", brief(sql)))
    }

    /// Runs one statement; the number of rows it touched.
    pub async fn touch(&self, sql: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<u64> {
        self.connection
            .client
            .execute(sql, params)
            .await
            .map_err(|e| wrong(e, "a statement failed").with("sql", brief(sql)))
    }

    /// Runs one query.
    pub async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        self.connection.client.query(sql, params).await.map_err(|e| wrong(e, "a query failed").with("sql", brief(sql)))
    }

    /// Runs one query that gives exactly one row.
    pub async fn row(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<tokio_postgres::Row> {
        self.connection
            .client
            .query_one(sql, params)
            .await
            .map_err(|e| wrong(e, "a query failed").with("sql", brief(sql)))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One column of a row, typed.
pub fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a tokio_postgres::Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|e| Error::internal("a query gave another type than expected").because(e))
}

/// Classifies a driver error: what the caller can do, whether a retry can help, with SQLSTATE and detail.
pub fn wrong(error: tokio_postgres::Error, what: &str) -> Error {
    let Some(db) = error.as_db_error() else {
        let gone = error.is_closed();
        let message =
            if gone { format!("{what}: the connection was lost") } else { format!("{what}: {}", with_causes(&error)) };
        return Error::database(message).because(error);
    };
    let code = db.code().clone();
    let message = format!("{what}: {}", db.message());
    let mut sorted = match code.code() {
        "57014" => Error::cancelled(message),
        "55P03" | "40001" | "40P01" => Error::conflict(message),
        "3D000" | "28P01" | "28000" => Error::config(message),
        c if c.starts_with("42") => Error::database(message).retryable(false),
        c if c.starts_with("22") || c.starts_with("23") => Error::data(message),
        _ => Error::database(message),
    };
    sorted = sorted.with("sqlstate", code.code());
    if let Some(table) = db.table() {
        sorted = sorted.with("table", table);
    }
    if let Some(constraint) = db.constraint() {
        sorted = sorted.with("constraint", constraint);
    }
    if let Some(detail) = db.detail() {
        sorted = sorted.with("detail", detail);
    }
    sorted.because(error)
}

/// Whether the server refused a statement for what its tables are, rather than for the state that it or the line is in.
pub fn is_refusal(error: &Error) -> bool {
    let code = error.detail().context.get("sqlstate");
    code.and_then(|code| code.get(..2)).is_some_and(|class| REFUSALS.contains(&class)) && !is_lock_timeout(error)
}

/// Classes of SQLSTATE: not supported, data, integrity, triggers, names and rights, checks of views, prerequisites, and what a
/// function raises.
const REFUSALS: [&str; 8] = ["0A", "22", "23", "27", "42", "44", "55", "P0"];

/// Whether an error is a lock timeout.
pub fn is_lock_timeout(error: &Error) -> bool {
    error.detail().context.get("sqlstate").is_some_and(|c| c == SqlState::LOCK_NOT_AVAILABLE.code())
}

fn brief(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(160).collect()
}

/// Takes `sslmode` and `sslrootcert` out of a URL or a `key=value` string.
fn strip_tls(url: &str, tls: &mut Policy) -> Result<String> {
    if !url.contains("://") {
        let mut kept = Vec::new();
        for pair in url.split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !tls.take(name, value)? {
                kept.push(pair);
            }
        }
        return Ok(kept.join(" "));
    }
    let Some((base, query)) = url.split_once('?') else { return Ok(url.to_owned()) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        if !tls.take(name, &value)? {
            kept.push(pair);
        }
    }
    Ok(if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_parameters_are_taken_out_of_the_url() {
        let mut tls = Policy::default();
        let url = strip_tls("postgresql://u@h/db?sslmode=verify-full&application_name=x", &mut tls).expect("url");
        assert_eq!(url, "postgresql://u@h/db?application_name=x");
        assert!(Address::parse(&Secret::new("postgresql://u:p@h/db?sslmode=require")).is_ok());
        let wrong = Address::parse(&Secret::new("postgresql://u:geheim@h/db?sslmode=sometimes")).err().expect("error");
        assert!(wrong.to_string().contains("sometimes") && !format!("{wrong:?}").contains("geheim"));
    }

    #[test]
    fn an_unreadable_url_does_not_show_the_password() {
        let wrong = Address::parse(&Secret::new("postgresql://u:geheim@h:notaport/db")).err().expect("error");
        assert!(!format!("{wrong:?}{wrong}").contains("geheim"));
    }
}
