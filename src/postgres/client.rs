//! Sessions with PostgreSQL: connecting, stopping what is under way, and handing connections back as they were found.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client};

use super::conninfo::{ConnInfo, Host, SessionAttrs};
use super::pooler::{self, Server};
use super::sqlstate::is_away;
pub use super::sqlstate::{asked, is_lock_timeout, is_refusal, server_error};
use crate::backoff::retrying;
use crate::config::Secret;
use crate::error::{Error, Result};

/// How long a connection behind a pooler may take to become what it was.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long is waited for what became of a lost commit, where nothing else is set.
const PATIENCE: Duration = Duration::from_secs(600);
/// The timeline that the server writes, which changes where another server takes over.
const TIMELINE: &str = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

/// What every session is set to, whatever the role or the database says. A load takes as long as it takes: the limits on
/// statements, locks and transactions are for those who type.
const SETTINGS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; \
     SET client_min_messages = 'warning'; SET search_path = pg_catalog; SET jit = off; \
     SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";
/// More limits, with the first version that has them.
const LIMITS: [(u32, &str); 2] = [(140_000, "SET idle_session_timeout = 0"), (170_000, "SET transaction_timeout = 0")];

/// The address of a warehouse, and the sessions that are open on it.
///
/// A connection costs the server a process with cold caches, more than a small day's statements; so a session that
/// did its work is kept for the next one of the same run.
#[derive(Clone)]
pub struct Address {
    info: Arc<ConnInfo>,
    open: Arc<Mutex<Vec<CancelToken>>>,
    idle: Idle,
    /// Set once the pooler before the server, if there is one, was seen to keep sessions.
    keeps_sessions: Arc<OnceCell<()>>,
    /// As the first session saw it; none where the server does not tell.
    timeline: Arc<OnceCell<Option<String>>>,
    leaving: Leaving,
    /// How long is waited for what became of a commit whose answer was lost.
    pub(super) patience: Duration,
}

/// Connections on their way back to a pooler.
type Leaving = Arc<Mutex<Vec<JoinHandle<()>>>>;

/// Connections between two pieces of work: no transaction open, no lock held.
type Idle = Arc<Mutex<Vec<Connection>>>;

impl Address {
    /// Parses a `postgresql://` URL or a `key=value` string; its sessions are shown as `shown_as` unless it names them.
    /// The error never repeats it: it may hold a password.
    pub fn parse(url: &Secret, shown_as: &str) -> Result<Self> {
        let mut info = ConnInfo::parse(url.expose())?;
        info.show_as(shown_as);
        Ok(Self {
            info: Arc::new(info),
            open: Arc::default(),
            idle: Arc::default(),
            keeps_sessions: Arc::default(),
            timeline: Arc::default(),
            leaving: Arc::default(),
            patience: PATIENCE,
        })
    }

    /// The same, waiting so long for what became of a commit whose answer was lost.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Hosts with their ports, and the database, for messages.
    pub fn shown(&self) -> String {
        self.info.shown()
    }

    /// A session: UTC, ISO dates, no statement of another schema by accident.
    pub async fn session(&self) -> Result<Session> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(connection) if connection.client.is_closed() => {}
                Some(connection) => return Ok(Session { connection, address: self.clone() }),
                None => return retrying(is_away, || self.connect()).await,
            }
        }
    }

    async fn connect(&self) -> Result<Session> {
        let unreachable = |e: Error| e.with("warehouse", self.shown());
        let (host, mut connection, server) = self.dial().await.map_err(unreachable)?;
        let is_pooled = pooler::is_between(&connection.client, server).await?;
        if is_pooled {
            self.keeps_sessions.get_or_try_init(|| self.try_pooler(host, &connection)).await.map_err(unreachable)?;
        }
        let mut settings = SETTINGS.to_owned();
        for (_, limit) in LIMITS.iter().filter(|(since, _)| server.version >= *since) {
            settings.push_str("; ");
            settings.push_str(limit);
        }
        // From here on the connection has settings, which it does not take with it.
        connection.leaving = is_pooled.then(|| (Handle::current(), Arc::clone(&self.leaving)));
        let set = connection.client.batch_execute(&settings).await;
        set.map_err(|e| unreachable(server_error(e, "a session cannot be set up")))?;
        self.timeline
            .get_or_init(|| async { if server.is_standby { None } else { timeline_of(&connection.client).await } })
            .await;
        let token = connection.client.cancel_token();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        Ok(Session { connection, address: self.clone() })
    }

    /// Whether the server of a session goes on with the history of the one that the first session met. A standby that
    /// took over does not: it may lack what was committed last, and gives the numbers of those transactions to others.
    pub(super) async fn is_same_server(&self, session: &Session) -> bool {
        let first = self.timeline.get().and_then(Option::as_ref);
        first.is_some() && first == timeline_of(session).await.as_ref()
    }

    /// A connection with nothing set, to the first host that will do.
    async fn dial(&self) -> Result<(&Host, Connection, Server)> {
        let attrs = self.info.attrs;
        match self.dial_any(attrs).await {
            Err(_) if attrs == SessionAttrs::PreferStandby => self.dial_any(SessionAttrs::Any).await,
            outcome => outcome,
        }
    }

    async fn dial_any(&self, attrs: SessionAttrs) -> Result<(&Host, Connection, Server)> {
        let mut last = None;
        for host in self.info.hosts() {
            let attempt = async {
                let connection = self.dial_host(host).await?;
                let server = Server::ask(&connection.client).await?;
                Ok((host, connection, server))
            };
            let attempt = match self.info.deadline {
                Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
                    Err(Error::database(format!("the warehouse did not answer within {} s", limit.as_secs())))
                }),
                None => attempt.await,
            };
            match attempt {
                Ok((_, _, server)) if !attrs.take(server) => {
                    let state = if server.is_standby { "a standby" } else { "a primary" };
                    let access = if server.is_read_only { "read-only" } else { "open to writes" };
                    last = Some(Error::database(format!(
                        "target_session_attrs is {}, but {} is {state} and {access}",
                        attrs.name(),
                        host.shown
                    )));
                }
                Ok(found) => return Ok(found),
                // As in libpq: the next host is for one that is away, not for a wrong password.
                Err(e) if !e.is_retryable() => return Err(e),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| Error::config("the warehouse URL names no host")))
    }

    async fn dial_host(&self, host: &Host) -> Result<Connection> {
        let connected = host.config.connect(self.info.tls.connector()?).await;
        let (client, connection) = connected.map_err(|e| refused(e, self.info.no_password.as_deref()))?;
        let driver = tokio::spawn(async move {
            // A broken connection shows as an error of the statement under way; there is no one else to tell.
            let _ = connection.await;
        });
        Ok(Connection { client: Arc::new(client), driver, leaving: None })
    }

    /// Refuses a pooler that keeps no sessions.
    async fn try_pooler(&self, host: &Host, first: &Connection) -> Result<()> {
        let second = self.dial_host(host).await?;
        pooler::check(&first.client, &second.client).await
    }

    /// Closes the sessions that nobody works with. Behind a pooler every connection is first made what it was.
    pub async fn hand_back(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let leaving = std::mem::take(&mut *self.leaving.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in leaving {
            // It ends by itself within its time; a panic in it has closed the connection.
            let _ = connection.await;
        }
    }

    /// Asks the server to stop every statement of every session of this address.
    pub async fn cancel_all(&self) {
        let tokens = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for token in tokens {
            if let Ok(tls) = self.info.tls.connector() {
                // Best effort: a session that ended meanwhile cannot be cancelled.
                let _ = tokio::time::timeout(Duration::from_millis(500), token.cancel_query(tls)).await;
            }
        }
    }
}

