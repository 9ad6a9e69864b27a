//! Shares of the mart: partial results of any fact in one table, for engines that bring them together by key and date.
//!
//! A share has the columns of every partial result (see [`super::partial`]), most of them NULL in a row, and before them
//! what an engine needs to sort them out: the dataset, the raw day, the business key where the newest day of a key
//! counts, and the service date.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use chrono::NaiveDate;
use hashbrown::HashMap;

use super::partial::{self, PAYMENTS, POSITION_HOURS, SCHEDULED_TRIPS, TRIPS};
use super::{HourlyMart, PositionHours};
use crate::error::{Error, Result};
use crate::model::{Dataset, Fact, FactKind, Zone};
use crate::rollup::{HourClock, columns};

const DATASET: &str = "dataset";
const DT: &str = "dt";
const KEY: &str = "key";
/// The local date of a share's hour.
pub const SERVICE_DATE: &str = "service_date";

/// The columns of every share.
pub fn share_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new(DATASET, DataType::Utf8, true),
        Field::new(DT, DataType::Date32, true),
        Field::new(KEY, DataType::Utf8, true),
        Field::new(SERVICE_DATE, DataType::Date32, true),
    ];
    for field in [TRIPS, PAYMENTS, POSITION_HOURS, SCHEDULED_TRIPS]
        .iter()
        .flat_map(|names| partial::schema(names).fields().to_vec())
    {
        if fields.iter().all(|known| known.name() != field.name()) {
            fields.push(field.as_ref().clone());
        }
    }
    Arc::new(Schema::new(fields))
}

/// Makes the shares of one dataset and raw day of its cleaned rows.
pub struct Sharer {
    dataset: Dataset,
    dt: NaiveDate,
    zone: Zone,
    clock: HourClock,
    /// Positions need no other day to be judged, so they are added up at once.
    positions: PositionHours,
}

impl Sharer {
    /// Of a dataset and raw day, with hours on the wall clock of a zone.
    pub fn new(dataset: Dataset, dt: NaiveDate, zone: Zone) -> Self {
        Self { dataset, dt, zone, clock: HourClock::new(zone), positions: PositionHours::default() }
    }

    /// Whether the newest day of a key counts, so that shares of all dates are needed.
    pub fn is_keyed(&self) -> bool {
        Fact::of(self.dataset).is_some_and(|fact| fact.registry.is_some())
    }

    /// Takes in cleaned rows, and gives out what they make by themselves.
    pub fn add(&mut self, kept: &RecordBatch) -> Result<Option<RecordBatch>> {
        let partial = match Fact::of(self.dataset).map(|fact| fact.kind) {
            Some(FactKind::Trip) => partial::trips(kept, &mut self.clock)?,
            Some(FactKind::Payment) => partial::payments(kept, &mut self.clock)?,
            Some(FactKind::ScheduledTrip) => partial::scheduled_trips(kept, &mut self.clock)?,
            Some(FactKind::VehiclePosition) => return self.positions.add(kept, &mut self.clock).map(|()| None),
            Some(FactKind::ScheduledStopTime | FactKind::TripUpdate | FactKind::Alert) | None => return Ok(None),
        };
        // The key is the first column of a dataset.
        let keys = self.is_keyed().then(|| kept.column(0));
        self.share(keys, &partial).map(Some)
    }

    /// What the rows made together.
    pub fn finish(self) -> Result<RecordBatch> {
        self.share(None, &self.positions.rows()?)
    }

    fn share(&self, keys: Option<&ArrayRef>, partial: &RecordBatch) -> Result<RecordBatch> {
        let rows = partial.num_rows();
        let schema = share_schema();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.dataset.name(), rows))),
            Arc::new(Date32Array::from_value(Date32Type::from_naive_date(self.dt), rows)),
            keys.map_or_else(|| new_null_array(&DataType::Utf8, rows), Arc::clone),
            Arc::new(service_dates(partial, self.zone)?),
        ];
        for field in schema.fields().iter().skip(arrays.len()) {
            let given = partial.column_by_name(field.name()).map(Arc::clone);
            arrays.push(given.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
        }
        let plain = arrays.iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()));
        let plain = plain.collect::<std::result::Result<Vec<_>, _>>().map_err(misfit)?;
        RecordBatch::try_new(schema, plain).map_err(misfit)
    }
}

fn misfit(error: arrow::error::ArrowError) -> Error {
    Error::internal("a partial result does not fit a share of the mart").because(error)
}

