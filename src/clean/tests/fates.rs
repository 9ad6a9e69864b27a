use std::collections::HashMap;

use arrow::array::{Float64Array, Int32Array, Int64Array};
use arrow::compute::cast;
use proptest::prelude::*;

use super::*;
use crate::control::Cancel;

/// Rows of a part: a key, a value, whether the row is bad.
type Row = (u8, u8, bool);

fn cleaned(dataset: Dataset, rows: &[Row], first: u64) -> Cleaned {
    let keys: Vec<String> =
        rows.iter().map(|(key, _, bad)| if *bad { String::new() } else { format!("k{key}") }).collect();
    let values: ArrayRef = match dataset {
        Dataset::VehiclePositions => Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| f64::from(r.1)))),
        _ => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| i64::from(r.1)))),
    };
    let name = match dataset {
        Dataset::VehiclePositions => "heading",
        Dataset::Trips => "status",
        _ => "city",
    };
    let batch = batch(dataset, vec![(dataset.key(), Arc::new(StringArray::from(keys))), (name, values)]);
    Cleaner::new(dataset, "f", &batch.schema()).unwrap().clean(&batch, first).unwrap()
}

/// Looks at every later row for every row.
fn naive(dataset: Dataset, parts: &[Vec<Row>]) -> Vec<Vec<Option<Fate>>> {
    let all: Vec<Row> = parts.iter().flatten().copied().collect();
    let fate = |at: usize| {
        let (key, value, bad) = all[at];
        if bad {
            return None;
        }
        let later = || all[at + 1..].iter().filter(|r| !r.2 && r.0 == key);
        Some(if later().any(|r| r.1 == value) {
            Fate::Duplicate
        } else if matches!(dataset.repetition(), crate::model::Repetition::LastWins) && later().next().is_some() {
            Fate::Superseded
        } else {
            Fate::Kept
        })
    };
    let mut at = 0;
    parts
        .iter()
        .map(|part| {
            at += part.len();
            (at - part.len()..at).map(fate).collect()
        })
        .collect()
}

fn check(dataset: Dataset, parts: &[Vec<Row>], memory_bytes: u64) {
    let mut judge = Judge::new(dataset, memory_bytes);
    let mut batches = Vec::new();
    for part in parts {
        let index = judge.part_begins(part.len() as u64);
        for (n, chunk) in part.chunks(3).enumerate() {
            let cleaned = cleaned(dataset, chunk, 1 + 3 * n as u64);
            judge.see(&cleaned).unwrap();
            batches.push((index, cleaned));
        }
    }
    let verdict = judge.finish_on(1 + parts.len() % 3, &Cancel::default()).unwrap();
    let expected = naive(dataset, parts);
    for (index, fates) in expected.iter().enumerate() {
        let count = |fate| fates.iter().filter(|f| **f == fate).count() as u64;
        let counts = verdict.counts(index).unwrap();
        assert_eq!(counts.loaded, count(Some(Fate::Kept)));
        assert_eq!(counts.duplicate, count(Some(Fate::Duplicate)));
        assert_eq!(counts.superseded, count(Some(Fate::Superseded)));
        assert_eq!(counts.rejected, count(None));
        assert_eq!(counts.rejected_by_reason.values().sum::<u64>(), count(None));
        assert_eq!(counts.rows_read, fates.len() as u64);
    }
    for (index, cleaned) in &batches {
        let wanted = cleaned.row_numbers.iter().map(|n| expected[*index][*n as usize - 1].unwrap());
        let wanted: Vec<Fate> = wanted.collect();
        let kept: Vec<bool> = verdict.filter(*index, cleaned).values().iter().collect();
        let staged: Vec<bool> = verdict.filter_staged(*index, cleaned).values().iter().collect();
        assert_eq!(kept, wanted.iter().map(|f| *f == Fate::Kept).collect::<Vec<_>>());
        assert_eq!(staged, wanted.iter().map(|f| *f != Fate::Duplicate).collect::<Vec<_>>());
    }
    if dataset == Dataset::VehiclePositions {
        let mut values: HashMap<u8, Vec<u8>> = HashMap::new();
        for row in parts.iter().flatten().filter(|r| !r.2) {
            let known = values.entry(row.0).or_default();
            if !known.contains(&row.1) {
                known.push(row.1);
            }
        }
        assert_eq!(verdict.contradictions(), values.values().map(|v| v.len() as u64 - 1).sum::<u64>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fates_agree_with_a_naive_judge(
        parts in prop::collection::vec(prop::collection::vec((0_u8..40, 0_u8..3, prop::bool::weighted(0.1)), 0..60), 1..4),
        memory_bytes in prop_oneof![Just(0_u64), Just(400), Just(20_000), Just(1 << 20)],
    ) {
        for dataset in [Dataset::VehiclePositions, Dataset::Trips, Dataset::Users] {
            check(dataset, &parts, memory_bytes);
        }
    }
}

/// A prediction: stop_sequence, stop, when it was made, what it says.
type Prediction = (Option<i32>, Option<u8>, Option<i64>, u8);

fn predictions(rows: &[Prediction], first: u64) -> Cleaned {
    let stops = rows.iter().map(|row| row.1.map(|stop| format!("s{stop}"))).collect::<StringArray>();
    let columns: Vec<(&'static str, ArrayRef)> = vec![
        ("trip_id", Arc::new(StringArray::from(vec!["t"; rows.len()]))),
        ("stop_sequence", Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>())),
        ("stop_id", Arc::new(stops)),
        ("updated_at", Arc::new(rows.iter().map(|row| row.2).collect::<TimestampMicrosecondArray>())),
        ("arrival_delay_sec", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.3))))),
    ];
    let batch = batch(Dataset::TripUpdates, columns);
    Cleaner::new(Dataset::TripUpdates, "f", &batch.schema()).unwrap().clean(&batch, first).unwrap()
}

