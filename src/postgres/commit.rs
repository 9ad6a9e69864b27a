//! COMMIT, and what became of it where its answer was lost.
//!
//! Whoever loses the connection while a transaction commits does not know whether it did. That is found out here, not
//! guessed. A transaction that wrote has a number, and the server keeps what became of each number; but as long as the old
//! session is at it (a deferred constraint, a standby that has to confirm) nothing is decided, and a look at the tables
//! would show the state before. So the answer counts only once that session has ended.

use std::time::Instant;

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::client::{Session, get};
use super::sqlstate::server_error;
use crate::backoff::Backoff;
use crate::error::{Error, Result};

/// Of the transaction under way: its number, none if it wrote nothing, and the session's process. A session that took
/// another role (`options=-c role=...`) may not see when it began.
const OWN: &str = "SELECT txid_current_if_assigned(), pid, backend_start::text \
                   FROM pg_stat_get_activity(pg_backend_pid())";
/// What became of a transaction, and whether its session is still there.
const FATE: &str = "SELECT txid_status($1), EXISTS (SELECT FROM pg_stat_activity \
                    WHERE pid = $2 AND backend_start IS NOT DISTINCT FROM $3::text::timestamptz)";
/// Ends the old session where it waits for words that cannot come any more. One that works is left to it, and one that
/// has just become idle may have COMMIT before it, unread.
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE pid = $1 AND backend_start = $2::text::timestamptz AND state LIKE 'idle%' \
                     AND state_change < clock_timestamp() - interval '1 s'";

/// The transaction under way in a session, as the server knows it.
pub(super) struct Underway {
    /// None if it wrote nothing.
    number: Option<i64>,
    process_id: i32,
    since: Option<String>,
}

/// A transaction that wrote, as the server knows it.
struct Written {
    number: i64,
    process_id: i32,
    since: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    /// The same, but the old session, which holds locks, is still there.
    Leaving,
    RolledBack,
    /// The old session is still at it.
    Open,
    Unknown(&'static str),
}

impl Session {
    /// Commits. Where the connection is lost before the answer comes, waits until the old session has ended and asks the
    /// server what became of the transaction.
    ///
    /// # Errors
    /// The server's refusal. After a lost connection [`Error::Database`]: the transaction was rolled back, or
    /// nobody can tell.
    pub async fn commit(&self) -> Result<()> {
        let underway = self.underway().await?;
        self.commit_known(underway).await
    }

    /// Asks for what [`Session::commit_known`] has to know, once all is written.
    pub(super) async fn underway(&self) -> Result<Underway> {
        let row = self.query_typed_one(OWN, &[]).await.map_err(failed)?;
        Ok(Underway { number: get(&row, 0)?, process_id: get(&row, 1)?, since: get(&row, 2)? })
    }

    /// [`Session::commit`] of a transaction that was asked about before.
    pub(super) async fn commit_known(&self, underway: Underway) -> Result<()> {
        let Err(error) = self.batch_execute("COMMIT").await else { return Ok(()) };
        let is_lost = error.as_db_error().is_none_or(ends_session);
        let error = failed(error);
        let Underway { number, process_id, since } = underway;
        match number {
            Some(number) if is_lost => self.resolve(&Written { number, process_id, since }, error).await,
            _ => Err(error),
        }
    }

    async fn resolve(&self, written: &Written, lost: Error) -> Result<()> {
        let until = Instant::now() + self.address.patience;
        let mut pauses = Backoff::brief();
        loop {
            let asked = tokio::time::timeout_at(until.into(), self.fate(written)).await;
            let is_over = Instant::now() >= until;
            let why = match asked {
                Ok(Ok(Fate::Committed)) => return Ok(()),
                Ok(Ok(Fate::Leaving)) if is_over => return Ok(()),
                Ok(Ok(Fate::RolledBack)) => return Err(rolled_back(lost)),
                Ok(Ok(Fate::Unknown(why))) => return Err(unknown(written, why, lost)),
                Ok(Err(e)) if is_over || !e.is_retryable() => return Err(unknown(written, &e.to_string(), lost)),
                Ok(Ok(Fate::Leaving | Fate::Open) | Err(_)) => "its session had not ended by lock_deadline_seconds",
                Err(_) => "the server did not answer by lock_deadline_seconds",
            };
            if is_over {
                return Err(unknown(written, why, lost));
            }
            pauses.pause().await;
        }
    }

    async fn fate(&self, written: &Written) -> Result<Fate> {
        let session = self.address.session().await?;
        let Written { number, process_id, since } = written;
        session.rows(END, &[process_id, since]).await?;
        let fate = match session.row(FATE, &[number, process_id, since]).await {
            Ok(row) => match get::<Option<&str>>(&row, 0)? {
                Some("committed") if !self.address.is_same_server(&session).await => {
                    Fate::Unknown("another server may have taken over meanwhile")
                }
                Some("committed") if get(&row, 1)? => Fate::Leaving,
                Some("committed") => Fate::Committed,
                Some("aborted") => Fate::RolledBack,
                Some(_) => Fate::Open,
                None => Fate::Unknown("the server has forgotten what became of it"),
            },
            // A number that this server has not given out: another one took over, and has nothing of the transaction.
            Err(e) if is_future(&e) => Fate::RolledBack,
            Err(e) => return Err(e),
        };
        session.release().await;
        Ok(fate)
    }
}

fn failed(error: tokio_postgres::Error) -> Error {
    server_error(error, "a transaction could not be committed")
}

/// Whether a server's error ends the session, so that it tells nothing about the statement.
fn ends_session(error: &DbError) -> bool {
    let is_fatal = match error.parsed_severity() {
        Some(Severity::Fatal | Severity::Panic) => true,
        Some(
            Severity::Error | Severity::Warning | Severity::Notice | Severity::Debug | Severity::Info | Severity::Log,
        )
        | None => false,
    };
    // A pooler's own errors are of class 08.
    is_fatal || error.code().code().starts_with("08")
}

fn is_future(error: &Error) -> bool {
    error.detail().context.get("sqlstate").is_some_and(|code| code == SqlState::INVALID_PARAMETER_VALUE.code())
}

fn rolled_back(lost: Error) -> Error {
    Error::database(
        "the connection was lost before the transaction was committed; the server rolled it back, run again",
    )
    .because(lost)
}

fn unknown(written: &Written, why: &str, lost: Error) -> Error {
    let number = &written.number;
    Error::database(format!(
        "the connection was lost while transaction {number} was being committed, and whether it was is unknown: {why}; \
         SELECT txid_status({number}) tells as long as that server lives"
    ))
    .with("transaction", number)
    .because(lost)
}

/// Whether an error leaves open whether a transaction was committed.
pub(super) fn is_unknown(error: &Error) -> bool {
    error.detail().context.contains_key("transaction")
}
