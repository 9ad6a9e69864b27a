//! Logs that need not be kept, because the versions tell them.
//!
//! Mostly a key's versions say what its log says: a version's values are what every loaded day in it said. Such a log is
//! *plain*. Whoever stores versions and logs side by side keeps only the logs that are not plain, and [`read_off`] gives
//! the others back.

use super::columns::Columns;
use super::derive::Version;
use super::log::{Presence, Run, Statement};
use super::value::{Instant, Values, is_before};

/// How the days of a table speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Full snapshots.
    Snapshots(Loaded),
    /// A change feed: every statement has a time of its own, and states these columns.
    Feed(Columns),
}

/// The loaded days and what each states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Ascending.
    days: Vec<Instant>,
    /// The columns stated, and by position the first of the days in a row that state them.
    stretches: Vec<(usize, Columns)>,
}

impl Calendar {
    /// The loaded days, ascending, each with the columns that it states.
    pub fn snapshots(loads: Vec<(Instant, Columns)>) -> Self {
        let mut loaded = Loaded::default();
        for (day, stated) in loads {
            if loaded.stretches.last().is_none_or(|(_, last)| *last != stated) {
                loaded.stretches.push((loaded.days.len(), stated));
            }
            loaded.days.push(day);
        }
        Self::Snapshots(loaded)
    }

    /// The loaded days; none for a change feed.
    pub fn days(&self) -> &[Instant] {
        match self {
            Self::Snapshots(loaded) => &loaded.days,
            Self::Feed(_) => &[],
        }
    }
}

/// The log that versions (ascending, with values over all columns) tell.
pub fn read_off(versions: &[Version], calendar: &Calendar) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::with_capacity(versions.len());
    for (index, version) in versions.iter().enumerate() {
        let Some(from) = version.from else { continue };
        match calendar {
            Calendar::Feed(stated) => {
                runs.push(observed(from, None, stated, &version.values));
                let next = versions.get(index + 1).and_then(|next| next.from);
                // Nothing but a word that the key is gone leaves a gap.
                let gone = version.to.filter(|end| next != Some(*end));
                runs.extend(gone.map(|end| Run::new(end, None, Statement::gone())));
            }
            Calendar::Snapshots(loaded) => loaded.read_off(from, version, &mut runs),
        }
    }
    runs
}

impl Loaded {
    /// What the days within a version said: a run for each stretch of days that state the same columns.
    fn read_off(&self, from: Instant, version: &Version, runs: &mut Vec<Run>) {
        let first = self.days.partition_point(|day| *day < from);
        let end = self.days.partition_point(|day| is_before(*day, version.to));
        let stretch = self.stretches.partition_point(|(start, _)| *start <= first);
        let Some(within) = self.stretches.get(stretch.saturating_sub(1)..).filter(|_| first < end) else { return };
        for (index, (start, stated)) in within.iter().enumerate().take_while(|(_, (start, _))| *start < end) {
            let start = if index == 0 { from } else { self.days[*start] };
            let next = within.get(index + 1).filter(|(next, _)| *next < end);
            let to = next.map(|(next, _)| self.days[*next]).or(version.to);
            push(runs, observed(start, to, stated, &version.values));
        }
    }
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
