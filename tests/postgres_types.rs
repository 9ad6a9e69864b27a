//! Every supported pair of Arrow and PostgreSQL types against a real server: NULL, the least and the greatest value that
//! both can hold, sent by COPY BINARY and read back.
//!
//! Needs `METROPULSE_TEST_PG_URL`; without it the test is skipped, unless `METROPULSE_REQUIRE_SERVICES=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod live;

use std::pin::pin;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use bytes::BytesMut;
use futures::{SinkExt, StreamExt};
use live::connect;
use metropulse::postgres::copy::{Decoder, Encoder, PgType, Selection};
use tokio_postgres::Client;

/// What is sent, as which types, and what comes back.
struct Case {
    sent: Vec<ArrayRef>,
    pg: PgType,
    back: ArrayRef,
}

fn case(sent: ArrayRef, pg: PgType, back: ArrayRef) -> Case {
    Case { sent: vec![sent], pg, back }
}

fn integers() -> Vec<(DataType, i128, i128)> {
    vec![
        (DataType::Int8, i8::MIN.into(), i8::MAX.into()),
        (DataType::Int16, i16::MIN.into(), i16::MAX.into()),
        (DataType::Int32, i32::MIN.into(), i32::MAX.into()),
        (DataType::Int64, i64::MIN.into(), i64::MAX.into()),
        (DataType::UInt8, 0, u8::MAX.into()),
        (DataType::UInt16, 0, u16::MAX.into()),
        (DataType::UInt32, 0, u32::MAX.into()),
        (DataType::UInt64, 0, u64::MAX.into()),
    ]
}

fn wide(values: [i128; 2]) -> ArrayRef {
    let array = Decimal128Array::from(vec![None, Some(values[0]), Some(values[1])]);
    Arc::new(array.with_precision_and_scale(38, 0).unwrap())
}

fn texts(values: [&str; 2]) -> ArrayRef {
    Arc::new(StringArray::from(vec![None, Some(values[0]), Some(values[1])]))
}

fn numbers(cases: &mut Vec<Case>) {
    let targets = [
        (PgType::Int2, i16::MIN.into(), i16::MAX.into()),
        (PgType::Int4, i32::MIN.into(), i32::MAX.into()),
        (PgType::Int8, i64::MIN.into(), i64::MAX.into()),
    ];
    for (arrow, least, most) in integers() {
        for (pg, low, high) in targets {
            let values = wide([least.max(low), most.min(high)]);
            cases.push(case(cast(&values, &arrow).unwrap(), pg, cast(&values, &pg.arrow()).unwrap()));
        }
        let values = wide([least, most]);
        let sent = cast(&values, &arrow).unwrap();
        cases.push(case(sent.clone(), PgType::Numeric, cast(&values, &DataType::Utf8).unwrap()));
        cases.push(case(sent.clone(), PgType::Decimal(38, 0), values));
        for pg in [PgType::Float4, PgType::Float8].into_iter().filter(|pg| pg.takes(&arrow)) {
            cases.push(case(sent.clone(), pg, cast(&sent, &pg.arrow()).unwrap()));
        }
    }
    let floats: Vec<(ArrayRef, &[PgType])> = vec![
        (
            cast(&Float32Array::from(vec![None, Some(-65504.0), Some(65504.0)]), &DataType::Float16).unwrap(),
            &[PgType::Float4, PgType::Float8],
        ),
        (Arc::new(Float32Array::from(vec![None, Some(f32::MIN), Some(f32::MAX)])), &[PgType::Float4, PgType::Float8]),
        (Arc::new(Float64Array::from(vec![None, Some(f64::MIN), Some(f64::MAX)])), &[PgType::Float8]),
    ];
    for (sent, targets) in floats {
        for &pg in targets {
            cases.push(case(sent.clone(), pg, cast(&sent, &pg.arrow()).unwrap()));
        }
    }
    for arrow in [DataType::Decimal32(9, 3), DataType::Decimal64(18, 3), DataType::Decimal128(38, 3)] {
        let (DataType::Decimal32(p, _) | DataType::Decimal64(p, _) | DataType::Decimal128(p, _)) = arrow else {
            return;
        };
        let most = 10_i128.pow(p.into()) - 1;
        let values = Decimal128Array::from(vec![None, Some(-most), Some(most)]);
        let values: ArrayRef = Arc::new(values.with_precision_and_scale(38, 3).unwrap());
        let sent = cast(&values, &arrow).unwrap();
        cases.push(case(sent.clone(), PgType::Numeric, cast(&values, &DataType::Utf8).unwrap()));
        cases.push(case(sent, PgType::Decimal(38, 3), values));
    }
    let nines = "9".repeat(76);
    let most = i256::from_string(&nines).unwrap();
    let sent = Decimal256Array::from(vec![None, Some(-most), Some(most)]).with_precision_and_scale(76, 0).unwrap();
    cases.push(case(Arc::new(sent), PgType::Numeric, texts([&format!("-{nines}"), &nines])));
}

