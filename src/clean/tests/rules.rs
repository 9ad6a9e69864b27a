use arrow::array::{Float64Array, Int64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::*;

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn doubles(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn instants(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
}

#[test]
fn a_row_needs_its_key() {
    for (dataset, coded) in
        [(Dataset::Trips, false), (Dataset::VehiclePositions, true), (Dataset::VehiclePositions, false)]
    {
        let mut keys = texts(&[Some("a"), None, Some(""), Some("\0"), Some(" ")]);
        if coded {
            keys = cast(&keys, &crate::model::Kind::Code.arrow()).unwrap();
        }
        let cleaned = clean(dataset, vec![(dataset.key(), keys)]);
        let expected = vec![(2, vec![Reason::NoKey]), (3, vec![Reason::NoKey]), (4, vec![Reason::Unconvertible])];
        assert_eq!(reasons(&cleaned), expected);
        assert_eq!(cleaned.row_numbers, [1, 5]);
        assert!(cleaned.rejects.iter().all(|r| r.key.is_none()));
    }
    let nothing = clean(Dataset::Users, vec![("user_id", new_null_array(&DataType::Null, 2))]);
    assert_eq!(nothing.rejects.len(), 2);
}

#[test]
fn a_key_of_several_columns_needs_all_of_them() {
    let starts = texts(&[Some("08:00:00"), None, Some("")]);
    let no_key = vec![(2, vec![Reason::NoKey]), (3, vec![Reason::NoKey])];
    assert_eq!(reasons(&clean(Dataset::ScheduledTrips, vec![("start_time", starts)])), no_key);
    let sequences: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, None]));
    let calls = clean(Dataset::ScheduledStopTimes, vec![("stop_sequence", sequences.clone())]);
    assert_eq!(reasons(&calls), no_key);
    // A prediction for a whole run has no stop.
    assert!(clean(Dataset::TripUpdates, vec![("stop_sequence", sequences)]).rejects.is_empty());
    assert_eq!(reasons(&clean(Dataset::Alerts, vec![("content", texts(&[Some("x"), None, Some("")]))])), no_key);
}

#[test]
fn a_fact_needs_its_time_within_range() {
    let first = 86_400_000_000;
    let after = 4_291_747_200_000_000;
    let times = [Some(first), Some(first - 1), Some(after - 1), Some(after), None, Some(i64::MIN), Some(i64::MAX)];
    let range = vec![Reason::TimeRange];
    let expected =
        vec![(2, range.clone()), (4, range.clone()), (5, vec![Reason::NoTime]), (6, range.clone()), (7, range.clone())];
    for (dataset, time) in [
        (Dataset::Trips, "start_ts"),
        (Dataset::Payments, "paid_at"),
        (Dataset::VehiclePositions, "event_ts"),
        (Dataset::ScheduledTrips, "start_ts"),
    ] {
        assert_eq!(reasons(&clean(dataset, vec![(time, instants(&times))])), expected);
    }
    // Seconds that leave 64-bit microseconds are out of range too; other instants only have to fit.
    let far: ArrayRef = Arc::new(arrow::array::TimestampSecondArray::from(vec![i64::MAX / 2]));
    assert_eq!(reasons(&clean(Dataset::Trips, vec![("start_ts", far.clone())])), [(1, range)]);
    assert_eq!(reasons(&clean(Dataset::Trips, vec![("end_ts", far)])), [(1, vec![Reason::Unconvertible])]);
    assert!(clean(Dataset::VehiclePositions, vec![("provider_ts", instants(&[Some(0)]))]).rejects.is_empty());
}

