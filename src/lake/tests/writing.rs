//! Days written, their manifests, and when a day is ready.

use super::*;

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
