//! Batches as the table will hold them: only the columns that take part, decimals at the column's scale, instants at its
//! precision, days as instants. What the server would round or cut is rounded and cut here, so that it compares equal
//! afterwards.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, LargeStringArray, RecordBatch, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, Schema, SchemaRef, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Days, NaiveDate};

use super::super::copy::{DAY_MICROS, PgType};
use super::super::history::wire::Column;
use super::spec::Deleted;
use crate::error::{Error, Result};
use crate::model::Zone;

/// What becomes of one column.
enum Change {
    Keep,
    /// To other Arrow types, one after the other.
    Cast(Vec<DataType>),
    /// Microseconds rounded to a coarser unit.
    Round(i64),
    /// Microseconds of a day, likewise.
    RoundTime(i64),
    /// Text without the blanks after so many characters.
    Trim(usize),
    /// A date to the start of that day.
    DayStart,
    /// Whether the value is true; what is NULL is not.
    IsTrue,
    /// Whether the value has this text; what is NULL has not.
    Equals(String),
}

/// What the table takes, whatever the schema of a file is.
pub(super) struct Fit {
    pub(super) columns: Vec<Column>,
    /// The column that a change feed takes its times from; dates in it are days of `zone`.
    pub(super) time: Option<String>,
    /// How a change feed says that a key is gone.
    pub(super) deleted: Option<Deleted>,
    pub(super) zone: Zone,
}

impl Fit {
    /// Settles what becomes of every column of a schema.
    pub(super) fn adapter(&self, source: &Schema) -> Result<Adapter> {
        Adapter::new(self, source)
    }
}

/// Turns the batches of a source into those of a table.
pub(super) struct Adapter {
    schema: SchemaRef,
    columns: Vec<(usize, String, Change)>,
    zone: Zone,
}

impl Adapter {
    fn new(fit: &Fit, source: &Schema) -> Result<Self> {
        let (mut fields, mut changes) = (Vec::new(), Vec::new());
        for column in &fit.columns {
            let (index, field) = source.column_with_name(&column.name).ok_or_else(|| {
                Error::schema(format!("column {:?} is missing in the snapshot", column.name))
                    .with("column", &column.name)
            })?;
            let change = match fit.deleted.as_ref().filter(|deleted| deleted.column == column.name) {
                Some(deleted) => flag(deleted, plain(field.data_type()))?,
                None => change(column, plain(field.data_type()), fit.time.as_ref() == Some(&column.name)),
            };
            let kind = match &change {
                Change::Keep => field.data_type().clone(),
                Change::Cast(kinds) => kinds.last().unwrap_or(field.data_type()).clone(),
                Change::Round(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
                Change::RoundTime(_) => DataType::Time64(TimeUnit::Microsecond),
                Change::Trim(_) => DataType::LargeUtf8,
                Change::DayStart => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                Change::IsTrue | Change::Equals(_) => DataType::Boolean,
            };
            fields.push(Field::new(&column.name, kind, true));
            changes.push((index, column.name.clone(), change));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), columns: changes, zone: fit.zone })
    }

    /// The schema of the batches made.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One batch, as the table will hold it.
    pub(super) fn adapt(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(|(index, name, change)| {
            let array = batch.columns().get(*index).ok_or_else(|| Error::internal("a batch lacks a column"))?;
            self.change(array, change).map_err(|e| e.with("column", name))
        });
        RecordBatch::try_new(self.schema(), columns.collect::<Result<_>>()?)
            .map_err(|e| Error::internal("a batch differs from its schema").because(e))
    }

    fn change(&self, array: &ArrayRef, change: &Change) -> Result<ArrayRef> {
        match change {
            Change::Keep => Ok(Arc::clone(array)),
            _ if plain(array.data_type()) != array.data_type() => {
                self.change(&cast(array, plain(array.data_type()))?, change)
            }
            Change::Cast(kinds) => kinds.iter().try_fold(Arc::clone(array), |array, kind| cast(&array, kind)),
            Change::Round(unit) => {
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                let micros = micros.as_primitive::<TimestampMicrosecondType>();
                // Half away from PostgreSQL's epoch would differ by a unit below it; both round half up here.
                let rounded: TimestampMicrosecondArray = micros.unary(|value| round(value, *unit));
                Ok(Arc::new(rounded))
            }
            Change::RoundTime(unit) => {
                let micros = cast(array, &DataType::Time64(TimeUnit::Microsecond))?;
                let micros = micros.as_primitive::<Time64MicrosecondType>();
                // What is no time of a day stays so, for the server's own type to refuse.
                let rounded: Time64MicrosecondArray =
                    micros.unary(|value| if (0..=DAY_MICROS).contains(&value) { round(value, *unit) } else { value });
                Ok(Arc::new(rounded))
            }
            Change::Trim(length) => {
                let texts = cast(array, &DataType::LargeUtf8)?;
                let texts = texts.as_string::<i64>().iter();
                Ok(Arc::new(texts.map(|text| text.map(|text| trim(text, *length))).collect::<LargeStringArray>()))
            }
            Change::DayStart => {
                let days = cast(array, &DataType::Date32)?;
                let days = days.as_primitive::<Date32Type>();
                let starts: TimestampMicrosecondArray = days.unary(|day| self.zone.day_start_micros(date(day)));
                Ok(Arc::new(starts.with_timezone("UTC")))
            }
            Change::IsTrue => {
                let flags = cast(array, &DataType::Boolean)?;
                let flags = flags.as_boolean().iter().map(|flag| Some(flag == Some(true)));
                Ok(Arc::new(flags.collect::<BooleanArray>()))
            }
            Change::Equals(text) => {
                let texts = cast(array, &DataType::LargeUtf8)?;
                let flags = texts.as_string::<i64>().iter().map(|found| Some(found == Some(text.as_str())));
                Ok(Arc::new(flags.collect::<BooleanArray>()))
            }
        }
    }
}

