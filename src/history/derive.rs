//! From the log of a key to the versions of its dimension rows.
//!
//! What holds on a stretch of time depends on the rules:
//!
//! * [`Absent::Close`] (and [`Absent::Error`], which differs only in what the guard lets through): a version holds on the
//!   loaded days that observe the key, each up to the next loaded day. Absence closes. A day that only mentions the key
//!   keeps an open version open, with the values it has, and a closed one closed.
//! * [`Absent::Ignore`]: a version holds up to the next loaded day that observes the key. Absence and mentions change
//!   nothing. Of a change feed a version holds up to the key's next statement, and none from where it says that the key is
//!   gone.
//! * A column that a day does not state keeps what the newest earlier day that did state it for this key said, also
//!   across gaps; NULL if none did.
//! * An overwritten column shows, in every version, what the newest day of all that states it said.
//! * An active flag is judged on every loaded day on which the key holds, days that ignore or only mention it included,
//!   by the bounds known on that day. So time alone can open a version, and only at a loaded day.
//! * Neighbours that touch and show the same are one version.

use super::columns::Columns;
use super::log::{Presence, Run};
use super::value::{Instant, Value, Values, is_before};
use crate::error::{Error, Result};
use crate::model::Absent;

/// A flag that is true unless the day's start is before one bound or not before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveWindow {
    /// The column of the first active instant: decimal microseconds, NULL for no bound.
    pub from_column: usize,
    /// The column of the first instant no longer active, in the same form.
    pub to_column: usize,
    /// The column that receives `true` or `false`; snapshots do not state it.
    pub flag_column: usize,
}

/// How a dimension keeps its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many columns are declared.
    pub columns: usize,
    /// What a key's absence means.
    pub absent: Absent,
    /// The columns whose changes open a version.
    pub tracked: Columns,
    /// The columns that show their newest value in every version; these win over `tracked`.
    pub overwritten: Columns,
    /// A derived flag, tracked as well.
    pub active: Option<ActiveWindow>,
    /// Whether versions have intervals. Without, a key has one timeless version with the newest values.
    pub type2: bool,
}

/// One row that the dimension should have. Columns that are neither tracked, overwritten nor the flag are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The first instant; `None` where the dimension keeps no intervals.
    pub from: Option<Instant>,
    /// The first instant after it; `None` while open.
    pub to: Option<Instant>,
    /// The values shown.
    pub values: Values,
}

/// The versions of a key, ascending and disjoint; none if no day observes it.
///
/// `loaded_days` are all loaded days of the dataset, ascending; the flag needs them.
///
/// # Errors
/// [`Error::Internal`] when a bound of the active window is not a decimal number.
pub fn derive(runs: &[Run], loaded_days: &[Instant], rules: &Rules) -> Result<Vec<Version>> {
    let observed = || runs.iter().filter(|run| run.kind == Presence::Observed);
    let mut builder = Builder::new(rules, loaded_days);
    if !rules.type2 {
        for run in observed() {
            builder.state(run);
        }
        builder.newest = builder.carried.clone();
        return if observed().next().is_some() { builder.timeless() } else { Ok(Vec::new()) };
    }
    if !rules.overwritten.is_empty() {
        let mut ahead = Builder::new(rules, loaded_days);
        observed().for_each(|run| ahead.state(run));
        builder.newest = ahead.carried;
    }
    if rules.absent == Absent::Ignore {
        let speaking = || runs.iter().filter(|run| run.kind != Presence::Mentioned);
        let mut upcoming = speaking().skip(1);
        for run in speaking() {
            let next = upcoming.next().map(|run| run.from);
            if run.kind == Presence::Observed {
                builder.state(run);
                builder.hold(run.from, next)?;
            }
        }
        return Ok(builder.versions);
    }
    let mut held_to = None;
    for run in runs {
        match run.kind {
            Presence::Observed => builder.state(run),
            Presence::Mentioned if held_to == Some(run.from) => {}
            Presence::Mentioned | Presence::Gone => continue,
        }
        builder.hold(run.from, run.to)?;
        held_to = run.to;
    }
    Ok(builder.versions)
}

