//! From the rows a dimension has for a key to the rows it should have: the fewest writes, with surviving keys.
//!
//! **Who keeps its key.** Each wanted version, from left to right, takes the leftmost stored row that overlaps it in time
//! and was not taken yet; an inferred member overlaps everything but comes last. From this single rule follows:
//!
//! * a wanted version that starts where a stored row starts takes that row; a row that need not change is not touched;
//! * the leftmost piece of a split keeps the key, the other pieces get new ones;
//! * on a join the left neighbour's key survives, the other rows go;
//! * a version that only moves its start (a late day said the same, a day was taken back) keeps its key;
//! * the first version takes over an inferred member's row.
//!
//! A key that is observed no more keeps its leftmost row as an inferred member while facts refer to it, else none.
//!
//! **Order of writes.** Rows are taken in ascending order and never cross, so deletes, then updates, then inserts pass
//! through no state with two rows of one start or two open rows.

use super::derive::Version;
use super::value::{Instant, Values, is_before};

/// A row of the dimension as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The surrogate key.
    pub surrogate: i64,
    /// The first instant; `None` for an inferred member and in a dimension without intervals.
    pub from: Option<Instant>,
    /// The first instant after it; `None` while open.
    pub to: Option<Instant>,
    /// The values, over the same columns as [`Version::values`].
    pub values: Values,
    /// Whether only facts know the key.
    pub is_inferred: bool,
}

/// A stored row that becomes a wanted version and is inferred no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The row.
    pub surrogate: i64,
    /// The index of the wanted version.
    pub version: usize,
}

/// A stretch of event time, half-open; `None` is endless.
pub type EventRange = (Option<Instant>, Option<Instant>);

/// What to write for one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Surrogate keys of rows to remove; first.
    pub deletes: Vec<i64>,
    /// A row that stays as inferred member: no interval, all values NULL.
    pub to_inferred: Option<i64>,
    /// Rows to rewrite; before the inserts.
    pub updates: Vec<Update>,
    /// Indexes of wanted versions that need a row and a surrogate key of their own; last.
    pub inserts: Vec<usize>,
    /// Where the as-of answer (surrogate key or values) changes for facts that refer to this key, ascending. Empty for a
    /// key that had no row, because no fact can refer to it.
    pub changed: Vec<EventRange>,
}

impl Plan {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.to_inferred.is_none() && self.updates.is_empty() && self.inserts.is_empty()
    }
}

/// Compares the stored rows of one key, in any order, with its wanted versions as [`derive()`](super::derive()) gives them.
///
/// `still_referenced` matters only when nothing is wanted: whether any fact refers to the key.
pub fn plan(stored: &[Stored], wanted: &[Version], still_referenced: bool) -> Plan {
    let mut rows: Vec<&Stored> = stored.iter().collect();
    rows.sort_by_key(|row| (row.is_inferred, row.from));
    if wanted.is_empty() {
        return retire(&rows, still_referenced);
    }
    let mut plan = Plan::default();
    let mut taken = vec![false; rows.len()];
    let mut after = Vec::with_capacity(wanted.len());
    for (version, want) in wanted.iter().enumerate() {
        let choice = rows.iter().enumerate().find(|(index, row)| !taken[*index] && overlaps(row, want));
        let surrogate = choice.map(|(index, row)| {
            taken[index] = true;
            if row.is_inferred || row.from != want.from || row.to != want.to || row.values != want.values {
                plan.updates.push(Update { surrogate: row.surrogate, version });
            }
            row.surrogate
        });
        if surrogate.is_none() {
            plan.inserts.push(version);
        }
        after.push(Answer { from: want.from, surrogate, values: Some(&want.values) });
    }
    plan.deletes = rows.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(row, _)| row.surrogate).collect();
    plan.changed = differences(&answers(&rows), &after);
    plan
}

/// Nothing is wanted: the leftmost row stays for the facts that refer to the key.
fn retire(rows: &[&Stored], still_referenced: bool) -> Plan {
    let Some((first, others)) = rows.split_first().filter(|_| still_referenced) else {
        return Plan { deletes: rows.iter().map(|row| row.surrogate).collect(), ..Plan::default() };
    };
    let after = Answer { from: None, surrogate: Some(first.surrogate), values: None };
    Plan {
        deletes: others.iter().map(|row| row.surrogate).collect(),
        to_inferred: (!first.is_inferred).then_some(first.surrogate),
        changed: differences(&answers(rows), &[after]),
        ..Plan::default()
    }
}

fn overlaps(row: &Stored, want: &Version) -> bool {
    want.from.is_none_or(|from| is_before(from, row.to)) && row.from.is_none_or(|from| is_before(from, want.to))
}

/// One step of the as-of answer over event time.
struct Answer<'a> {
    from: Option<Instant>,
    /// `None`: a key yet to be given, different from every known one.
    surrogate: Option<i64>,
    /// `None`: an inferred member's, all NULL.
    values: Option<&'a Values>,
}

impl Answer<'_> {
    fn equals(&self, other: &Self) -> bool {
        let is_blank = |values: Option<&Values>| values.is_none_or(|values| values.iter().all(Option::is_none));
        self.surrogate.is_some()
            && self.surrogate == other.surrogate
            && (self.values == other.values || (is_blank(self.values) && is_blank(other.values)))
    }
}

fn answers<'a>(rows: &[&'a Stored]) -> Vec<Answer<'a>> {
    let answer = |row: &&'a Stored| Answer {
        from: row.from,
        surrogate: Some(row.surrogate),
        values: (!row.is_inferred).then_some(&row.values),
    };
    rows.iter().map(answer).collect()
}

/// The stretches of event time on which two step functions differ. The first step also answers for all earlier events, and
/// each step up to the start of the one after it: that is where gaps and closed keys look.
fn differences(before: &[Answer<'_>], after: &[Answer<'_>]) -> Vec<EventRange> {
    let mut changed: Vec<EventRange> = Vec::new();
    let (mut left, mut right, mut start) = (0, 0, None);
    while let (Some(old), Some(current)) = (before.get(left), after.get(right)) {
        let starts = [before.get(left + 1), after.get(right + 1)].map(|step| step.and_then(|step| step.from));
        let end = starts.into_iter().flatten().min();
        if !old.equals(current) {
            match changed.last_mut() {
                Some(last) if last.1 == start && start.is_some() => last.1 = end,
                _ => changed.push((start, end)),
            }
        }
        if end.is_none() {
            break;
        }
        left += usize::from(starts[0] == end);
        right += usize::from(starts[1] == end);
        start = end;
    }
    changed
}
