use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::cast::AsArray;
use arrow::array::{Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, TimestampMicrosecondType};
use chrono::{Days, NaiveDate};

use super::*;
use crate::clean::{Cleaner, Judge};
use crate::control::Cancel;
use crate::model::{Dataset, Zone};

const HOUR: i64 = 3_600_000_000;

fn moscow() -> Zone {
    Zone(chrono_tz::Europe::Moscow)
}

fn city(scale: f64) -> City {
    City::new(7, scale, moscow()).unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn table(day: &DayPlan, dataset: Dataset) -> RecordBatch {
    let batches: Vec<_> = day.batches(dataset).map(|batch| batch.unwrap()).collect();
    // Payments hold refunds and dirty batches repetitions beside their portion.
    batches.iter().for_each(|batch| assert!(batch.num_rows() <= columns::BATCH_ROWS * 3 / 2));
    concat_batches(&schema(dataset), &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let array = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    array.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_string()).collect()
}

fn floats(batch: &RecordBatch, column: &str) -> Vec<f64> {
    batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

fn instants(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn cents(batch: &RecordBatch, column: &str) -> Vec<i128> {
    batch.column_by_name(column).unwrap().as_primitive::<Decimal128Type>().values().to_vec()
}

#[test]
fn a_day_is_the_same_whoever_asks_in_whatever_order() {
    let wanted = date("2024-05-02");
    let once: Vec<_> = City::DATASETS.map(|dataset| table(&city(0.1).day(wanted), dataset)).into();
    let shared = city(0.1);
    let day = shared.day(wanted);
    std::thread::scope(|scope| {
        let again: Vec<_> = City::DATASETS
            .iter()
            .rev()
            .map(|&dataset| {
                let day = &day;
                scope.spawn(move || table(day, dataset))
            })
            .collect();
        for (thread, expected) in again.into_iter().rev().zip(&once) {
            assert_eq!(&thread.join().unwrap(), expected);
        }
    });
    let other = City::new(8, 0.1, moscow()).unwrap().day(wanted);
    assert_ne!(table(&other, Dataset::Trips), once[4]);
}

#[test]
fn ids_are_unique_within_and_over_days() {
    let city = city(0.2);
    let (mut trips, mut payments, mut rows) = (BTreeSet::new(), BTreeSet::new(), (0, 0));
    for offset in 0..10 {
        let day = city.day(date("2024-12-27") + Days::new(offset));
        let (t, p) = (table(&day, Dataset::Trips), table(&day, Dataset::Payments));
        rows = (rows.0 + t.num_rows(), rows.1 + p.num_rows());
        trips.extend(texts(&t, "trip_id"));
        payments.extend(texts(&p, "payment_id"));
        for dataset in [Dataset::Routes, Dataset::Stops, Dataset::Users, Dataset::Vehicles] {
            let keys = texts(&table(&day, dataset), dataset.key());
            assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{dataset}");
        }
    }
    assert_eq!((trips.len(), payments.len()), rows);
}

#[test]
fn names_and_volumes_are_those_of_the_small_city() {
    let day = city(1.0).day(date("2024-05-02"));
    let routes = texts(&table(&day, Dataset::Routes), "route_id");
    assert!((17..=20).contains(&routes.len()) && routes.iter().all(|id| id.len() == 4 && id.starts_with('R')));
    let vehicles = texts(&table(&day, Dataset::Vehicles), "vehicle_id");
    assert!((100..=115).contains(&vehicles.len()) && vehicles.iter().all(|id| id.starts_with("VR0")));
    assert_eq!(table(&day, Dataset::Stops).num_rows(), 200);
    let trips = table(&day, Dataset::Trips);
    assert!((1_200..1_900).contains(&trips.num_rows()), "{}", trips.num_rows());
    let payments = table(&day, Dataset::Payments).num_rows();
    assert!(payments < trips.num_rows() && payments > trips.num_rows() * 85 / 100);
    let positions = table(&day, Dataset::VehiclePositions).num_rows();
    assert!((300_000..700_000).contains(&positions), "{positions}");
}

#[test]
fn facts_refer_to_what_the_extracts_name() {
    let day = city(0.5).day(date("2024-05-03"));
    let keys = |dataset: Dataset| texts(&table(&day, dataset), dataset.key()).into_iter().collect::<BTreeSet<_>>();
    let trips = table(&day, Dataset::Trips);
    let payments = table(&day, Dataset::Payments);
    let positions = table(&day, Dataset::VehiclePositions);
    for (batch, column, dataset) in [
        (&trips, "route_id", Dataset::Routes),
        (&trips, "user_id", Dataset::Users),
        (&trips, "vehicle_id", Dataset::Vehicles),
        (&trips, "start_stop_id", Dataset::Stops),
        (&trips, "end_stop_id", Dataset::Stops),
        (&payments, "trip_id", Dataset::Trips),
        (&payments, "user_id", Dataset::Users),
        (&payments, "route_id", Dataset::Routes),
        (&positions, "vehicle_id", Dataset::Vehicles),
        (&positions, "route_id", Dataset::Routes),
    ] {
        let known = keys(dataset);
        assert!(texts(batch, column).iter().all(|key| known.contains(key)), "{column}");
    }
    let routes = table(&day, Dataset::Routes);
    let ids = texts(&routes, "route_id");
    let fares: HashMap<_, _> = ids.iter().cloned().zip(cents(&routes, "base_fare")).collect();
    let paths: HashMap<_, _> = ids.into_iter().zip(texts(&routes, "schema_json")).collect();
    let (starts, ends) = (texts(&trips, "start_stop_id"), texts(&trips, "end_stop_id"));
    for (row, route) in texts(&trips, "route_id").iter().enumerate() {
        let fare = cents(&trips, "fare")[row];
        assert!(fare == 0 || fare == fares[route]);
        let stops: serde_json::Value = serde_json::from_str(&paths[route]).unwrap();
        let place = |id: &str| stops["stops"].as_array().unwrap().iter().position(|s| s == id).unwrap();
        assert_ne!(place(&starts[row]), place(&ends[row]));
    }
}

#[test]
fn clean_days_keep_every_rule() {
    let day = city(0.5).day(date("2024-05-03"));
    let trips = table(&day, Dataset::Trips);
    let (starts, ends) = (instants(&trips, "start_ts"), instants(&trips, "end_ts"));
    assert!(starts.iter().zip(&ends).all(|(start, end)| start < end && end - start < 3 * HOUR));
    assert!(floats(&trips, "distance_m").iter().all(|&m| m > 0.0 && m < 60_000.0));
    assert!(cents(&trips, "fare").iter().all(|&c| (0..10_000).contains(&c)));
    let positions = table(&day, Dataset::VehiclePositions);
    assert!(positions.columns().iter().all(|column| column.logical_null_count() == 0));
    assert!(floats(&positions, "speed").iter().all(|&kmh| (0.0..=90.0).contains(&kmh)));
    assert!(floats(&positions, "heading").iter().all(|&degrees| (0.0..360.0).contains(&degrees)));
    assert!(floats(&positions, "lat").iter().all(|&lat| (55.6..55.9).contains(&lat)));
    assert!(floats(&positions, "lon").iter().all(|&lon| (37.4..37.8).contains(&lon)));
    let (events, told) = (instants(&positions, "event_ts"), instants(&positions, "provider_ts"));
    assert!(events.iter().zip(&told).all(|(event, told)| (500_000..=33_000_000).contains(&(told - event))));
    assert!(cents(&table(&day, Dataset::Payments), "amount").iter().any(|&c| c < 0), "some refunds");
}

fn metres(a: (f64, f64), b: (f64, f64)) -> f64 {
    ((a.0 - b.0) * 111_200.0).hypot((a.1 - b.1) * 62_700.0)
}

#[test]
fn vehicles_move_as_vehicles_do_and_riders_board_where_they_stand() {
    let day = city(0.2).day(date("2024-05-02"));
    let positions = table(&day, Dataset::VehiclePositions);
    let (lats, lons) = (floats(&positions, "lat"), floats(&positions, "lon"));
    let mut tracks: HashMap<String, BTreeMap<i64, (f64, f64)>> = HashMap::new();
    let events = instants(&positions, "event_ts");
    for (row, id) in texts(&positions, "vehicle_id").into_iter().enumerate() {
        let twice = tracks.entry(id).or_default().insert(events[row], (lats[row], lons[row]));
        assert!(twice.is_none());
    }
    for track in tracks.values() {
        for ((t0, a), (t1, b)) in track.iter().zip(track.iter().skip(1)) {
            assert_eq!((t1 - t0) % 10_000_000, 0);
            if t1 - t0 == 10_000_000 {
                assert!(metres(*a, *b) <= 250.0 + 20.0);
            }
        }
    }
    let stops = table(&day, Dataset::Stops);
    let places = floats(&stops, "lat").into_iter().zip(floats(&stops, "lon"));
    let places: HashMap<_, _> = texts(&stops, "stop_id").into_iter().zip(places).collect();
    let trips = table(&day, Dataset::Trips);
    let vehicles = texts(&trips, "vehicle_id");
    for (stop, time) in [("start_stop_id", "start_ts"), ("end_stop_id", "end_ts")] {
        let (stops, times) = (texts(&trips, stop), instants(&trips, time));
        for row in 0..trips.num_rows() {
            let near = tracks[&vehicles[row]].range(times[row] - 20_000_000..times[row] + 20_000_000);
            let nearest = near.map(|(_, at)| metres(*at, places[&stops[row]])).fold(f64::MAX, f64::min);
            assert!(nearest < 420.0, "{nearest} m from {} at {}", stops[row], times[row]);
        }
    }
}

fn by_local_hour(times: &[i64]) -> [usize; 24] {
    let mut hours = [0; 24];
    times.iter().for_each(|&t| hours[(moscow().date_time_keys(t).1 / 3_600) as usize] += 1);
    hours
}

#[test]
fn a_weekday_has_peaks_and_a_night() {
    let day = city(2.0).day(date("2024-05-02"));
    let starts = instants(&table(&day, Dataset::Trips), "start_ts");
    let hours = by_local_hour(&starts);
    assert!(hours[8] > 2 * hours[11] && hours[18] > 2 * hours[21], "{hours:?}");
    assert_eq!(hours[3] + hours[4], 0, "{hours:?}");
    assert!(starts.iter().any(|&t| moscow().local_date(t) == date("2024-05-03")), "some ride after midnight");
    let positions = table(&day, Dataset::VehiclePositions);
    let hours = by_local_hour(&instants(&positions, "event_ts"));
    assert!(hours[3] == 0 && hours[8] > hours[12], "{hours:?}");
    let (mut peak, mut noon) = ((0.0, 0), (0.0, 0));
    for (&t, speed) in instants(&positions, "event_ts").iter().zip(floats(&positions, "speed")) {
        match moscow().date_time_keys(t).1 / 3_600 {
            8 if speed > 0.0 => peak = (peak.0 + speed, peak.1 + 1),
            11 if speed > 0.0 => noon = (noon.0 + speed, noon.1 + 1),
            _ => {}
        }
    }
    assert!(peak.0 / f64::from(peak.1) < 0.9 * noon.0 / f64::from(noon.1), "slower in the peak");
}

#[test]
fn a_sunday_is_no_weekday() {
    let city = city(1.0);
    let rows = |day: &str, dataset| table(&city.day(date(day)), dataset).num_rows() as f64;
    for dataset in [Dataset::Trips, Dataset::VehiclePositions] {
        assert!(rows("2024-05-05", dataset) < 0.8 * rows("2024-05-02", dataset), "{dataset}");
    }
    let sunday = by_local_hour(&instants(&table(&city.day(date("2024-05-05")), Dataset::Trips), "start_ts"));
    assert!(sunday[13] > sunday[8], "{sunday:?}");
}

/// How often the value of a column changed from one day to the next, over all keys named on both.
fn changes(days: &[DayPlan], dataset: Dataset, column: &str) -> usize {
    let states = days.iter().map(|day| {
        let batch = table(day, dataset);
        texts(&batch, dataset.key()).into_iter().zip(texts(&batch, column)).collect::<HashMap<_, _>>()
    });
    let states: Vec<_> = states.collect();
    let changed = |pair: &[HashMap<String, String>]| {
        pair[0].iter().filter(|(key, value)| pair[1].get(*key).is_some_and(|now| now != *value)).count()
    };
    states.windows(2).map(changed).sum()
}

#[test]
fn a_month_has_history() {
    let city = city(1.0);
    let days: Vec<_> = (0..30).map(|offset| city.day(date("2024-05-01") + Days::new(offset))).collect();
    let fares = changes(&days, Dataset::Routes, "base_fare");
    assert!((4..=20).contains(&fares), "{fares} fares");
    for column in ["name", "transport_type", "schema_json"] {
        let found = changes(&days, Dataset::Routes, column);
        assert!((1..=12).contains(&found), "{found} changes of {column}");
    }
    for column in ["city", "lang", "is_active"] {
        let found = changes(&days, Dataset::Users, column);
        assert!((10..=600).contains(&found), "{found} changes of {column}");
    }
    let keys = |day: &DayPlan, dataset: Dataset| -> BTreeSet<String> {
        texts(&table(day, dataset), dataset.key()).into_iter().collect()
    };
    let routes: Vec<_> = days.iter().map(|day| keys(day, Dataset::Routes).len()).collect();
    assert!(routes.iter().any(|&n| n < 20) && routes.iter().all(|&n| n >= 14), "{routes:?}");
    assert!(!keys(&days[29], Dataset::Vehicles).is_subset(&keys(&days[0], Dataset::Vehicles)));
    let users = keys(&days[0], Dataset::Users);
    assert!(users.len() < 2_000 && !keys(&days[29], Dataset::Users).is_subset(&users));
}

#[test]
fn days_when_clocks_change_and_years_far_away_work() {
    let chicago = City::new(1, 0.05, Zone(chrono_tz::America::Chicago)).unwrap();
    for day in ["2024-03-10", "2024-11-03", "1995-06-01", "2099-12-31"] {
        let trips = table(&chicago.day(date(day)), Dataset::Trips);
        assert!(trips.num_rows() > 10, "{day}");
        let seconds = instants(&trips, "start_ts").into_iter().map(|t| chicago_clock(t).1);
        assert!(seconds.into_iter().all(|s| !(10_800..18_000).contains(&s)), "{day}");
    }
}

fn chicago_clock(micros: i64) -> (i32, i32) {
    Zone(chrono_tz::America::Chicago).date_time_keys(micros)
}

#[test]
fn senseless_settings_are_refused() {
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert_eq!(City::new(1, scale, moscow()).unwrap_err().kind(), "config");
    }
    let hamlet = City::new(1, 0.001, moscow()).unwrap().day(date("2024-05-02"));
    City::DATASETS.iter().for_each(|&dataset| drop(table(&hamlet, dataset)));
}

/// Rows that the clean room finds good, repeated and bad.
fn judged(day: &DayPlan, dataset: Dataset) -> (u64, u64, u64) {
    let cleaner = Cleaner::new(dataset, dataset.name(), &schema(dataset)).unwrap();
    let mut judge = Judge::new(dataset, 64 << 20);
    let rows = table(day, dataset);
    let part = judge.part_begins(rows.num_rows() as u64);
    judge.see(&cleaner.clean(&rows, 1).unwrap()).unwrap();
    let verdict = judge.finish(&Cancel::default()).unwrap();
    let counts = verdict.counts(part).unwrap();
    assert_eq!(counts.superseded, 0, "{dataset}");
    (counts.loaded, counts.duplicate, counts.rejected)
}

#[test]
fn the_clean_room_rejects_nothing_of_a_generated_day() {
    let day = city(0.3).day(date("2024-05-02"));
    for dataset in City::DATASETS {
        let rows = table(&day, dataset).num_rows() as u64;
        assert_eq!(judged(&day, dataset), (rows, 0, 0), "{dataset}");
    }
}
