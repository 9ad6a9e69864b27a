//! The locks of the warehouse: one run at a time for a dimension or a fact table, always taken in the same order.

use chrono::{Datelike, NaiveDate};

use crate::error::Result;
use crate::postgres::{self, Advisory, Session};

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
    fn advisory(self) -> Advisory {
        let (class, object, name) = match self {
            Self::Schema => (0, 0, "the schema"),
            Self::Calendar => (0, 1, "the calendar"),
            Self::Staging(dt) => (1, dt.num_days_from_ce(), "staging"),
            Self::Dimensions => (0, 2, "the dimensions"),
            Self::Facts => (0, 3, "the facts"),
            Self::Mart => (0, 4, "the mart"),
        };
        Advisory { class, object, name }
    }
}

/// Takes session locks in order, each within the deadline; they go with the session.
pub(super) async fn hold(session: &Session, locks: &[Lock], deadline_seconds: u64) -> Result<()> {
    let mut ordered = locks.to_vec();
    ordered.sort_unstable();
    let ordered: Vec<Advisory> = ordered.into_iter().map(Lock::advisory).collect();
    postgres::hold(session, &ordered, deadline_seconds).await
}
