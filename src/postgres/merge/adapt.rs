//! Batches as the table will hold them: only the columns that take part, decimals at the column's scale, instants at its
//! precision, days as instants. What the server would round is rounded here, so that it compares equal afterwards.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Days, NaiveDate};

use super::super::copy::PgType;
use super::wire::Column;
use crate::error::{Error, Result};
use crate::model::Zone;

/// What becomes of one column.
enum Change {
    Keep,
    /// To another Arrow type.
    Cast(DataType),
    /// Microseconds rounded to a coarser unit.
    Round(i64),
    /// A date to the start of that day.
    DayStart,
}

/// What the table takes, whatever the schema of a file is.
pub(super) struct Fit {
    pub(super) columns: Vec<Column>,
    /// The column that a change feed takes its times from; dates in it are days of `zone`.
    pub(super) time: Option<String>,
    pub(super) zone: Zone,
}

impl Fit {
    /// Settles what becomes of every column of a schema.
    pub(super) fn adapter(&self, source: &Schema) -> Result<Adapter> {
        Adapter::new(&self.columns, self.time.as_ref(), source, self.zone)
    }
}

/// Turns the batches of a source into those of a table.
pub(super) struct Adapter {
    schema: SchemaRef,
    columns: Vec<(usize, String, Change)>,
    zone: Zone,
}

impl Adapter {
    fn new(columns: &[Column], time: Option<&String>, source: &Schema, zone: Zone) -> Result<Self> {
        let (mut fields, mut changes) = (Vec::new(), Vec::new());
        for column in columns {
            let (index, field) = source.column_with_name(&column.name).ok_or_else(|| {
                Error::schema(format!("column {:?} is missing in the snapshot", column.name))
                    .with("column", &column.name)
            })?;
            let change = change(column, field.data_type(), time == Some(&column.name));
            let kind = match &change {
                Change::Keep => field.data_type().clone(),
                Change::Cast(kind) => kind.clone(),
                Change::Round(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
                Change::DayStart => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            };
            fields.push(Field::new(&column.name, kind, true));
            changes.push((index, column.name.clone(), change));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), columns: changes, zone })
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
            Change::Cast(kind) => cast(array, kind),
            Change::Round(unit) => {
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                let micros = micros.as_primitive::<TimestampMicrosecondType>();
                // Half away from PostgreSQL's epoch would differ by a unit below it; both round half up here.
                let rounded: TimestampMicrosecondArray =
                    micros.unary(|value| value.saturating_add(unit / 2).div_euclid(*unit) * unit);
                Ok(Arc::new(rounded))
            }
            Change::DayStart => {
                let days = cast(array, &DataType::Date32)?;
                let days = days.as_primitive::<Date32Type>();
                let starts: TimestampMicrosecondArray = days.unary(|day| self.zone.day_start_micros(date(day)));
                Ok(Arc::new(starts.with_timezone("UTC")))
            }
        }
    }
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

fn change(column: &Column, arrow: &DataType, is_time: bool) -> Change {
    match (column.kind, arrow) {
        (PgType::Timestamptz, DataType::Date32 | DataType::Date64) if is_time => Change::DayStart,
        (
            PgType::Decimal(_, scale),
            DataType::Decimal128(_, finer) | DataType::Decimal64(_, finer) | DataType::Decimal32(_, finer),
        ) if scale >= 0 && i16::from(*finer) > scale => Change::Cast(DataType::Decimal128(38, scale as i8)),
        (PgType::Decimal(_, scale), DataType::Decimal256(_, finer)) if scale >= 0 && i16::from(*finer) > scale => {
            Change::Cast(DataType::Decimal256(76, scale as i8))
        }
        (PgType::Timestamp | PgType::Timestamptz, DataType::Timestamp(..)) => match precision(&column.sql_type) {
            Some(digits) if digits < 6 => Change::Round(10_i64.pow(6 - digits)),
            _ => Change::Keep,
        },
        _ => Change::Keep,
    }
}

/// The digits in `timestamp(3) with time zone`.
fn precision(sql_type: &str) -> Option<u32> {
    sql_type.split_once('(')?.1.split_once(')')?.0.parse().ok()
}
