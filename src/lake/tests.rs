//! The lake over folders: layout, manifest, readiness, reading and writing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, cast::AsArray};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::NaiveDate;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;
use crate::config::UnknownFiles;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Kind};

fn day() -> NaiveDate {
    "2024-05-01".parse().unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn open(folder: &Path) -> Lake {
    Lake::open(folder.to_str().unwrap(), &BTreeMap::new()).unwrap()
}

fn batch(ids: &[&str]) -> RecordBatch {
    let numbers: Vec<i64> = (0..ids.len() as i64).collect();
    RecordBatch::try_from_iter([
        ("vehicle_id", Arc::new(StringArray::from(ids.to_vec())) as ArrayRef),
        ("speed", Arc::new(Float64Array::from_iter_values(numbers.iter().map(|n| *n as f64))) as ArrayRef),
        ("extra", Arc::new(Int64Array::from(numbers)) as ArrayRef),
    ])
    .unwrap()
}

fn put(folder: &Path, path: &str, batch: &RecordBatch) {
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(file).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn fetch_only(lake: &Lake, dataset: Dataset) -> Result<LocalPart> {
    run(async {
        let partition = lake.partition(day(), UnknownFiles::Fail).await?;
        lake.fetch(&partition.files[&dataset][0], None, &Cancel::default()).await
    })
}

fn write_day(lake: &Lake, files: &[(Dataset, Option<&str>, RecordBatch)]) -> Written {
    run(async {
        let mut writer = lake.write(day(), &Cancel::default()).await.unwrap();
        for (dataset, part, batch) in files {
            let mut file = writer.begin(*dataset, *part, &batch.schema()).unwrap();
            file.write(batch).await.unwrap();
            writer.add(file.finish().await.unwrap());
        }
        writer.finish().await.unwrap()
    })
}

/// What a day says that has these files besides a whole one.
fn day_with(paths: &[&str], unknown_files: UnknownFiles) -> Result<Partition> {
    let dir = TempDir::new().unwrap();
    for path in paths.iter().chain(&["routes.parquet"]) {
        put(dir.path(), &format!("dt=2024-05-01/{path}"), &batch(&["a"]));
    }
    run(open(dir.path()).partition(day(), unknown_files))
}

#[test]
fn a_day_lists_its_parts_in_order_and_names_the_rest() {
    let paths = [
        "trips/b.parquet",
        "trips/B.PARQUET",
        "trips/a",
        "trips/hour=08/x.parquet",
        "notes.txt",
        "trips/notes.txt",
        "trips/_SUCCESS",
        "trips/.hidden",
        "trips/_temporary/0/c.parquet",
        "_rejected.parquet",
        "zones/readme",
    ];
    let partition = day_with(&paths, UnknownFiles::Fail).unwrap();
    let trips: Vec<_> = partition.files[&Dataset::Trips].iter().map(|p| p.path.as_str()).collect();
    let folder = "dt=2024-05-01/trips";
    let expected = ["B.PARQUET", "a", "b.parquet", "hour=08/x.parquet"].map(|name| format!("{folder}/{name}"));
    assert_eq!(trips, expected);
    assert_eq!(partition.files.len(), 2);
    assert_eq!(partition.ignored, ["dt=2024-05-01/notes.txt", "dt=2024-05-01/trips/notes.txt", "dt=2024-05-01/zones/"]);
    let spark = day_with(&["trips.parquet/part-0.parquet"], UnknownFiles::Fail).unwrap();
    assert_eq!(spark.files[&Dataset::Trips][0].path, "dt=2024-05-01/trips.parquet/part-0.parquet");
}

#[test]
fn what_a_day_would_leave_out_or_mistake_stops_it() {
    for (paths, words) in [
        (&["trips/nested/c.parquet"][..], "trips/nested/c.parquet lies in a folder that no dataset has"),
        (&["trips/hour=08/nested/c.parquet"], "no dataset has"),
        (&["zones/a.parquet"], "zones/a.parquet is Parquet that no dataset takes, expected routes"),
        (&["Trip.parquet", "zone.parquet"], "dt=2024-05-01/Trip.parquet (and 1 more) is Parquet that no dataset takes"),
        (&["trips.parquet", "trips/a.parquet"], "trips.parquet lies beside dt=2024-05-01/trips/"),
        (&["trips.PARQUET", "trips.parquet/a.parquet"], "trips.PARQUET lies beside dt=2024-05-01/trips.parquet/"),
        (&["trips/a.parquet", "trips/_delta_log/0.json"], "dt=2024-05-01/trips is a table of Delta Lake"),
        (&["trips/a.parquet", "trips/.hoodie/hoodie.properties"], "a table of Hudi"),
    ] {
        let error = day_with(paths, UnknownFiles::Fail).unwrap_err();
        assert_eq!(error.kind(), "data", "{paths:?} {error}");
        assert!(error.to_string().contains(words), "{paths:?} {error}");
    }
    let allowed = day_with(&["zones/a.parquet", "zone.parquet"], UnknownFiles::Allow).unwrap();
    assert_eq!(allowed.ignored, ["dt=2024-05-01/zone.parquet", "dt=2024-05-01/zones/"]);
}

#[test]
fn a_folder_of_a_part_states_a_column_and_the_file_must_agree() {
    let dir = TempDir::new().unwrap();
    let rows = batch(&["a", "a"]);
    put(dir.path(), "dt=2024-05-01/vehicle_positions/vehicle_id=a/lat=5%2E5/hour=08/x.parquet", &rows);
    let part = fetch_only(&open(dir.path()), Dataset::VehiclePositions).unwrap();
    let names: Vec<_> = part.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["vehicle_id", "speed", "extra", "lat", "hour"]);
    let read = part.read(&["vehicle_id", "lat"], 10).unwrap().next().unwrap().unwrap();
    assert_eq!(read.column_by_name("lat").unwrap().as_string::<i32>().value(1), "5.5");
    assert!(read.column_by_name("hour").is_none());
    put(dir.path(), "dt=2024-05-01/vehicle_positions/vehicle_id=b/x.parquet", &batch(&["b", "c"]));
    let other = run(async {
        let lake = open(dir.path());
        let partition = lake.partition(day(), UnknownFiles::Fail).await?;
        lake.fetch(&partition.files[&Dataset::VehiclePositions][1], None, &Cancel::default()).await
    });
    let error = other.unwrap().read(&["vehicle_id"], 1).unwrap().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("row 2: column \"vehicle_id\" is c, its folder says vehicle_id=b"), "{error}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let dir = TempDir::new().unwrap();
    let error = run(open(&dir.path().join("no")).partition(day(), UnknownFiles::Fail)).unwrap_err();
    assert_eq!(error.kind(), "not_found");
    assert!(error.to_string().contains("does not exist"), "{error}");
    let lake = open(dir.path());
    assert_eq!(run(lake.partition(day(), UnknownFiles::Fail)).unwrap_err().kind(), "not_found");
    fs::create_dir_all(dir.path().join("dt=2024-05-01")).unwrap();
    assert_eq!(run(lake.partition(day(), UnknownFiles::Fail)).unwrap_err().kind(), "not_found");
    assert!(run(lake.days()).unwrap().is_empty());
    fs::create_dir_all(dir.path().join("dt=2024-5-2/x")).unwrap();
    fs::create_dir_all(dir.path().join("dt=2024-05-03/x")).unwrap();
    fs::create_dir_all(dir.path().join("dt=2024-02-30/x")).unwrap();
    let folders = run(lake.folders()).unwrap();
    assert_eq!(folders.days, ["2024-05-03".parse::<NaiveDate>().unwrap()]);
    assert_eq!(folders.misnamed, ["dt=2024-02-30/", "dt=2024-5-2/"]);
    for url in ["", "ftp://x/y", "file://relative/x", "https://example.org/x"] {
        assert_eq!(Lake::open(url, &BTreeMap::new()).unwrap_err().kind(), "config", "{url}");
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_no_object_can_have_hides_no_day() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let dir = TempDir::new().unwrap();
    let lake = open(dir.path());
    put(dir.path(), "dt=2024-05-01/trips.parquet", &batch(&["a"]));
    for name in [&b"dt=\x1b[31mred"[..], b"dt=\xff", b"\xff", b"a\nb"] {
        fs::create_dir_all(dir.path().join(OsStr::from_bytes(name)).join("x")).unwrap();
    }
    std::os::unix::fs::symlink(dir.path(), dir.path().join("here")).unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.path().join("dt=2024-05-02")).unwrap();
    let folders = run(lake.folders()).unwrap();
    assert_eq!(folders.days, [day()]);
    assert_eq!(folders.misnamed, ["dt=\\u{1b}[31mred/", "dt=\u{fffd}/"]);
    // In a day they are an error of that day, for which no link to elsewhere is to blame.
    for name in [&b"\x1b[31mred.parquet"[..], b"\xff"] {
        let file = dir.path().join("dt=2024-05-01").join(OsStr::from_bytes(name));
        fs::write(&file, "x").unwrap();
        let error = run(lake.partition(day(), UnknownFiles::Fail)).unwrap_err();
        assert!(error.kind() == "data" && error.to_string().contains("rename"), "{error}");
        assert!(!error.to_string().contains('\x1b'), "{error}");
        fs::remove_file(file).unwrap();
    }
    std::os::unix::fs::symlink(dir.path(), dir.path().join("dt=2024-05-01/loop")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("dt=2024-05-01"), dir.path().join("dt=2024-05-01/self")).unwrap();
    // Behind links that lead back is nothing new.
    let partition = run(lake.partition(day(), UnknownFiles::Fail)).unwrap();
    assert_eq!(partition.ignored, ["dt=2024-05-01/loop/", "dt=2024-05-01/self/"]);
    assert_eq!(partition.files[&Dataset::Trips].len(), 1);
}

#[test]
fn a_url_shows_no_secret_and_an_unknown_option_is_named() {
    for url in ["s3://key:hunter2@raw/city", "gs://key@raw", "az://:hunter2@raw"] {
        let error = Lake::open(url, &BTreeMap::new()).unwrap_err();
        assert!(error.kind() == "config" && error.to_string().contains("user or password"), "{url} {error}");
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{url}");
    }
    let error = Lake::open("s3:key:hunter2@raw/city", &BTreeMap::new()).unwrap_err();
    assert!(error.kind() == "config" && error.to_string().contains("s3://"), "{error}");
    assert!(!format!("{error}{error:?}").contains("hunter2"));
    let options = BTreeMap::from([("aws_secret_access_keyy".to_owned(), crate::config::Secret::new("hunter2-secret"))]);
    let error = Lake::open("s3://raw", &options).unwrap_err();
    assert!(error.kind() == "config" && error.to_string().contains("aws_secret_access_keyy"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
    let options = BTreeMap::from([
        ("aws_endpoint".to_owned(), crate::config::Secret::new("http://127.0.0.1:9")),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), crate::config::Secret::new("hunter2-secret")),
        ("aws_access_key_id".to_owned(), crate::config::Secret::new("minio-user")),
    ]);
    let lake = Lake::open("s3://raw/city/", &options).unwrap();
    assert_eq!(lake.url(), "s3://raw/city");
    assert!(!format!("{:?}", lake.url()).contains("hunter2"));
}

#[test]
fn files_that_are_no_whole_parquet_are_told_apart() {
    let dir = TempDir::new().unwrap();
    let lake = open(dir.path());
    let file = dir.path().join("dt=2024-05-01/trips.parquet");
    put(dir.path(), "dt=2024-05-01/trips.parquet", &batch(&["a", "b"]));
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let footer = damaged.len() - 40;
    damaged[footer..footer + 20].fill(0xff);
    for (bytes, words) in [
        (Vec::new(), "is empty (0 bytes)"),
        (whole[..whole.len() - 7].to_vec(), "is cut short"),
        (b"id,name\n1,x and more text".to_vec(), "is not a Parquet file"),
        (b"PAR1".to_vec(), "is not a Parquet file"),
        (damaged, "footer"),
    ] {
        fs::write(&file, bytes).unwrap();
        let error = fetch_only(&lake, Dataset::Trips).unwrap_err();
        assert_eq!(error.kind(), "data", "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.detail().context["file"], "dt=2024-05-01/trips.parquet");
    }
}

#[test]
fn damage_in_the_middle_names_the_row_group() {
    let dir = TempDir::new().unwrap();
    let lake = open(dir.path());
    let ids: Vec<String> = (0..40_000).map(|n: u64| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    write_day(&lake, &[(Dataset::Trips, None, batch(&ids))]);
    let file = dir.path().join("dt=2024-05-01/trips.parquet");
    fs::remove_file(dir.path().join("dt=2024-05-01/_manifest.json")).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 4000].fill(0x55);
    fs::write(&file, bytes).unwrap();
    let part = fetch_only(&lake, Dataset::Trips).unwrap();
    let error = part.read(&["vehicle_id", "speed", "extra"], 1024).unwrap().find_map(std::result::Result::err).unwrap();
    assert_eq!(error.kind(), "data");
    assert_eq!(error.detail().context["row_group"], "0");
}

#[test]
fn a_written_day_reads_back_and_is_replaced_whole() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir.path().join("new lake %20"));
    let first = write_day(
        &lake,
        &[
            (Dataset::VehiclePositions, Some("part-0000"), batch(&["a", "b", "a"])),
            (Dataset::VehiclePositions, Some("part-0001"), batch(&["c"])),
            (Dataset::Routes, None, batch(&["r"])),
        ],
    );
    assert_eq!((first.rows, first.files.len()), (5, 3));
    let partition = run(lake.partition(day(), UnknownFiles::Fail)).unwrap();
    assert!(partition.has_manifest && partition.ignored.is_empty());
    let part = fetch_only(&lake, Dataset::VehiclePositions).unwrap();
    let listed = first.files.iter().find(|f| f.path == "vehicle_positions/part-0000.parquet").unwrap();
    assert_eq!(Some(&part.sha256), listed.sha256.as_ref());
    assert_eq!((part.rows, Some(part.size_bytes)), (3, listed.bytes));
    assert_eq!(part.schema().field(0).data_type(), &Kind::Code.arrow());
    let read: Vec<_> = part.read(&["speed", "vehicle_id", "nothing"], 2).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(read[0].num_columns(), 2);
    assert!(read[0].column(0).as_dictionary_opt::<arrow::datatypes::Int32Type>().is_some());
    let second = write_day(&lake, &[(Dataset::VehiclePositions, None, batch(&["z"]))]);
    assert_eq!(second.rows, 1);
    let partition = run(lake.partition(day(), UnknownFiles::Fail)).unwrap();
    assert_eq!(partition.files.len(), 1);
    assert!(partition.ignored.is_empty(), "{:?}", partition.ignored);
}