/// Half up; what has no room for that stays as it is, and is no time that PostgreSQL has.
fn round(micros: i64, unit: i64) -> i64 {
    micros.saturating_add(unit / 2).div_euclid(unit).checked_mul(unit).unwrap_or(micros)
}

/// The type behind a dictionary.
fn plain(arrow: &DataType) -> &DataType {
    match arrow {
        DataType::Dictionary(_, value) => plain(value),
        other => other,
    }
}

/// As `varchar(length)` takes a text: blanks that do not fit are cut off, anything else is left to the server to refuse.
fn trim(text: &str, length: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(length) else { return text };
    let (head, rest) = text.split_at(end);
    if rest.bytes().all(|byte| byte == b' ') { head } else { text }
}

fn date(day: i32) -> NaiveDate {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    let distance = Days::new(day.unsigned_abs().into());
    let date = if day < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) };
    date.unwrap_or(epoch)
}

fn cast(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, kind, &strict)
        .map_err(|e| Error::data(format!("a value does not fit {kind}: {e}")).because(e))
}

/// How a column tells that a key is gone.
fn flag(deleted: &Deleted, arrow: &DataType) -> Result<Change> {
    let change = match (&deleted.equals, arrow) {
        (_, DataType::Null) | (None, DataType::Boolean) => Some(Change::IsTrue),
        (Some(text), arrow) if arrow.is_string() || arrow.is_integer() || *arrow == DataType::Boolean => {
            Some(Change::Equals(text.clone()))
        }
        _ => None,
    };
    let (column, expected) = match deleted.equals {
        None => (&deleted.column, "expected Boolean, or name the value that means it: deleted=(column, value)"),
        Some(_) => (&deleted.column, "expected strings, integers or Boolean to compare the value with"),
    };
    change.ok_or_else(|| {
        Error::schema(format!("column {column:?} of deleted has Arrow type {arrow}, {expected}")).with("column", column)
    })
}

fn change(column: &Column, arrow: &DataType, is_time: bool) -> Change {
    let declared = declared(&column.sql_type);
    let coarser_unit = declared.filter(|digits| *digits < 6).map(|digits| 10_i64.pow(6 - digits));
    match (column.kind, arrow) {
        (PgType::Timestamptz, DataType::Date32 | DataType::Date64) if is_time => Change::DayStart,
        (PgType::Decimal(_, scale), _) => match rounding(arrow, scale) {
            Some(kinds) => Change::Cast(kinds),
            None => Change::Keep,
        },
        (PgType::Timestamp | PgType::Timestamptz, DataType::Timestamp(..)) => {
            coarser_unit.map_or(Change::Keep, Change::Round)
        }
        (PgType::Time, DataType::Time32(_) | DataType::Time64(_)) => {
            coarser_unit.map_or(Change::Keep, Change::RoundTime)
        }
        (PgType::Varchar, _) if arrow.is_string() => {
            declared.map_or(Change::Keep, |length| Change::Trim(length as usize))
        }
        _ => Change::Keep,
    }
}

/// The casts that round a number to a scale, unless it has no finer digits.
fn rounding(arrow: &DataType, scale: i16) -> Option<Vec<DataType>> {
    let narrow = i8::try_from(scale).ok()?;
    let finer = match arrow {
        DataType::Decimal32(_, finer)
        | DataType::Decimal64(_, finer)
        | DataType::Decimal128(_, finer)
        | DataType::Decimal256(_, finer) => *finer,
        // A cast from an integer would cut where the server rounds.
        _ if arrow.is_integer() && scale < 0 => {
            return Some(vec![DataType::Decimal128(38, 0), DataType::Decimal128(38, narrow)]);
        }
        _ => return None,
    };
    let wide = matches!(arrow, DataType::Decimal256(..));
    let target = if wide { DataType::Decimal256(76, narrow) } else { DataType::Decimal128(38, narrow) };
    (finer > narrow).then(|| vec![target])
}

/// The number in `timestamp(3) with time zone` and `character varying(20)`.
fn declared(sql_type: &str) -> Option<u32> {
    sql_type.split_once('(')?.1.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rounded_half_up_and_never_around_the_end_of_the_scale() {
        let rounded = [1_499, 1_500, -1_500, -1_501].map(|micros| round(micros, 1_000));
        assert_eq!(rounded, [1_000, 2_000, -1_000, -2_000]);
        assert_eq!(round(i64::MIN, 1_000), i64::MIN);
        assert!(round(i64::MAX, 1_000) > i64::MAX - 1_000);
    }

    #[test]
    fn blanks_that_a_column_has_no_room_for_are_cut_and_nothing_else() {
        for (text, length, expected) in [
            ("abc  ", 3, "abc"),
            ("ab   ", 3, "ab "),
            ("äöü ", 3, "äöü"),
            ("abcd", 3, "abcd"),
            ("", 3, ""),
            ("abc x", 3, "abc x"),
        ] {
            assert_eq!(trim(text, length), expected, "{text:?}");
        }
    }
}
