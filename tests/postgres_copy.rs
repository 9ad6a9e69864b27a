//! The COPY BINARY codec against a real server: every type with NULL, its least and its greatest value, both ways.
//!
//! Needs `METROPULSE_TEST_PG_URL`; without it the tests are skipped, unless `METROPULSE_REQUIRE_SERVICES=1`.
#![allow(clippy::wildcard_enum_match_arm)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod live;

use std::pin::pin;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use live::connect;
use metropulse::postgres::copy::{Decoder, Encoder, PgType, Selection};
use tokio_postgres::{Client, SimpleQueryMessage};

async fn copy_in(client: &Client, table: &str, bytes: BytesMut) -> u64 {
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await.expect("COPY begins");
    let mut sink = pin!(sink);
    sink.send(bytes.freeze()).await.expect("bytes are sent");
    sink.finish().await.expect("the server accepts the stream")
}

async fn copy_out(client: &Client, query: &str) -> Vec<Bytes> {
    let stream = client.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await.expect("COPY begins");
    pin!(stream).map(|chunk| chunk.expect("bytes arrive")).collect().await
}

async fn texts(client: &Client, query: &str) -> Vec<Option<String>> {
    let rows = client.simple_query(query).await.expect("the query runs");
    let rows = rows.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_string)),
        _ => None,
    });
    rows.collect()
}

fn decimal(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

/// What goes in, and what the server prints of it.
fn cases() -> Vec<(PgType, ArrayRef, Vec<Option<&'static str>>)> {
    let most = 10_i128.pow(38) - 1;
    let instants = vec![None, Some(-210_866_803_200_000_000), Some(0), Some(i64::MAX)];
    let uuids = vec![None, Some("00000000-0000-0000-0000-000000000000"), Some("ffffffff-ffff-ffff-ffff-ffffffffffff")];
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_null();
    lists.append_value(Vec::<Option<&str>>::new());
    lists.append_value([Some("a,b"), None, Some("")]);
    let numbers = vec![None, Some(vec![Some(i64::MIN), None, Some(i64::MAX)])];
    let text = || Arc::new(StringArray::from(vec![None, Some(""), Some("né\n\"\\")])) as ArrayRef;
    vec![
        (
            PgType::Bool,
            Arc::new(BooleanArray::from(vec![None, Some(false), Some(true)])),
            vec![None, Some("false"), Some("true")],
        ),
        (
            PgType::Int2,
            Arc::new(Int16Array::from(vec![None, Some(i16::MIN), Some(i16::MAX)])),
            vec![None, Some("-32768"), Some("32767")],
        ),
        (
            PgType::Int4,
            Arc::new(Int32Array::from(vec![None, Some(i32::MIN), Some(i32::MAX)])),
            vec![None, Some("-2147483648"), Some("2147483647")],
        ),
        (
            PgType::Int8,
            Arc::new(Int64Array::from(vec![None, Some(i64::MIN), Some(i64::MAX)])),
            vec![None, Some("-9223372036854775808"), Some("9223372036854775807")],
        ),
        (
            PgType::Float4,
            Arc::new(Float32Array::from(vec![None, Some(f32::MIN), Some(f32::INFINITY)])),
            vec![None, Some("-3.4028235e+38"), Some("Infinity")],
        ),
        (
            PgType::Float8,
            Arc::new(Float64Array::from(vec![None, Some(f64::MIN_POSITIVE), Some(f64::MAX)])),
            vec![None, Some("2.2250738585072014e-308"), Some("1.7976931348623157e+308")],
        ),
        (
            PgType::Decimal(12, 2),
            decimal(vec![None, Some(-999_999_999_999), Some(5), Some(0), Some(100_000_000)], 12, 2),
            vec![None, Some("-9999999999.99"), Some("0.05"), Some("0.00"), Some("1000000.00")],
        ),
        (
            PgType::Decimal(38, 7),
            decimal(vec![None, Some(-most), Some(most)], 38, 7),
            vec![
                None,
                Some("-9999999999999999999999999999999.9999999"),
                Some("9999999999999999999999999999999.9999999"),
            ],
        ),
        (PgType::Text, text(), vec![None, Some(""), Some("né\n\"\\")]),
        (PgType::Varchar, text(), vec![None, Some(""), Some("né\n\"\\")]),
        (PgType::Bpchar, text(), vec![None, Some(""), Some("né\n\"\\")]),
        (
            PgType::Json,
            Arc::new(StringArray::from(vec![None, Some("{\"b\": 1,  \"a\":[]}")])),
            vec![None, Some("{\"b\": 1,  \"a\":[]}")],
        ),
        (
            PgType::Jsonb,
            Arc::new(StringArray::from(vec![None, Some("{\"a\": [], \"b\": 1.0}")])),
            vec![None, Some("{\"a\": [], \"b\": 1.0}")],
        ),
        (PgType::Uuid, Arc::new(StringArray::from(uuids.clone())), uuids),
        (
            PgType::Bytea,
            Arc::new(BinaryArray::from(vec![None, Some(&b""[..]), Some(b"\0\xff")])),
            vec![None, Some("\\x"), Some("\\x00ff")],
        ),
        (
            PgType::Date,
            Arc::new(Date32Array::from(vec![None, Some(-2_440_588), Some(0), Some(2_145_042_905)])),
            vec![None, Some("4714-11-24 BC"), Some("1970-01-01"), Some("5874897-12-31")],
        ),
        (
            PgType::Time,
            Arc::new(Time64MicrosecondArray::from(vec![None, Some(0), Some(86_399_999_999)])),
            vec![None, Some("00:00:00"), Some("23:59:59.999999")],
        ),
        (
            PgType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(instants.clone())),
            vec![
                None,
                Some("4714-11-24 00:00:00 BC"),
                Some("1970-01-01 00:00:00"),
                Some("294247-01-10 04:00:54.775807"),
            ],
        ),
        (
            PgType::Timestamptz,
            Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC")),
            vec![
                None,
                Some("4714-11-24 00:00:00+00 BC"),
                Some("1970-01-01 00:00:00+00"),
                Some("294247-01-10 04:00:54.775807+00"),
            ],
        ),
        (PgType::TEXT_ARRAY, Arc::new(lists.finish()), vec![None, Some("{}"), Some("{\"a,b\",NULL,\"\"}")]),
        (
            PgType::INT8_ARRAY,
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(numbers)),
            vec![None, Some("{-9223372036854775808,NULL,9223372036854775807}")],
        ),
    ]
}

