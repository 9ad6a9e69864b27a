//! Rows of a package, brought to the raw days that they are of.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use super::super::quarantine::{self, Kept, Origin, Rejected};
use super::super::realtime::{date, days};
use super::batches::{Batch, Layout};
use super::read::{Row, Source};
use super::tables::{Field, Form, From, Table};
use super::value::{Cell, clock_text, parse, to_raw};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Reason, Zone};

/// Rows of one day that are handed on together.
const BATCH_ROWS: usize = 4_096;
/// What the rows of all days that are not handed on may take: few of them may be as long as a row can be.
const MOST_OPEN_BYTES: usize = 64 << 20;
/// What the fleet may take, which is kept as a whole: a million vehicles.
const MOST_FLEET_BYTES: usize = 64 << 20;
/// What a value takes beside its text.
const VALUE_BYTES: usize = 8;
/// Days that one call may make: each has files of its own open.
const MOST_DAYS: usize = 100;
const ORIGIN: Origin = Origin { whole: "package", row: "row" };

/// Takes the batches of a raw dataset and day.
pub type Sink<'a> = dyn FnMut(Dataset, NaiveDate, RecordBatch) -> Result<()> + 'a;

/// What the files of one table held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableTally {
    /// Rows, headers and blank lines apart.
    pub rows_read: u64,
    /// Rows that cannot be used.
    pub rows_rejected: u64,
    /// These by reason.
    pub rejected_by_reason: BTreeMap<&'static str, u64>,
    /// Rows of days that were not asked for.
    pub rows_of_other_days: u64,
    /// Values that a raw day has no place for, by field; their rows are there without them.
    pub values_left_out: BTreeMap<&'static str, u64>,
}

/// What a package gave.
#[derive(Debug, Default)]
pub struct Summary {
    /// Rows by day and dataset.
    pub days: BTreeMap<NaiveDate, BTreeMap<Dataset, u64>>,
    /// The vehicles, which are of every day.
    pub fleet: Vec<RecordBatch>,
    /// Counts by table.
    pub tables: BTreeMap<Table, TableTally>,
    rejects: Vec<Reject>,
    kept: Kept,
}

#[derive(Debug)]
struct Reject {
    table: Table,
    file: String,
    row: u64,
    reason: Reason,
    row_json: String,
    /// `None` where the row does not say.
    day: Option<i32>,
}

/// Reads the files of a package, one after the other.
#[derive(Debug)]
pub struct Collector {
    zone: Zone,
    from: Option<i32>,
    end: Option<i32>,
    layouts: BTreeMap<Table, Layout>,
    open: BTreeMap<(Table, Option<i32>), Batch>,
    days: BTreeSet<i32>,
    open_bytes: usize,
    fleet_bytes: usize,
    summary: Summary,
}

impl Field {
    /// Whether a row without it is no use: the standard asks for it, or the raw dataset.
    fn is_needed(&self, table: Table) -> bool {
        let raw = self.column().and_then(|name| table.dataset().columns().iter().find(|column| column.name == name));
        match self.from {
            From::Day => self.is_required,
            From::Column(_) => self.is_required || raw.is_some_and(|column| column.required),
            From::Made | From::Joined(_) | From::Nothing => false,
        }
    }

    /// Why a row without it is no use.
    fn reason(&self) -> Reason {
        match self.form {
            Form::Instant | Form::Clock | Form::Date => Reason::NoTime,
            Form::Text | Form::Words(_) => Reason::NoKey,
            Form::Number { .. } | Form::Speed | Form::Money | Form::Integer { .. } | Form::Boolean => {
                Reason::Unconvertible
            }
        }
    }
}

/// A row's values by field, and its day; or why it is no use, and its day where that is known.
type Values<'a> = std::result::Result<(Vec<Option<Cell<'a>>>, Option<i32>), (Reason, Option<i32>)>;