/// Walks a key's days in order.
struct Builder<'a> {
    rules: &'a Rules,
    loaded_days: &'a [Instant],
    /// By column, what the newest day so far that stated it said.
    carried: Vec<Option<&'a str>>,
    /// The same at the end of the log, for overwritten columns.
    newest: Vec<Option<&'a str>>,
    versions: Vec<Version>,
}

impl<'a> Builder<'a> {
    fn new(rules: &'a Rules, loaded_days: &'a [Instant]) -> Self {
        let blank = vec![None; rules.columns];
        Self { rules, loaded_days, carried: blank.clone(), newest: blank, versions: Vec::new() }
    }

    /// Takes over what a day states.
    fn state(&mut self, run: &'a Run) {
        for (index, (carried, value)) in self.carried.iter_mut().zip(&run.values).enumerate() {
            if run.stated.holds(index) {
                *carried = value.as_deref();
            }
        }
    }

    /// The carried values hold over a stretch that begins on a loaded day.
    fn hold(&mut self, from: Instant, to: Option<Instant>) -> Result<()> {
        let Some(window) = self.rules.active else {
            self.push(Some(from), to, None);
            return Ok(());
        };
        let bounds = [self.bound(window.from_column)?, self.bound(window.to_column)?];
        let mut start = from;
        while is_before(start, to) {
            let end = bounds.iter().filter_map(|bound| self.first_day_at(*bound)).filter(|&day| start < day).min();
            let end = end.filter(|&day| is_before(day, to)).or(to);
            self.push(Some(start), end, Some(is_active(start, bounds)));
            match end {
                Some(end) => start = end,
                None => break,
            }
        }
        Ok(())
    }

    /// The first loaded day on which a bound is reached.
    fn first_day_at(&self, bound: Option<Instant>) -> Option<Instant> {
        let bound = bound?;
        self.loaded_days.get(self.loaded_days.partition_point(|&day| day < bound)).copied()
    }

    fn bound(&self, column: usize) -> Result<Option<Instant>> {
        let Some(text) = self.carried.get(column).copied().flatten() else { return Ok(None) };
        text.parse().map(Some).map_err(|cause| {
            Error::internal(format!("a bound of an active window reads '{text}', expected microseconds"))
                .with("column", column)
                .because(cause)
        })
    }

    /// The single version of a dimension without intervals, judged on the newest loaded day.
    fn timeless(mut self) -> Result<Vec<Version>> {
        let active = match (self.rules.active, self.loaded_days.last()) {
            (Some(window), Some(&day)) => {
                Some(is_active(day, [self.bound(window.from_column)?, self.bound(window.to_column)?]))
            }
            _ => None,
        };
        self.push(None, None, active);
        Ok(self.versions)
    }

    fn push(&mut self, from: Option<Instant>, to: Option<Instant>, active: Option<bool>) {
        let values: Values = (0..self.rules.columns).map(|column| self.shown(column, active)).collect();
        match self.versions.last_mut() {
            Some(last) if last.to == from && last.values == values => last.to = to,
            _ => self.versions.push(Version { from, to, values }),
        }
    }

    fn shown(&self, column: usize, active: Option<bool>) -> Value {
        if self.rules.active.is_some_and(|window| window.flag_column == column) {
            return active.map(|active| if active { "true" } else { "false" }.into());
        }
        if self.rules.overwritten.holds(column) {
            return self.newest[column].map(Into::into);
        }
        if self.rules.tracked.holds(column) { self.carried[column].map(Into::into) } else { None }
    }
}

fn is_active(day: Instant, [from, to]: [Option<Instant>; 2]) -> bool {
    from.is_none_or(|from| from <= day) && is_before(day, to)
}