#[test]
fn coordinates_of_positions_and_stops() {
    let lat = [Some(90.0), Some(90.1), Some(0.0), Some(-0.0), None, None, Some(1.0), Some(1.0), Some(f64::NAN)];
    let lon = [Some(-180.0), Some(1.0), Some(0.0), Some(5.0), None, Some(1.0), None, Some(-180.5), Some(1.0)];
    let columns = || vec![("lat", doubles(&lat)), ("lon", doubles(&lon))];
    let rejected = |dataset| -> Vec<u64> {
        let cleaned = clean(dataset, columns());
        assert!(cleaned.rejects.iter().all(|r| r.reasons == [Reason::Coordinates]));
        cleaned.rejects.iter().map(|r| r.row_number).collect()
    };
    assert_eq!(rejected(Dataset::VehiclePositions), [2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(rejected(Dataset::Stops), [2, 3, 6, 7, 8, 9]);
    // What cannot be read is not judged as missing; what can be read still is.
    let lat = texts(&[Some("x"), Some("x"), Some("x"), Some("x")]);
    let lon = doubles(&[Some(1.0), Some(999.0), None, Some(0.0)]);
    let both = vec![Reason::Unconvertible, Reason::Coordinates];
    let cleaned = clean(Dataset::VehiclePositions, vec![("lat", lat), ("lon", lon)]);
    let only = vec![Reason::Unconvertible];
    assert_eq!(reasons(&cleaned), [(1, only.clone()), (2, both.clone()), (3, both), (4, only)]);
    // A file without coordinates.
    let batch = RecordBatch::try_from_iter(good(Dataset::VehiclePositions, 1)).unwrap();
    let cleaner = Cleaner::new(Dataset::VehiclePositions, "f", &batch.schema()).unwrap();
    assert_eq!(reasons(&cleaner.clean(&batch, 7).unwrap()), [(7, vec![Reason::Coordinates])]);
}

#[test]
fn speed_order_and_signs() {
    let speeds = doubles(&[Some(0.0), Some(200.0), Some(200.01), Some(-0.1), None, Some(f64::NAN), Some(-0.0)]);
    let cleaned = clean(Dataset::VehiclePositions, vec![("speed", speeds), ("heading", doubles(&[Some(-900.0); 7]))]);
    assert_eq!(reasons(&cleaned), [(3, vec![Reason::Speed]), (4, vec![Reason::Speed])]);
    let ends = instants(&[Some(NOON), Some(NOON - 1), None]);
    assert_eq!(reasons(&clean(Dataset::Trips, vec![("end_ts", ends)])), [(2, vec![Reason::EndBeforeStart])]);
    let negative =
        |dataset, name: &'static str| reasons(&clean(dataset, vec![(name, doubles(&[Some(-0.5), None, Some(0.0)]))]));
    for (dataset, name) in [(Dataset::Trips, "fare"), (Dataset::Trips, "distance_m"), (Dataset::Routes, "base_fare")] {
        assert_eq!(negative(dataset, name), [(1, vec![Reason::Negative])]);
    }
    assert!(negative(Dataset::Payments, "amount").is_empty());
}

#[test]
fn all_reasons_are_listed_with_the_row_as_it_came() {
    let cleaned = clean(
        Dataset::Trips,
        vec![
            ("trip_id", texts(&[Some("t\0"), Some("good"), Some("t3")])),
            ("start_ts", instants(&[None, Some(NOON), Some(NOON)])),
            ("fare", texts(&[Some("x"), Some("1"), Some("-1")])),
            ("distance_m", doubles(&[Some(-1.5), Some(f64::NAN), Some(f64::INFINITY)])),
            ("unknown", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ],
    );
    assert_eq!(cleaned.rows.num_rows(), 1);
    assert_eq!(cleaned.row_numbers, [2]);
    let expected = [
        (1, vec![Reason::NoTime, Reason::Unconvertible, Reason::Negative]),
        (3, vec![Reason::Unconvertible, Reason::Negative]),
    ];
    assert_eq!(reasons(&cleaned), expected);
    let json: serde_json::Value = serde_json::from_str(&cleaned.rejects[0].row_json).unwrap();
    assert_eq!(json, serde_json::json!({"trip_id": "t\\u0000", "start_ts": null, "distance_m": -1.5, "fare": "x"}));
    let json: serde_json::Value = serde_json::from_str(&cleaned.rejects[1].row_json).unwrap();
    assert_eq!(json["start_ts"], "2024-05-01T10:00:00Z");
    assert_eq!(json["distance_m"], "inf");
    assert_eq!(cleaned.rejects[1].key.as_deref(), Some("t3"));
}
