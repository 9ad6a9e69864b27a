//! The mart against real servers: `METROPULSE_TEST_CLICKHOUSE_URLS`, comma-separated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use chrono::{DateTime, NaiveDate, Utc};
use metropulse::clickhouse::{Filled, Mart, Replaced, TABLE};
use metropulse::config::Secret;
use metropulse::model::Zone;
use metropulse::rollup::mart::{HourlyMart, PAYMENTS, POSITIONS, RouteVersion, RouteVersions, TRIPS, partial};

fn urls() -> Vec<String> {
    let urls = std::env::var("METROPULSE_TEST_CLICKHOUSE_URLS").unwrap_or_default();
    let urls: Vec<_> = urls.split(',').filter(|u| !u.is_empty()).map(str::to_owned).collect();
    if urls.is_empty() {
        assert!(
            std::env::var("METROPULSE_REQUIRE_SERVICES").as_deref() != Ok("1"),
            "METROPULSE_TEST_CLICKHOUSE_URLS is not set but services are required"
        );
        eprintln!("skipped: METROPULSE_TEST_CLICKHOUSE_URLS is not set");
    }
    urls
}

fn run(test: impl AsyncFn(String)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for url in urls() {
        eprintln!("against {url}");
        runtime.block_on(test(url));
    }
}

/// A mart in a database of its own, dropped by [`Scratch::end`].
struct Scratch {
    root: Mart,
    mart: Mart,
    database: String,
}

impl Scratch {
    async fn begin(url: &str, name: &str) -> Self {
        let root = Mart::connect(url, None, None).await.unwrap();
        let database = format!("metropulse_test_{name}_{}", std::process::id());
        root.execute(&format!("DROP DATABASE IF EXISTS {database}")).await.unwrap();
        root.execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let url = with_database(url, &database);
        let mart = Mart::connect(&url, None, None).await.unwrap();
        Self { root, mart, database }
    }

    async fn end(self) {
        self.root.execute(&format!("DROP DATABASE {}", self.database)).await.unwrap();
    }
}

fn with_database(url: &str, database: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_path(database);
    url.to_string()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn partial_batch(names: &[&str], columns: &[ArrayRef]) -> RecordBatch {
    let schema = partial::schema(names);
    let columns = columns.iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type()).unwrap()).collect();
    RecordBatch::try_new(schema.into(), columns).unwrap()
}

fn texts(values: Vec<Option<String>>) -> ArrayRef {
    std::sync::Arc::new(StringArray::from(values))
}

fn numbers(values: Vec<i64>) -> ArrayRef {
    std::sync::Arc::new(Int64Array::from(values))
}

/// Rows of three routes over all hours of 2024-05-01, `riders` of them in each; odd texts, NULL averages, refunds.
fn rows(riders: i64, speed: f64) -> RecordBatch {
    rows_of(day("2024-05-01"), riders, speed)
}

/// The same of any date.
fn rows_of(date: NaiveDate, riders: i64, speed: f64) -> RecordBatch {
    let zone = Zone(chrono_tz::UTC);
    let version = RouteVersion { name: Some("Пушкинская\t'\\|".into()), ..RouteVersion::default() };
    let mut mart = HourlyMart::new(zone, [("R1", version)].into_iter().collect::<RouteVersions>());
    let start = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
    let hour = |n: i64| start + n % 24 * 3_600_000_000;
    let hours = |n: i64| -> ArrayRef {
        std::sync::Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(hour)).with_timezone("UTC"))
    };
    let n = 24 * riders;
    let each = |f: &dyn Fn(i64) -> Option<String>| texts((0..n).map(f).collect());
    mart.add_trips(&partial_batch(
        TRIPS,
        &[
            each(&|_| Some("R1".into())),
            hours(n),
            each(&|i| Some(format!("U{}", i / 24))),
            each(&|i| (i % 3 > 0).then(|| format!("V{}", i / 24 % 7))),
            numbers(vec![1; n as usize]),
            numbers((0..n).map(|i| i % 50).collect()),
            numbers((0..n).map(|i| i64::from(i % 24 != 5)).collect()),
            numbers((0..n).map(|i| i * 10).collect()),
            numbers(vec![1; n as usize]),
            numbers((0..n).collect()),
            numbers(vec![1; n as usize]),
        ],
    ))
    .unwrap();
    let payments =
        [texts(vec![None; 3]), hours(3), numbers(vec![1; 3]), numbers(vec![-5, 0, 7]), numbers(vec![1, 0, 1])];
    mart.add_payments(&partial_batch(PAYMENTS, &payments)).unwrap();
    let speeds: ArrayRef = std::sync::Arc::new(arrow::array::Float64Array::from(vec![speed, 0.1]));
    let route = || texts(vec![Some("".into()), Some("R|2".into())]);
    let positions = [route(), hours(2), route(), numbers(vec![1, 2]), speeds, numbers(vec![1, 0])];
    mart.add_positions(&partial_batch(POSITIONS, &positions)).unwrap();
    let mut days = mart.finish(date..date + chrono::Days::new(1)).unwrap();
    assert_eq!(days.len(), 1);
    days.remove(0).1
}