/// One connection for one piece of work. Dropping it rolls back what is open and closes the connection.
pub struct Session {
    connection: Connection,
    pub(super) address: Address,
}

struct Connection {
    client: Arc<Client>,
    driver: JoinHandle<()>,
    /// Behind a pooler: where the connection is made what it was, and who waits for that.
    leaving: Option<(Handle, Leaving)>,
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
        let Self { connection, address } = self;
        if connection.client.batch_execute("SELECT pg_advisory_unlock_all()").await.is_ok() {
            address.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
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
            .map_err(|e| server_error(e, "a statement failed").with("sql", brief(sql)))
    }

    /// Runs one statement; the number of rows it touched.
    pub async fn execute(&self, sql: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<u64> {
        self.connection
            .client
            .execute(sql, params)
            .await
            .map_err(|e| server_error(e, "a statement failed").with("sql", brief(sql)))
    }

    /// Runs one query.
    pub async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        self.connection
            .client
            .query(sql, params)
            .await
            .map_err(|e| server_error(e, "a query failed").with("sql", brief(sql)))
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
            .map_err(|e| server_error(e, "a query failed").with("sql", brief(sql)))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some((runtime, leaving)) = self.leaving.take().filter(|_| !self.client.is_closed()) else {
            return self.driver.abort();
        };
        let (client, driver) = (Arc::clone(&self.client), self.driver.abort_handle());
        let task = runtime.spawn(async move {
            let restored = async {
                client.batch_execute("ROLLBACK").await?;
                client.batch_execute("DISCARD ALL").await
            };
            // What cannot be restored in time is cut off in the middle of something, and no pooler keeps such a connection.
            let _ = tokio::time::timeout(HAND_BACK, restored).await;
            driver.abort();
        });
        leaving.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// The timeline that a server writes; none on a standby, or where a service does not show it.
async fn timeline_of(client: &Client) -> Option<String> {
    client.query_typed_one(TIMELINE, &[]).await.ok()?.try_get(0).ok()
}

/// The error of a connection that did not come about.
fn refused(error: tokio_postgres::Error, no_password: Option<&str>) -> Error {
    let told = error.as_db_error().map(|db| db.message().to_owned()).unwrap_or_default();
    let refused = server_error(error, "cannot connect to the warehouse");
    if told.starts_with("unsupported startup parameter") {
        return Error::config(format!(
            "the connection pooler does not take a parameter of the connection ({told}): leave it out, or name it in the \
             pooler's ignore_startup_parameters"
        ))
        .because(refused);
    }
    match no_password {
        Some(why) if !refused.is_retryable() => Error::config(format!("{refused} ({why})")).because(refused),
        _ => refused,
    }
}

/// One column of a row, typed.
pub fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a tokio_postgres::Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|e| Error::internal("a query gave another type than expected").because(e))
}

fn brief(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_url_does_not_show_the_password() {
        let wrong =
            Address::parse(&Secret::new("postgresql://u:geheim@h:notaport/db"), "metropulse").err().expect("error");
        assert!(!format!("{wrong:?}{wrong}").contains("geheim"));
    }
}