#[tokio::test]
async fn every_type_makes_the_round_trip() {
    let Some(client) = connect().await else { return };
    client.batch_execute("SET TimeZone = 'UTC'; SET datestyle = 'ISO'").await.unwrap();
    for (pg, array, printed) in cases() {
        client.batch_execute(&format!("CREATE TEMP TABLE trip (c {pg})")).await.unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
        let columns = [("c".to_string(), pg)];
        let mut encoder = Encoder::new(&columns, &batch.schema()).unwrap();
        let mut bytes = BytesMut::new();
        encoder.encode(&batch, Selection::All, &mut bytes).unwrap();
        encoder.footer(&mut bytes);
        assert_eq!(copy_in(&client, "trip", bytes).await, batch.num_rows() as u64, "{pg}");
        let server: Vec<_> = texts(&client, "SELECT c::text FROM trip").await;
        let expected: Vec<_> = printed.iter().map(|text| text.map(str::to_string)).collect();
        assert_eq!(server, expected, "{pg}");
        let mut decoder = Decoder::new(&columns);
        for chunk in copy_out(&client, "SELECT c FROM trip").await {
            decoder.push(&chunk).unwrap();
        }
        assert_eq!(decoder.finish().unwrap().unwrap(), batch, "{pg}");
        client.batch_execute("DROP TABLE trip").await.unwrap();
    }
}

#[tokio::test]
async fn free_numerics_read_as_the_server_prints_them() {
    let Some(client) = connect().await else { return };
    let values = "VALUES (1::numeric), (0), (-0.00010), (12345678901234567890123456789012345678901234567890.5),
                  (1e-20), (1e20), ('NaN'), (10000), (0.0001), (-99999.9999)";
    let query = format!("SELECT c FROM ({values}) v(c)");
    let expected = texts(&client, &format!("SELECT c::text FROM ({values}) v(c)")).await;
    let mut decoder = Decoder::new(&[("c".into(), PgType::Numeric)]);
    for chunk in copy_out(&client, &query).await {
        decoder.push(&chunk).unwrap();
    }
    let batch = decoder.finish().unwrap().unwrap();
    let read: Vec<_> = batch.column(0).as_string::<i32>().iter().map(|t| t.map(str::to_string)).collect();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn infinite_instants_are_clear_errors() {
    let Some(client) = connect().await else { return };
    for (pg, value) in [(PgType::Timestamptz, "infinity"), (PgType::Date, "-infinity")] {
        let mut decoder = Decoder::new(&[("c".into(), pg)]);
        let chunks = copy_out(&client, &format!("SELECT '{value}'::{pg} AS c")).await;
        let error = chunks.iter().find_map(|chunk| decoder.push(chunk).err()).unwrap();
        assert!(error.to_string().contains("infinite"), "{error}");
    }
}

#[tokio::test]
async fn oids_and_typmods_are_the_servers() {
    let Some(client) = connect().await else { return };
    for pg in PgType::ALL {
        let query = format!(
            "SELECT oid FROM pg_type WHERE typname = '{}' AND typnamespace = 'pg_catalog'::regnamespace",
            pg.typname()
        );
        assert_eq!(texts(&client, &query).await, [Some(pg.oid().to_string())], "{pg}");
    }
    client.batch_execute("CREATE TEMP TABLE money (c numeric(12,2))").await.unwrap();
    let typmod =
        texts(&client, "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'money'::regclass AND attnum = 1").await;
    let typmod: i32 = typmod[0].as_ref().unwrap().parse().unwrap();
    assert_eq!(PgType::Numeric.with_typmod(typmod), PgType::Decimal(12, 2));
}
