use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::DateTime;

use super::*;
use crate::model::Dataset;
use crate::rollup::HourClock;

fn micros(text: &str) -> i64 {
    text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<StringArray>())
}

fn instants(values: &[Option<&str>]) -> ArrayRef {
    let values = values.iter().map(|v| v.map(micros)).collect::<TimestampMicrosecondArray>();
    Arc::new(values.with_timezone("UTC"))
}

/// A cleaned batch: named columns, NULL in all others.
fn cleaned(dataset: Dataset, columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let rows = columns[0].1.len();
    let schema = dataset.schema();
    let arrays = schema.fields().iter().map(|field| {
        let given = columns.iter().find(|c| c.0 == field.name());
        let array = given.map_or_else(|| arrow::array::new_null_array(field.data_type(), rows), |c| c.1.clone());
        arrow::compute::cast(&array, field.data_type()).unwrap()
    });
    let arrays = arrays.collect();
    RecordBatch::try_new(dataset.schema(), arrays).unwrap()
}

fn floats(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<arrow::array::Float64Array>())
}

fn routes() -> RouteVersions {
    let version = |from: &str, to: Option<&str>, name: &str| RouteVersion {
        valid_from: micros(from),
        valid_to: to.map(micros),
        name: Some(name.into()),
        transport_type: Some("bus".into()),
        is_inferred: false,
    };
    [
        ("R1", version("2024-05-01T00:00:00Z", Some("2024-05-02T00:00:00Z"), "one")),
        ("R1", version("2024-05-02T00:00:00Z", None, "uno")),
    ]
    .into_iter()
    .collect()
}

fn filled() -> HourlyMart {
    let zone = Zone(chrono_tz::UTC);
    let mut clock = HourClock::new(zone);
    let mut mart = HourlyMart::new(zone, routes());
    let trips = cleaned(
        Dataset::Trips,
        &[
            ("trip_id", texts(&[Some("T1"), Some("T2"), Some("T3"), Some("T4")])),
            ("user_id", texts(&[Some("U1"), Some("U1"), Some(""), None])),
            ("route_id", texts(&[Some("R1"), Some("R1"), Some("R1"), None])),
            ("vehicle_id", texts(&[Some("V1"), Some("V2"), None, Some("")])),
            (
                "start_ts",
                instants(&[
                    Some("2024-05-01T23:10:00Z"),
                    Some("2024-05-01T23:50:00Z"),
                    Some("2024-05-02T00:00:00Z"),
                    Some("2024-05-01T10:00:00Z"),
                ]),
            ),
            ("end_ts", instants(&[Some("2024-05-01T23:20:00.999999Z"), None, Some("2024-05-02T00:00:01Z"), None])),
            ("fare", floats(&[Some(10.25), Some(20.5), None, None])),
            ("distance_m", floats(&[Some(100.0), None, Some(50.5), None])),
        ],
    );
    mart.add_trips(&partial::trips(&trips, &mut clock).unwrap()).unwrap();
    let payments = cleaned(
        Dataset::Payments,
        &[
            ("payment_id", texts(&[Some("P1"), Some("P2"), Some("P3")])),
            ("route_id", texts(&[Some("R1"), Some("R1"), Some("R1")])),
            ("amount", floats(&[Some(10.0), Some(-2.5), None])),
            ("paid_at", instants(&[Some("2024-05-01T23:59:59Z"); 3])),
        ],
    );
    mart.add_payments(&partial::payments(&payments, &mut clock).unwrap()).unwrap();
    let positions = cleaned(
        Dataset::VehiclePositions,
        &[
            (
                "event_ts",
                instants(&[Some("2024-05-01T23:00:00Z"), Some("2024-05-01T23:00:10Z"), Some("2024-05-03T05:00:00Z")]),
            ),
            ("vehicle_id", texts(&[Some("V1"), Some("V3"), Some("V9")])),
            ("route_id", texts(&[Some("R1"), Some("R1"), Some("R9")])),
            ("speed", floats(&[Some(30.0), Some(40.0), None])),
        ],
    );
    mart.add_positions(&partial::positions(&positions, &mut clock).unwrap()).unwrap();
    mart
}

fn list(batch: &RecordBatch, name: &str, row: usize) -> Vec<String> {
    let lists = batch.column_by_name(name).unwrap().as_list::<i32>();
    lists.value(row).as_string::<i32>().iter().map(|v| v.unwrap().to_owned()).collect()
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(row)
}