/// The sequence tells the stop; without one its name does. The latest wins, of several the last.
fn naive_predictions(rows: &[Prediction]) -> Vec<Fate> {
    let place = |row: &Prediction| (row.0, row.1.filter(|_| row.0.is_none()));
    let fate = |at: usize| {
        let row = rows[at];
        let beats = |other: usize| (rows[other].2, other) > (row.2, at);
        if rows[at + 1..].contains(&row) {
            Fate::Duplicate
        } else if (0..rows.len()).any(|other| place(&rows[other]) == place(&row) && beats(other)) {
            Fate::Superseded
        } else {
            Fate::Kept
        }
    };
    (0..rows.len()).map(fate).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_latest_prediction_wins_as_a_naive_judge_says(
        rows in prop::collection::vec(
            (prop::option::of(0_i32..4), prop::option::of(0_u8..3), prop::option::of(-2_i64..4), 0_u8..2), 1..80),
        memory_bytes in prop_oneof![Just(0_u64), Just(400), Just(1 << 20)],
        parts in 1_usize..4,
    ) {
        let mut judge = Judge::new(Dataset::TripUpdates, memory_bytes);
        let size = rows.len().div_ceil(parts);
        for part in rows.chunks(size) {
            judge.part_begins(part.len() as u64);
            judge.see(&predictions(part, 1)).unwrap();
        }
        let verdict = judge.finish(&Cancel::default()).unwrap();
        for (at, wanted) in naive_predictions(&rows).into_iter().enumerate() {
            prop_assert_eq!(verdict.fate(at / size, (at % size) as u64 + 1), wanted, "row {} of {:?}", at, &rows);
        }
    }
}

#[test]
fn a_b_a_is_one_duplicate_and_one_superseded() {
    let parts = [vec![(1, 1, false), (1, 2, false)], vec![(1, 1, false)]];
    check(Dataset::Trips, &parts, 1 << 20);
    check(Dataset::Trips, &parts, 0);
}

#[test]
fn many_distinct_rows_under_a_tiny_bound_take_several_passes() {
    let rows: Vec<Row> = (0..3_000).map(|n| ((n % 250) as u8, (n / 250 % 10) as u8, false)).collect();
    check(Dataset::VehiclePositions, std::slice::from_ref(&rows), 1_000);
    check(Dataset::Trips, &[rows], 1_000);
}

#[test]
fn equality_is_of_values_not_of_encodings() {
    let codes: ArrayRef = Arc::new(StringArray::from(vec!["v"]));
    let coded = cast(&codes, &crate::model::Kind::Code.arrow()).unwrap();
    let zero = |v: f64| Arc::new(Float64Array::from(vec![v])) as ArrayRef;
    let rows = [
        vec![("vehicle_id", codes), ("speed", zero(0.0))],
        vec![("vehicle_id", coded), ("speed", zero(-0.0)), ("unknown", zero(1.0))],
    ];
    let mut judge = Judge::new(Dataset::VehiclePositions, 1 << 20);
    for row in rows {
        judge.part_begins(1);
        judge.see(&clean(Dataset::VehiclePositions, row)).unwrap();
    }
    let verdict = judge.finish(&Cancel::default()).unwrap();
    assert_eq!((verdict.fate(0, 1), verdict.fate(1, 1)), (Fate::Duplicate, Fate::Kept));
}

#[test]
fn null_is_not_an_empty_text_and_a_column_that_is_missing_says_less() {
    let city = |v: Option<&str>| Arc::new(StringArray::from(vec![v])) as ArrayRef;
    let rows = [vec![("city", city(None))], vec![("city", city(Some("")))], vec![("lang", city(None))]];
    let mut judge = Judge::new(Dataset::Users, 1 << 20);
    for row in rows {
        judge.part_begins(1);
        judge.see(&clean(Dataset::Users, row)).unwrap();
    }
    let verdict = judge.finish(&Cancel::default()).unwrap();
    assert!((0..3).all(|part| verdict.fate(part, 1) == Fate::Kept));
}

#[test]
fn rows_that_do_not_add_up_are_a_defect() {
    let mut judge = Judge::new(Dataset::Users, 1 << 20);
    judge.part_begins(2);
    judge.see(&cleaned(Dataset::Users, &[(1, 1, false)], 1)).unwrap();
    assert_eq!(judge.finish(&Cancel::default()).unwrap_err().kind(), "internal");
    let mut judge = Judge::new(Dataset::Users, 1 << 20);
    judge.part_begins(1);
    assert!(judge.see(&cleaned(Dataset::Users, &[(1, 1, false)], 2)).is_err());
}
