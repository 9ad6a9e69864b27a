//! Fact rows from cleaned rows: surrogate keys as of the event's time, dates and times in the service zone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use chrono::NaiveDate;

use super::trips::TripKeys;
use crate::error::{Error, Result};
use crate::history::Misses;
use crate::load::columns::column;
use crate::load::{Feed, Rows, Unit};
use crate::model::{Clock, Computed, Fact, Zone};
use crate::postgres::copy::PgType;
use crate::rollup::HourClock;
use crate::rollup::mart::PositionHours;
use crate::warehouse::copied::{batch_of, pg_type};
use crate::warehouse::members::{Numbers, Shared};
use crate::warehouse::position_hours::is_added_up;
use crate::warehouse::telemetry::Known;

/// What the rows of a day showed on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// As-of misses by dimension table.
    pub(super) misses: BTreeMap<&'static str, Misses>,
    /// Service dates touched, as days since the epoch.
    pub(super) service_days: BTreeSet<i32>,
    /// Members its rows refer to that exist for facts alone.
    pub(super) inferred: Numbers,
    /// Payments that name a trip which is not among the day's own.
    pub(super) open_trips: u64,
    /// Positions by route and hour, for the mart.
    pub(super) hours: PositionHours,
    /// What positions refer to and name that ClickHouse keeps.
    pub(super) known: Known,
}

/// Raw columns and their names in the fact.
type Taken = Vec<(&'static str, &'static str)>;

/// Turns cleaned rows into rows of one fact table.
pub(super) struct FactRows {
    fact: Fact,
    /// Of [`Fact::taken`] those that some file has: what nobody fills costs no space.
    taken: Taken,
    rows: Arc<dyn Rows>,
    members: Shared,
    trips: TripKeys,
    zone: Zone,
    /// The time of rows that have none of their own.
    day_start: i64,
    next_key: AtomicI64,
    /// Whether rows say which file they are from; those of a day's only file need not.
    says_file: bool,
    schema: SchemaRef,
    columns: Vec<(String, PgType)>,
    seen: Mutex<Seen>,
}

impl FactRows {
    pub(super) fn new(
        fact: Fact,
        rows: Arc<dyn Rows>,
        members: Shared,
        trips: TripKeys,
        day: (NaiveDate, Zone),
        first_key: i64,
        files: usize,
    ) -> Result<Self> {
        let (dt, zone) = day;
        let says_file = files > 1;
        let taken: Taken = fact.taken.iter().copied().filter(|(raw, _)| rows.states(raw)).collect();
        let (fields, columns) = shape(&fact, &taken, says_file)?;
        Ok(Self {
            fact,
            taken,
            rows,
            members,
            trips,
            zone,
            day_start: zone.day_start_micros(dt),
            next_key: AtomicI64::new(first_key),
            says_file,
            schema: Arc::new(Schema::new(fields)),
            columns,
            seen: Mutex::default(),
        })
    }

    /// The columns of the COPY.
    pub(super) fn columns(&self) -> Vec<(String, PgType)> {
        self.columns.clone()
    }