fn float(batch: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let column = batch.column_by_name(name).unwrap().as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> String {
    batch.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned()
}

#[test]
fn one_row_for_each_route_and_hour_with_any_fact() {
    let days = filled().finish(day("2024-05-01")..day("2024-05-04")).unwrap();
    let dates: Vec<_> = days.iter().map(|d| (d.0, d.1.num_rows())).collect();
    assert_eq!(dates, [(day("2024-05-01"), 2), (day("2024-05-02"), 1), (day("2024-05-03"), 1)]);

    let first = &days[0].1;
    assert_eq!(first.schema(), schema());
    assert_eq!(first.column(0).as_primitive::<Date32Type>().value(0), 19_844);
    assert_eq!((text(first, "route_id", 0), text(first, "name", 0)), (String::new(), String::new()));
    assert_eq!((int(first, "trip_cnt", 0), float(first, "avg_fare", 0)), (1, None));
    assert_eq!((list(first, "vehicles", 0), list(first, "riders", 0)), (vec![], vec![]));

    assert_eq!((text(first, "route_id", 1), text(first, "name", 1)), ("R1".into(), "one".into()));
    let hours = first.column_by_name("hour_bucket").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(hours.value(1), micros("2024-05-01T23:00:00Z"));
    assert_eq!((int(first, "trip_cnt", 1), int(first, "fare_cnt", 1)), (2, 2));
    assert_eq!(float(first, "avg_fare", 1), Some(15.375));
    assert_eq!((float(first, "avg_duration_sec", 1), int(first, "duration_cnt", 1)), (Some(600.0), 1));
    assert_eq!((float(first, "sum_distance_m", 1), int(first, "distance_cnt", 1)), (Some(100.0), 1));
    assert_eq!((float(first, "avg_speed", 1), int(first, "position_cnt", 1)), (Some(35.0), 2));
    assert_eq!((int(first, "payment_cnt", 1), int(first, "amount_cnt", 1)), (3, 2));
    assert_eq!(first.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>().value(1), 750);
    assert_eq!(list(first, "vehicles", 1), ["V1", "V2", "V3"]);
    assert_eq!(list(first, "riders", 1), ["U1"]);

    let second = &days[1].1;
    assert_eq!((text(second, "name", 0), text(second, "transport_type", 0)), ("uno".into(), "bus".into()));
    assert_eq!((float(second, "avg_fare", 0), int(second, "trip_cnt", 0)), (None, 1));
    let third = &days[2].1;
    assert_eq!((text(third, "route_id", 0), text(third, "name", 0)), ("R9".into(), String::new()));
    assert_eq!((float(third, "avg_speed", 0), int(third, "position_cnt", 0)), (None, 1));
}

#[test]
fn only_dates_of_the_range_are_given() {
    let mart = filled();
    assert_eq!(mart.finish(day("2024-05-02")..day("2024-05-03")).unwrap().len(), 1);
    assert!(mart.finish(day("2024-06-02")..day("2024-06-03")).unwrap().is_empty());
}

#[test]
fn hours_and_dates_follow_the_service_zone() {
    let zone = Zone(chrono_tz::Asia::Kolkata);
    let mut clock = HourClock::new(zone);
    let mut mart = HourlyMart::new(zone, RouteVersions::default());
    let positions = cleaned(
        Dataset::VehiclePositions,
        &[
            ("event_ts", instants(&[Some("2024-05-01T18:29:59Z"), Some("2024-05-01T18:30:00Z")])),
            ("vehicle_id", texts(&[Some("V1"), Some("V1")])),
        ],
    );
    mart.add_positions(&partial::positions(&positions, &mut clock).unwrap()).unwrap();
    let days = mart.finish(day("2024-05-01")..day("2024-05-03")).unwrap();
    assert_eq!(days.iter().map(|d| d.0).collect::<Vec<_>>(), [day("2024-05-01"), day("2024-05-02")]);
}

#[test]
fn many_facts_in_one_partial_row_count_as_many() {
    let mut mart = HourlyMart::new(Zone(chrono_tz::UTC), RouteVersions::default());
    let schema = Arc::new(partial::schema(PAYMENTS));
    let one = |n: i64| -> ArrayRef { Arc::new(arrow::array::Int64Array::from(vec![n])) };
    let money: ArrayRef = arrow::compute::cast(&floats(&[Some(12.5)]), schema.field(3).data_type()).unwrap();
    let columns = vec![texts(&[Some("R")]), instants(&[Some("2024-05-01T10:00:00Z")]), one(5), money, one(4)];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    mart.add_payments(&batch).unwrap();
    mart.add_payments(&batch).unwrap();
    let days = mart.finish(day("2024-05-01")..day("2024-05-02")).unwrap();
    assert_eq!((int(&days[0].1, "payment_cnt", 0), int(&days[0].1, "amount_cnt", 0)), (10, 8));
}

#[test]
fn positions_added_up_in_parts_and_in_any_order_make_the_same_rows() {
    let zone = Zone(chrono_tz::Australia::Lord_Howe);
    let rows = 4_000;
    let from = micros("2024-04-06T12:00:00Z");
    let events =
        TimestampMicrosecondArray::from_iter_values((0..rows).map(|n| from + n * 7_000_000)).with_timezone("UTC");
    let name = |kind: char, n: i64, of: i64| (n % of > 0).then(|| format!("{kind}{}", n % of));
    let ids =
        |kind: char, of: i64| -> ArrayRef { Arc::new((0..rows).map(|n| name(kind, n, of)).collect::<StringArray>()) };
    let speeds: ArrayRef =
        Arc::new((0..rows).map(|n| (n % 5 > 0).then_some(n as f64 / 7.0)).collect::<arrow::array::Float64Array>());
    let positions = cleaned(
        Dataset::VehiclePositions,
        &[("event_ts", Arc::new(events)), ("vehicle_id", ids('V', 11)), ("route_id", ids('R', 6)), ("speed", speeds)],
    );
    let mut clock = HourClock::new(zone);
    let mut whole = HourlyMart::new(zone, RouteVersions::default());
    whole.add_positions(&partial::positions(&positions, &mut clock).unwrap()).unwrap();

    let mut total = PositionHours::default();
    for (start, length) in [(3_000, 1_000), (0, 1_700), (1_700, 1_300)] {
        let mut part = PositionHours::default();
        part.add(&positions.slice(start, length), &mut clock).unwrap();
        total.add_hours(&part.rows().unwrap()).unwrap();
    }
    let mut mart = HourlyMart::new(zone, RouteVersions::default());
    // A list that begins in the middle of its texts is read from where it begins.
    let hours = total.rows().unwrap();
    assert_eq!(hours.num_rows(), whole.cells.all.len());
    mart.add_position_hours(&hours.slice(5, hours.num_rows() - 5)).unwrap();
    mart.add_position_hours(&hours.slice(0, 5)).unwrap();
    let dates = day("2024-04-01")..day("2024-05-01");
    let (expected, found) = (whole.finish(dates.clone()).unwrap(), mart.finish(dates).unwrap());
    assert_eq!(expected.len(), found.len());
    for ((date, expected), (of, found)) in expected.iter().zip(&found) {
        assert_eq!(date, of);
        for (column, field) in expected.columns().iter().zip(expected.schema().fields()) {
            let there = found.column_by_name(field.name()).unwrap();
            if field.data_type() == &arrow::datatypes::DataType::Float64 {
                let pairs = column.as_primitive::<Float64Type>().iter().zip(there.as_primitive::<Float64Type>());
                assert!(
                    pairs
                        .into_iter()
                        .all(|(a, b)| a.zip(b).map_or(a == b, |(a, b)| (a - b).abs() < 1e-9 * a.abs().max(1.0)))
                );
            } else {
                assert_eq!(column, there, "{}", field.name());
            }
        }
    }
}

#[test]
fn a_planned_run_makes_a_row_of_its_hour_beside_what_was_performed() {
    let starts = ["2024-05-01T08:00:00Z", "2024-05-01T08:59:59Z", "2024-05-01T09:00:00Z"].map(Some);
    let routes_of_runs = texts(&[Some("R1"), Some("R1"), None]);
    let runs = cleaned(Dataset::ScheduledTrips, &[("route_id", routes_of_runs), ("start_ts", instants(&starts))]);
    let trips = cleaned(
        Dataset::Trips,
        &[("route_id", texts(&[Some("R1")])), ("start_ts", instants(&[Some("2024-05-01T08:05:00Z")]))],
    );
    let zone = Zone(chrono_tz::UTC);
    let mut mart = HourlyMart::new(zone, routes());
    let mut clock = HourClock::new(zone);
    mart.add_scheduled_trips(&partial::scheduled_trips(&runs, &mut clock).unwrap()).unwrap();
    mart.add_trips(&partial::trips(&trips, &mut clock).unwrap()).unwrap();
    let days = mart.finish(day("2024-05-01")..day("2024-05-02")).unwrap();
    let rows = &days[0].1;
    let counts = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
    let routes = rows.column_by_name("route_id").unwrap().as_string::<i32>();
    assert_eq!(routes.iter().flatten().collect::<Vec<_>>(), ["", "R1"]);
    assert_eq!((counts("scheduled_trip_cnt"), counts("trip_cnt")), (vec![1, 2], vec![0, 1]));
}
