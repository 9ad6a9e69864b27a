//! Performed trips as positions show them: of each run and vehicle the first and last report, and the way between them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use hashbrown::HashMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::columns::{batch, instants, schema};
use super::names::{NONE, Name, Names};
use super::row::Row;
use super::schedule::{date, start_time};
use crate::clean::wrong_place;
use crate::error::Result;
use crate::feeds::Ids;
use crate::model::{EARTH_RADIUS_M, Kind};

/// What stays as it is in a part of a trip's id: the unreserved characters of a URL.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A run as one vehicle performed it: feed's trip, start time, vehicle.
type Key = (Name, Name, Name);

#[derive(Clone, Copy, Debug)]
struct Performed {
    key: Key,
    route: Name,
    first_micros: i64,
    last_micros: i64,
    place: Option<Place>,
    distance_m: f64,
}

/// A place on earth.
#[derive(Clone, Copy, Debug)]
struct Place {
    lat: f64,
    lon: f64,
    /// Cosine of the latitude: each place begins one stretch and ends another.
    cos_lat: f64,
}

/// The performed trips of one day.
#[derive(Default)]
pub(super) struct Trips {
    known: HashMap<Key, usize>,
    all: Vec<Performed>,
    /// Which trip each vehicle was on in its last report, by the vehicle's number.
    latest: Vec<usize>,
}

impl Trips {
    /// Takes in a row; `scheduled` is the start time of the run that it was matched to. A report without a time, or of a
    /// time before the last one's, adds no way.
    pub(super) fn take(&mut self, row: &Row, scheduled: Option<Name>, names: &mut Names) {
        let (Some(at), trip) = (row.event_micros, row.said.trip) else { return };
        if trip == NONE {
            return;
        }
        let key = (trip, scheduled.unwrap_or_else(|| padded(row.said.start_time, names)), row.vehicle);
        let place = place(row);
        let next = self.all.len();
        let index = match self.latest.get(row.vehicle as usize) {
            Some(latest) if self.all.get(*latest).is_some_and(|trip| trip.key == key) => *latest,
            Some(_) | None => *self.known.entry(key).or_insert(next),
        };
        if self.latest.len() <= row.vehicle as usize {
            self.latest.resize(row.vehicle as usize + 1, 0);
        }
        self.latest[row.vehicle as usize] = index;
        if index == next {
            let (first_micros, last_micros) = (at, at);
            self.all.push(Performed { key, route: row.said.route, first_micros, last_micros, place, distance_m: 0.0 });
            return;
        }
        let trip = &mut self.all[index];
        trip.first_micros = trip.first_micros.min(at);
        if row.said.route != NONE {
            trip.route = row.said.route;
        }
        if at < trip.last_micros {
            return;
        }
        trip.last_micros = at;
        if let Some(to) = place {
            trip.distance_m += trip.place.map_or(0.0, |from| metres(from, to));
            trip.place = Some(to);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The trips in the order of their first report's arrival.
    pub(super) fn batch(&self, day: i32, names: &Names, ids: &Ids) -> Result<RecordBatch> {
        const COLUMNS: [(&str, Kind); 8] = [
            ("trip_id", Kind::Text),
            ("route_id", Kind::Text),
            ("vehicle_id", Kind::Text),
            ("start_ts", Kind::Instant),
            ("end_ts", Kind::Instant),
            ("distance_m", Kind::Float),
            ("scheduled_trip_id", Kind::Text),
            ("scheduled_start_time", Kind::Text),
        ];
        let text = |trip: &Performed, of: fn(&Performed) -> Name| Some(names.text(of(trip))).filter(|t| !t.is_empty());
        let id = |of: fn(&Performed) -> Name| -> ArrayRef {
            let texts = self.all.iter().map(|trip| text(trip, of).map(|text| ids.of(text)));
            Arc::new(texts.collect::<StringArray>())
        };
        let start_times = self.all.iter().map(|trip| text(trip, |trip| trip.key.1));
        let trip_ids = self.all.iter().map(|trip| Some(trip_id(day, trip.key, names, ids)));
        let distances = self.all.iter().map(|trip| Some(trip.distance_m));
        let columns = vec![
            Arc::new(trip_ids.collect::<StringArray>()) as ArrayRef,
            id(|trip| trip.route),
            id(|trip| trip.key.2),
            instants(self.all.iter().map(|trip| Some(trip.first_micros))),
            instants(self.all.iter().map(|trip| Some(trip.last_micros))),
            Arc::new(distances.collect::<Float64Array>()),
            id(|trip| trip.key.0),
            Arc::new(start_times.collect::<StringArray>()),
        ];
        batch(schema(&COLUMNS), columns)
    }
}

/// `HH:MM:SS` of a report, padded.
fn padded(name: Name, names: &mut Names) -> Name {
    if name == NONE {
        return NONE;
    }
    let text = start_time(names.text(name).as_bytes()).unwrap_or_default();
    names.number_like(name, text.as_bytes())
}

/// `<date>/<trip>/<start time>/<vehicle>`, each part percent-encoded.
fn trip_id(day: i32, (trip, start_time, vehicle): Key, names: &Names, ids: &Ids) -> String {
    let part = |text: &str| utf8_percent_encode(text, &ENCODED).to_string();
    let id = |name: Name| part(&ids.of(names.text(name)));
    format!("{}/{}/{}/{}", date(day), id(trip), part(names.text(start_time)), id(vehicle))
}

/// Where a row lies, if that is a place on earth.
fn place(row: &Row) -> Option<Place> {
    let (lat, lon) = (f64::from(row.said.latitude?), f64::from(row.said.longitude?));
    (!wrong_place(lat, lon)).then(|| Place { lat, lon, cos_lat: lat.to_radians().cos() })
}

/// Metres along the great circle between two places, by the haversine formula.
fn metres(from: Place, to: Place) -> f64 {
    let (north, east) = ((to.lat - from.lat).to_radians(), (to.lon - from.lon).to_radians());
    let a = sine(north / 2.0).powi(2) + from.cos_lat * to.cos_lat * sine(east / 2.0).powi(2);
    2.0 * EARTH_RADIUS_M * arcsine(a.sqrt().min(1.0))
}

/// Up to here, 127 km of way, the series below are as exact as a double: the first term that they leave out is smaller than
/// its last digit. A vehicle's next report is nearer.
const SMALL: f64 = 0.01;

/// The sine, by its Taylor series where the angle is small.
fn sine(angle: f64) -> f64 {
    if angle.abs() > SMALL {
        return angle.sin();
    }
    let square = angle * angle;
    angle - angle * square * (1.0 / 6.0 - square * (1.0 / 120.0 - square / 5_040.0))
}

/// The angle of a sine, by its Taylor series where it is small.
fn arcsine(sine: f64) -> f64 {
    if sine.abs() > SMALL {
        return sine.asin();
    }
    let square = sine * sine;
    sine + sine * square * (1.0 / 6.0 + square * (3.0 / 40.0 + square * (15.0 / 336.0 + square * (105.0 / 3_456.0))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_near(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 2.0 * f64::EPSILON * expected.abs()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn small_angles_are_as_exact_as_large_ones(angle in -1.1 * SMALL..1.1 * SMALL, magnitude in -12_i32..1) {
            let angle = angle * 10_f64.powi(magnitude);
            prop_assert!(is_near(sine(angle), angle.sin()));
            prop_assert!(is_near(arcsine(angle), angle.asin()));
        }
    }
}
