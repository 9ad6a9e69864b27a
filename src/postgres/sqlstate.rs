//! What an error of PostgreSQL means to the caller: its kind, whether a retry can help, and the place it names.
//!
//! Both are decided by SQLSTATE in one table, a code before its class; what carries no SQLSTATE (a lost connection, a
//! certificate, a missing password) is decided by its cause.
#![allow(clippy::wildcard_enum_match_arm, reason = "another crate's errors may grow")]

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use crate::control::STOPPED;
use crate::error::{Error, Result, with_causes};

/// What the caller can do about a SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Config,
    Data,
    Conflict,
    Database,
}

use Kind::{Config, Conflict, Data, Database};

/// SQLSTATEs, or their classes, with their kind and whether the same call may succeed later.
const TABLE: &[(&str, Kind, bool)] = &[
    ("08", Database, true),  // Connections.
    ("0A", Database, false), // Not supported, row security of a COPY among it.
    ("0B", Database, false),
    ("0F", Database, false),
    ("0L", Database, false),
    ("0P", Database, false),
    ("20", Database, false),
    ("21", Database, false),
    ("22", Data, false), // Values.
    ("23", Data, false), // Constraints.
    ("24", Database, false),
    ("25", Database, false),   // State of the transaction: 25006 is a read-only server.
    ("25P03", Database, true), // An idle transaction was ended.
    ("25P04", Database, true), // A transaction was ended for its length.
    ("26", Database, false),
    ("27", Database, false),
    ("28", Config, false), // User or password.
    ("2B", Database, false),
    ("2D", Database, false),
    ("2F", Database, false),
    ("34", Database, false),
    ("38", Database, false),
    ("39", Database, false),
    ("3B", Database, false),
    ("3D", Config, false),      // No such database.
    ("3F", Database, false),    // No such schema.
    ("40", Conflict, true),     // Deadlocks, serialization.
    ("40002", Data, false),     // A constraint at commit.
    ("40003", Database, true),  // Whether the statement was done is unknown.
    ("42", Database, false),    // Names, syntax, rights.
    ("44", Data, false),        // A view's check.
    ("53", Database, true),     // Disk, memory, connections.
    ("54", Database, false),    // Limits of the program: columns, sizes of rows.
    ("55", Database, false),    // Prerequisites.
    ("55006", Conflict, true),  // In use.
    ("55P03", Conflict, true),  // A lock was not to be had in time.
    ("57", Database, true),     // Operators: shutdown, restart, statements stopped by somebody else.
    ("57P04", Database, false), // The database was dropped.
    ("58", Database, true),     // Input and output of the server.
    ("58P01", Database, false),
    ("58P02", Database, false),
    ("72", Database, true), // Snapshot too old.
    ("F0", Database, false),
    ("HV", Database, false),   // Foreign tables.
    ("HV00N", Database, true), // A foreign server is away.
    ("P0", Database, false),   // Raised by functions.
    ("XX", Database, false),   // A defect or damage.
    ("XX000", Database, true), // Also "tuple concurrently updated".
];

/// Kind and retryability of a SQLSTATE; what no row names does not pass by itself.
fn meaning(code: &str) -> (Kind, bool) {
    let find = |wanted: &str| TABLE.iter().find(|(prefix, ..)| *prefix == wanted);
    let class = code.get(..2).unwrap_or("");
    find(code).or_else(|| find(class)).map_or((Database, false), |&(_, kind, retryable)| (kind, retryable))
}

/// Classifies a driver error: what the caller can do, whether a retry can help, with SQLSTATE, place and detail.
pub fn server_error(error: tokio_postgres::Error, what: &str) -> Error {
    let Some(db) = error.as_db_error() else { return without_sqlstate(error, what) };
    let code = db.code().code().to_owned();
    let place = Place::of(db);
    let column = place.as_ref().and_then(|place| place.column.clone()).or_else(|| db.column().map(str::to_owned));
    let mut message = format!("{what}: {}", db.message());
    // Where PostgreSQL does not name the column itself.
    if let Some(column) = column.as_ref().filter(|column| !db.message().contains(column.as_str())) {
        message.push_str(&format!(" (column {column:?})"));
    }
    let (kind, retryable) = meaning(&code);
    let mut sorted = match kind {
        Config => Error::config(message),
        Data => Error::data(message),
        Conflict => Error::conflict(message),
        Database => Error::database(message),
    }
    .retryable(retryable)
    .with("sqlstate", code);
    let facts = [("table", db.table()), ("constraint", db.constraint()), ("detail", db.detail())];
    for (name, value) in facts.into_iter().chain([("column", column.as_deref())]) {
        if let Some(value) = value {
            sorted = sorted.with(name, value);
        }
    }
    sorted.because(error)
}