fn strings(cases: &mut Vec<Case>) {
    let forms = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    let coded = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
    let long = "né\n\"\\ ".repeat(20_000);
    let sets: [(ArrayRef, &[PgType]); 3] = [
        (texts(["", &long]), &[PgType::Text, PgType::Varchar, PgType::Bpchar]),
        (texts(["null", "{\"a\": [1.5, \"é\"]}"]), &[PgType::Json, PgType::Jsonb]),
        (texts(["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]), &[PgType::Uuid]),
    ];
    for (values, targets) in sets {
        for &pg in targets {
            let sent = forms.iter().chain([&coded]).map(|form| cast(&values, form).unwrap()).collect();
            cases.push(Case { sent, pg, back: values.clone() });
        }
    }
    let bytes = BinaryArray::from(vec![None, Some(&b""[..]), Some(b"\0\xff")]);
    let sent = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView];
    let sent = sent.iter().map(|form| cast(&bytes, form).unwrap()).collect();
    cases.push(Case { sent, pg: PgType::Bytea, back: Arc::new(bytes) });
    let fixed = |values: [u8; 2]| {
        let values = [None, Some([values[0]; 16]), Some([values[1]; 16])];
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), 16).unwrap())
    };
    let back = BinaryArray::from(vec![None, Some(&[0; 16][..]), Some(&[255; 16])]);
    cases.push(case(fixed([0, 255]), PgType::Bytea, Arc::new(back)));
    let uuids = texts(["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]);
    cases.push(case(fixed([0, 255]), PgType::Uuid, uuids));
    let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![None, Some(false), Some(true)]));
    cases.push(case(booleans.clone(), PgType::Bool, booleans));
}

fn times(cases: &mut Vec<Case>) {
    // PostgreSQL's first day, and the last that Arrow's smaller type reaches.
    let days = Date32Array::from(vec![None, Some(-2_440_588), Some(2_145_042_905)]);
    let millis = cast(&days, &DataType::Date64).unwrap();
    cases.push(Case { sent: vec![Arc::new(days.clone()), millis], pg: PgType::Date, back: Arc::new(days) });
    for (unit, most) in [
        (DataType::Time32(TimeUnit::Second), 86_399_000_000_i64),
        (DataType::Time32(TimeUnit::Millisecond), 86_399_999_000),
        (DataType::Time64(TimeUnit::Microsecond), 86_399_999_999),
        (DataType::Time64(TimeUnit::Nanosecond), 86_399_999_999),
    ] {
        let values = Time64MicrosecondArray::from(vec![None, Some(0), Some(most)]);
        cases.push(case(cast(&values, &unit).unwrap(), PgType::Time, Arc::new(values)));
    }
    const FIRST: i64 = -210_866_803_200_000_000;
    for (unit, least, most) in [
        (TimeUnit::Second, FIRST, 9_223_371_331_000_000_000),
        (TimeUnit::Millisecond, FIRST, i64::MAX / 1_000 * 1_000),
        (TimeUnit::Microsecond, FIRST, i64::MAX),
        (TimeUnit::Nanosecond, i64::MIN / 1_000, i64::MAX / 1_000),
    ] {
        for zone in [None, Some(Arc::from("+00:00"))] {
            let values = TimestampMicrosecondArray::from(vec![None, Some(least), Some(most)]);
            let sent = cast(&values, &DataType::Timestamp(unit, None)).unwrap();
            // Same numbers under a zone: a cast would go by the calendar, which ends before Arrow's range does.
            let sent = sent.to_data().into_builder().data_type(DataType::Timestamp(unit, zone)).build().unwrap();
            let sent = make_array(sent);
            cases.push(case(sent.clone(), PgType::Timestamp, Arc::new(values.clone())));
            cases.push(case(sent, PgType::Timestamptz, Arc::new(values.with_timezone("UTC"))));
        }
    }
}

