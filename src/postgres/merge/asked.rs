//! What a merge does to the log of each affected key.

use bytes::{Bytes, BytesMut};

use super::super::history::wire::{Column, Field, Lexicon, instant, split};
use super::super::history::{Affected, Item, Log, LogForm, Subject, Table};
use super::layout::Layout;
use super::place::quote;
use super::rows::{Place, Rows};
use super::spec::Merged;
use super::target::Target;
use crate::error::{Error, Result};
use crate::history::{Columns, Instant, Presence, Run, Statement, Value, Values, assign, covering, rewind, state};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A full snapshot at an instant, up to the next loaded one.
    Snapshot { at: Instant, next: Option<Instant> },
    /// Statements with times of their own.
    Feed,
    /// Everything after an instant goes.
    Rewind { to: Instant },
}

/// The rows that say something, and what they do to the logs.
pub(super) struct Asked<'a> {
    pub(super) ask: Ask,
    pub(super) affected: &'a Affected<Place>,
    pub(super) attributes: &'a [Column],
    pub(super) rows: Option<(&'a mut Rows, Layout, Columns)>,
    pub(super) lexicon: Lexicon,
    /// Counts keys.
    pub(super) report: Merged,
}

impl Subject for Asked<'_> {
    fn begin_key(&mut self) {
        self.lexicon.clear();
    }

    fn values(&mut self, fields: &[Field<'_>]) -> Result<Values> {
        Ok(self.lexicon.values(self.attributes, fields))
    }

    fn put(&self, out: &mut BytesMut, item: usize, value: &Value) {
        self.lexicon.put(out, item, value);
    }

    fn change(&mut self, key: usize, runs: &mut Vec<Run>) -> Result<Option<Values>> {
        match self.ask {
            Ask::Rewind { to } => {
                rewind(runs, to);
                Ok(None)
            }
            Ask::Snapshot { at, next } => self.take_snapshot(key, runs, at, next),
            Ask::Feed => self.take_changes(key, runs).map(|()| None),
        }
    }
}

impl Asked<'_> {
    fn take_snapshot(
        &mut self,
        key: usize,
        runs: &mut Vec<Run>,
        at: Instant,
        next: Option<Instant>,
    ) -> Result<Option<Values>> {
        let place = self.affected.statements(key).first().copied();
        let statement = place.map(|place| self.statement(place)).transpose()?.map(|(_, statement)| statement);
        let before = covering(runs, at).map(Run::statement);
        match (&before, &statement) {
            (None, Some(_)) => self.report.keys_new += 1,
            (Some(_), None) => self.report.keys_vanished += 1,
            (Some(before), Some(after)) if before != after => self.report.keys_changed += 1,
            _ => {}
        }
        let said = statement.as_ref().map(|statement| statement.values.clone());
        assign(runs, at, next, statement);
        Ok(said)
    }

    fn take_changes(&mut self, key: usize, runs: &mut Vec<Run>) -> Result<()> {
        let affected = self.affected;
        for place in affected.statements(key) {
            let (at, statement) = self.statement(*place)?;
            let at = at.ok_or_else(|| Error::internal("a change has no time"))?;
            let is_known = runs.iter().any(|run| run.from == at);
            let is_gone = statement.kind == Presence::Gone;
            if state(runs, at, statement) {
                let report = &mut self.report;
                *match (is_gone, is_known) {
                    (true, _) => &mut report.keys_vanished,
                    (false, true) => &mut report.keys_changed,
                    (false, false) => &mut report.keys_new,
                } += 1;
            }
        }
        Ok(())
    }

    /// A row of the snapshot: its instant, in a change feed, and what it says.
    fn statement(&mut self, place: Place) -> Result<(Option<Instant>, Statement)> {
        let Some((rows, layout, stated)) = &mut self.rows else {
            return Err(Error::internal("there are no rows to read"));
        };
        let row: Bytes = rows.from(place)?;
        let mut fields = Vec::new();
        split(&row, &mut fields).ok_or_else(|| Error::internal("a kept row is torn"))?;
        let at = if layout.identity_count > layout.key_count { instant(fields[layout.key_count])? } else { None };
        if layout.is_gone(&fields) {
            return Ok((at, Statement::gone()));
        }
        let mut values: Vec<Value> = vec![None; self.attributes.len()];
        for ((column, place), field) in layout.stated().iter().zip(&layout.places).zip(layout.statement_of(&fields)) {
            values[*place] = self.lexicon.value(*place, column, *field);
        }
        Ok((at, Statement::observed(stated.clone(), values.into())))
    }
}

/// The table of a merge, as the room of histories names it.
pub(super) fn table_of(target: &Target) -> Table {
    let names = &target.rules.names;
    let flag = names.current.as_ref().filter(|_| target.sets_current);
    let item = |(i, column): (usize, &Column)| {
        let name = quote(&column.name);
        Item {
            sheet_type: column.sql_type.clone(),
            read: format!("m.{name}"),
            read_type: column.sql_type.clone(),
            write: format!("s.a{i}"),
            is_shown: true,
            is_logged: true,
            name,
        }
    };
    Table {
        name: target.place.table(),
        surrogate: quote(&target.surrogate),
        keys: target.keys.clone(),
        items: target.attributes.iter().enumerate().map(item).collect(),
        bounds: Some((quote(&names.valid_from), quote(&names.valid_to))),
        stamps: flag.map(|current| (quote(current), "s.at_to IS NULL".to_owned())).into_iter().collect(),
        inferred: None,
        log: Log { name: target.place.log(), form: LogForm::Instants },
    }
}