impl Collector {
    /// Reads rows of the half-open range of days alone, where one is given.
    ///
    /// # Errors
    /// `Schema` for a file without a needed column, `Data` for one that cannot be read.
    pub fn new(files: &[Source<'_>], zone: Zone, from: Option<NaiveDate>, end: Option<NaiveDate>) -> Result<Self> {
        let mut columns: BTreeMap<Table, BTreeSet<String>> = BTreeMap::new();
        for file in files {
            let header = file.header()?;
            check_header(file, &header)?;
            columns.entry(file.table).or_default().extend(header);
        }
        let layouts = columns.iter().map(|(table, columns)| (*table, Layout::of(*table, columns))).collect();
        let (from, end) = (from.map(days), end.map(days));
        let tables = columns.keys().map(|table| (*table, TableTally::default())).collect();
        let summary = Summary { tables, ..Summary::default() };
        let (open, days, open_bytes, fleet_bytes) = (BTreeMap::new(), BTreeSet::new(), 0, 0);
        Ok(Self { zone, from, end, layouts, open, days, open_bytes, fleet_bytes, summary })
    }

    /// Reads one file.
    ///
    /// # Errors
    /// `Data` for a file that cannot be read to its end, `Config` for more days than one call can make; the sink's own.
    pub fn read(&mut self, file: Source<'_>, cancel: &Cancel, sink: &mut Sink<'_>) -> Result<()> {
        file.rows(cancel, &mut |row| self.take(file, row, sink))
    }

    fn take(&mut self, file: Source<'_>, row: &Row<'_>, sink: &mut Sink<'_>) -> Result<()> {
        let table = file.table;
        self.tally(table).rows_read += 1;
        match self.values(table, row) {
            Ok((_, day)) | Err((_, day)) if day.is_some_and(|day| self.is_other(day)) => {
                self.tally(table).rows_of_other_days += 1;
                Ok(())
            }
            Ok((values, day)) => {
                self.open_day(day)?;
                self.add(table, day, &values)?;
                self.bound_memory(file, (table, day), sink)
            }
            Err((reason, day)) => self.reject(file, row, reason, day),
        }
    }

    fn open_day(&mut self, day: Option<i32>) -> Result<()> {
        let is_new = day.is_some_and(|day| self.days.insert(day));
        if is_new && self.days.len() > MOST_DAYS {
            return Err(Error::config(format!(
                "the package has rows of more than {MOST_DAYS} days, name a part of them with date_from and date_to \
                 (--date-from, --date-to)"
            )));
        }
        Ok(())
    }

    /// Reads the values that become columns, and the day.
    fn values<'a>(&self, table: Table, row: &Row<'a>) -> Values<'a> {
        let fields = table.fields();
        let mut values = Vec::with_capacity(fields.len());
        let mut wrong = row.is_muddled().then_some(Reason::Unconvertible);
        for (place, field) in fields.iter().enumerate() {
            let is_read = match field.from {
                From::Day | From::Column(_) => true,
                From::Made | From::Joined(_) | From::Nothing => false,
            };
            let read =
                if is_read { row.get(place).map(|text| parse(field.form, text, self.zone)) } else { Some(Ok(None)) };
            let value = match read {
                Some(Ok(value)) => value,
                Some(Err(_)) | None => {
                    wrong = wrong.or(Some(Reason::Unconvertible));
                    None
                }
            };
            values.push(value);
        }
        let missing = fields.iter().zip(&values).find(|(field, value)| value.is_none() && field.is_needed(table));
        let day = self.day(table, &values);
        match wrong.or(missing.map(|(field, _)| field.reason())) {
            Some(reason) => Err((reason, day)),
            None => Ok((values, day)),
        }
    }

    /// The service date of a row, else the local date of its event; `None` for the fleet.
    fn day(&self, table: Table, values: &[Option<Cell<'_>>]) -> Option<i32> {
        if !table.is_of_days() {
            return None;
        }
        let mut event = None;
        for (field, value) in table.fields().iter().zip(values) {
            match (field.from, value) {
                (From::Day, Some(Cell::Date(day))) => return Some(*day),
                (From::Column(column), Some(Cell::Instant(micros))) if Some(column) == table.dataset().event_time() => {
                    event = Some(days(self.zone.local_date(*micros)));
                }
                (From::Day | From::Column(_) | From::Made | From::Joined(_) | From::Nothing, _) => {}
            }
        }
        event
    }

    fn is_other(&self, day: i32) -> bool {
        self.from.is_some_and(|from| day < from) || self.end.is_some_and(|end| day >= end)
    }

    fn add(&mut self, table: Table, day: Option<i32>, values: &[Option<Cell<'_>>]) -> Result<()> {
        let Some(layout) = self.layouts.get(&table) else { return Err(Error::internal("a table was not begun")) };
        let batch = self.open.entry((table, day)).or_insert_with(|| Batch::new(layout, day, self.zone));
        for ((field, column), builder) in layout.fields.iter().zip(&layout.kinds).zip(&mut batch.columns) {
            let (Some(declared), Some(value)) = (table.fields().get(*field), values.get(*field)) else { continue };
            if let (Form::Clock, Some(Cell::Instant(micros))) = (declared.form, value) {
                let text = clock_text(*micros, batch.timetable_micros);
                if text.is_none() {
                    let tally = self.summary.tables.entry(table).or_default();
                    *tally.values_left_out.entry(declared.name).or_default() += 1;
                }
                builder.push(text.as_deref().map(Cell::Text))?;
            } else {
                debug_assert_eq!(declared.column(), Some(column.name));
                builder.push(value.and_then(|value| to_raw(declared.form, value)))?;
            }
        }
        let bytes = values.iter().flatten().map(Cell::bytes).sum::<usize>() + layout.fields.len() * VALUE_BYTES;
        batch.rows += 1;
        batch.bytes += bytes;
        self.open_bytes += bytes;
        Ok(())
    }

    /// Hands a batch on that is full, and all of them where they are long.
    fn bound_memory(&mut self, file: Source<'_>, key: (Table, Option<i32>), sink: &mut Sink<'_>) -> Result<()> {
        if self.open_bytes > MOST_OPEN_BYTES {
            self.hand_on_all(sink)?;
        } else if self.open.get(&key).is_some_and(|batch| batch.rows >= BATCH_ROWS) {
            self.hand_on(key, sink)?;
        }
        if self.fleet_bytes > MOST_FLEET_BYTES {
            return Err(Error::data(format!(
                "{} has vehicles of more than {MOST_FLEET_BYTES} bytes, as no fleet does; write the package again",
                file.name
            ))
            .with("file", file.name));
        }
        Ok(())
    }

    fn hand_on_all(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let keys: Vec<_> = self.open.keys().copied().collect();
        keys.into_iter().try_for_each(|key| self.hand_on(key, sink))
    }

    fn hand_on(&mut self, key: (Table, Option<i32>), sink: &mut Sink<'_>) -> Result<()> {
        let (Some(mut batch), Some(layout)) = (self.open.remove(&key), self.layouts.get(&key.0)) else { return Ok(()) };
        let rows = layout.batch(&mut batch)?;
        self.open_bytes = self.open_bytes.saturating_sub(batch.bytes);
        match key.1.map(date) {
            None => {
                self.fleet_bytes += batch.bytes;
                self.summary.fleet.push(rows);
            }
            Some(dt) => {
                let dataset = key.0.dataset();
                let counted = self.summary.days.entry(dt).or_default().entry(dataset).or_default();
                *counted += rows.num_rows() as u64;
                sink(dataset, dt, rows)?;
            }
        }
        Ok(())
    }

    fn reject(&mut self, file: Source<'_>, row: &Row<'_>, reason: Reason, day: Option<i32>) -> Result<()> {
        let tally = self.tally(file.table);
        tally.rows_rejected += 1;
        *tally.rejected_by_reason.entry(reason.code()).or_default() += 1;
        let (table, name, row_json) = (file.table, file.name.to_owned(), row.json());
        let reject = Reject { table, file: name, row: row.number, reason, row_json, day };
        self.summary.kept.add(ORIGIN, &reject.shown())?;
        self.summary.rejects.push(reject);
        Ok(())
    }

    fn tally(&mut self, table: Table) -> &mut TableTally {
        self.summary.tables.entry(table).or_default()
    }

    /// Hands on what is left. Of a table of which more than `reject_limit` cannot be used nothing shall be written.
    ///
    /// # Errors
    /// `Data` when too many rows of a table, or all of them, cannot be used; the sink's own.
    pub fn finish(mut self, reject_limit: f64, sink: &mut Sink<'_>) -> Result<Summary> {
        self.hand_on_all(sink)?;
        for (table, tally) in &self.summary.tables {
            let first = || self.summary.rejects.iter().find(|reject| reject.table == *table).map(Reject::shown);
            ORIGIN.judge(table.name(), (tally.rows_rejected, tally.rows_read), reject_limit, first)?;
        }
        Ok(self.summary)
    }
}

impl Reject {
    /// As the quarantine takes it.
    fn shown(&self) -> Rejected<'_> {
        let Self { table, file, row, reason, row_json, .. } = self;
        Rejected { dataset: table.dataset(), file: file.as_str().into(), row: *row, reason: *reason, row_json }
    }
}

