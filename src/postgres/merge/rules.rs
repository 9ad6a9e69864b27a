//! By which rules a table keeps history: what the call says, held against what the table was made with.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use super::spec::{MergeSpec, Names};
use crate::error::{Error, Result};
use crate::history::{self, Columns};
use crate::model::{Absent, Zone};

/// What is remembered with the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    /// Whether rows bring a time of their own.
    pub(super) is_feed: bool,
    pub(super) key: Vec<String>,
    /// Every column that takes part. Positions are those in `stated`: names are appended, and one that goes takes its place
    /// out of every `stated`.
    pub(super) columns: Vec<String>,
    pub(super) overwritten: Vec<String>,
    pub(super) absent: Absent,
    pub(super) names: Names,
    /// Columns that the table has lost; what a snapshot says of them plays no part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) retired: Vec<String>,
    /// Columns by their former names: late files still have them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) renamed: BTreeMap<String, String>,
    /// The zone of days; unset in tables of earlier releases.
    #[serde(default)]
    pub(super) zone: Option<String>,
}

impl Rules {
    /// The rules of this call. `known` are those that the table has.
    pub(super) fn of(spec: &MergeSpec, schema: &Schema, zone: Zone, known: Option<&Self>) -> Result<Self> {
        let is_feed = spec.time_column().is_some();
        if let Some(known) = known {
            known.check(spec)?;
            known.check_zone(zone)?;
        }
        let mut columns = known.map_or_else(Vec::new, |known| known.columns.clone());
        columns.extend(Self::newcomers(spec, schema, known));
        let retired = known.map_or_else(Vec::new, |known| known.retired.clone());
        if let Some(tracked) = &spec.tracked {
            let gone = columns.iter().find(|c| !tracked.contains(c) && !spec.overwritten.contains(c));
            if let Some(column) = gone {
                return Err(Error::config(format!(
                    "column {column:?} is part of the history, expected it in tracked or overwritten (a column that is \
                     dropped from the table is retired)"
                ))
                .with("column", column));
            }
        }
        if !columns.iter().any(|column| schema.field_with_name(column).is_ok()) {
            return Err(Error::config("the snapshot has only key columns, expected at least one that can change"));
        }
        let absent = if is_feed { Absent::Ignore } else { spec.absent.unwrap_or(Absent::Close) };
        let (key, overwritten) = (spec.key.clone(), spec.overwritten.clone());
        let mut renamed = known.map_or_else(BTreeMap::new, |known| known.renamed.clone());
        renamed.extend(spec.renamed.clone());
        renamed.retain(|old, _| !key.contains(old) && !columns.contains(old));
        let zone = Some(zone.0.name().to_owned());
        Ok(Self { is_feed, key, columns, overwritten, absent, names: spec.names.clone(), retired, renamed, zone })
    }

    /// The columns that take part from this call on.
    pub(super) fn newcomers(spec: &MergeSpec, schema: &Schema, known: Option<&Self>) -> Vec<String> {
        let named = spec.tracked.iter().flatten().chain(&spec.overwritten).cloned();
        let is_out = |column: &String| known.is_some_and(|known| known.retired.contains(column));
        let all = snapshot_columns(spec, schema).filter(|column| spec.tracked.is_none() && !is_out(column));
        let mut columns = Vec::new();
        for column in all.chain(named) {
            if !columns.contains(&column) && known.is_none_or(|known| !known.columns.contains(&column)) {
                columns.push(column);
            }
        }
        columns
    }

    /// Refuses to tell days by another zone than those that are loaded.
    pub(super) fn check_zone(&self, zone: Zone) -> Result<()> {
        match &self.zone {
            Some(known) if known != zone.0.name() => Err(Error::config(format!(
                "time_zone is {}, but this table keeps its history with days of {known}; merge with time_zone={known:?} \
                 (METROPULSE_TIME_ZONE={known}), or make the table anew",
                zone.0.name()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a call that keeps another history than this one.
    pub(super) fn check(&self, spec: &MergeSpec) -> Result<()> {
        let is_feed = spec.time_column().is_some();
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
        let named = spec.tracked.iter().flatten().chain(&spec.overwritten);
        if let Some(column) = named.into_iter().find(|column| self.retired.contains(column)) {
            return Err(Error::config(format!(
                "column {column:?} is named in tracked or overwritten, but the table has lost it; leave it out, or add it \
                 to the table, which makes it a new column of the history"
            ))
            .with("column", column)
            .with("table", &spec.table));
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

    /// Whether a column is part of key or history.
    pub(super) fn takes(&self, column: &str) -> bool {
        self.key.iter().chain(&self.columns).any(|known| known == column)
    }

    /// Gives a column another name; late files may still have the former one.
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        let known = self.key.iter_mut().chain(&mut self.columns).chain(&mut self.overwritten);
        known.chain(self.renamed.values_mut()).filter(|name| *name == old).for_each(|name| new.clone_into(name));
        self.renamed.remove(new);
        self.renamed.insert(old.to_owned(), new.to_owned());
        self.retired.retain(|column| column != new);
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

/// The columns of a snapshot that are neither key nor time, nor tell that a key is gone.
pub(super) fn snapshot_columns<'a>(spec: &'a MergeSpec, schema: &'a Schema) -> impl Iterator<Item = String> + 'a {
    let (time, deleted) = (spec.time_column(), spec.deleted.as_ref().map(|deleted| &deleted.column));
    let names = schema.fields().iter().map(|field| field.name().clone());
    names.filter(move |name| !spec.key.contains(name) && Some(name) != time && Some(name) != deleted)
}
