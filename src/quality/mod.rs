//! Quality checks: what must hold of a loaded warehouse, as SQL that counts what does not.
//!
//! A [`Check`] is a declaration; who runs the SQL is not this room's business. Most checks count violations and pass
//! at zero; a few must find something.
//!
//! Tests: `tests/python/quality`.

mod checks;

use chrono::NaiveDate;
use serde::Serialize;

pub use checks::{day_checks, mart_checks, standing_checks};

/// How bad a failed check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look; the task goes on.
    Warn,
    /// The data must not be used; the task fails.
    Error,
}

impl Severity {
    /// The name as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What a check's number must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No violation.
    Zero,
    /// At least one row.
    Some,
}

impl Expect {
    /// Whether a number passes.
    pub const fn passes(self, found: i64) -> bool {
        match self {
            Self::Zero => found == 0,
            Self::Some => found > 0,
        }
    }

    /// The expectation in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::Some => "more than 0",
        }
    }
}

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Check {
    /// A short name, stable over versions.
    pub name: &'static str,
    /// The table it is about.
    pub table: String,
    /// How bad a failure is.
    pub severity: Severity,
    /// A query that gives one `bigint`.
    pub sql: String,
    /// What the number must be.
    pub expect: Expect,
}

/// A check and what it found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The check's name.
    pub name: &'static str,
    /// The table it is about.
    pub table: String,
    /// How bad a failure is.
    pub severity: Severity,
    /// Whether it holds.
    pub passed: bool,
    /// The number found.
    pub found: i64,
    /// The number expected.
    pub expected: &'static str,
    /// The raw day it was about.
    pub dt: Option<NaiveDate>,
    /// The query, to look further.
    pub sql: String,
}

impl Check {
    /// Judges a number.
    pub fn judge(self, found: i64, dt: Option<NaiveDate>) -> Outcome {
        Outcome {
            name: self.name,
            table: self.table,
            severity: self.severity,
            passed: self.expect.passes(found),
            found,
            expected: self.expect.words(),
            dt,
            sql: self.sql,
        }
    }
}
