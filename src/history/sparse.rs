//! Logs that need not be kept, because the versions tell them.
//!
//! Mostly a key's versions say what its log says: a version's values are what every loaded day in it said. Such a log is
//! *plain*. Whoever stores versions and logs side by side keeps only the logs that are not plain, and [`read_off`] gives
//! the others back.

use super::columns::Columns;
use super::derive::Version;
use super::log::{Presence, Run};
use super::value::{Instant, Values, is_before};

/// How the days of a table speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Full snapshots: the loaded days, ascending, each with the columns that it states.
    Snapshots(Vec<(Instant, Columns)>),
    /// A change feed: every statement has a time of its own, and states these columns.
    Feed(Columns),
}

impl Calendar {
    /// The loaded days; none for a change feed.
    pub fn days(&self) -> Vec<Instant> {
        match self {
            Self::Snapshots(days) => days.iter().map(|(day, _)| *day).collect(),
            Self::Feed(_) => Vec::new(),
        }
    }
}

/// The log that versions (ascending, with values over all columns) tell.
pub fn read_off(versions: &[Version], calendar: &Calendar) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::with_capacity(versions.len());
    for version in versions {
        let Some(from) = version.from else { continue };
        match calendar {
            Calendar::Feed(stated) => runs.push(observed(from, None, stated, &version.values)),
            Calendar::Snapshots(days) => {
                let first = days.partition_point(|(day, _)| *day < from);
                let within = &days[first..days.partition_point(|(day, _)| is_before(*day, version.to))];
                for (index, stretch) in within.chunk_by(|left, right| left.1 == right.1).enumerate() {
                    let start = if index == 0 { from } else { stretch[0].0 };
                    let next = within.iter().find(|(day, stated)| *day > stretch[0].0 && *stated != stretch[0].1);
                    let to = next.map(|(day, _)| *day).or(version.to);
                    push(&mut runs, observed(start, to, &stretch[0].1, &version.values));
                }
            }
        }
    }
    runs
}

/// Whether a log is what its own versions tell.
pub fn is_plain(runs: &[Run], versions: &[Version], calendar: &Calendar) -> bool {
    read_off(versions, calendar) == runs
}

fn observed(from: Instant, to: Option<Instant>, stated: &Columns, values: &Values) -> Run {
    let said = values.iter().enumerate().map(|(index, value)| value.clone().filter(|_| stated.holds(index)));
    Run { from, to, stated: stated.clone(), kind: Presence::Observed, values: said.collect() }
}

fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.to == Some(run.from) && last.stated == run.stated && last.values == run.values => {
            last.to = run.to;
        }
        _ => runs.push(run),
    }
}