fn lists(cases: &mut Vec<Case>) {
    let mut words = ListBuilder::new(StringBuilder::new());
    words.append_null();
    words.append_value(Vec::<Option<&str>>::new());
    words.append_value([Some(""), None, Some("né,\"")]);
    let words: ArrayRef = Arc::new(words.finish());
    let large = DataType::LargeList(Field::new_list_field(DataType::LargeUtf8, true).into());
    let sent = vec![words.clone(), cast(&words, &large).unwrap()];
    cases.push(Case { sent, pg: PgType::TEXT_ARRAY, back: words });
    for (arrow, least, most) in integers() {
        let values = [least.max(i64::MIN.into()), most.min(i64::MAX.into())].map(|v| i64::try_from(v).unwrap());
        let rows = vec![None, Some(vec![]), Some(vec![Some(values[0]), None, Some(values[1])])];
        let back: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
        let forms = [
            DataType::List(Field::new_list_field(arrow.clone(), true).into()),
            DataType::LargeList(Field::new_list_field(arrow, true).into()),
        ];
        let sent = forms.iter().map(|form| cast(&back, form).unwrap()).collect();
        cases.push(Case { sent, pg: PgType::INT8_ARRAY, back });
    }
    for pg in PgType::ALL {
        let nothing: ArrayRef = Arc::new(NullArray::new(3));
        cases.push(case(nothing, pg, new_null_array(&pg.arrow(), 3)));
    }
}

async fn round_trip(client: &Client, sent: &ArrayRef, pg: PgType) -> ArrayRef {
    client.batch_execute(&format!("CREATE TEMP TABLE pair (c {pg})")).await.unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable([("c", sent.clone())].map(|(n, a)| (n, a, true))).unwrap();
    let columns = [("c".to_string(), pg)];
    let mut encoder = Encoder::new(&columns, &batch.schema()).unwrap();
    let mut bytes = BytesMut::new();
    encoder.encode(&batch, Selection::All, &mut bytes).unwrap_or_else(|e| panic!("{} -> {pg}: {e}", sent.data_type()));
    encoder.footer(&mut bytes);
    let mut sink = pin!(client.copy_in("COPY pair FROM STDIN (FORMAT binary)").await.unwrap());
    sink.send(bytes.freeze()).await.unwrap();
    sink.as_mut().finish().await.unwrap_or_else(|e| panic!("{} -> {pg}: {e}", sent.data_type()));
    let mut decoder = Decoder::new(&columns);
    let mut stream = pin!(client.copy_out("COPY pair TO STDOUT (FORMAT binary)").await.unwrap());
    while let Some(chunk) = stream.next().await {
        decoder.push(&chunk.unwrap()).unwrap_or_else(|e| panic!("{} -> {pg}: {e}", sent.data_type()));
    }
    client.batch_execute("DROP TABLE pair").await.unwrap();
    decoder.finish().unwrap().unwrap().column(0).clone()
}

#[tokio::test]
async fn every_pair_makes_the_round_trip() {
    let Some(client) = connect().await else { return };
    let mut cases = Vec::new();
    numbers(&mut cases);
    strings(&mut cases);
    times(&mut cases);
    lists(&mut cases);
    let mut pairs = 0;
    for Case { sent, pg, back } in cases {
        for sent in sent {
            let found = round_trip(&client, &sent, pg).await;
            assert_eq!(&found, &back, "{} -> {pg}", sent.data_type());
            pairs += 1;
        }
    }
    assert!(pairs > 130, "only {pairs} pairs were tried");
}
