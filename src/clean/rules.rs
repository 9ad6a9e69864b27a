//! The rules a row must keep, judged column by column.
//!
//! Each rule first asks, branch-free over the whole column, whether anything can be wrong; only then rows are looked
//! at one by one. The first look ignores which slots are NULL, so it may raise a false alarm but misses nothing.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int32Type, TimestampMicrosecondType};

use super::converted::Converted;
use crate::model::{Coordinates, Dataset, Kind, Reason};

/// 1970-01-02T00:00:00Z.
const FIRST_EVENT: i64 = 86_400_000_000;
/// 2106-01-01T00:00:00Z.
const AFTER_LAST_EVENT: i64 = 4_291_747_200_000_000;
const MAX_SPEED_KMH: f64 = 200.0;

/// The reasons against each row, one bit each by the order of [`Reason::ALL`].
pub(super) struct Marks {
    bits: Vec<u16>,
    rows: usize,
}

impl Marks {
    fn mark(&mut self, row: usize, reason: Reason) {
        if self.bits.is_empty() {
            self.bits = vec![0; self.rows];
        }
        if let Some(bits) = self.bits.get_mut(row) {
            *bits |= 1 << reason as u16;
        }
    }

    /// Whether every row is fine.
    pub(super) fn is_clean(&self) -> bool {
        self.bits.is_empty()
    }

    /// Whether nothing speaks against a row.
    pub(super) fn is_fine(&self, row: usize) -> bool {
        self.bits.get(row).is_none_or(|bits| *bits == 0)
    }

    /// All that speaks against a row.
    pub(super) fn reasons(&self, row: usize) -> Vec<Reason> {
        let bits = self.bits.get(row).copied().unwrap_or_default();
        Reason::ALL.into_iter().filter(|reason| bits & (1 << *reason as u16) != 0).collect()
    }
}

struct Judged<'a> {
    dataset: Dataset,
    columns: &'a [Converted],
    marks: Marks,
}

/// Judges the converted columns (all of the dataset's, in order) of a batch.
pub(super) fn judge(dataset: Dataset, columns: &[Converted], rows: usize) -> Marks {
    let mut judged = Judged { dataset, columns, marks: Marks { bits: Vec::new(), rows } };
    for column in columns {
        for row in &column.unreadable {
            judged.marks.mark(*row as usize, Reason::Unconvertible);
        }
    }
    judged.key();
    judged.time();
    match dataset {
        Dataset::Routes => judged.negative_money("base_fare"),
        Dataset::Stops => judged.coordinates(),
        Dataset::Trips => {
            judged.order();
            judged.negative_money("fare");
            judged.each::<Float64Type>("distance_m", Reason::Negative, |v| v < 0.0);
        }
        Dataset::VehiclePositions => {
            judged.coordinates();
            judged.each::<Float64Type>("speed", Reason::Speed, |v| !(0.0..=MAX_SPEED_KMH).contains(&v));
        }
        Dataset::ScheduledTrips => judged.order(),
        Dataset::Users
        | Dataset::Vehicles
        | Dataset::Payments
        | Dataset::ScheduledStopTimes
        | Dataset::Shapes
        | Dataset::TripUpdates
        | Dataset::Alerts => {}
    }
    judged.marks
}