/// Replaces one service date.
async fn replace(mart: &Mart, date: NaiveDate, rows: &RecordBatch, at: DateTime<Utc>) -> Replaced {
    mart.replace_service_dates(&[(date, rows.clone())], at).await.unwrap()[0]
}

/// The first cell of an answer as a number.
async fn number(mart: &Mart, sql: &str) -> f64 {
    let (_, batches) = mart.query(sql).await.unwrap();
    let column = cast(batches[0].column(0), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().value(0)
}

#[test]
fn a_service_date_is_replaced_as_a_whole_and_only_when_it_differs() {
    run(async |url| {
        let scratch = Scratch::begin(&url, "replace").await;
        let mart = &scratch.mart;
        mart.apply_schema().await.unwrap();
        mart.apply_schema().await.unwrap();
        let date = day("2024-05-01");
        let first = rows(300, 33.3);
        let one = replace(mart, date, &first, instant("2024-06-01T00:00:00Z")).await;
        assert_eq!((one.rows, one.changed), (first.num_rows() as u64, true));
        let again = replace(mart, date, &first, instant("2024-06-02T00:00:00Z")).await;
        assert_eq!((again.rows, again.changed), (first.num_rows() as u64, false));
        let stamp = number(mart, &format!("SELECT toUInt32(max(snapshot_ts)) FROM {TABLE}")).await;
        assert_eq!(stamp as i64, instant("2024-06-01T00:00:00Z").timestamp(), "unchanged rows keep their stamp");

        let merged = format!("SELECT uniqExactMerge(riders) + 1000 * uniqExactMerge(vehicles) FROM {TABLE}");
        // Vehicles V0..V6 of the trips and `R|2` of a position; the one named '' is unknown.
        assert_eq!(number(mart, &merged).await, 8300.0);
        let finalised = format!("SELECT countIf(finalizeAggregation(riders) = rider_cnt) FROM {TABLE}");
        assert_eq!(number(mart, &finalised).await as usize, first.num_rows());
        // A state of ours and one of the server's own are states of the same values.
        let both = format!(
            "SELECT uniqExactMerge(s) FROM (SELECT riders AS s FROM {TABLE} UNION ALL \
             SELECT uniqExactState(concat('U', toString(number))) AS s FROM numbers(300))"
        );
        assert_eq!(number(mart, &both).await, 300.0);
        assert_eq!(number(mart, &format!("SELECT sum(revenue) FROM {TABLE}")).await, 2.0);
        assert_eq!(number(mart, &format!("SELECT countIf(isNull(avg_fare)) FROM {TABLE}")).await, 5.0);

        let changed = replace(mart, date, &rows(300, 33.4), instant("2024-06-03T00:00:00Z")).await;
        assert!(changed.changed, "one float differs");
        let swapped_riders = replace(mart, date, &rows(299, 33.4), Utc::now()).await;
        assert!(swapped_riders.changed);
        let empty = first.slice(0, 0);
        assert!(replace(mart, date, &empty, Utc::now()).await.changed);
        assert!(!replace(mart, date, &empty, Utc::now()).await.changed);
        let tables = number(mart, "SELECT count() FROM system.tables WHERE database = currentDatabase()").await;
        assert_eq!(tables, 1.0, "no shadow is left");
        scratch.end().await;
    });
}

#[test]
fn another_table_of_that_name_is_a_schema_error_that_names_the_column() {
    run(async |url| {
        let scratch = Scratch::begin(&url, "schema").await;
        let old = format!(
            "CREATE TABLE {TABLE} (route_id String, name String, transport_type String, hour_bucket DateTime('UTC'), \
             trip_cnt UInt64, avg_fare Float64) ENGINE = MergeTree PARTITION BY toDate(hour_bucket) ORDER BY route_id"
        );
        scratch.mart.execute(&old).await.unwrap();
        let error = scratch.mart.apply_schema().await.unwrap_err();
        assert_eq!((error.kind(), error.detail().context["column"].as_str()), ("schema", "avg_fare"));
        assert!(error.to_string().contains("Float64, expected Nullable(Float64)"), "{error}");
        scratch.end().await;
    });
}

#[test]
fn two_loaders_at_once_leave_one_whole_result() {
    run(async |url| {
        let scratch = Scratch::begin(&url, "race").await;
        scratch.mart.apply_schema().await.unwrap();
        let (a, b) = (rows(40, 10.0), rows(50, 20.0));
        let date = day("2024-05-01");
        for _ in 0..3 {
            tokio::join!(replace(&scratch.mart, date, &a, Utc::now()), replace(&scratch.mart, date, &b, Utc::now()));
            let trips = number(&scratch.mart, &format!("SELECT sum(trip_cnt) FROM {TABLE}")).await;
            assert!(trips == 960.0 || trips == 1200.0, "{trips}");
        }
        scratch.end().await;
    });
}

/// Above any process id.
const BUILD: u64 = 1 << 48;

#[test]
fn every_shadow_is_verified_before_the_first_is_swapped_in() {
    run(async |url| {
        let scratch = Scratch::begin(&url, "verified").await;
        let (mart, first, second) = (&scratch.mart, day("2024-05-01"), day("2024-05-02"));
        mart.apply_schema().await.unwrap();
        let begun = mart.stamps().await.unwrap();
        let mut filled = Vec::new();
        for date in [first, second] {
            let rows = rows_of(date, 3, 10.0);
            filled.extend(mart.fill_service_dates(BUILD, &[(date, rows)], Utc::now()).await.unwrap());
        }
        // Shadow tables are swapped in the order of their names, so this is the later one.
        let last = filled.iter().filter_map(|one| one.shadow.as_ref()).max().unwrap();
        mart.execute(&format!("INSERT INTO {last} SELECT * FROM {last} LIMIT 1")).await.unwrap();
        let refused = mart.swap_filled(BUILD, &filled, &[], &begun).await.unwrap_err();
        assert_eq!(refused.kind(), "database");
        assert!(refused.to_string().contains("that date was left as it was"), "{refused}");
        assert!(mart.stamps().await.unwrap().is_empty(), "the good one was not swapped in either");
        scratch.end().await;
    });
}

#[test]
fn a_date_that_somebody_else_wrote_since_a_build_began_is_a_conflict_and_stays() {
    run(async |url| {
        let scratch = Scratch::begin(&url, "conflict").await;
        let (mart, first, second) = (&scratch.mart, day("2024-05-01"), day("2024-05-02"));
        mart.apply_schema().await.unwrap();
        let at = |text: &str| instant(&format!("2024-06-01T{text}Z"));
        replace(mart, first, &rows_of(first, 3, 10.0), at("00:00:00")).await;
        let begun = mart.stamps().await.unwrap();
        let fill = async |date, riders| {
            let rows = rows_of(date, riders, 10.0);
            mart.fill_service_dates(BUILD, &[(date, rows)], at("01:00:00")).await.unwrap()
        };
        let (same, changed, added) = (fill(first, 3).await, fill(first, 4).await, fill(second, 3).await);
        assert!(same[0].shadow.is_none() && changed[0].shadow.is_some());
        let swap = async |filled: &[Filled], emptied: &[NaiveDate]| {
            let error = mart.swap_filled(BUILD, filled, emptied, &begun).await.unwrap_err();
            assert!(error.kind() == "conflict" && error.is_retryable(), "{error}");
            assert!(error.to_string().contains("run again"), "{error}");
        };
        for date in [first, second] {
            replace(mart, date, &rows_of(date, 5, 10.0), at("02:00:00")).await;
        }
        let newer = mart.stamps().await.unwrap();
        swap(&same, &[]).await;
        swap(&changed, &[]).await;
        swap(&added, &[]).await;
        swap(&[], &[first]).await;
        assert_eq!(mart.stamps().await.unwrap(), newer);

        // Rows that went without a build, such as by hand, are not those that a worker saw.
        let begun = mart.stamps().await.unwrap();
        let same = fill(first, 5).await;
        assert!(same[0].shadow.is_none());
        mart.swap_filled(BUILD, &same, &[], &begun).await.unwrap();
        let other = Filled { sum: same[0].sum.wrapping_add(1), ..same[0].clone() };
        assert_eq!(mart.swap_filled(BUILD, &[other], &[], &begun).await.unwrap_err().kind(), "conflict");
        scratch.end().await;
    });
}

#[test]
fn queries_answer_in_arrow_types() {
    run(async |url| {
        let mart = Mart::connect(&url, None, None).await.unwrap();
        let sql = "SELECT toUInt64(18446744073709551615) AS n, CAST(NULL AS Nullable(Float64)) AS f, 'a\\tb?' AS s, \
                   toDate('2024-05-01') AS d, toDateTime('2024-05-01 10:00:00', 'UTC') AS t, toDecimal64('2.50', 2) AS m, \
                   toUInt32(7) AS u";
        let (schema, batches) = mart.query(sql).await.unwrap();
        let batch = &batches[0];
        let types: Vec<_> = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        eprintln!("{types:?}");
        assert_eq!(types[0], DataType::UInt64);
        assert!(batch.column(1).is_null(0));
        assert_eq!(cast(batch.column(2), &DataType::Utf8).unwrap().as_string::<i32>().value(0), "a\tb?");
        assert_eq!(types[3], DataType::Date32);
        assert!(matches!(types[4], DataType::Timestamp(_, Some(_))), "{}", types[4]);
        assert_eq!(
            cast(batch.column(4), &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(0),
            1_714_557_600
        );
        assert_eq!(types[6], DataType::UInt32);
        assert!(matches!(types[5], DataType::Decimal128(_, 2)), "{}", types[5]);
        let (schema, batches) = mart.query("SELECT 1 AS one WHERE 0").await.unwrap();
        assert_eq!((schema.fields().len(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()), (1, 0));
    });
}

#[test]
fn errors_tell_code_and_whether_a_retry_helps() {
    run(async |url| {
        let mart = Mart::connect(&url, None, None).await.unwrap();
        let error = mart.query("SELECT * FROM no_such_table_here").await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), ("database", false));
        assert_eq!(error.detail().context["code"], "60", "{error}");
        // An error in the middle of an answer is an error, not a short answer.
        let error = mart.query("SELECT throwIf(number = 3000000) FROM numbers(4000000)").await.unwrap_err();
        assert_eq!(error.detail().context["code"], "395", "{error}");
        let error = Mart::connect(&with_database(&url, "no_such_db"), None, None).await.unwrap_err();
        assert_eq!(error.kind(), "config", "{error}");
        let hush = Secret::new("hush-hush");
        let error = Mart::connect(&url, Some("nobody"), Some(&hush)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), ("config", false), "{error}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Mart::connect("http://127.0.0.1:1/default", None, None)).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), ("database", true), "{error}");
}

#[test]
fn a_query_given_up_is_killed() {
    run(async |url| {
        let mart = Mart::connect(&url, None, None).await.unwrap();
        let marker = format!("given_up_{}", std::process::id());
        let slow =
            format!("SELECT count() AS {marker} FROM numbers(100000000000) WHERE sipHash64(toString(number)) = 1");
        let running = format!(
            "SELECT count() FROM system.processes WHERE query LIKE '%AS {marker}%' AND query NOT LIKE '%system.processes%'"
        );
        let given_up = tokio::time::timeout(Duration::from_millis(700), mart.query(&slow)).await;
        assert!(given_up.is_err(), "the query should run for long");
        let mut left = f64::NAN;
        for _ in 0..50 {
            left = number(&mart, &running).await;
            if left == 0.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{left} queries still run");
    });
}