/// An error of the driver itself or of the network.
fn without_sqlstate(error: tokio_postgres::Error, what: &str) -> Error {
    if error.is_closed() {
        return Error::database(format!("{what}: the connection was lost")).because(error);
    }
    let causes = with_causes(&error);
    // The driver tells its kinds by these words alone; a test holds them.
    let sorted = if causes.contains("password missing") {
        Error::config(format!(
            "{what}: the server asks for a password; put one into the URL, PG_PASSWORD or the connection, or into ~/.pgpass"
        ))
    } else if let Some(tls) = tls_fault(&error) {
        Error::config(format!("{what}: {tls}"))
    } else if ["invalid configuration", "authentication error", "error performing TLS handshake: server does not"]
        .iter()
        .any(|words| causes.starts_with(words))
    {
        Error::config(format!("{what}: {causes}"))
    } else {
        Error::database(format!("{what}: {causes}"))
    };
    sorted.because(error)
}

/// What is wrong with a certificate or a handshake, and what to do.
fn tls_fault(error: &tokio_postgres::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(current) = cause {
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = current.downcast_ref::<rustls::Error>().or_else(|| inner.and_then(|e| e.downcast_ref()));
        if let Some(tls) = tls {
            return Some(match tls {
                rustls::Error::InvalidCertificate(reason) => format!(
                    "the server's certificate is not accepted ({reason}); set sslrootcert to the authority that issued it, or \
                     have one issued (X.509 version 3) that names this host"
                ),
                other => format!("TLS failed: {other}"),
            });
        }
        cause = current.source();
    }
    None
}

/// Where in a COPY an error arose, as PostgreSQL's CONTEXT says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The row within the COPY, from 1.
    pub(super) line: u64,
    pub(super) column: Option<String>,
}

impl Place {
    /// The place of an error of the driver.
    pub(super) fn of_error(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().and_then(Self::of)
    }

    fn of(db: &DbError) -> Option<Self> {
        db.where_().and_then(Self::parse)
    }

    /// Reads `COPY t, line 3, column c: "…"`, which may stand behind the context of a function.
    fn parse(context: &str) -> Option<Self> {
        context.lines().filter(|line| line.starts_with("COPY ")).find_map(|told| {
            told.match_indices(", line ").find_map(|(at, words)| {
                let rest = &told[at + words.len()..];
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let line = rest[..digits].parse().ok()?;
                // A row in binary has no text behind the column's name.
                let column = rest[digits..].strip_prefix(", column ").map(str::to_owned);
                Some(Self { line, column })
            })
        })
    }
}

/// Whether the server refused a statement for what its tables are, rather than for the state that it or the line is in.
pub fn is_refusal(error: &Error) -> bool {
    let code = error.detail().context.get("sqlstate");
    code.and_then(|code| code.get(..2)).is_some_and(|class| REFUSALS.contains(&class)) && !is_lock_timeout(error)
}

/// Classes of SQLSTATE: not supported, data, integrity, triggers, names and rights, checks of views, prerequisites, and what a
/// function raises.
const REFUSALS: [&str; 8] = ["0A", "22", "23", "27", "42", "44", "55", "P0"];

/// Whether a connection did not come about because the server is away for a moment: it restarts, or has no place free.
pub(super) fn is_away(error: &Error) -> bool {
    match error.detail().context.get("sqlstate") {
        Some(code) => code == SqlState::CANNOT_CONNECT_NOW.code() || code == SqlState::TOO_MANY_CONNECTIONS.code(),
        None => {
            let driver = error.source().and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
            error.is_refused_or_cut() || driver.is_some_and(tokio_postgres::Error::is_closed)
        }
    }
}

/// Whether an error is a lock timeout.
pub fn is_lock_timeout(error: &Error) -> bool {
    is(error, &SqlState::LOCK_NOT_AVAILABLE)
}