#[test]
fn an_unfinished_file_leaves_nothing_and_the_old_manifest_is_gone() {
    let dir = TempDir::new().unwrap();
    let lake = open(dir.path());
    write_day(&lake, &[(Dataset::Trips, None, batch(&["a"]))]);
    run(async {
        let cancel = Cancel::default();
        let writer = lake.write(day(), &cancel).await.unwrap();
        let mut file = writer.begin(Dataset::Routes, None, &batch(&["r"]).schema()).unwrap();
        file.write(&batch(&["r"])).await.unwrap();
        cancel.cancel();
        assert_eq!(file.write(&batch(&["r"])).await.unwrap_err().kind(), "cancelled");
        assert_eq!(file.finish().await.unwrap_err().kind(), "cancelled");
        assert!(writer.begin(Dataset::Routes, Some("_x"), &batch(&["r"]).schema()).is_err());
    });
    let names: Vec<_> =
        fs::read_dir(dir.path().join("dt=2024-05-01")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["trips.parquet"]);
}

#[test]
fn row_groups_can_be_read_side_by_side() {
    let dir = TempDir::new().unwrap();
    let data = batch(&["a", "b", "c", "d", "e"]);
    let file = dir.path().join("dt=2024-05-01/trips.parquet");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(file).unwrap(), data.schema(), Some(properties)).unwrap();
    writer.write(&data).unwrap();
    writer.close().unwrap();
    let part = fetch_only(&open(dir.path()), Dataset::Trips).unwrap();
    assert_eq!(part.row_groups(), 3);
    assert_eq!((0..3).map(|g| part.first_row(g)).collect::<Vec<_>>(), [1, 3, 5]);
    let part = &part;
    let rows: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|group| {
                scope.spawn(move || {
                    let reader = part.read_row_groups(group..group + 1, &["extra"], 10).unwrap();
                    reader
                        .flat_map(|b| {
                            b.unwrap().column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
                        })
                        .collect()
                })
            })
            .collect();
        readers.into_iter().map(|r| r.join().unwrap()).collect()
    });
    assert_eq!(rows, [vec![0, 1], vec![2, 3], vec![4]]);
}

