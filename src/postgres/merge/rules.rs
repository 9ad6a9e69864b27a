//! By which rules a table keeps history: what the call says, held against what the table was made with.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use super::spec::{Effective, MergeSpec, Names};
use crate::error::{Error, Result};
use crate::history::{self, Columns};
use crate::model::Absent;

/// What is remembered with the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    /// Whether rows bring a time of their own.
    pub(super) is_feed: bool,
    pub(super) key: Vec<String>,
    /// Every column that ever took part. Positions are those in `stated`, so names are only appended.
    pub(super) columns: Vec<String>,
    pub(super) overwritten: Vec<String>,
    pub(super) absent: Absent,
    pub(super) names: Names,
}

impl Rules {
    /// The rules of this call. `known` are those that the table has.
    pub(super) fn of(spec: &MergeSpec, schema: &Schema, known: Option<&Self>) -> Result<Self> {
        let is_feed = matches!(spec.effective, Effective::Column(_));
        if let Some(known) = known {
            known.check(spec, is_feed)?;
        }
        let mut columns = known.map_or_else(Vec::new, |known| known.columns.clone());
        let named = spec.tracked.iter().flatten().chain(&spec.overwritten).cloned();
        let all = || snapshot_columns(spec, schema).filter(|_| spec.tracked.is_none());
        for column in all().chain(named) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        if let Some(tracked) = &spec.tracked {
            let gone = columns.iter().find(|c| !tracked.contains(c) && !spec.overwritten.contains(c));
            if let Some(column) = gone {
                return Err(Error::config(format!(
                    "column {column:?} is part of the history, expected it in tracked or overwritten"
                ))
                .with("column", column));
            }
        }
        if !columns.iter().any(|column| schema.field_with_name(column).is_ok()) {
            return Err(Error::config("the snapshot has only key columns, expected at least one that can change"));
        }
        let absent = if is_feed { Absent::Ignore } else { spec.absent.unwrap_or(Absent::Close) };
        let (key, overwritten) = (spec.key.clone(), spec.overwritten.clone());
        Ok(Self { is_feed, key, columns, overwritten, absent, names: spec.names.clone() })
    }

    fn check(&self, spec: &MergeSpec, is_feed: bool) -> Result<()> {
        let mode = |feed| if feed { "a change feed (effective_column)" } else { "full snapshots (effective)" };
        let differs = |what: &str, is: String, was: String| {
            Err(Error::config(format!("{what} is {is}, but this table keeps its history with {was}"))
                .with("table", &spec.table))
        };
        if self.is_feed != is_feed {
            return differs("the source", mode(is_feed).into(), mode(self.is_feed).into());
        }
        if self.key != spec.key {
            return differs("key", format!("{:?}", spec.key), format!("{:?}", self.key));
        }
        if self.names != spec.names {
            return differs("the naming of its own columns", spec.names.to_string(), self.names.to_string());
        }
        Ok(())
    }

    /// The rules in the words of the history room.
    pub(super) fn derivation(&self) -> history::Rules {
        let overwritten = self.mask(|column| self.overwritten.contains(column));
        history::Rules {
            columns: self.columns.len(),
            absent: self.absent,
            tracked: self.mask(|column| !self.overwritten.contains(column)),
            overwritten,
            active: None,
            type2: true,
        }
    }

    /// The set of the columns for which something holds.
    pub(super) fn mask(&self, holds: impl Fn(&String) -> bool) -> Columns {
        self.columns.iter().enumerate().filter(|(_, column)| holds(column)).map(|(index, _)| index).collect()
    }

    /// All columns.
    pub(super) fn all(&self) -> Columns {
        self.mask(|_| true)
    }

    /// What this call changes in the rules for all that was ever loaded, for the eye.
    pub(super) fn changes_since(&self, old: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if !self.closes_like(old) {
            changes.push(format!("absent: {} is now {}", old.absent, self.absent));
        }
        if !self.overwrites_like(old) {
            let named = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
            changes.push(format!("overwritten: {} is now {}", named(&old.overwritten), named(&self.overwritten)));
        }
        changes
    }

    /// Whether the same log gives the same versions under both.
    pub(super) fn derives_like(&self, other: &Self) -> bool {
        self.closes_like(other) && self.overwrites_like(other)
    }

    /// Error differs from Close only in what the guard lets through.
    fn closes_like(&self, other: &Self) -> bool {
        (self.absent == Absent::Ignore) == (other.absent == Absent::Ignore)
    }

    fn overwrites_like(&self, other: &Self) -> bool {
        let sorted = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
        sorted(&self.overwritten) == sorted(&other.overwritten)
    }
}

/// The columns of a snapshot that are neither key nor time.
pub(super) fn snapshot_columns<'a>(spec: &'a MergeSpec, schema: &'a Schema) -> impl Iterator<Item = String> + 'a {
    let time = match &spec.effective {
        Effective::Column(column) => Some(column),
        Effective::At(_) => None,
    };
    let names = schema.fields().iter().map(|field| field.name().clone());
    names.filter(move |name| !spec.key.contains(name) && Some(name) != time)
}
