//! The table that keeps history, and the two that stand beside it: `<table>_said` and `<table>_loads`.
//!
//! `<table>_said` holds the runs of the keys whose log is not what their versions tell. `<table>_loads` holds one row for each
//! loaded snapshot and one, without an effective time, for the rules. A large table has a third one, `<table>_digests`.

use arrow::datatypes::Schema;

use super::super::copy::PgType;
use super::super::history::wire::Column;
use super::past::{Followed, Past};
use super::place::Place;
use super::rules::{Rules, snapshot_columns};
use super::spec::{MergeSpec, Names};
use crate::error::{Error, Result};
use crate::history::{Calendar, Columns};
use crate::model::Zone;

/// A table with history.
pub(super) struct Target {
    pub(super) place: Place,
    /// Whether this transaction made it.
    pub(super) is_created: bool,
    pub(super) surrogate: String,
    pub(super) keys: Vec<Column>,
    /// In the order of `rules.columns`.
    pub(super) attributes: Vec<Column>,
    pub(super) rules: Rules,
    /// The rules that the stored history was made with; `None` before the first load.
    pub(super) old_rules: Option<Rules>,
    /// The loaded snapshots, ascending.
    pub(super) loads: Vec<(i64, Columns)>,
    /// Whether the current flag has to be set by hand.
    pub(super) sets_current: bool,
    /// Columns that were added.
    pub(super) added: Vec<String>,
    /// How the history followed the table before.
    pub(super) followed: Followed,
}

impl Target {
    /// Holds a merge against the catalog. Nothing is made yet.
    pub(super) fn for_merge(past: Past, spec: &MergeSpec, schema: &Schema, zone: Zone) -> Result<Self> {
        reserved(spec, schema)?;
        let rules = Rules::of(spec, schema, zone, past.known.as_ref().map(|known| &known.rules))?;
        let deleted = spec.deleted.iter().map(|deleted| &deleted.column);
        for column in spec.key.iter().chain(spec.time_column()).chain(deleted) {
            if schema.field_with_name(column).is_err() {
                return Err(
                    Error::schema(format!("column {column:?} is missing in the snapshot")).with("column", column)
                );
            }
        }
        Self::new(past, rules, Some(schema))
    }

    /// The table of a rewind, which must have been merged into.
    pub(super) fn for_rewind(past: Past, zone: Zone) -> Result<Self> {
        let Some(known) = &past.known else {
            let table = past.place.table();
            return Err(Error::not_found(format!("nothing was ever merged into {table}")).retryable(false));
        };
        known.rules.check_zone(zone)?;
        let rules = known.rules.clone();
        Self::new(past, rules, None)
    }

    fn new(past: Past, rules: Rules, schema: Option<&Schema>) -> Result<Self> {
        let Past { place, known, followed } = past;
        let (old_rules, loads) = known.map(|known| (known.rules, known.loads)).unzip();
        let columns =
            |names: &[String]| names.iter().map(|name| place.column(name, schema)).collect::<Result<Vec<_>>>();
        let (keys, attributes) = (columns(&rules.key)?, columns(&rules.columns)?);
        if let Some(key) = keys.iter().find(|key| key.kind == PgType::Json) {
            return Err(Error::schema(format!(
                "key column {:?} has type json, which has no equality; expected jsonb or text",
                key.name
            )));
        }
        if let Some(key) = keys.iter().find(|key| place.is_blurred(&key.name)) {
            return Err(Error::schema(format!(
                "key column {:?} has a nondeterministic collation, by which different keys are one; expected any other",
                key.name
            ))
            .with("column", &key.name)
            .with("table", place.table()));
        }
        let surrogate = rules.names.surrogate.clone().unwrap_or_else(|| format!("{}_sk", place.name()));
        let sets_current = place.exists()
            && rules.names.current.as_ref().is_some_and(|name| place.has(name) && !place.is_generated(name));
        let target = Self {
            place,
            is_created: false,
            surrogate,
            keys,
            attributes,
            rules,
            old_rules,
            loads: loads.unwrap_or_default(),
            sets_current,
            added: Vec::new(),
            followed,
        };
        target.check_own_columns()?;
        Ok(target)
    }

    fn check_own_columns(&self) -> Result<()> {
        if !self.place.exists() {
            return Ok(());
        }
        let Names { valid_from, valid_to, current, .. } = &self.rules.names;
        let instant: &[&str] = &["timestamp with time zone"];
        let integer: &[&str] = &["bigint", "integer"];
        let mut expected = vec![(&self.surrogate, integer), (valid_from, instant), (valid_to, instant)];
        expected.extend(current.as_ref().map(|current| (current, &["boolean"][..])));
        for (name, types) in expected {
            let found = self.place.type_of(name);
            if !found.is_some_and(|found| types.contains(&found)) {
                let found = found.map_or_else(|| "is missing".to_owned(), |found| format!("has type {found}"));
                // Whoever comes with a table of his own should know at once that it cannot be taken over.
                let hint = match self.old_rules {
                    None => {
                        "; a merge makes its table itself, takes an empty one that has its columns, or takes a history over (adopt)"
                    }
                    Some(_) => "",
                };
                return Err(Error::schema(format!("column {name:?} {found}, expected {}{hint}", types[0]))
                    .with("column", name)
                    .with("table", self.place.table()));
            }
        }
        Ok(())
    }

    /// How the stored history reads.
    pub(super) fn calendar(&self) -> Calendar {
        match &self.old_rules {
            Some(old) if old.is_feed => Calendar::Feed(old.all()),
            _ => Calendar::snapshots(self.loads.clone()),
        }
    }

    /// The columns of the history that a snapshot does not state.
    pub(super) fn missing(&self, schema: &Schema) -> Vec<String> {
        self.rules.columns.iter().filter(|column| schema.field_with_name(column).is_err()).cloned().collect()
    }

    /// The columns of the snapshot that play no part.
    pub(super) fn unknown(&self, spec: &MergeSpec, schema: &Schema) -> Vec<String> {
        snapshot_columns(spec, schema).filter(|column| !self.rules.columns.contains(column)).collect()
    }
}

/// Names that the tables need for themselves.
fn reserved(spec: &MergeSpec, schema: &Schema) -> Result<()> {
    let mut own: Vec<&str> = spec.names.own().map(String::as_str).collect();
    own.extend(["said_id", "said_from", "said_to", "stated", "kid"]);
    let mut taking_part = spec.key.iter().cloned().chain(snapshot_columns(spec, schema));
    match taking_part.find(|column| own.contains(&column.as_str())) {
        None => Ok(()),
        Some(column) => Err(Error::config(format!(
            "column {column:?} of the snapshot has a name that the history needs for itself; rename it, or name that one \
             otherwise (valid_from, valid_to, current, surrogate)"
        ))
        .with("column", column)),
    }
}
