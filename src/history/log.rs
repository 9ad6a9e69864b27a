//! What each loaded day said of one key, in runs of equal days.
//!
//! A log is a `Vec<Run>`: sorted by `from`, disjoint, and neighbours that touch say different things. On every *loaded*
//! day inside a run the key's statement is the run's; on a loaded day that no run covers the key was absent. Days that
//! were never loaded take what the loaded day before them holds, which is what lets a later load of such a day replace
//! exactly its own stretch.
//!
//! The caller knows the loaded days of the dataset and passes the neighbours of the day at hand. Every boundary of a run
//! is then a loaded day.

use super::columns::Columns;
use super::value::{Instant, Values, is_before};

/// How a snapshot speaks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// At least one clean row.
    Observed,
    /// Named by rejected rows only: keeps an open key open, states nothing and is no observation.
    Mentioned,
    /// A change feed says that the key is gone from here on.
    Gone,
}

/// What one snapshot says of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Observed, only mentioned, or gone.
    pub kind: Presence,
    /// The columns that the snapshot has; a column missing from the file makes no statement.
    pub stated: Columns,
    /// The values of all declared columns; those not stated are `None`.
    pub values: Values,
}

impl Statement {
    /// A clean row. Values of columns that are not stated are dropped, so that equal statements compare equal.
    pub fn observed(stated: Columns, mut values: Values) -> Self {
        for (index, value) in values.iter_mut().enumerate() {
            if !stated.holds(index) {
                *value = None;
            }
        }
        Self { kind: Presence::Observed, stated, values }
    }

    /// A key that only rejected rows name.
    pub fn mentioned() -> Self {
        Self { kind: Presence::Mentioned, stated: Columns::default(), values: Values::default() }
    }

    /// A key that a change feed says is gone.
    pub fn gone() -> Self {
        Self { kind: Presence::Gone, ..Self::mentioned() }
    }
}

/// One statement and the stretch of loaded days, half-open, on which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first loaded day.
    pub from: Instant,
    /// The loaded day that says something else; `None`: up to the newest.
    pub to: Option<Instant>,
    /// The columns stated, see [`Statement::stated`].
    pub stated: Columns,
    /// Observed, only mentioned, or gone.
    pub kind: Presence,
    /// The values, see [`Statement::values`].
    pub values: Values,
}

impl Run {
    /// A statement over a stretch.
    pub fn new(from: Instant, to: Option<Instant>, statement: Statement) -> Self {
        Self { from, to, stated: statement.stated, kind: statement.kind, values: statement.values }
    }

    /// What the run's days say.
    pub fn statement(&self) -> Statement {
        Statement { kind: self.kind, stated: self.stated.clone(), values: self.values.clone() }
    }

    /// Whether the run says exactly this. Only observations have contents, whatever fills the values of others.
    pub fn says(&self, statement: &Statement) -> bool {
        self.says_parts(statement.kind, &statement.stated, &statement.values)
    }

    fn says_parts(&self, kind: Presence, stated: &Columns, values: &Values) -> bool {
        self.kind == kind && (kind != Presence::Observed || (self.stated == *stated && self.values == *values))
    }
}

/// The run that covers an instant; `None` where the key is absent.
pub fn covering(runs: &[Run], at: Instant) -> Option<&Run> {
    let run = runs[..runs.partition_point(|run| run.from <= at)].last()?;
    is_before(at, run.to).then_some(run)
}

/// Loads, or corrects, the snapshot at `at`: its statement (`None`: the key is absent) holds up to `next`, the next loaded
/// day of the dataset, if there is one. Tells whether the log changed.
pub fn assign(runs: &mut Vec<Run>, at: Instant, next: Option<Instant>, statement: Option<Statement>) -> bool {
    let covered = covering(runs, at);
    let unchanged = match (&statement, covered) {
        (Some(statement), Some(run)) => run.says(statement) && run.to.is_none_or(|to| next.is_some_and(|n| n <= to)),
        (None, None) => !runs.iter().any(|run| run.from > at && is_before(run.from, next)),
        _ => false,
    };
    if unchanged {
        return false;
    }
    let mut pending = statement.map(|statement| Run::new(at, next, statement));
    let mut result = Vec::with_capacity(runs.len() + 2);
    for mut run in std::mem::take(runs) {
        let tail = next.filter(|&next| is_before(next, run.to)).map(|next| (next.max(run.from), run.to));
        if run.from < at {
            let head = Run { to: Some(run.to.map_or(at, |to| to.min(at))), ..run.clone() };
            join(&mut result, head);
        }
        if let Some((from, to)) = tail {
            join_some(&mut result, pending.take());
            (run.from, run.to) = (from, to);
            join(&mut result, run);
        }
    }
    join_some(&mut result, pending);
    *runs = result;
    true
}

/// Takes in, or corrects, one statement of a change feed. It holds up to the key's next statement, whatever that says, so
/// statements are not joined and runs have no end of their own. Tells whether the log changed.
pub fn state(runs: &mut Vec<Run>, at: Instant, statement: Statement) -> bool {
    let place = runs.partition_point(|run| run.from < at);
    match runs.get_mut(place).filter(|run| run.from == at) {
        Some(run) if run.says(&statement) => return false,
        Some(run) => *run = Run::new(at, None, statement),
        None => runs.insert(place, Run::new(at, None, statement)),
    }
    true
}

/// Takes the loaded day `at` out: `[at, next)` holds what `prev`, the loaded day before it, says; without one, nothing.
/// Tells whether the log changed.
pub fn forget(runs: &mut Vec<Run>, at: Instant, prev: Option<Instant>, next: Option<Instant>) -> bool {
    let earlier = prev.and_then(|prev| covering(runs, prev)).map(Run::statement);
    assign(runs, at, next, earlier)
}

/// Joins neighbours that touch and say the same, as they may after a column left the log.
pub fn joined(runs: Vec<Run>) -> Vec<Run> {
    let mut result = Vec::with_capacity(runs.len());
    runs.into_iter().for_each(|run| join(&mut result, run));
    result
}

/// Forgets every loaded day after `to`, which itself stays. Tells whether the log changed.
pub fn rewind(runs: &mut Vec<Run>, to: Instant) -> bool {
    let kept = runs.partition_point(|run| run.from <= to);
    let mut changed = kept < runs.len();
    runs.truncate(kept);
    if let Some(last) = runs.last_mut()
        && last.to.is_some_and(|end| to < end)
    {
        last.to = None;
        changed = true;
    }
    changed
}

fn join_some(runs: &mut Vec<Run>, run: Option<Run>) {
    if let Some(run) = run {
        join(runs, run);
    }
}

fn join(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.to == Some(run.from) && last.says_parts(run.kind, &run.stated, &run.values) => {
            last.to = run.to
        }
        _ => runs.push(run),
    }
}
