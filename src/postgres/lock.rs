//! Advisory locks of a session, each waited for within a deadline.

use super::client::{Session, is_lock_timeout};
use crate::error::{Error, Result};

/// The first half of every key, so that ours never meet another application's ("MP").
const CLASS: i32 = 0x4d50;
/// The class of tables with history, whose second half is a hash of their name.
const TABLES: i32 = CLASS + 2;

/// One advisory lock: the two halves of its key, and what messages call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advisory {
    /// Which class of ours; 2 are the tables with history.
    pub(crate) class: i32,
    /// Which of its class.
    pub(crate) object: i32,
    /// What it guards.
    pub(crate) name: &'static str,
}

/// Takes session locks in the given order, each within the deadline; they go with the session.
pub(crate) async fn hold(session: &Session, locks: &[Advisory], deadline_seconds: u64) -> Result<()> {
    limit_waits(session, deadline_seconds).await?;
    for lock in locks {
        let taken = session.execute("SELECT pg_advisory_lock($1, $2)", &[&(CLASS + lock.class), &lock.object]).await;
        taken.map_err(|e| {
            held(e, || {
                Error::conflict(format!(
                    "another run has held {} for {deadline_seconds} s; run again when it has ended",
                    lock.name
                ))
            })
        })?;
    }
    session.run("SET lock_timeout = 0").await
}

/// Takes the session lock of one table with history, within the deadline, which goes on holding for what comes after.
pub(super) async fn hold_table(session: &Session, table: &str, deadline_seconds: u64) -> Result<()> {
    limit_waits(session, deadline_seconds).await?;
    let taken = session.execute("SELECT pg_advisory_lock($1, hashtext($2))", &[&TABLES, &table]).await;
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
