//! Quality checks: what must hold of a loaded warehouse, as SQL that counts what does not.
//!
//! A [`Check`] is a declaration; who runs the SQL is not this room's business. Most checks count violations and pass
//! at zero; a few must find something, and shares that never are zero may be small.
//!
//! Tests: `tests/python/quality`.

mod check;
mod checks;
mod reports;
mod schedule;
mod telemetry;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

pub use checks::{day_checks, mart_checks, standing_checks};
pub use reports::way_check;
pub use telemetry::telemetry_checks;

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
    /// At most ten percent: where reality never fits wholly.
    FewPercent,
}

impl Expect {
    /// Whether a number passes.
    pub const fn passes(self, found: i64) -> bool {
        match self {
            Self::Zero => found == 0,
            Self::Some => found > 0,
            Self::FewPercent => found <= 10,
        }
    }

    /// The expectation in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::Some => "more than 0",
            Self::FewPercent => "at most 10 percent",
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
    /// The same as a number over some rows, where other checks may count over the same rows.
    pub scan: Option<Scan>,
    /// What the number must be.
    pub expect: Expect,
}

/// A number over some rows.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Which rows: what follows `FROM`.
    pub rows: String,
    /// An aggregate over them.
    pub number: String,
}

/// A check that the warehouse makes over rows that ClickHouse keeps.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The check; its query reads the rows from `table`.
    pub check: Check,
    /// A query on ClickHouse that gives the rows.
    pub rows: String,
    /// The temporary table that they are brought to.
    pub table: &'static str,
    /// What makes it, for one transaction.
    pub create: &'static str,
}

/// A query that answers one check or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A query that gives one row of as many `bigint` as there are checks.
    pub sql: String,
    /// The checks, by their place in what was asked.
    pub checks: Vec<usize>,
}

/// The queries that answer some checks: rows over which several count are read once.
pub fn queries<'a>(checks: impl IntoIterator<Item = &'a Check>) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    let mut scans: BTreeMap<&str, (Vec<&str>, Vec<usize>)> = BTreeMap::new();
    for (place, check) in checks.into_iter().enumerate() {
        match &check.scan {
            Some(scan) => {
                let (numbers, places) = scans.entry(&scan.rows).or_default();
                numbers.push(&scan.number);
                places.push(place);
            }
            None => queries.push(Query { sql: check.sql.clone(), checks: vec![place] }),
        }
    }
    queries.extend(
        scans.into_iter().map(|(rows, (numbers, checks))| Query {
            sql: format!("SELECT {} FROM {rows}", numbers.join(", ")),
            checks,
        }),
    );
    queries
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Positions;

    #[test]
    fn rows_over_which_several_checks_count_are_read_once() {
        let checks = day_checks("2024-05-01".parse().unwrap(), Positions::Warehouse);
        let queries = queries(&checks);
        let mut places: Vec<usize> = queries.iter().flat_map(|query| query.checks.clone()).collect();
        places.sort_unstable();
        assert_eq!(places, (0..checks.len()).collect::<Vec<_>>());
        // Checks that group rows or join them to others have queries of their own.
        let scans = |table: &str| {
            let rows = format!("FROM {table} f WHERE f.dt = '2024-05-01'");
            queries.iter().filter(|query| query.sql.ends_with(&rows)).collect::<Vec<_>>()
        };
        let positions = scans("dwh.fact_vehicle_position");
        assert_eq!([positions.len(), scans("staging.vehicle_positions_raw").len()], [1, 1]);
        let names: Vec<&str> = positions[0].checks.iter().map(|&place| checks[place].name).collect();
        let expected = [
            "facts_conserve_rows",
            "keys_not_null",
            "coordinates_in_range",
            "speed_in_range",
            "dates_in_calendar",
            "positions_name_planned_runs",
            "positions_name_planned_routes",
            "positions_name_planned_stops",
            "positions_are_fresh",
        ];
        assert_eq!(names, expected);
    }
}
