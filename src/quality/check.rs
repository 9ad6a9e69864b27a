//! How checks are made.

use chrono::NaiveDate;

use super::{Check, Expect, Scan, Severity};

/// Violations that must not be.
pub(super) fn error(name: &'static str, table: &str, sql: String) -> Check {
    Check { name, table: table.to_owned(), severity: Severity::Error, sql, scan: None, expect: Expect::Zero }
}

/// A number over the rows `f` of one table and day.
pub(super) fn counted(name: &'static str, table: &str, dt: NaiveDate, number: String) -> Check {
    counted_over(name, table, format!("{table} f WHERE f.dt = '{dt}'"), number)
}

/// A number over some rows (what follows `FROM`) that tells of a table.
pub(super) fn counted_over(name: &'static str, table: &str, rows: String, number: String) -> Check {
    let sql = format!("SELECT {number} FROM {rows}");
    Check { scan: Some(Scan { rows, number }), ..error(name, table, sql) }
}

/// How many rows of one table and day meet a condition.
pub(super) fn offending(name: &'static str, table: &str, dt: NaiveDate, condition: &str) -> Check {
    counted(name, table, dt, format!("count(*) FILTER (WHERE {condition})"))
}

/// The same, where a few percent pass and more are worth a look.
pub(super) fn few(check: Check) -> Check {
    Check { expect: Expect::FewPercent, ..warned(check) }
}

/// A share of one day in percent, by a query of its own.
pub(super) fn few_of(name: &'static str, table: &str, sql: String) -> Check {
    few(error(name, table, sql))
}

/// Whole percent, rounded up; of nothing it is none.
pub(super) fn percent(part: &str, whole: &str) -> String {
    format!("ceil(100.0 * {part} / greatest({whole}, 1))::bigint")
}

/// Violations that are worth a look.
pub(super) fn warn(name: &'static str, table: &str, sql: String) -> Check {
    warned(error(name, table, sql))
}

/// Only a warning.
pub(super) fn warned(check: Check) -> Check {
    Check { severity: Severity::Warn, ..check }
}
