//! The known answers of the raw days in `tests/data`.

use std::fs::File;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Float64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::control::Cancel;

fn read(day: &str, dataset: Dataset) -> Vec<Cleaned> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{day}/{dataset}.parquet"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let cleaner = Cleaner::new(dataset, day, reader.schema()).unwrap();
    assert!(cleaner.unknown_columns().is_empty());
    let mut first = 1;
    reader
        .with_batch_size(4096)
        .build()
        .unwrap()
        .map(|batch| {
            let cleaned = cleaner.clean(&batch.unwrap(), first).unwrap();
            first += cleaned.rows_read;
            cleaned
        })
        .collect()
}

fn judged(dataset: Dataset, batches: &[Cleaned]) -> Counts {
    let mut judge = Judge::new(dataset, 64 << 10);
    judge.part_begins(batches.iter().map(|b| b.rows_read).sum());
    for batch in batches {
        judge.see(batch).unwrap();
    }
    let verdict = judge.finish(&Cancel::default()).unwrap();
    verdict.counts(0).unwrap().clone()
}

#[test]
fn prototype_days_sum_to_their_known_answers() {
    let (mut fares, mut amounts, mut distance, mut duration, mut positions) = (0, 0, 0.0, 0, 0);
    for (day, trips, seen) in [("01", 73, 15_042), ("02", 108, 20_754), ("03", 91, 18_720)] {
        let day = format!("prototype_raw/dt=2024-05-{day}");
        for (dataset, rows) in [(Dataset::Routes, 20), (Dataset::Users, 120), (Dataset::Vehicles, 100)] {
            let counts = judged(dataset, &read(&day, dataset));
            assert_eq!((counts.rows_read, counts.loaded), (rows, rows));
        }
        let batches = read(&day, Dataset::Trips);
        assert_eq!(judged(Dataset::Trips, &batches).loaded, trips);
        for rows in batches.iter().map(|b| &b.rows) {
            let column = |name| rows.column_by_name(name).unwrap();
            fares += column("fare").as_primitive::<Decimal128Type>().values().iter().sum::<i128>();
            distance += column("distance_m").as_primitive::<Float64Type>().values().iter().sum::<f64>();
            let instants = |name| column(name).as_primitive::<TimestampMicrosecondType>().values().iter();
            duration += instants("end_ts").zip(instants("start_ts")).map(|(e, s)| (e - s) / 1_000_000).sum::<i64>();
        }
        for rows in read(&day, Dataset::Payments).iter().map(|b| &b.rows) {
            amounts +=
                rows.column_by_name("amount").unwrap().as_primitive::<Decimal128Type>().values().iter().sum::<i128>();
        }
        let counts = judged(Dataset::VehiclePositions, &read(&day, Dataset::VehiclePositions));
        assert_eq!((counts.rows_read, counts.duplicate), (seen, 0));
        positions += counts.loaded;
        let routes = &read(&day, Dataset::Routes)[0].rows;
        let json = routes.column_by_name("schema_json").unwrap().as_string::<i32>();
        assert!(json.value(0).starts_with("{\"stops\":[\""), "{}", json.value(0));
    }
    assert_eq!((fares, amounts, duration, positions), (1_494_440, 1_494_440, 545_160, 54_516));
    assert_eq!(distance, 3_555_537.0);
}