fn service_dates(partial: &RecordBatch, zone: Zone) -> Result<Date32Array> {
    let hours = columns::micros_of(partial, "hour_bucket")?;
    let mut known: HashMap<i64, i32> = HashMap::new();
    let date = |hour: i64| Date32Type::from_naive_date(zone.local_date(hour));
    Ok(Date32Array::from_iter_values(
        hours.values().iter().map(|hour| *known.entry(*hour).or_insert_with(|| date(*hour))),
    ))
}

/// The rows of a share whose service date passes.
pub fn of_dates(share: &RecordBatch, passes: impl Fn(NaiveDate) -> bool) -> Result<RecordBatch> {
    let mask: BooleanArray = dates(share)?.into_iter().map(|date| Some(date.is_some_and(&passes))).collect();
    filter_record_batch(share, &mask).map_err(misfit)
}

/// Runs of rows with one service date: the date, and the rows.
pub fn by_date(share: &RecordBatch) -> Result<Vec<(NaiveDate, RecordBatch)>> {
    let (mut runs, mut from) = (Vec::new(), 0);
    for run in dates(share)?.chunk_by(|one, next| one == next) {
        let date = run.first().copied().flatten().ok_or_else(|| {
            Error::schema("a share of the mart has no service date").with("column", SERVICE_DATE).with("row", from)
        })?;
        runs.push((date, share.slice(from, run.len())));
        from += run.len();
    }
    Ok(runs)
}

fn dates(share: &RecordBatch) -> Result<Vec<Option<NaiveDate>>> {
    let dates = columns::primitive::<Date32Type>(share, SERVICE_DATE, &DataType::Date32)?;
    Ok(dates.iter().map(|days| days.and_then(Date32Type::to_naive_date_opt)).collect())
}

impl HourlyMart {
    /// Adds rows of shares, of any dataset; columns as in [`share_schema`].
    pub fn add_share(&mut self, share: &RecordBatch) -> Result<()> {
        let names = cast(columns::text(share, DATASET)?, &DataType::Utf8).map_err(misfit)?;
        let names = names.as_string::<i32>();
        for fact in Fact::ALL.into_iter().filter(|fact| fact.kind.is_in_mart()) {
            let dataset = fact.dataset;
            let mask: BooleanArray = names.iter().map(|name| Some(name == Some(dataset.name()))).collect();
            if mask.true_count() == 0 {
                continue;
            }
            let rows = filter_record_batch(share, &mask).map_err(misfit)?;
            match fact.kind {
                FactKind::Trip => self.add_trips(&rows)?,
                FactKind::Payment => self.add_payments(&rows)?,
                FactKind::VehiclePosition => self.add_position_hours(&rows)?,
                FactKind::ScheduledTrip => self.add_scheduled_trips(&rows)?,
                FactKind::ScheduledStopTime | FactKind::TripUpdate | FactKind::Alert => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use chrono_tz::Tz;

    use super::*;
    use crate::model::HOUR_MICROS;
    use crate::rollup::mart::RouteVersions;

    fn payments(hours: &[i64]) -> RecordBatch {
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![1; hours.len()]));
        let cents = arrow::array::Decimal128Array::from(vec![250; hours.len()]).with_precision_and_scale(38, 2);
        let columns: [(&str, ArrayRef); 5] = [
            ("route_id", Arc::new(StringArray::from(vec!["R1"; hours.len()]))),
            ("hour_bucket", Arc::new(TimestampMicrosecondArray::from(hours.to_vec()).with_timezone("UTC"))),
            ("payment_cnt", Arc::clone(&counts)),
            ("amount_sum", Arc::new(cents.unwrap())),
            ("amount_cnt", counts),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn shares_add_up_to_what_their_partial_results_do() {
        let (zone, day) = (Zone(Tz::Europe__Moscow), NaiveDate::default());
        let partial = payments(&[0, 5 * HOUR_MICROS, 22 * HOUR_MICROS]);
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["P1", "P2", "P3"]));
        let share = Sharer::new(Dataset::Payments, day, zone).share(Some(&keys), &partial).unwrap();
        let runs = by_date(&share).unwrap();
        let sizes: Vec<_> = runs.iter().map(|(date, rows)| (*date, rows.num_rows())).collect();
        assert_eq!(sizes, [(day, 2), (day + chrono::Days::new(1), 1)], "Moscow is three hours ahead");
        assert_eq!(of_dates(&share, |date| date == day).unwrap(), runs[0].1);

        let empty = || HourlyMart::new(zone, RouteVersions::default());
        let (mut plain, mut shared) = (empty(), empty());
        plain.add_payments(&partial).unwrap();
        runs.iter().for_each(|(_, rows)| shared.add_share(rows).unwrap());
        let range = day..day + chrono::Days::new(2);
        assert_eq!(shared.finish(range.clone()).unwrap(), plain.finish(range).unwrap());
    }
}
