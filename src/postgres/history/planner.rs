//! From what is known of the affected keys to the rows of the sheet, a bounded number of keys at a time.

use std::collections::HashSet;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::super::client::{Session, get};
use super::changes;
use super::sheet::{Entry, Op, Sheet, of_affected};
use super::table::Table;
use super::wire::{Field, columns, instant};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::history::{
    Calendar, Instant, Plan, Rules, Run, Statement, Stored, Value, Values, Version, derive, is_plain, joined, plan,
    read_off,
};

/// Rows of known history, and keys, that are in memory at once.
const FETCH_ROWS: usize = 20_000;

/// What is done to the history of each affected key, and how its values are spelled.
pub(crate) trait Subject {
    /// Another key comes; values of the one before are not asked for again.
    fn begin_key(&mut self);

    /// The values of a row of table or log, from one field for each item.
    fn values(&mut self, fields: &[Field<'_>]) -> Result<Values>;

    /// Appends a value as a field of the sheet.
    fn put(&self, out: &mut BytesMut, item: usize, value: &Value);

    /// Does to a key's log what is asked for; gives what a snapshot says of it.
    fn change(&mut self, key: usize, runs: &mut Vec<Run>) -> Result<Option<Values>>;
}

/// How much of the log is kept.
pub(crate) enum Keeps {
    /// Only what the versions do not tell by themselves, read by this calendar.
    Exceptions(Calendar),
    /// All of it. The table shows what these days and rules derive from it, so its values need not be read.
    Everything { days: Vec<Instant>, rules: Rules },
}

/// What the planner found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    /// Rows of the log that come, go or end elsewhere.
    pub(crate) said: u64,
    /// The marks of the rows that go or are replaced.
    pub(crate) gone_marks: i64,
    /// Keys that will not show what the snapshot says.
    pub(crate) unlike: u64,
}

impl Tally {
    /// Versions that come, go or change.
    pub(crate) fn versions(self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// Works out the affected keys.
pub(crate) struct Planner<'a, S> {
    pub(crate) session: &'a Session,
    pub(crate) cancel: &'a Cancel,
    pub(crate) table: &'a Table,
    /// How many keys are affected, and whether a part of one is NULL.
    pub(crate) keys: usize,
    pub(crate) has_null: bool,
    pub(crate) keeps: Keeps,
    /// How the history will read.
    pub(crate) calendar: Calendar,
    pub(crate) rules: Rules,
    /// Whether the log holds anything.
    pub(crate) has_log: bool,
    /// The mark of a row `m`, if it is asked for.
    pub(crate) mark: Option<&'static str>,
    /// Which of the affected keys `$1`, by number, somebody still refers to. Only for subjects that keep nothing of a key.
    pub(crate) referenced: Option<String>,
    /// Whether rows are shown and so sent whole.
    pub(crate) is_shown: bool,
    pub(crate) subject: S,
}

/// What is known of one key.
#[derive(Default)]
struct Known {
    said: Vec<(Option<i64>, Run)>,
    stored: Vec<Stored>,
    /// Of the rows stored.
    marks: Vec<i64>,
}

/// What is known of one key, and what is wanted.
struct Derived {
    key: i32,
    known: Known,
    runs: Vec<Run>,
    wanted: Vec<Version>,
    /// What a snapshot says of the key.
    said: Option<Values>,
}

/// What is filled while keys are worked out.
struct Output {
    sheet: Sheet,
    tally: Tally,
    /// Keys that nothing is wanted of, until it is known who refers to them.
    left: Vec<Derived>,
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

impl<S: Subject> Planner<'_, S> {
    /// Fills the sheet for all affected keys.
    pub(crate) async fn run(&mut self) -> Result<(Sheet, Tally)> {
        let sheet = Sheet::new(self.table.items.len());
        let mut output = Output { sheet, tally: Tally::default(), left: Vec::new() };
        self.session.run(&format!("DECLARE history_known NO SCROLL CURSOR FOR {}", self.known_sql())).await?;
        let mut number = 0;
        let mut pending: Vec<Row> = Vec::new();
        loop {
            self.cancel.check()?;
            let fetched = self.session.rows(&format!("FETCH {FETCH_ROWS} FROM history_known"), &[]).await?;
            let is_last = fetched.len() < FETCH_ROWS;
            pending.extend(fetched);
            // The last key of a fetch may go on in the next one; keys without any row lie between.
            let held = match pending.last() {
                Some(row) if !is_last => get::<i32>(row, 0)?,
                _ => self.keys as i32,
            };
            let mut at = 0;
            while number < held {
                self.subject.begin_key();
                let mut known = Known::default();
                while let Some(row) = pending.get(at).filter(|row| row.try_get(0).is_ok_and(|kid: i32| kid == number)) {
                    self.learn(&mut known, row)?;
                    at += 1;
                }
                self.plan_key(number, known, &mut output)?;
                number += 1;
                if number % FETCH_ROWS as i32 == 0 {
                    self.settle(&mut output).await?;
                }
            }
            pending.drain(..at);
            self.settle(&mut output).await?;
            if is_last {
                self.session.run("CLOSE history_known").await?;
                return Ok((output.sheet, output.tally));
            }
        }
    }