fn is(error: &Error, code: &SqlState) -> bool {
    error.detail().context.get("sqlstate").is_some_and(|c| c == code.code())
}

/// What the caller hears: a statement that the server stopped because the caller asked for it was cancelled. Stopped by
/// anybody else it failed.
pub fn asked<T>(outcome: Result<T>, asked_to_stop: bool) -> Result<T> {
    outcome.map_err(|error| {
        if asked_to_stop && is(&error, &SqlState::QUERY_CANCELED) {
            return Error::cancelled(STOPPED).because(error);
        }
        error
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQLSTATEs that people met, and every class.
    const MEANT: &[(&str, Kind, bool)] = &[
        ("08000", Database, true),
        ("08001", Database, true),
        ("08003", Database, true),
        ("08006", Database, true),
        ("08P01", Database, true),
        ("0A000", Database, false),
        ("22001", Data, false),
        ("22003", Data, false),
        ("22P05", Data, false),
        ("23502", Data, false),
        ("23505", Data, false),
        ("23514", Data, false),
        ("25006", Database, false),
        ("25P02", Database, false),
        ("25P03", Database, true),
        ("25P04", Database, true),
        ("26000", Database, false),
        ("28000", Config, false),
        ("28P01", Config, false),
        ("3D000", Config, false),
        ("3F000", Database, false),
        ("40001", Conflict, true),
        ("40002", Data, false),
        ("40003", Database, true),
        ("40P01", Conflict, true),
        ("42501", Database, false),
        ("42601", Database, false),
        ("42703", Database, false),
        ("42804", Database, false),
        ("42P01", Database, false),
        ("44000", Data, false),
        ("53100", Database, true),
        ("53200", Database, true),
        ("53300", Database, true),
        ("54000", Database, false),
        ("54001", Database, false),
        ("54011", Database, false),
        ("55000", Database, false),
        ("55006", Conflict, true),
        ("55P03", Conflict, true),
        ("57014", Database, true),
        ("57P01", Database, true),
        ("57P02", Database, true),
        ("57P03", Database, true),
        ("57P04", Database, false),
        ("57P05", Database, true),
        ("58030", Database, true),
        ("58P01", Database, false),
        ("72000", Database, true),
        ("F0000", Database, false),
        ("HV000", Database, false),
        ("HV00N", Database, true),
        ("P0001", Database, false),
        ("XX000", Database, true),
        ("XX001", Database, false),
        ("XX002", Database, false),
        ("ZZ999", Database, false),
    ];

    #[test]
    fn each_sqlstate_has_its_kind_and_says_whether_a_retry_helps() {
        for &(code, kind, retryable) in MEANT {
            assert_eq!(meaning(code), (kind, retryable), "{code}");
        }
    }

    #[test]
    fn no_sqlstate_stands_twice_in_the_table() {
        let mut codes: Vec<&str> = TABLE.iter().map(|(code, ..)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
    }

    #[test]
    fn the_place_is_read_out_of_postgresqls_context() {
        let place = |line, column: Option<&str>| Some(Place { line, column: column.map(str::to_owned) });
        for (context, meant) in [
            ("COPY t, line 1501, column code", place(1501, Some("code"))),
            ("COPY t, line 2", place(2, None)),
            ("COPY t, line x, line 7, column a, b", place(7, Some("a, b"))),
            ("PL/pgSQL function f() line 3 at RAISE\nCOPY t, line 5", place(5, None)),
            ("JSON data, line 1: {\nCOPY t, line 12, column doc", place(12, Some("doc"))),
            ("SQL statement \"SELECT 1\"", None),
            ("COPY t, line 99999999999999999999999", None),
        ] {
            assert_eq!(Place::parse(context), meant, "{context}");
        }
    }

    #[test]
    fn a_statement_that_somebody_else_stopped_was_not_cancelled() {
        let stopped = || Err::<(), _>(Error::database("canceling statement").with("sqlstate", "57014"));
        assert_eq!(asked(stopped(), true).unwrap_err().kind(), "cancelled");
        assert_eq!(asked(stopped(), false).unwrap_err().kind(), "database");
        let other = Err::<(), _>(Error::database("gone").with("sqlstate", "57P01"));
        assert_eq!(asked(other, true).unwrap_err().kind(), "database");
    }
}