#[test]
fn a_manifest_is_held_against_the_files() {
    let dir = TempDir::new().unwrap();
    let lake = open(dir.path());
    let written = write_day(&lake, &[(Dataset::Trips, None, batch(&["a"])), (Dataset::Routes, None, batch(&["r"]))]);
    let folder = dir.path().join("dt=2024-05-01");
    let says = |edit: &dyn Fn(&mut Manifest)| {
        let mut manifest = Manifest::new(written.files.clone(), Vec::new());
        edit(&mut manifest);
        fs::write(folder.join(MANIFEST), manifest.to_json().unwrap()).unwrap();
    };
    let refused = |words: &str| {
        let error: Error = fetch_only(&lake, Dataset::Trips).unwrap_err();
        assert_eq!(error.kind(), "data", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    says(&|m| m.files[1].bytes = Some(3));
    refused("manifest.json says 3");
    says(&|m| m.files[1].sha256 = Some("00".into()));
    refused("has SHA-256");
    says(&|m| m.files[1].rows = Some(7));
    refused("has 1 rows, the manifest says 7");
    says(&|m| m.files[1].path = "trips/none.parquet".into());
    refused("is listed in");
    says(&|m| m.version = 2);
    refused("version 2");
    says(&|m| m.files[1].path = "../dt=2024-05-02/trips.parquet".into());
    refused("no place of a data file");
    says(&|m| m.files[1] = m.files[0].clone());
    refused("twice");
    fs::write(folder.join(MANIFEST), "{").unwrap();
    refused("cannot be read as a manifest");
    // Exactly its files are read; its paths may carry the folder, and its digests capitals.
    says(&|m| {
        m.files.remove(0);
        m.files[0].path = "dt=2024-05-01/trips.parquet".into();
        m.files[0].sha256 = m.files[0].sha256.as_ref().map(|s| s.to_uppercase());
    });
    fetch_only(&lake, Dataset::Trips).unwrap();
    assert_eq!(run(lake.partition(day(), UnknownFiles::Fail)).unwrap().ignored, ["dt=2024-05-01/routes.parquet"]);
}

#[test]
fn readiness_follows_manifest_or_age() {
    let dir = TempDir::new().unwrap();
    let lake = open(dir.path());
    let ready = |required: &[Dataset], seconds: Option<u64>| {
        run(lake.ready(day(), required, seconds.map(Duration::from_secs))).unwrap()
    };
    let none = ready(&[], None);
    assert!(!none.ready && none.missing.is_empty());
    put(dir.path(), "dt=2024-05-01/trips.parquet", &batch(&["a"]));
    fs::write(dir.path().join("dt=2024-05-01/routes.parquet"), "").unwrap();
    let some = ready(&[Dataset::Trips, Dataset::Routes], None);
    assert!(!some.ready);
    assert_eq!(some.missing, ["routes"]);
    assert_ne!(some.fingerprint, none.fingerprint);
    assert!(ready(&[Dataset::Trips], None).ready);
    assert!(!ready(&[Dataset::Trips], Some(3600)).ready);
    write_day(&lake, &[(Dataset::Trips, None, batch(&["a"]))]);
    let sealed = ready(&[Dataset::Trips], Some(3600));
    assert!(sealed.ready && sealed.has_manifest);
    assert_eq!(ready(&[Dataset::Users], None).missing, ["users"]);
    let path = "dt=2024-05-01/trips.parquet".to_owned();
    let manifest_bytes = fs::metadata(dir.path().join(&path)).unwrap().len();
    fs::write(dir.path().join(&path), "short").unwrap();
    let cut = ready(&[], None);
    assert!(!cut.ready && cut.missing.is_empty() && cut.last_change.is_some());
    assert_eq!(cut.differing, [Differing { path: path.clone(), bytes: 5, manifest_bytes }]);
    fs::remove_file(dir.path().join(&path)).unwrap();
    let gone = ready(&[], None);
    assert!(!gone.ready && gone.differing.is_empty() && gone.last_change.is_none());
    assert_eq!(gone.missing, [path]);
}

#[test]
fn a_remote_part_is_spooled_and_goes_with_its_last_user() {
    let lake = Lake::open("memory:///raw", &BTreeMap::new()).unwrap();
    write_day(&lake, &[(Dataset::Trips, None, batch(&["a", "b"]))]);
    let spool = TempDir::new().unwrap();
    run(async {
        assert_eq!(lake.days().await.unwrap(), [day()]);
        let partition = lake.partition(day(), UnknownFiles::Fail).await.unwrap();
        let part = &partition.files[&Dataset::Trips][0];
        let local = lake.fetch(part, Some(spool.path()), &Cancel::default()).await.unwrap();
        assert!(local.is_spooled() && local.rows == 2);
        assert_eq!(Some(&local.sha256), part.manifest_sha256.as_ref());
        let copy = local.clone();
        drop(local);
        assert_eq!(copy.read(&["speed"], 10).unwrap().count(), 1);
        assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 1);
        drop(copy);
        assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
        let stopped = Cancel::default();
        stopped.cancel();
        assert_eq!(lake.fetch(part, Some(spool.path()), &stopped).await.unwrap_err().kind(), "cancelled");
        assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_file_that_changes_after_fetching_is_noticed() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "dt=2024-05-01/trips.parquet", &batch(&["a"]));
    let part = fetch_only(&open(dir.path()), Dataset::Trips).unwrap();
    part.verify_unchanged().unwrap();
    put(dir.path(), "dt=2024-05-01/trips.parquet", &batch(&["a", "b"]));
    let error = part.verify_unchanged().unwrap_err();
    assert!(error.kind() == "conflict" && error.is_retryable());
}

#[test]
fn an_arrow_null_column_is_there() {
    let dir = TempDir::new().unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("route_id", DataType::Utf8, true),
        Field::new("active_to", DataType::Null, true),
    ]));
    let nulls = arrow::array::new_null_array(&DataType::Null, 1);
    let data = RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(vec!["r"])), nulls]).unwrap();
    put(dir.path(), "dt=2024-05-01/routes.parquet", &data);
    let part = fetch_only(&open(dir.path()), Dataset::Routes).unwrap();
    let read = part.read(&["route_id", "active_to"], 10).unwrap().next().unwrap().unwrap();
    assert_eq!(read.column(1).data_type(), &DataType::Null);
}

#[test]
fn int96_reaches_beyond_nanoseconds() {
    use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
    use parquet::file::writer::SerializedFileWriter;
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("dt=2024-05-01");
    fs::create_dir_all(&folder).unwrap();
    let message = "message m { optional binary vehicle_id (UTF8); optional int96 event_ts; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(message).unwrap());
    let file = fs::File::create(folder.join("vehicle_positions.parquet")).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&["v", "v"].map(ByteArray::from), Some(&[1, 1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    // 1970-01-01T00:00:00.000001999 and the first day of the year 9999.
    let values = [(2_440_588_u32, 1_999_u64), (5_373_119, 0)].map(|(day, nanos)| {
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, day);
        value
    });
    column.typed::<Int96Type>().write_batch(&values, Some(&[1, 1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let part = fetch_only(&open(dir.path()), Dataset::VehiclePositions).unwrap();
    let read = part.read(&["vehicle_id", "event_ts"], 10).unwrap().next().unwrap().unwrap();
    assert_eq!(read.column(0).data_type(), &Kind::Code.arrow());
    let micros = read.column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(micros.values(), &[1, (5_373_119 - 2_440_588) * 86_400_000_000]);
}
