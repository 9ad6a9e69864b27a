//! Advisory locks: one run at a time for a dimension or a fact table, always taken in the same order.

use chrono::{Datelike, NaiveDate};

use super::client::{Session, is_lock_timeout};
use crate::error::{Error, Result};

/// The first half of every key, so that ours never meet another application's ("MP").
const CLASS: i32 = 0x4d50;

/// What a step must hold before its first look at the data. The order of the variants is the order of locking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    Schema,
    Calendar,
    /// Staging of one raw day: days do not touch each other there.
    Staging(NaiveDate),
    Dimensions,
    Facts,
    Mart,
}

impl Lock {
    /// The two halves of the advisory key: what, and for staging which day.
    fn key(self) -> (i32, i32) {
        match self {
            Self::Schema => (CLASS, 0),
            Self::Calendar => (CLASS, 1),
            Self::Staging(dt) => (CLASS + 1, dt.num_days_from_ce()),
            Self::Dimensions => (CLASS, 2),
            Self::Facts => (CLASS, 3),
            Self::Mart => (CLASS, 4),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Schema => "the schema",
            Self::Calendar => "the calendar",
            Self::Staging(_) => "staging",
            Self::Dimensions => "the dimensions",
            Self::Facts => "the facts",
            Self::Mart => "the mart",
        }
    }
}

/// Takes session locks in order, each within the deadline; they go with the session.
pub(super) async fn hold(session: &Session, locks: &[Lock], deadline_seconds: u64) -> Result<()> {
    let mut ordered = locks.to_vec();
    ordered.sort_unstable();
    limit_waits(session, deadline_seconds).await?;
    for lock in ordered {
        let (class, object) = lock.key();
        let taken = session.touch("SELECT pg_advisory_lock($1, $2)", &[&class, &object]).await;
        taken.map_err(|e| {
            held(e, || {
                Error::conflict(format!(
                    "another run has held {} for {deadline_seconds} s; run again when it has ended",
                    lock.name()
                ))
            })
        })?;
    }
    session.run("SET lock_timeout = 0").await
}

/// Takes the session lock of one table with history, within the deadline, which goes on holding for what comes after.
pub(super) async fn hold_table(session: &Session, table: &str, deadline_seconds: u64) -> Result<()> {
    limit_waits(session, deadline_seconds).await?;
    let taken = session.touch("SELECT pg_advisory_lock($1, hashtext($2))", &[&(CLASS + 2), &table]).await;
    taken.map_err(|e| {
        held(e, || {
            Error::conflict(format!(
                "another run has been merging into {table} for {deadline_seconds} s; run again when it has ended"
            ))
            .with("table", table)
        })
    })?;
    Ok(())
}

async fn limit_waits(session: &Session, deadline_seconds: u64) -> Result<()> {
    session.run(&format!("SET lock_timeout = '{}s'", deadline_seconds.max(1))).await
}

/// The error of a wait that came to its deadline, or the error as it was.
fn held(error: Error, too_long: impl FnOnce() -> Error) -> Error {
    if is_lock_timeout(&error) { too_long() } else { error }
}
