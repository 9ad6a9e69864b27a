//! The lake over folders: what its tests share, and its address.

mod partition;
mod reading;
mod writing;

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
