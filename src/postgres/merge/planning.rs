//! From what is known of the affected keys to the rows of the sheet, a bounded number of keys at a time.

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::super::client::{Session, get};
use super::affected::Affected;
use super::digests::{Effect, MARK};
use super::layout::Layout;
use super::rows::Rows;
use super::sheet::{Entry, Op, Sheet, of_affected};
use super::spec::Merged;
use super::target::{Target, quote};
use super::wire::{Field, Lexicon, columns, instant, split};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::history::{
    Calendar, Columns, Instant, Plan, Presence, Rules, Run, Statement, Stored, Value, Values, Version, assign,
    covering, derive, is_plain, joined, plan, read_off, rewind, state,
};

/// Rows of known history that are in memory at once.
const FETCH_ROWS: usize = 20_000;

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

/// A field of a row, whatever its type.
struct Raw<'a>(Option<&'a [u8]>);

type Boxed = Box<dyn std::error::Error + Sync + Send>;

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Boxed> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Boxed> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Works out the affected keys.
pub(super) struct Planner<'a> {
    pub(super) session: &'a Session,
    pub(super) cancel: &'a Cancel,
    pub(super) target: &'a Target,
    pub(super) ask: Ask,
    /// How the stored history reads, and how the new one will.
    pub(super) old: Calendar,
    pub(super) new: Calendar,
    pub(super) rules: Rules,
    pub(super) affected: &'a Affected,
    pub(super) rows: Option<(&'a mut Rows, Layout, Columns)>,
    pub(super) has_said: bool,
    pub(super) is_dry: bool,
    /// Whether the marks of the rows are asked for.
    pub(super) has_marks: bool,
    pub(super) effect: Effect,
    pub(super) report: Merged,
    pub(super) sheet: Sheet,
    pub(super) lexicon: Lexicon,
}

/// What is known of one key.
#[derive(Default)]
struct Known {
    said: Vec<(i64, Run)>,
    stored: Vec<Stored>,
    /// Of the rows stored.
    marks: Vec<i64>,
}

