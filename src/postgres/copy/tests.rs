use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;
use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

fn batch_of(array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap()
}

fn encoder(pg: PgType, batch: &RecordBatch) -> crate::Result<Encoder> {
    Encoder::new(&[("c".into(), pg)], &batch.schema())
}

/// The fields of a one-column stream, `None` for NULL.
fn fields(array: ArrayRef, pg: PgType) -> Vec<Option<Vec<u8>>> {
    let batch = batch_of(array);
    let mut out = BytesMut::new();
    let mut encoder = encoder(pg, &batch).unwrap();
    encoder.encode(&batch, Selection::All, &mut out).unwrap();
    assert_eq!(encoder.footer(&mut out), batch.num_rows() as u64);
    let mut rest = out.strip_prefix(HEADER).unwrap();
    let mut fields = Vec::new();
    while rest != [0xff, 0xff] {
        assert_eq!(rest[..2], [0, 1]);
        let length = i32::from_be_bytes(rest[2..6].try_into().unwrap());
        rest = &rest[6..];
        fields.push(usize::try_from(length).ok().map(|n| {
            let (value, tail) = rest.split_at(n);
            rest = tail;
            value.to_vec()
        }));
    }
    fields
}

fn one(array: impl Array + 'static, pg: PgType) -> Vec<u8> {
    fields(Arc::new(array), pg).remove(0).unwrap()
}

fn refused(array: impl Array + 'static, pg: PgType) -> crate::Error {
    let batch = batch_of(Arc::new(array));
    let mut out = BytesMut::new();
    let mut encoder = encoder(pg, &batch).unwrap();
    encoder.header(&mut out);
    let error = encoder.encode(&batch, Selection::All, &mut out).unwrap_err();
    assert_eq!(&out[..], HEADER, "a failed batch leaves nothing behind");
    assert_eq!(error.kind(), "data");
    assert_eq!(error.detail().context["column"], "c");
    error
}

#[test]
fn a_stream_has_header_rows_and_trailer() {
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["R1", "R2"]))),
    ])
    .unwrap();
    let columns = [("name".into(), PgType::Text), ("id".into(), PgType::Int4)];
    let mut encoder = Encoder::new(&columns, &batch.schema()).unwrap();
    let mut out = BytesMut::new();
    encoder.encode(&batch, Selection::All, &mut out).unwrap();
    assert_eq!(encoder.footer(&mut out), 2);
    let rows = b"\0\x02\0\0\0\x02R1\0\0\0\x04\0\0\0\x01\0\x02\0\0\0\x02R2\xff\xff\xff\xff\xff\xff";
    assert_eq!(&out[..], [HEADER, rows].concat());
    // An encoder without rows still makes a valid stream.
    let mut empty = BytesMut::new();
    assert_eq!(encoder.footer(&mut empty), 0);
    assert_eq!(&empty[..], [HEADER, b"\xff\xff"].concat());
}