    /// What the rows showed; call when all are read.
    pub(super) fn take_seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn make(&self, batch: &RecordBatch, file_no: i16, clock: &mut Clock, seen: &mut Seen) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let raw = |name: &str| column(batch, name);
        let times = match self.fact.time {
            Some(time) => raw(time)?.as_primitive::<TimestampMicrosecondType>().values().clone(),
            None => vec![self.day_start; rows].into(),
        };
        let times: &[i64] = &times;
        for &at in times {
            seen.service_days.insert(clock.service_day(at));
        }
        let first = self.next_key.fetch_add(rows as i64, Ordering::Relaxed);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(first..first + rows as i64))];
        for reference in self.fact.references {
            let misses = seen.misses.entry(reference.member.table()).or_default();
            columns.push(Arc::new(self.members.resolve(
                reference,
                raw(reference.raw)?,
                times,
                misses,
                &mut seen.inferred,
            )?));
        }
        for (name, _) in &self.taken {
            let column = raw(name)?;
            // A payment's trip is a reference: an empty one is none.
            let is_reference = match self.fact.computed {
                Computed::Trip => *name == "trip_id",
                Computed::Duration | Computed::DateAndTime | Computed::Nothing => false,
            };
            columns.push(if is_reference { without_empty(column) } else { Arc::clone(column) });
        }
        match self.fact.computed {
            Computed::Nothing => {}
            Computed::Duration => {
                let ends = raw("end_ts")?.as_primitive::<TimestampMicrosecondType>();
                let seconds = ends.iter().zip(times).map(|(end, start)| end.map(|end| (end - start) / 1_000_000));
                columns.push(Arc::new(Int64Array::from_iter(seconds)));
            }
            Computed::DateAndTime => {
                let (dates, seconds): (Vec<i32>, Vec<i32>) = times.iter().map(|&at| clock.date_time_keys(at)).unzip();
                columns.push(Arc::new(Int32Array::from(dates)));
                columns.push(Arc::new(Int32Array::from(seconds)));
            }
            Computed::Trip => {
                let (trips, open) = self.trips.resolve(&without_empty(raw("trip_id")?));
                seen.open_trips += open;
                columns.push(Arc::new(trips));
            }
        }
        if self.says_file {
            columns.push(Arc::new(Int16Array::from_value(file_no, rows)));
        }
        batch_of(&self.schema, columns)
    }
}

impl Feed for FactRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn units(&self) -> usize {
        self.rows.units()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let (mut clock, mut hours) = (Clock::new(self.zone), HourClock::new(self.zone));
        let mut seen = Seen::default();
        self.rows.read(unit, &mut |batch, file_no| {
            if is_added_up(self.fact.kind) {
                seen.hours.add(&batch, &mut hours)?;
            }
            sink(self.make(&batch, file_no, &mut clock, &mut seen)?)
        })?;
        let mut total = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        total.service_days.append(&mut seen.service_days);
        total.open_trips += seen.open_trips;
        total.hours.add_hours(&seen.hours.rows()?)?;
        for (member, numbers) in seen.inferred {
            total.inferred.entry(member).or_default().extend(numbers);
        }
        for (table, misses) in seen.misses {
            total.misses.entry(table).or_default().add(misses);
        }
        Ok(())
    }
}

fn without_empty(column: &ArrayRef) -> ArrayRef {
    let texts = column.as_string::<i32>();
    if texts.iter().any(|text| text == Some("")) {
        return Arc::new(texts.iter().map(|text| text.filter(|t| !t.is_empty())).collect::<StringArray>());
    }
    Arc::clone(column)
}

type Shape = (Vec<Field>, Vec<(String, PgType)>);

fn shape(fact: &Fact, taken: &[(&'static str, &'static str)], says_file: bool) -> Result<Shape> {
    let mut list: Vec<(&str, DataType, PgType)> = vec![(fact.surrogate, DataType::Int64, PgType::Int8)];
    list.extend(fact.references.iter().map(|r| (r.surrogate, DataType::Int64, PgType::Int8)));
    for (raw, name) in taken {
        let column = fact
            .dataset
            .columns()
            .iter()
            .find(|c| c.name == *raw)
            .ok_or_else(|| Error::internal(format!("{} has no column {raw}", fact.dataset)))?;
        list.push((name, column.kind.arrow(), pg_type(column.kind)));
    }
    match fact.computed {
        Computed::Nothing => {}
        Computed::Duration => list.push(("duration_sec", DataType::Int64, PgType::Int8)),
        Computed::DateAndTime => {
            list.push(("event_date_sk", DataType::Int32, PgType::Int4));
            list.push(("event_time_sk", DataType::Int32, PgType::Int4));
        }
        Computed::Trip => list.push(("trip_sk", DataType::Int64, PgType::Int8)),
    }
    if says_file {
        list.push(("file_no", DataType::Int16, PgType::Int2));
    }
    let fields = list.iter().map(|(name, arrow, _)| Field::new(*name, arrow.clone(), true)).collect();
    Ok((fields, list.into_iter().map(|(name, _, pg)| (name.to_owned(), pg)).collect()))
}
