//! Rows of raw days as rows of TIDES.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use chrono::NaiveDate;

use super::super::realtime::days;
use super::columns::{Builder, cell, kind};
use super::known::{Keys, Known};
use super::tables::{Field, Form, From, Table};
use super::value::{Cell, is_missing, parse, to_tides};
use crate::error::{Error, Result};
use crate::model::{Dataset, Kind, Zone};

/// Values that the user gives to required fields which raw days do not know.
#[derive(Clone, Debug, Default)]
pub struct Fill {
    values: BTreeMap<(Table, &'static str), String>,
}

/// What of raw days found no place in a table, by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Rows that lack a required field.
    pub rows: BTreeMap<&'static str, u64>,
    /// Values that the field cannot hold; their rows are there without them.
    pub values: BTreeMap<&'static str, u64>,
}

/// Makes the rows of one table.
#[derive(Debug)]
pub struct Rows {
    table: Table,
    zone: Zone,
    fill: Fill,
    known: Arc<Known>,
    /// What found no place so far.
    pub left_out: LeftOut,
}

impl Fill {
    /// Reads rules: `fare_action` or `fare_transactions.fare_action` to a value.
    ///
    /// # Errors
    /// `Config` for a field that is not required or is always known, and for a value that it cannot have.
    pub fn of(rules: &BTreeMap<String, String>, zone: Zone) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (rule, value) in rules {
            let (table, name) = rule.split_once('.').map_or((None, rule.as_str()), |(table, name)| (Some(table), name));
            let mut is_known = false;
            for (of, field) in
                fillable().filter(|(of, field)| field.name == name && table.is_none_or(|table| table == of.name()))
            {
                is_known = true;
                let read = parse(field.form, value, zone);
                if !matches!(read, Ok(Some(_))) || is_missing(value) {
                    return Err(wrong_value(of, field, value));
                }
                values.insert((of, field.name), value.clone());
            }
            if !is_known {
                let all: Vec<String> = fillable().map(|(of, field)| format!("{}.{}", of.name(), field.name)).collect();
                return Err(Error::config(format!(
                    "fill names {rule:?}, expected a required field that raw days may lack: {}",
                    all.join(", ")
                ))
                .with("field", rule));
            }
        }
        Ok(Self { values })
    }

    /// Required fields of a table that neither raw days nor a rule know.
    pub fn lacking(&self, table: Table) -> Vec<&'static str> {
        let lacks = |field: &&Field| {
            field.is_required && field.from == From::Nothing && !self.values.contains_key(&(table, field.name))
        };
        table.fields().iter().filter(lacks).map(|field| field.name).collect()
    }
}

fn fillable() -> impl Iterator<Item = (Table, &'static Field)> {
    let all = Table::ALL.into_iter().flat_map(|table| table.fields().iter().map(move |field| (table, field)));
    all.filter(|(_, field)| field.may_be_filled())
}

fn wrong_value(table: Table, field: &Field, value: &str) -> Error {
    let expected = match field.form {
        Form::Words(words) => words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", "),
        Form::Boolean => "true or false".to_owned(),
        Form::Instant | Form::Clock => "a time such as 2024-05-01T08:00:00-05:00".to_owned(),
        Form::Date => "a date as YYYY-MM-DD".to_owned(),
        Form::Number { .. } | Form::Speed | Form::Money => "a number".to_owned(),
        Form::Integer { .. } => "a whole number".to_owned(),
        Form::Text => "a text that is not blank, NA or NaN".to_owned(),
    };
    let name = format!("{}.{}", table.name(), field.name);
    Error::config(format!("fill gives {name} the value {value:?}, expected {expected}")).with("field", name)
}

impl Rows {
    /// The rows of a table; their instants are those of `zone`, and `known` is what their day knows beside them.
    pub fn new(table: Table, zone: Zone, fill: &Fill, known: Arc<Known>) -> Self {
        Self { table, zone, fill: fill.clone(), known, left_out: LeftOut::default() }
    }

    /// The columns: every field of the standard, in its order.
    pub fn schema(&self) -> SchemaRef {
        let field = |field: &Field| ArrowField::new(field.name, kind(field.form).arrow(), true);
        Arc::new(Schema::new(self.table.fields().iter().map(field).collect::<Vec<_>>()))
    }