#[test]
fn golden_bytes_of_numbers() {
    assert_eq!(one(BooleanArray::from(vec![true]), PgType::Bool), [1]);
    assert_eq!(one(Int64Array::from(vec![-2]), PgType::Int2), [0xff, 0xfe]);
    assert_eq!(one(UInt8Array::from(vec![200]), PgType::Int4), [0, 0, 0, 200]);
    assert_eq!(one(Int32Array::from(vec![-1]), PgType::Int8), [0xff; 8]);
    assert_eq!(one(Float32Array::from(vec![1.5]), PgType::Float4), [0x3f, 0xc0, 0, 0]);
    assert_eq!(one(Float64Array::from(vec![-2.0]), PgType::Float8), [0xc0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(one(UInt32Array::from(vec![1]), PgType::Float8), [0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
}

fn money(value: i128, precision: u8, scale: i8) -> Vec<u8> {
    let array = Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap();
    one(array, PgType::Numeric)
}

#[test]
fn golden_bytes_of_numerics() {
    let words = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
    assert_eq!(money(0, 12, 2), words(&[0, 0, 0, 2]));
    assert_eq!(money(123_456, 12, 2), words(&[2, 0, 0, 2, 1234, 5600]));
    assert_eq!(money(-5, 12, 2), words(&[1, 0xffff, 0x4000, 2, 500]));
    assert_eq!(money(100_000_000, 12, 2), words(&[1, 1, 0, 2, 100]));
    assert_eq!(money(1, 38, 9), words(&[1, 0xfffd, 0, 9, 1000]));
    assert_eq!(money(12_345, 12, -3), words(&[2, 1, 0, 0, 1234, 5000]));
    assert_eq!(
        one(UInt64Array::from(vec![u64::MAX]), PgType::Numeric),
        words(&[5, 4, 0, 0, 1844, 6744, 737, 955, 1615])
    );
    let big = i256::from_i128(10).wrapping_pow(75).wrapping_neg();
    let array = Decimal256Array::from(vec![big]).with_precision_and_scale(76, 1).unwrap();
    assert_eq!(one(array, PgType::Numeric), words(&[1, 18, 0x4000, 1, 100]));
}

#[test]
fn golden_bytes_of_text_and_binary() {
    assert_eq!(one(StringArray::from(vec!["né"]), PgType::Text), "né".as_bytes());
    assert_eq!(one(LargeStringArray::from(vec![""]), PgType::Varchar), b"");
    assert_eq!(one(StringViewArray::from(vec!["a string longer than twelve"]), PgType::Bpchar).len(), 27);
    assert_eq!(one(StringArray::from(vec!["{}"]), PgType::Json), b"{}");
    assert_eq!(one(StringArray::from(vec!["{}"]), PgType::Jsonb), b"\x01{}");
    assert_eq!(one(BinaryArray::from_vec(vec![b"\0\xff"]), PgType::Bytea), b"\0\xff");
    let uuid = (0..16).collect::<Vec<u8>>();
    for text in ["00010203-0405-0607-0809-0a0b0c0d0e0F", "{000102030405060708090a0b0c0d0e0f}"] {
        assert_eq!(one(StringArray::from(vec![text]), PgType::Uuid), uuid);
    }
    let fixed = FixedSizeBinaryArray::try_from_iter([uuid.clone()].iter()).unwrap();
    assert_eq!(one(fixed, PgType::Uuid), uuid);
    let codes: DictionaryArray<Int32Type> = vec![Some("R1"), None, Some("R1")].into_iter().collect();
    assert_eq!(fields(Arc::new(codes), PgType::Text), [Some(b"R1".to_vec()), None, Some(b"R1".to_vec())]);
    assert_eq!(fields(Arc::new(NullArray::new(2)), PgType::Date), [None, None]);
}

#[test]
fn golden_bytes_of_times() {
    assert_eq!(one(Date32Array::from(vec![EPOCH_DAYS + 1]), PgType::Date), [0, 0, 0, 1]);
    assert_eq!(one(Date64Array::from(vec![-1]), PgType::Date), (-10_958_i32).to_be_bytes());
    let micros = |n: i64| n.to_be_bytes().to_vec();
    let second = EPOCH_MICROS / 1_000_000;
    assert_eq!(one(TimestampSecondArray::from(vec![second + 1]), PgType::Timestamptz), micros(1_000_000));
    let zoned = TimestampMillisecondArray::from(vec![second * 1_000]).with_timezone("Europe/Moscow");
    assert_eq!(one(zoned, PgType::Timestamptz), micros(0));
    assert_eq!(one(TimestampMicrosecondArray::from(vec![EPOCH_MICROS - 1]), PgType::Timestamp), micros(-1));
    // Nanoseconds are cut towards the past, before 1970 too.
    assert_eq!(one(TimestampNanosecondArray::from(vec![-1]), PgType::Timestamptz), micros(-EPOCH_MICROS - 1));
    assert_eq!(one(Time32SecondArray::from(vec![60]), PgType::Time), micros(60_000_000));
    assert_eq!(one(Time64NanosecondArray::from(vec![1_999]), PgType::Time), micros(1));
}

#[test]
fn golden_bytes_of_arrays() {
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_value([Some("a"), None]);
    texts.append_value(Vec::<Option<&str>>::new());
    let made = fields(Arc::new(texts.finish()), PgType::TEXT_ARRAY);
    let first = b"\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x01a\xff\xff\xff\xff".to_vec();
    assert_eq!(made, [Some(first), Some(b"\0\0\0\0\0\0\0\0\0\0\0\x19".to_vec())]);
    let numbers = ListArray::from_iter_primitive::<Int16Type, _, _>([Some([Some(5)])]);
    let bytes = b"\0\0\0\x01\0\0\0\0\0\0\0\x14\0\0\0\x01\0\0\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x05";
    assert_eq!(one(numbers, PgType::INT8_ARRAY), bytes);
}

#[test]
fn values_out_of_range_name_column_and_row() {
    let error = refused(Int64Array::from(vec![1, 40_000]), PgType::Int2);
    assert_eq!(error.detail().context["row"], "2");
    assert_eq!(error.to_string(), "\"40000\" is not a value of PostgreSQL's int2");
    refused(UInt64Array::from(vec![u64::MAX]), PgType::Int8);
    refused(StringArray::from(vec!["ok", "a\0b"]), PgType::Text);
    refused(StringViewArray::from(vec!["ok", "a\0b"]), PgType::Jsonb);
    refused(StringArray::from(vec!["00010203-0405-0607-0809-0a0b0c0d0e0é"]), PgType::Uuid);
    refused(StringArray::from(vec!["0001020304050607080-0a0b0c0d0e0f0000"]), PgType::Uuid);
    refused(TimestampSecondArray::from(vec![i64::MAX]), PgType::Timestamptz);
    refused(TimestampMicrosecondArray::from(vec![i64::MIN]), PgType::Timestamptz);
    refused(Date32Array::from(vec![i32::MIN]), PgType::Date);
    refused(Date32Array::from(vec![i32::MAX]), PgType::Date);
    refused(Date64Array::from(vec![i64::MAX]), PgType::Date);
    refused(Time64MicrosecondArray::from(vec![-1]), PgType::Time);
    let codes: DictionaryArray<Int8Type> = vec!["ok", "a\0b"].into_iter().collect();
    assert_eq!(refused(codes, PgType::Text).detail().context["row"], "2");
}

#[test]
fn a_bad_dictionary_value_that_no_row_uses_is_no_error() {
    let values = Arc::new(StringArray::from(vec![Some("a\0b"), Some("ok"), None]));
    let codes = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![Some(1), Some(2), None]), values);
    assert_eq!(fields(Arc::new(codes), PgType::Text), [Some(b"ok".to_vec()), None, None]);
}

#[test]
fn impossible_pairs_are_refused_before_a_byte() {
    for (arrow, pg) in [
        (DataType::Float64, PgType::Numeric),
        (DataType::Float64, PgType::Float4),
        (DataType::Int64, PgType::Float8),
        (DataType::Utf8, PgType::Int8),
        (DataType::Int32, PgType::Text),
        (DataType::FixedSizeBinary(15), PgType::Uuid),
        (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), PgType::Date),
        (DataType::Struct(Fields::empty()), PgType::Jsonb),
        (DataType::new_list(DataType::Utf8, true), PgType::INT8_ARRAY),
    ] {
        let schema = Schema::new(vec![Field::new("c", arrow.clone(), true)]);
        let error = Encoder::new(&[("c".into(), pg)], &schema).err().unwrap();
        assert_eq!(error.kind(), "schema");
        assert_eq!(error.detail().context["arrow_type"], arrow.to_string());
        assert_eq!(error.detail().context["postgres_type"], pg.to_string());
        let missing = Encoder::new(&[("d".into(), pg)], &schema).err().unwrap();
        assert_eq!(missing.detail().context["column"], "d");
    }
}

#[test]
fn constants_and_selections() {
    let batch = batch_of(Arc::new(Int32Array::from_iter_values(0..1_000)));
    let columns = [
        ("c".into(), PgType::Int4, Source::Column("c".into())),
        ("load_id".into(), PgType::Text, Source::text("batch")),
        ("dt".into(), PgType::Date, Source::date("2000-01-03".parse().unwrap())),
        ("none".into(), PgType::Jsonb, Source::null()),
    ];
    let mut encoder = Encoder::with_sources(&columns, &batch.schema()).unwrap();
    let mut out = BytesMut::new();
    let mask = BooleanArray::from_iter((0..1_000).map(|i| (i != 7).then_some(i % 2 == 1)));
    assert_eq!(encoder.encode(&batch, Selection::Mask(&mask), &mut out).unwrap(), 499);
    assert_eq!(encoder.encode(&batch, Selection::Rows(&[5, 3]), &mut out).unwrap(), 2);
    assert!(encoder.encode(&batch, Selection::Rows(&[1_000]), &mut out).is_err());
    assert_eq!(encoder.footer(&mut out), 501);
    let names: Vec<_> = columns.iter().map(|(name, pg, _)| (name.clone(), *pg)).collect();
    let decoded = decode(&names, &[&out]).unwrap();
    let numbers = decoded.column(0).as_primitive::<Int32Type>();
    assert_eq!((numbers.value(0), numbers.value(3), numbers.value(499), numbers.value(500)), (1, 9, 5, 3));
    assert_eq!(decoded.column(1).as_string::<i32>().value(500), "batch");
    assert_eq!(decoded.column(2).as_primitive::<Date32Type>().value(0), EPOCH_DAYS + 2);
    assert_eq!(decoded.column(3).null_count(), 501);
    let bad = [("c".into(), PgType::Int2, Source::integer(70_000))];
    assert_eq!(Encoder::with_sources(&bad, &batch.schema()).err().unwrap().kind(), "data");
}

#[test]
fn a_batch_of_another_schema_is_a_defect() {
    let mut encoder = encoder(PgType::Int8, &batch_of(Arc::new(Int64Array::from(vec![1])))).unwrap();
    let other = batch_of(Arc::new(Int32Array::from(vec![1])));
    let error = encoder.encode(&other, Selection::All, &mut BytesMut::new()).unwrap_err();
    assert_eq!(error.kind(), "internal");
}

fn decode(columns: &[(String, PgType)], chunks: &[&[u8]]) -> crate::Result<RecordBatch> {
    let mut decoder = Decoder::new(columns);
    let schema = decoder.schema();
    let mut batches = Vec::new();
    for chunk in chunks {
        decoder.push(chunk)?;
        batches.extend(decoder.take_batch(100)?);
    }
    batches.extend(decoder.finish()?);
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn stream(fields: &[u8]) -> Vec<u8> {
    [HEADER, b"\0\x01", &(fields.len() as i32).to_be_bytes(), fields, b"\xff\xff"].concat()
}

#[test]
fn values_that_arrow_cannot_hold_are_clear_errors() {
    for (pg, field, message) in [
        (PgType::Timestamptz, i64::MAX.to_be_bytes().to_vec(), "a timestamp is infinite"),
        (PgType::Timestamp, i64::MIN.to_be_bytes().to_vec(), "a timestamp is infinite"),
        (PgType::Timestamp, (i64::MAX - 1).to_be_bytes().to_vec(), "a timestamp is out of"),
        (PgType::Date, i32::MAX.to_be_bytes().to_vec(), "a date is infinite"),
        (PgType::Time, DAY_MICROS.to_be_bytes().to_vec(), "a time is not before"),
        (PgType::Int4, vec![1], "a field has 1 bytes, expected 4"),
        (PgType::Text, vec![0xff], "text is not UTF-8"),
        (PgType::Jsonb, vec![2, b'1'], "a jsonb does not begin"),
        (PgType::Decimal(12, 2), b"\0\0\0\0\xc0\0\0\0".to_vec(), "NaN is not a value of Decimal128(12, 2)"),
        (PgType::Decimal(12, 2), b"\0\x01\xff\xff\0\0\0\x03\x04\xe2".to_vec(), "0.125 is not"),
        (PgType::Decimal(3, 2), b"\0\x01\0\0\0\0\0\0\0\x0a".to_vec(), "10 is not"),
        (PgType::TEXT_ARRAY, b"\0\0\0\x02\0\0\0\0\0\0\0\x19".to_vec(), "an array has 2 dimensions"),
        (PgType::INT8_ARRAY, b"\0\0\0\0\0\0\0\0\0\0\0\x17".to_vec(), "an array's elements have type OID 23"),
    ] {
        let error = decode(&[("c".into(), pg)], &[&stream(&field)]).unwrap_err();
        assert!(error.to_string().starts_with(message), "{pg}: {error}");
        assert_eq!((error.kind(), error.detail().context["row"].as_str()), ("data", "1"));
    }
}

#[test]
fn numerics_read_as_text_or_decimal() {
    for (words, text) in [
        (vec![0_u16, 0, 0, 2], "0.00"),
        (vec![2, 0, 0, 2, 1234, 5600], "1234.56"),
        (vec![1, 0xffff, 0x4000, 2, 500], "-0.05"),
        (vec![1, 1, 0, 0, 100], "1000000"),
        (vec![1, 0xfffe, 0, 8, 1], "0.00000001"),
        (vec![0, 0, 0xd000, 0], "Infinity"),
        (vec![0, 0, 0xf000, 0], "-Infinity"),
    ] {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let batch = decode(&[("c".into(), PgType::Numeric)], &[&stream(&bytes)]).unwrap();
        assert_eq!(batch.column(0).as_string::<i32>().value(0), text);
    }
    let bytes: Vec<u8> = [2_u16, 0, 0x4000, 2, 1234, 5600].iter().flat_map(|w| w.to_be_bytes()).collect();
    let batch = decode(&[("c".into(), PgType::Decimal(12, 3))], &[&stream(&bytes)]).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().value(0), -1_234_560);
}

#[test]
fn malformed_streams_are_errors() {
    let columns = [("c".to_string(), PgType::Int4)];
    for bytes in [
        b"PGCOPX".to_vec(),
        b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0".to_vec(),
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\xff\0\0\0".to_vec(),
        [HEADER, b"\0\x02"].concat(),
        [HEADER, b"\0\x01\xff\xff\xff\xfe"].concat(),
        [HEADER, b"\0\x01\x7f\xff\xff\xff"].concat(),
        [HEADER, b"\xff\xff\0"].concat(),
        HEADER.to_vec(),
        Vec::new(),
    ] {
        assert_eq!(decode(&columns, &[&bytes]).unwrap_err().kind(), "internal", "{bytes:?}");
    }
    let mut decoder = Decoder::new(&columns);
    assert!(decoder.push(b"?").is_err());
    assert!(decoder.push(b"P").is_err(), "a failed decoder stays failed");
    assert!(decoder.take_batch(0).unwrap().is_none());
    // A header extension is skipped, however it is cut.
    let extended = [&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x03"[..], b"ab", b"c\xff\xff"];
    assert_eq!(decode(&columns, &extended).unwrap().num_rows(), 0);
}

#[test]
fn names_of_types() {
    for pg in PgType::ALL {
        assert_eq!(PgType::from_oid(pg.oid()), Some(pg));
        assert_eq!(PgType::from_sql(&pg.to_string()).unwrap(), pg);
        assert_eq!(PgType::from_sql(&pg.typname()).unwrap(), pg);
    }
    for (sql, pg) in [
        ("numeric(12,2)", PgType::Decimal(12, 2)),
        ("NUMERIC (12)", PgType::Decimal(12, 0)),
        ("character varying(64)", PgType::Varchar),
        ("timestamp(3) with time zone", PgType::Timestamptz),
        ("bigint[]", PgType::INT8_ARRAY),
        ("Double  Precision", PgType::Float8),
    ] {
        assert_eq!(PgType::from_sql(sql).unwrap(), pg);
    }
    for sql in ["money", "int4[][]", "numeric(x)", "numeric(1", "text[][]", ""] {
        assert_eq!(PgType::from_sql(sql).unwrap_err().kind(), "schema");
    }
    assert_eq!(PgType::Numeric.with_typmod((12 << 16 | 2) + 4), PgType::Decimal(12, 2));
    assert_eq!(PgType::Numeric.with_typmod((5 << 16 | 0x7fd) + 4), PgType::Decimal(5, -3));
    assert_eq!(PgType::Numeric.with_typmod(-1), PgType::Numeric);
}

type Row = (
    Option<bool>,
    Option<i16>,
    Option<i64>,
    Option<f64>,
    Option<i128>,
    Option<String>,
    Option<i64>,
    Option<i32>,
    Option<[u8; 16]>,
    Option<Vec<Option<String>>>,
);

fn row() -> impl Strategy<Value = Row> {
    let text = || "[^\\x00]{0,12}";
    (
        any::<Option<bool>>(),
        any::<Option<i16>>(),
        any::<Option<i64>>(),
        any::<Option<f64>>(),
        proptest::option::of(-10_i128.pow(38) + 1..10_i128.pow(38)),
        proptest::option::of(text()),
        proptest::option::of(-210_000_000_000_000_000..9_000_000_000_000_000_000_i64),
        proptest::option::of(-2_400_000..2_000_000_000_i32),
        any::<Option<[u8; 16]>>(),
        proptest::option::of(proptest::collection::vec(proptest::option::of(text()), 0..4)),
    )
}

fn table(rows: &[Row], scale: i8) -> (Vec<(String, PgType)>, RecordBatch) {
    let mut lists = ListBuilder::new(StringBuilder::new());
    rows.iter().for_each(|r| lists.append_option(r.9.clone()));
    let texts: StringArray = rows.iter().map(|r| r.5.as_deref()).collect();
    let uuids: StringArray = rows
        .iter()
        .map(|r| {
            r.8.map(|u| {
                let hex: String = u.iter().map(|b| format!("{b:02x}")).collect();
                format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
            })
        })
        .collect();
    let decimals: Decimal128Array = rows.iter().map(|r| r.4).collect();
    let instants: TimestampMicrosecondArray = rows.iter().map(|r| r.6).collect();
    let columns: Vec<(&str, PgType, ArrayRef)> = vec![
        ("bool", PgType::Bool, Arc::new(rows.iter().map(|r| r.0).collect::<BooleanArray>())),
        ("int2", PgType::Int2, Arc::new(rows.iter().map(|r| r.1).collect::<Int16Array>())),
        ("int8", PgType::Int8, Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>())),
        ("float8", PgType::Float8, Arc::new(rows.iter().map(|r| r.3).collect::<Float64Array>())),
        ("numeric", PgType::Decimal(38, scale.into()), Arc::new(decimals.with_precision_and_scale(38, scale).unwrap())),
        ("text", PgType::Text, Arc::new(texts.clone())),
        ("jsonb", PgType::Jsonb, cast(&texts, &DataType::Utf8).unwrap()),
        ("timestamptz", PgType::Timestamptz, Arc::new(instants.with_timezone("UTC"))),
        ("date", PgType::Date, Arc::new(rows.iter().map(|r| r.7).collect::<Date32Array>())),
        ("uuid", PgType::Uuid, Arc::new(uuids)),
        ("texts", PgType::TEXT_ARRAY, Arc::new(lists.finish())),
    ];
    let types = columns.iter().map(|(name, pg, _)| ((*name).to_string(), *pg)).collect();
    (types, RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, _, a)| (n, a, true))).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn decoding_gives_back_what_was_encoded(
        rows in proptest::collection::vec(row(), 1..300),
        scale in -5_i8..=38,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (columns, batch) = table(&rows, scale);
        let mut encoder = Encoder::new(&columns, &batch.schema()).unwrap();
        let mut out = BytesMut::new();
        encoder.encode(&batch, Selection::All, &mut out).unwrap();
        encoder.footer(&mut out);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(out.len())).collect();
        places.sort_unstable();
        let mut chunks = Vec::new();
        let mut start = 0;
        for place in places.into_iter().chain([out.len()]) {
            chunks.push(&out[start..place]);
            start = place;
        }
        prop_assert_eq!(decode(&columns, &chunks).unwrap(), batch);
    }

    #[test]
    fn random_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        flip in any::<u8>(),
        rows in proptest::collection::vec(row(), 1..4),
    ) {
        let columns: Vec<_> = PgType::ALL.iter().map(|pg| (pg.to_string(), *pg)).collect();
        let _ = decode(&columns, &[&bytes]);
        bytes.splice(..0, HEADER.iter().copied());
        for column in &columns {
            let _ = decode(std::slice::from_ref(column), &[&bytes]);
            let _ = decode(std::slice::from_ref(column), &[&stream(&bytes[HEADER.len()..])]);
        }
        // A valid stream with one byte changed.
        let (columns, batch) = table(&rows, 2);
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new(&columns, &batch.schema()).unwrap();
        encoder.encode(&batch, Selection::All, &mut out).unwrap();
        encoder.footer(&mut out);
        let at = at.index(out.len());
        out[at] ^= flip;
        let _ = decode(&columns, &[&out]);
    }
}