    /// The log rows (0) and the versions (1) of every affected key.
    fn known_sql(&self) -> String {
        let (table, reads) = (self.table, self.reads_versions());
        let items = |is_there: &dyn Fn(&super::table::Item) -> bool| -> String {
            let read = table.items.iter().map(|item| match is_there(item) {
                true => format!(", {}", item.read),
                false => format!(", NULL::{}", item.read_type),
            });
            read.collect()
        };
        let (from, to) = table.bounds.clone().map_or_else(
            || ("NULL::timestamptz".to_owned(), "NULL::timestamptz".to_owned()),
            |(from, to)| (format!("m.{from}"), format!("m.{to}")),
        );
        let versions = format!(
            "a.kid, 1::int2, m.{}::int8, {from}, {to}, {}, {}, NULL::bit varying{}",
            table.surrogate,
            self.mark.unwrap_or("NULL::int8"),
            table.inferred.as_ref().map_or_else(|| "false".to_owned(), |flag| format!("m.{flag}")),
            items(&|item| reads && item.is_shown),
        );
        let mut sql = of_affected(table, self.has_null, &versions, &table.name);
        if self.has_log {
            let [id, from, to, mention] = table.log.read();
            let said = format!(
                "a.kid, 0::int2, {id}, {from}, {to}, NULL::int8, {mention}, m.stated{}",
                items(&|item| item.is_logged)
            );
            let said = of_affected(table, self.has_null, &said, &table.log.name);
            sql = format!("{sql} UNION ALL {said}");
        }
        // By place: a column of the table may have any of these names.
        format!("{sql} ORDER BY 1, 2, 4")
    }

    fn reads_versions(&self) -> bool {
        match &self.keeps {
            Keeps::Exceptions(_) => true,
            Keeps::Everything { .. } => false,
        }
    }