    /// The rows of a batch of the raw day; `first` is the number of its first row there, from 1.
    pub fn batch(&mut self, date: NaiveDate, first: u64, raw: &RecordBatch) -> Result<RecordBatch> {
        let timetable_micros = self.zone.timetable_start_micros(date);
        let keys = Keys::of(&self.known, self.table, raw);
        let mut is_whole = vec![true; raw.num_rows()];
        let mut columns = Vec::with_capacity(self.table.fields().len());
        for field in self.table.fields() {
            let found = field.column().and_then(|name| raw.column_by_name(name));
            let filled = self.fill.values.get(&(self.table, field.name));
            let filled = filled.and_then(|text| parse(field.form, text, self.zone).ok().flatten());
            let mut builder = Builder::of(kind(field.form));
            for (row, is_whole) in is_whole.iter_mut().enumerate() {
                let made;
                let known = match field.from {
                    From::Day => Some(Cell::Date(days(date))),
                    From::Made => {
                        made = format!("{date}/{}", first + row as u64);
                        Some(Cell::Text(&made))
                    }
                    From::Nothing => None,
                    From::Column(_) => {
                        let raw = found.map(|column| cell(column, row)).transpose()?.flatten();
                        self.left_out.held(field, raw, timetable_micros)
                    }
                    From::Joined(joined) => self.left_out.held(field, keys.find(joined, row)?, timetable_micros),
                };
                let value = known.or(filled);
                if value.is_none() && field.is_required && *is_whole {
                    *is_whole = false;
                    *self.left_out.rows.entry(field.name).or_default() += 1;
                }
                builder.push(value)?;
            }
            columns.push(builder.finish());
        }
        let batch = RecordBatch::try_new(self.schema(), columns).map_err(misfit)?;
        if is_whole.iter().all(|is_whole| *is_whole) {
            return Ok(batch);
        }
        filter_record_batch(&batch, &BooleanArray::from(is_whole)).map_err(misfit)
    }
}

impl LeftOut {
    /// A value, where the standard can hold it.
    fn held<'a>(&mut self, field: &Field, raw: Option<Cell<'a>>, timetable_micros: i64) -> Option<Cell<'a>> {
        let held = to_tides(field.form, raw?, timetable_micros);
        if held.is_none() && !field.is_required {
            *self.values.entry(field.name).or_default() += 1;
        }
        held
    }
}

fn misfit(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("rows of TIDES make no batch: {error}")).because(error)
}

/// The vehicles of several days, each with the newest that is known of it.
#[derive(Debug, Default)]
pub struct Fleet {
    /// When each began and ended.
    service: BTreeMap<String, [Option<i64>; 2]>,
}

/// What a package says of a vehicle, beside its id.
const SERVICE: [&str; 2] = ["commissioned_at", "decommissioned_at"];

impl Fleet {
    /// Takes in the vehicles of a day; days come newest first.
    pub fn add(&mut self, raw: &RecordBatch) -> Result<()> {
        let Some(ids) = raw.column_by_name(Dataset::Vehicles.key()) else { return Ok(()) };
        for row in 0..raw.num_rows() {
            let Some(Cell::Text(id)) = cell(ids, row)? else { continue };
            let known = self.service.entry(id.to_owned()).or_default();
            for (known, name) in known.iter_mut().zip(SERVICE) {
                let said = raw.column_by_name(name).map(|column| cell(column, row)).transpose()?.flatten();
                if let (None, Some(Cell::Instant(micros))) = (&known, said) {
                    *known = Some(micros);
                }
            }
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.service.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.service.is_empty()
    }

    /// The vehicles as rows of the raw dataset, by id.
    pub fn batch(&self) -> Result<RecordBatch> {
        let ids = self.service.keys().map(|id| Some(Cell::Text(id)));
        let mut columns = vec![(Dataset::Vehicles.key(), built(Kind::Text, ids)?)];
        for (place, name) in SERVICE.into_iter().enumerate() {
            let instants = self.service.values().map(|service| service[place].map(Cell::Instant));
            columns.push((name, built(Kind::Instant, instants)?));
        }
        RecordBatch::try_from_iter(columns).map_err(misfit)
    }
}

fn built<'a>(kind: Kind, cells: impl Iterator<Item = Option<Cell<'a>>>) -> Result<ArrayRef> {
    let mut builder = Builder::of(kind);
    for cell in cells {
        builder.push(cell)?;
    }
    Ok(builder.finish())
}
