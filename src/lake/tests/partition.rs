//! What a day's folder holds, and what stops it.

use super::*;

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
    assert!(run(lake.partition_if_any(day(), UnknownFiles::Fail)).unwrap().is_none());
    let gone = open(&dir.path().join("no"));
    assert_eq!(run(gone.partition_if_any(day(), UnknownFiles::Fail)).unwrap_err().kind(), "not_found");
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