    fn learn(&mut self, known: &mut Known, row: &Row) -> Result<()> {
        let fields: Vec<Field<'_>> =
            (3..row.len()).map(|index| get::<Raw<'_>>(row, index).map(|raw| raw.0)).collect::<Result<_>>()?;
        let (from, to) = (instant(fields[0])?, instant(fields[1])?);
        let is_flagged: bool = get(row, 6)?;
        if get::<i16>(row, 1)? == 1 {
            let values = match self.reads_versions() && !is_flagged {
                true => self.subject.values(&fields[5..])?,
                false => Values::default(),
            };
            known.stored.push(Stored { surrogate: get(row, 2)?, from, to, values, is_inferred: is_flagged });
            known.marks.push(get::<Option<i64>>(row, 5)?.unwrap_or_default());
            return Ok(());
        }
        let from = from.ok_or_else(|| Error::data("a row of the log has no start"))?;
        let log = &self.table.log;
        let (start, end) = (log.instant(from), to.map(|to| log.instant(to)));
        // A stretch of no length is the word that the key is gone.
        let run = match (is_flagged, to == Some(from)) {
            (true, _) => Run::new(start, end, Statement::mentioned()),
            (false, true) => Run::new(start, None, Statement::gone()),
            (false, false) => {
                let values = self.subject.values(&fields[5..])?;
                Run::new(start, end, Statement::observed(columns(fields[4])?, values))
            }
        };
        known.said.push((get(row, 2)?, run));
        Ok(())
    }

    fn plan_key(&mut self, key: i32, mut known: Known, output: &mut Output) -> Result<()> {
        let mut runs = self.log_of(&mut known)?;
        let said = self.subject.change(key as usize, &mut runs)?;
        let wanted = derive(&runs, self.calendar.days(), &self.rules)?;
        let derived = Derived { key, known, runs, wanted, said };
        if self.referenced.is_some() && derived.wanted.is_empty() && !derived.known.stored.is_empty() {
            output.left.push(derived);
        } else {
            self.put_key(&derived, false, output);
        }
        Ok(())
    }

    /// The log of a key; where the values of its versions were not read, they are what it derives.
    fn log_of(&self, known: &mut Known) -> Result<Vec<Run>> {
        let said = || known.said.iter().map(|(_, run)| run.clone()).collect::<Vec<Run>>();
        match &self.keeps {
            Keeps::Everything { days, rules } => {
                let runs = said();
                let shown = derive(&runs, days, rules)?;
                for row in known.stored.iter_mut().filter(|row| !row.is_inferred) {
                    if let Some(version) = shown.iter().find(|v| v.from == row.from && v.to == row.to) {
                        row.values = version.values.clone();
                    }
                }
                Ok(runs)
            }
            Keeps::Exceptions(calendar) if known.said.is_empty() => {
                let versions =
                    known.stored.iter().map(|row| Version { from: row.from, to: row.to, values: row.values.clone() });
                Ok(read_off(&versions.collect::<Vec<_>>(), calendar))
            }
            Keeps::Exceptions(_) => Ok(match &self.calendar {
                Calendar::Feed(_) => said(),
                Calendar::Snapshots(_) => joined(said()),
            }),
        }
    }

    /// Sends what is worked out; keys that nothing is wanted of stay where somebody refers to them.
    async fn settle(&mut self, output: &mut Output) -> Result<()> {
        if let (Some(sql), false) = (&self.referenced, output.left.is_empty()) {
            let numbers: Vec<i32> = output.left.iter().map(|derived| derived.key).collect();
            let rows = self.session.rows(sql, &[&numbers]).await?;
            let referenced = rows.iter().map(|row| get(row, 0)).collect::<Result<HashSet<i32>>>()?;
            for derived in std::mem::take(&mut output.left) {
                self.put_key(&derived, referenced.contains(&derived.key), output);
            }
        }
        output.sheet.send(self.session).await
    }

    /// Puts what changes of a key into the sheet.
    fn put_key(&self, derived: &Derived, is_referenced: bool, output: &mut Output) {
        let Derived { key, known, runs, wanted, said } = derived;
        let Output { sheet, tally, .. } = output;
        let plan = plan(&known.stored, wanted, is_referenced);
        count(tally, known, &plan);
        let shown = wanted.last().filter(|version| version.to.is_none()).map(|version| &version.values);
        tally.unlike += u64::from(shown != said.as_ref());
        let kept: &[Run] = match &self.keeps {
            Keeps::Exceptions(_) if is_plain(runs, wanted, &self.calendar) => &[],
            Keeps::Exceptions(_) | Keeps::Everything { .. } => runs,
        };
        let put_value = |out: &mut BytesMut, item, value: &Value| self.subject.put(out, item, value);
        let mut put = |entry: Entry<'_>| sheet.push(&entry, &put_value);
        changes::of_versions(*key, &known.stored, &plan, wanted, self.is_shown, &mut put);
        // Only those who may refer to inferred members ask where answers change.
        for &(from, to) in plan.changed.iter().filter(|_| self.table.inferred.is_some()) {
            put(Entry { from, to, ..Entry::new(Op::Changed, *key) });
        }
        tally.said += changes::of_log(*key, &self.table.log, &known.said, kept, &mut put);
    }
}

/// Counts what becomes of the rows of a key.
fn count(tally: &mut Tally, known: &Known, plan: &Plan) {
    let updated = plan.updates.iter().map(|update| update.surrogate);
    for id in plan.deletes.iter().copied().chain(updated) {
        let marks = known.stored.iter().zip(&known.marks).filter(|(row, _)| row.surrogate == id);
        marks.for_each(|(_, mark)| tally.gone_marks ^= mark);
    }
    tally.deleted += plan.deletes.len() as u64;
    tally.updated += plan.updates.len() as u64 + u64::from(plan.to_inferred.is_some());
    tally.inserted += plan.inserts.len() as u64;
}