impl Planner<'_> {
    /// Fills the sheet for all affected keys.
    pub(super) async fn run(&mut self) -> Result<()> {
        let sql = format!("DECLARE merge_known NO SCROLL CURSOR FOR {}", self.known_sql());
        self.session.run(&sql).await?;
        let mut number = 0;
        let mut pending: Vec<Row> = Vec::new();
        loop {
            self.cancel.check()?;
            let fetched = self.session.rows(&format!("FETCH {FETCH_ROWS} FROM merge_known"), &[]).await?;
            let is_last = fetched.len() < FETCH_ROWS;
            pending.extend(fetched);
            // The last key of a fetch may go on in the next one; keys without any row lie between.
            let held = match pending.last() {
                Some(row) if !is_last => get::<i32>(row, 0)?,
                _ => self.affected.len() as i32,
            };
            let mut at = 0;
            while number < held {
                self.lexicon.clear();
                let mut known = Known::default();
                while let Some(row) = pending.get(at).filter(|row| row.try_get(0).is_ok_and(|kid: i32| kid == number)) {
                    self.learn(&mut known, row)?;
                    at += 1;
                }
                self.plan_key(number, known)?;
                number += 1;
                if number % FETCH_ROWS as i32 == 0 {
                    self.sheet.send(self.session).await?;
                }
            }
            pending.drain(..at);
            self.sheet.send(self.session).await?;
            if is_last {
                return self.session.run("CLOSE merge_known").await;
            }
        }
    }

    /// The log rows (0) and the versions (1) of every affected key.
    fn known_sql(&self) -> String {
        let target = self.target;
        let attributes: String = target.attributes.iter().map(|c| format!(", m.{}", quote(&c.name))).collect();
        let (from, to) = (quote(&target.rules.names.valid_from), quote(&target.rules.names.valid_to));
        let versions = format!(
            "a.kid, 1::int2 AS part, m.{}::int8 AS id, m.{from} AS at_from, m.{to} AS at_to, {mark} AS mark, \
               NULL::bit varying AS stated{attributes}",
            quote(&target.surrogate),
            mark = if self.has_marks { MARK } else { "NULL::int8" },
        );
        let mut sql = of_affected(target, self.affected.has_null, &versions, &target.place.table());
        if self.has_said {
            let said = format!("a.kid, 0::int2, m.said_id, m.said_from, m.said_to, NULL::int8, m.stated{attributes}");
            let said = of_affected(target, self.affected.has_null, &said, &target.place.said());
            sql = format!("{sql} UNION ALL {said}");
        }
        // By place: a column of the table may have any of these names.
        format!("{sql} ORDER BY 1, 2, 4")
    }

    fn learn(&mut self, known: &mut Known, row: &Row) -> Result<()> {
        let fields: Vec<Field<'_>> =
            (2..row.len()).map(|index| get::<Raw<'_>>(row, index).map(|raw| raw.0)).collect::<Result<_>>()?;
        let id: i64 = get(row, 2)?;
        let (from, to) = (instant(fields[1])?, instant(fields[2])?);
        let values = self.lexicon.values(&self.target.attributes, &fields[5..]);
        if get::<i16>(row, 1)? == 1 {
            known.stored.push(Stored { surrogate: id, from, to, values, is_inferred: false });
            known.marks.push(get::<Option<i64>>(row, 5)?.unwrap_or_default());
        } else {
            let from = from.ok_or_else(|| Error::data("a row of the log has no start"))?;
            // A stretch of no length is the word that the key is gone.
            let run = match to == Some(from) {
                true => Run::new(from, None, Statement::gone()),
                false => Run::new(from, to, Statement::observed(columns(fields[4])?, values)),
            };
            known.said.push((id, run));
        }
        Ok(())
    }

    fn plan_key(&mut self, number: i32, known: Known) -> Result<()> {
        let mut runs: Vec<Run> = match known.said.is_empty() {
            false => {
                let said = known.said.iter().map(|(_, run)| run.clone()).collect();
                if self.target.rules.is_feed { said } else { joined(said) }
            }
            true => {
                let versions =
                    known.stored.iter().map(|row| Version { from: row.from, to: row.to, values: row.values.clone() });
                read_off(&versions.collect::<Vec<_>>(), &self.old)
            }
        };
        let said = self.change(number, &mut runs)?;
        let wanted = derive(&runs, self.new.days(), &self.rules)?;
        let plan = plan(&known.stored, &wanted, false);
        self.note_effect(&known, &plan, &wanted, said.as_ref());
        for &id in &plan.deletes {
            self.put(number, Op::Delete, Some(id), None);
        }
        for update in &plan.updates {
            let version = wanted.get(update.version);
            let op = self.update_op(known.stored.iter().find(|row| row.surrogate == update.surrogate), version);
            self.put(number, op, Some(update.surrogate), version);
        }
        for &version in &plan.inserts {
            self.put(number, Op::Insert, None, wanted.get(version));
        }
        self.report.versions_deleted += plan.deletes.len() as u64;
        self.report.versions_updated += plan.updates.len() as u64;
        self.report.versions_inserted += plan.inserts.len() as u64;
        let kept = if is_plain(&runs, &wanted, &self.new) { Vec::new() } else { runs };
        self.keep_log(number, &known.said, &kept);
        Ok(())
    }

    /// What becomes of the rows of a key, and whether it will show what the snapshot says.
    fn note_effect(&mut self, known: &Known, plan: &Plan, wanted: &[Version], said: Option<&Values>) {
        let updated = plan.updates.iter().map(|update| update.surrogate);
        for id in plan.deletes.iter().copied().chain(updated) {
            let marks = known.stored.iter().zip(&known.marks).filter(|(row, _)| row.surrogate == id);
            marks.for_each(|(_, mark)| self.effect.gone_marks ^= mark);
        }
        let shown = wanted.last().filter(|version| version.to.is_none()).map(|version| &version.values);
        self.effect.is_mirror &= shown == said;
    }

    /// A version whose values stay needs only its bounds; a dry run shows the whole of it.
    fn update_op(&self, stored: Option<&Stored>, version: Option<&Version>) -> Op {
        match (stored, version) {
            (Some(stored), Some(version)) if !self.is_dry && stored.values == version.values => {
                if version.to.is_some() { Op::Close } else { Op::Open }
            }
            _ => Op::Update,
        }
    }

    fn put(&mut self, key: i32, op: Op, id: Option<i64>, version: Option<&Version>) {
        let (from, to) = version.map_or((None, None), |version| (version.from, version.to));
        let sends_values = matches!(op, Op::Update | Op::Insert);
        let values = version.filter(|_| sends_values).map(|version| &version.values);
        self.sheet.push(&Entry { op, key, id, from, to, stated: None, values }, &self.lexicon);
    }

    /// Writes the difference of the log rows.
    fn keep_log(&mut self, number: i32, said: &[(i64, Run)], kept: &[Run]) {
        let blank = Entry { op: Op::Forget, key: number, id: None, from: None, to: None, stated: None, values: None };
        for (id, _) in said.iter().filter(|(_, run)| !kept.contains(run)) {
            self.sheet.push(&Entry { id: Some(*id), ..blank }, &self.lexicon);
            self.report.said_rows += 1;
        }
        for run in kept.iter().filter(|run| !said.iter().any(|(_, known)| known == *run)) {
            let to = if run.kind == Presence::Gone { Some(run.from) } else { run.to };
            let (from, stated) = (Some(run.from), Some(&run.stated));
            let entry = Entry { op: Op::Say, from, to, stated, values: Some(&run.values), ..blank };
            self.sheet.push(&entry, &self.lexicon);
            self.report.said_rows += 1;
        }
    }

    /// Does to a key's log what is asked for; gives what a snapshot says of it.
    fn change(&mut self, number: i32, runs: &mut Vec<Run>) -> Result<Option<Values>> {
        match self.ask {
            Ask::Rewind { to } => {
                rewind(runs, to);
            }
            Ask::Snapshot { at, next } => {
                let place = self.affected.statements(number as usize).first().copied();
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
                return Ok(said);
            }
            Ask::Feed => {
                for index in 0..self.affected.statements(number as usize).len() {
                    let place = self.affected.statements(number as usize)[index];
                    let (at, statement) = self.statement(place)?;
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
            }
        }
        Ok(None)
    }

    /// A row of the snapshot: its instant, in a change feed, and what it says.
    fn statement(&mut self, place: super::rows::Place) -> Result<(Option<Instant>, Statement)> {
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
        let mut values: Vec<Value> = vec![None; self.target.attributes.len()];
        for ((column, place), field) in layout.stated().iter().zip(&layout.places).zip(layout.said(&fields)) {
            values[*place] = self.lexicon.value(*place, column, *field);
        }
        Ok((at, Statement::observed(stated.clone(), values.into())))
    }
}
