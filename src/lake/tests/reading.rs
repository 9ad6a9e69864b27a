//! Files read: whole, damaged, changed, remote.

use super::*;

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