fn check_header(file: &Source<'_>, header: &[String]) -> Result<()> {
    let needed = file.table.fields().iter().filter(|field| field.is_needed(file.table));
    for field in needed {
        if !header.iter().any(|name| name == field.name) {
            return Err(Error::schema(format!(
                "{} has no column {}, expected it beside {}; write the package again",
                file.name,
                field.name,
                header.iter().take(12).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            ))
            .with("file", file.name)
            .with("column", field.name));
        }
    }
    Ok(())
}

impl Summary {
    /// The rejected rows of a day that has rows; those of no such day are kept with the first.
    fn rejects_of(&self, wanted: NaiveDate) -> impl Iterator<Item = &Reject> {
        let first = self.days.keys().next().copied();
        let home = move |reject: &Reject| reject.day.map(date).filter(|day| self.days.contains_key(day)).or(first);
        self.rejects.iter().filter(move |reject| home(reject) == Some(wanted))
    }

    /// The error that `what` is wrong, with the first rejected row, if any.
    pub fn told_by_first_reject(&self, what: &str) -> Option<Error> {
        self.rejects.first().map(|first| ORIGIN.too_many(&first.shown(), what))
    }

    /// How many rejected rows a day has.
    pub fn rows_rejected(&self, date: NaiveDate) -> u64 {
        self.rejects_of(date).count() as u64
    }

    /// The rejected rows of a day, if any.
    pub fn rejected(&self, date: NaiveDate) -> Result<Option<RecordBatch>> {
        let rejected: Vec<Rejected<'_>> = self.rejects_of(date).map(Reject::shown).collect();
        if rejected.is_empty() { Ok(None) } else { quarantine::batch(date, &rejected).map(Some) }
    }
}