impl<'a> Judged<'a> {
    fn column(&self, name: &str) -> Option<&'a Converted> {
        self.columns.get(self.dataset.index(name)?)
    }

    /// Marks the rows whose value is there and bad.
    fn each<T: ArrowPrimitiveType>(&mut self, name: &str, reason: Reason, bad: impl Fn(T::Native) -> bool) {
        let Some(values) = self.column(name).and_then(|c| c.array.as_primitive_opt::<T>()) else { return };
        if values.values().iter().fold(false, |any, v| any | bad(*v)) {
            for row in 0..values.len() {
                if values.is_valid(row) && bad(values.value(row)) {
                    self.marks.mark(row, reason);
                }
            }
        }
    }

    /// Marks the rows whose value is NULL and not merely unreadable.
    fn missing(&mut self, column: &Converted, reason: Reason) {
        if column.array.logical_null_count() == 0 {
            return;
        }
        for row in 0..column.array.len() {
            if is_missing(column, row) {
                self.marks.mark(row, reason);
            }
        }
    }

    fn key(&mut self) {
        for name in self.dataset.key_columns() {
            let Some(column) = self.column(name) else { continue };
            self.missing(column, Reason::NoKey);
            for row in empty_rows(&column.array) {
                self.marks.mark(row, Reason::NoKey);
            }
        }
    }

    fn time(&mut self) {
        let Some(name) = self.dataset.event_time() else { return };
        if let Some(column) = self.column(name) {
            self.missing(column, Reason::NoTime);
        }
        let outside = |v| !(FIRST_EVENT..AFTER_LAST_EVENT).contains(&v);
        self.each::<TimestampMicrosecondType>(name, Reason::TimeRange, outside);
    }

    fn order(&mut self) {
        let instants = |name| self.column(name).and_then(|c| c.array.as_primitive_opt::<TimestampMicrosecondType>());
        let (Some(start), Some(end)) = (instants("start_ts"), instants("end_ts")) else { return };
        for row in 0..start.len() {
            if start.is_valid(row) && end.is_valid(row) && end.value(row) < start.value(row) {
                self.marks.mark(row, Reason::EndBeforeStart);
            }
        }
    }

    fn negative_money(&mut self, name: &str) {
        self.each::<Decimal128Type>(name, Reason::Negative, |cents| cents < 0);
    }

    fn coordinates(&mut self) {
        let (Some(lat_column), Some(lon_column)) = (self.column("lat"), self.column("lon")) else { return };
        let doubles = |c: &'a Converted| c.array.as_primitive_opt::<Float64Type>();
        let (Some(lat), Some(lon)) = (doubles(lat_column), doubles(lon_column)) else { return };
        let pairs = lat.values().iter().zip(lon.values().iter());
        let alarm = pairs.fold(false, |any, (lat, lon)| any | wrong_place(*lat, *lon));
        if !alarm && lat.null_count() == 0 && lon.null_count() == 0 {
            return;
        }
        let needed = match self.dataset.coordinates() {
            Some(Coordinates::Required) => true,
            Some(Coordinates::BothOrNeither) | None => false,
        };
        for row in 0..lat.len() {
            let missing = (is_missing(lat_column, row), is_missing(lon_column, row));
            let value = |values: &PrimitiveArray<Float64Type>| values.is_valid(row).then(|| values.value(row));
            let bad = match (value(lat), value(lon)) {
                (Some(lat), Some(lon)) => wrong_place(lat, lon),
                (Some(lat), None) => wrong_lat(lat) || missing.1,
                (None, Some(lon)) => wrong_lon(lon) || missing.0,
                (None, None) => needed && (missing.0 || missing.1),
            };
            if bad {
                self.marks.mark(row, Reason::Coordinates);
            }
        }
    }
}

/// Whether coordinates are out of range, or the (0, 0) of devices that do not know.
pub fn wrong_place(lat: f64, lon: f64) -> bool {
    wrong_lat(lat) | wrong_lon(lon) | ((lat == 0.0) & (lon == 0.0))
}

fn wrong_lat(lat: f64) -> bool {
    !(-90.0..=90.0).contains(&lat)
}

fn wrong_lon(lon: f64) -> bool {
    !(-180.0..=180.0).contains(&lon)
}

fn is_missing(column: &Converted, row: usize) -> bool {
    column.array.is_null(row) && column.unreadable.binary_search(&(row as u32)).is_err()
}

/// Rows whose text is there and empty.
fn empty_rows(array: &ArrayRef) -> Vec<usize> {
    if array.data_type() == &Kind::Code.arrow() {
        let codes = array.as_dictionary::<Int32Type>();
        let values = codes.values().as_string::<i32>();
        let empty: Vec<bool> = (0..values.len()).map(|v| values.value_length(v) == 0).collect();
        if !empty.contains(&true) {
            return Vec::new();
        }
        let keys = codes.keys();
        let is_empty =
            |row: &usize| usize::try_from(keys.value(*row)).is_ok_and(|k| empty.get(k).copied().unwrap_or_default());
        return (0..keys.len()).filter(|row| keys.is_valid(*row) && is_empty(row)).collect();
    }
    let Some(text) = array.as_string_opt::<i32>() else { return Vec::new() };
    if !text.value_offsets().windows(2).fold(false, |any, w| any | (w[0] == w[1])) {
        return Vec::new();
    }
    (0..text.len()).filter(|row| text.is_valid(*row) && text.value_length(*row) == 0).collect()
}
