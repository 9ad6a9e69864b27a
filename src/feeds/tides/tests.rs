//! The reader under bytes that nobody meant: an error or rows, never a panic and never more memory than bytes.

use std::io::{Cursor, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, RecordBatch, StringArray, TimestampSecondArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::feeds::memory::peak;
use crate::model::Zone;

const LOCATIONS: &str = "location_ping_id,service_date,event_timestamp,vehicle_id,latitude,longitude\n\
                         p1,2024-05-01,2024-05-01T08:00:00-05:00,bus 1,41.5,-87.5\n";
const TRIPS: &str = "service_date,trip_id_performed,vehicle_id,actual_trip_start,schedule_trip_start\n\
                     2024-05-01,t1,bus 1,2024-05-01T08:00:00-05:00,2024-05-01T08:00:00-05:00\n";
const FARES: &str = "transaction_id,service_date,event_timestamp,amount,fare_action,fare_capped\n\
                     f1,2024-05-01,2024-05-01T08:00:00-05:00,2.5,Enter,false\n";
const FLEET: &str = "vehicle_id,vehicle_start\nbus 1,2019-01-01T00:00:00-06:00\n";
/// The CSV files of a package, by table.
const TABLES: [(&str, &str); 4] =
    [("vehicle_locations", LOCATIONS), ("trips_performed", TRIPS), ("fare_transactions", FARES), ("vehicles", FLEET)];
const PARQUET: &str = "more.parquet";

type Files = Vec<(String, Vec<u8>)>;

fn described() -> Value {
    let resource =
        |(table, _): (&str, &str)| json!({"name": table, "path": format!("{table}.csv"), "tides-table": table});
    let mut resources: Vec<Value> = TABLES.into_iter().map(resource).collect();
    resources.push(json!({"name": "more", "path": PARQUET, "tides-table": "vehicle_locations"}));
    json!({"profile": "tides", "resources": resources})
}

/// The description first, the CSV files, and the Parquet file last.
fn whole() -> Files {
    let mut files = vec![(DESCRIPTOR.to_owned(), described().to_string().into_bytes())];
    files.extend(TABLES.iter().map(|(table, text)| (format!("{table}.csv"), text.as_bytes().to_vec())));
    files.push((PARQUET.to_owned(), parquet(&columns(vec![1_714_568_400], vec![41.5], vec!["bus 2"]))));
    files
}

fn columns(seconds: Vec<i64>, latitudes: Vec<f64>, vehicles: Vec<&str>) -> Vec<(&'static str, ArrayRef)> {
    let ids = (0..vehicles.len()).map(|number| Some(number.to_string())).collect::<StringArray>();
    vec![
        ("location_ping_id", Arc::new(ids)),
        ("event_timestamp", Arc::new(TimestampSecondArray::from(seconds).with_timezone("UTC"))),
        ("latitude", Arc::new(Float64Array::from(latitudes))),
        ("vehicle_id", Arc::new(vehicles.into_iter().collect::<DictionaryArray<Int32Type>>())),
    ]
}

fn parquet(columns: &[(&'static str, ArrayRef)]) -> Vec<u8> {
    parquet_of(columns, 1 << 20)
}

/// Beyond this many bytes of different values a column has no dictionary, and each value stands for itself.
fn parquet_of(columns: &[(&'static str, ArrayRef)], dictionary_bytes: usize) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_page_size_limit(dictionary_bytes)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The rows that come out of a zipped package: of days, and of the fleet.
fn rows(bytes: &[u8]) -> Result<(u64, u64)> {
    let mut zip = tempfile::NamedTempFile::new().unwrap();
    zip.write_all(bytes).unwrap();
    let package = Packed::open(zip.path(), "package.zip")?;
    let unpack = |path: &str| package.unpack(path, None)?.ok_or_else(|| Error::not_found(path.to_owned()));
    let descriptor = std::fs::read(unpack(DESCRIPTOR)?).unwrap();
    let listed = Package::parse(&descriptor, "package.zip")?.contents("package.zip")?.files;
    let files = listed.iter().map(|file| unpack(&file.path)).collect::<Result<Vec<_>>>()?;
    let sources = listed.iter().zip(&files).map(|(Listed { table, path, shape, .. }, file)| Source {
        path: file,
        name: path,
        table: *table,
        shape: *shape,
    });
    let (sources, zone) = (sources.collect::<Vec<_>>(), Zone("America/Chicago".parse().unwrap()));
    let mut handed_on = 0;
    let mut sink = |_, _, rows: RecordBatch| {
        handed_on += rows.num_rows() as u64;
        Ok(())
    };
    let mut collector = Collector::new(&sources, zone, None, None)?;
    for source in sources {
        collector.read(source, &Cancel::default(), &mut sink)?;
    }
    let summary = collector.finish(0.5, &mut sink)?;
    let fleet = summary.fleet.iter().map(|rows| rows.num_rows() as u64).sum();
    let (read, rejected) =
        summary.tables.values().fold((0, 0), |(read, bad), of| (read + of.rows_read, bad + of.rows_rejected));
    assert_eq!(read, handed_on + fleet + rejected);
    for day in summary.days.keys() {
        summary.rejected(*day)?;
    }
    Ok((handed_on, fleet))
}

#[test]
fn a_whole_package_is_read() {
    assert_eq!(rows(&packed(&whole())).unwrap(), (4, 1));
}

/// The package with one file that holds something else; what makes it large is repeated.
fn packed_with(name: &str, head: &str, item: &[u8], count: usize) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (other, bytes) in whole().iter().filter(|(other, _)| other != name) {
        zip.start_file(other.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(head.as_bytes()).unwrap();
    (0..count).for_each(|_| zip.write_all(item).unwrap());
    zip.finish().unwrap().into_inner()
}

/// A row of this many bytes whose last value, a stop or an agency's own, is long.
fn long_row(head: &str, bytes: usize) -> Vec<u8> {
    [head.as_bytes(), &vec![b'x'; bytes], b"\n"].concat()
}

fn random(characters: usize) -> String {
    let next = |seed: &u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    let letter = |seed: u64| char::from(b'a' + (seed >> 59) as u8 % 26);
    std::iter::successors(Some(1), next).take(characters).map(letter).collect()
}

/// Each bound by a small archive that goes beyond it, and the words that say so.
#[test]
fn what_no_package_has_is_refused_at_its_bound() {
    let bomb = "it unpacks to more than 67108864 bytes";
    let blank = || vec![b'\n'; 1 << 20];
    let cases = [
        // Seventy mebibytes, where a file of this size may have 64.
        (DESCRIPTOR, "{\"resources\": []}", blank(), 70, bomb),
        ("vehicle_locations.csv", LOCATIONS, blank(), 70, bomb),
        (PARQUET, "PAR1", blank(), 70, bomb),
        ("trips_performed.csv", TRIPS, long_row("", 1 << 20), 2, "a row of more than 1048576 bytes"),
        ("fare_transactions.csv", "a,\"", blank(), 2, "a row of more than 1048576 bytes"),
        ("vehicles.csv", FLEET, [vec![b','; 5_000], b"\n".to_vec()].concat(), 1, "a row of more than 4096 values"),
        (
            "trips_performed.csv",
            TRIPS,
            long_row("yesterday,t,", 500_000),
            80,
            "rows of more than 33554432 bytes of the package cannot be used",
        ),
        ("vehicles.csv", FLEET, b",,\n".to_vec(), 100_001, "more than 100000 rows of the package cannot be used"),
        // Random at its beginning, so that it is packed no better than a file of this size may be.
        (
            "vehicles.csv",
            "vehicle_id\n",
            long_row(&random(4_000), 1_000_000),
            70,
            "vehicles of more than 67108864 bytes",
        ),
    ];
    for (name, head, item, count, words) in cases {
        let archive = packed_with(name, head, &item, count);
        assert!(archive.len() < 1 << 20, "{name}: {} bytes", archive.len());
        let (outcome, most) = peak(|| rows(&archive));
        let why = outcome.unwrap_err().to_string();
        assert!(why.contains(words), "{name}: {}", why.chars().take(300).collect::<String>());
        assert!(why.len() < 4_000, "{name}: {} bytes", why.len());
        // The most that is kept before a bound is hit: a fleet, or what is bad, in buffers that double.
        assert!(most < 256 << 20, "{name}: {most}");
    }
}

/// Four thousand rows would make a batch; as long as these are, they take the memory of far fewer.
#[test]
fn long_values_take_no_more_memory_than_short_ones() {
    let text = "x".repeat(1 << 20);
    let long = columns(vec![1_714_568_400; 4_000], vec![41.5; 4_000], vec![text.as_str(); 4_000]);
    let read = |bytes: Vec<u8>| {
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
        let mut files = whole();
        files[TABLES.len() + 1].1 = bytes;
        let packed = packed(&files);
        let (outcome, most) = peak(|| rows(&packed));
        assert!(most < 256 << 20, "{most}");
        outcome
    };
    assert_eq!(read(parquet_of(&long, 2 << 20)).unwrap(), (4_003, 1));
    let why = read(parquet_of(&long, 1 << 10)).unwrap_err().to_string();
    assert!(why.contains("column vehicle_id of a row group unpacks to more than"), "{why}");
}

#[test]
fn sizes_in_an_archive_that_lie_allocate_nothing() {
    let whole = packed(&whole());
    let heads = whole.windows(4).enumerate().filter(|(_, window)| window == b"PK\x01\x02").map(|(at, _)| at);
    let heads: Vec<usize> = heads.collect();
    assert_eq!(heads.len(), TABLES.len() + 2);
    for sizes in [20..24, 24..28, 20..28] {
        let mut lying = whole.clone();
        for head in &heads {
            lying[head + sizes.start..head + sizes.end].fill(0xfe);
        }
        let (_, most) = peak(|| rows(&lying));
        assert!(most < 16 << 20, "{most}");
    }
}

/// Bytes that mean something to a reader of text, more often than others.
fn noise(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"\n\r,;\":{}[]-0123456789TZ"[..])];
    prop::collection::vec(byte, 0..most)
}

/// What may stand in the place of anything in a description.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(&["csv", "parquet", "vehicles", "../vehicles.csv", "utf-16", "vehicles.csv"][..])
            .prop_map(Value::from),
        prop::collection::vec(".{0,4}", 0..3).prop_map(Value::from),
        (".{0,2}", ".{0,2}", any::<bool>()).prop_map(|(delimiter, quote, header)| {
            json!({"delimiter": delimiter, "quoteChar": quote, "header": header, "csv": {"delimiter": quote}})
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_as_an_archive_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(rows(&bytes).is_err());
    }

    #[test]
    fn a_damaged_archive_is_an_error_or_rows(at in 0.0_f64..1.0, noise in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut bytes = packed(&whole());
        damage(&mut bytes, at, &noise);
        let _ = rows(&bytes);
    }

    #[test]
    fn any_bytes_in_a_file_are_rejects_or_an_error(
        which in 0..TABLES.len() + 2,
        keeps_head in any::<bool>(),
        noise in noise(400),
    ) {
        let mut files = whole();
        let bytes = &mut files[which].1;
        let head = bytes.iter().position(|byte| *byte == b'\n').filter(|_| keeps_head).map_or(0, |at| at + 1);
        bytes.truncate(head);
        bytes.extend(&noise);
        let _ = rows(&packed(&files));
    }

    #[test]
    fn any_description_is_an_error_or_rows(
        field in prop::sample::select(&[
            "name", "path", "tides-table", "schema", "format", "encoding", "dialect", "hash", "profile", "bytes",
        ][..]),
        which in 0..TABLES.len() + 1,
        value in anything(),
    ) {
        let mut description = described();
        description["resources"][which][field] = value;
        let mut files = whole();
        files[0].1 = description.to_string().into_bytes();
        let _ = rows(&packed(&files));
    }

    #[test]
    fn any_values_in_a_table_of_parquet_are_rejects_or_rows(
        seconds in prop::collection::vec(any::<i64>(), 1..20),
        latitude in any::<f64>(),
        vehicle in ".{0,5}",
    ) {
        let count = seconds.len();
        let mut files = whole();
        files[TABLES.len() + 1].1 =
            parquet(&columns(seconds, vec![latitude; count], vec![vehicle.as_str(); count]));
        let _ = rows(&packed(&files));
    }

    #[test]
    fn a_damaged_parquet_is_an_error_or_rows(at in 0.0_f64..1.0, noise in prop::collection::vec(any::<u8>(), 1..6)) {
        let mut files = whole();
        damage(&mut files[TABLES.len() + 1].1, at, &noise);
        let _ = rows(&packed(&files));
    }
}

fn damage(bytes: &mut [u8], at: f64, noise: &[u8]) {
    let at = (at * bytes.len() as f64) as usize;
    for (byte, noise) in bytes.iter_mut().skip(at).zip(noise) {
        *byte ^= noise;
    }
}
