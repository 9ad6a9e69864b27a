use std::str::FromStr;

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal32Array, Decimal64Array,
    Decimal128Array, Decimal256Array, Float16Array, Float32Array, Float64Array, Int8Array, Int64Array,
    LargeStringArray, ListBuilder, MapBuilder, StringBuilder, StringViewArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int8Type, Int32Type, TimestampMicrosecondType, i256,
};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat};
use proptest::prelude::*;

use super::*;

/// What a column becomes: the text of each value, `None` for NULL, `!` for unreadable.
fn becomes(dataset: Dataset, name: &'static str, array: ArrayRef) -> Vec<Option<String>> {
    let rows = array.len();
    let cleaned = clean(dataset, vec![(name, array)]);
    let column = cleaned.rows.column_by_name(name).unwrap();
    (1..=rows as u64)
        .map(|number| match cleaned.row_numbers.iter().position(|n| *n == number) {
            Some(at) => column.is_valid(at).then(|| shown(column, at)),
            None => {
                let reject = cleaned.rejects.iter().find(|r| r.row_number == number).unwrap();
                assert_eq!(reject.reasons, [Reason::Unconvertible]);
                Some("!".into())
            }
        })
        .collect()
}

fn shown(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Timestamp(_, _) => crate::clean::render::readable(column.as_ref(), row).trim_matches('"').to_owned(),
        _ => array_value_to_string(column, row).unwrap(),
    }
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|v| if *v == "NULL" { None } else { Some((*v).to_owned()) }).collect()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn money_of_every_type() {
    let money = |array: ArrayRef| becomes(Dataset::Payments, "amount", array);
    let floats = vec![1.005, 2.675, -1.005, 9_999_999_999.99, 1e10, f64::NAN, f64::INFINITY, 0.1 + 0.2, -0.0, 1e-300];
    let expected = ["1.01", "2.68", "-1.01", "9999999999.99", "!", "NULL", "!", "0.30", "0.00", "0.00"];
    assert_eq!(money(Arc::new(Float64Array::from(floats))), some(&expected));
    assert_eq!(
        money(Arc::new(Float32Array::from(vec![1.005, 0.1, 16_777_216.0]))),
        some(&["1.01", "0.10", "16777216.00"])
    );
    let half: ArrayRef = cast(&Float32Array::from(vec![0.1, 2.5]), &DataType::Float16).unwrap();
    assert!(half.as_any().is::<Float16Array>());
    assert_eq!(money(half), some(&["0.10", "2.50"]));
    let written =
        [" 7. ", ".5", "+1e2", "1e-1000000000000", "1e1000000000000", "", "1,5", "0x10", "9999999999.995", "NaN"];
    assert_eq!(money(texts(&written)), some(&["7.00", "0.50", "100.00", "0.00", "!", "!", "!", "!", "!", "!"]));
    assert_eq!(money(Arc::new(UInt64Array::from(vec![u64::MAX, 3]))), some(&["!", "3.00"]));
    assert_eq!(money(Arc::new(Int8Array::from(vec![-7]))), some(&["-7.00"]));
    let d = |array: Decimal128Array, p, s| Arc::new(array.with_precision_and_scale(p, s).unwrap()) as ArrayRef;
    assert_eq!(money(d(Decimal128Array::from(vec![12_345, -12_355]), 20, 3)), some(&["12.35", "-12.36"]));
    assert_eq!(money(d(Decimal128Array::from(vec![12]), 10, -2)), some(&["1200.00"]));
    let small = Decimal32Array::from(vec![105]).with_precision_and_scale(9, 1).unwrap();
    assert_eq!(money(Arc::new(small)), some(&["10.50"]));
    let middle = Decimal64Array::from(vec![105]).with_precision_and_scale(18, 4).unwrap();
    assert_eq!(money(Arc::new(middle)), some(&["0.01"]));
    let wide = Decimal256Array::from(vec![i256::MAX, i256::from_i128(1_999)]).with_precision_and_scale(76, 3).unwrap();
    assert_eq!(money(Arc::new(wide)), some(&["!", "2.00"]));
    assert_eq!(money(new_null_array(&DataType::Null, 2)), some(&["NULL", "NULL"]));
}

#[test]
fn rounded_money_is_counted_beyond_its_tolerance() {
    let values =
        [("1.00", 0), ("1.0005", 0), ("1.00051", 1), ("1.005", 1), ("1.0095", 0), ("1.00949", 1), ("0.0004", 0)];
    for (value, count) in values {
        assert_eq!(clean(Dataset::Payments, vec![("amount", texts(&[value]))]).rows_rounded, count, "{value}");
        let float = Float64Array::from(vec![f64::from_str(value).unwrap()]);
        assert_eq!(clean(Dataset::Payments, vec![("amount", Arc::new(float))]).rows_rounded, count, "{value}");
    }
    // Over rows read: a rejected row counts too.
    let rows = vec![("fare", texts(&["-1.005"])), ("trip_id", texts(&[""]))];
    let cleaned = clean(Dataset::Trips, rows);
    assert_eq!((cleaned.rows_rounded, reasons(&cleaned)), (1, vec![(1, vec![Reason::NoKey, Reason::Negative])]));
}

#[test]
fn integers_and_booleans_of_every_type() {
    let integer = |array: ArrayRef| becomes(Dataset::Vehicles, "capacity", array);
    assert_eq!(
        integer(texts(&["80.0", " 8e1", "80.5", "x", "2147483648", "-2147483648", "-0"])),
        some(&["80", "80", "!", "!", "!", "-2147483648", "0"])
    );
    assert_eq!(
        integer(Arc::new(Float64Array::from(vec![Some(40.0), Some(f64::NAN), None, Some(0.5)]))),
        some(&["40", "NULL", "NULL", "!"])
    );
    assert_eq!(integer(Arc::new(UInt32Array::from(vec![7, u32::MAX]))), some(&["7", "!"]));
    assert_eq!(integer(Arc::new(UInt64Array::from(vec![7, u64::MAX]))), some(&["7", "!"]));
    assert_eq!(integer(Arc::new(Int64Array::from(vec![-7, i64::MAX]))), some(&["-7", "!"]));
    let boolean = |array: ArrayRef| becomes(Dataset::Users, "is_active", array);
    assert_eq!(
        boolean(texts(&["TRUE", " f ", "1", "0", "T", "yes", ""])),
        some(&["true", "false", "true", "false", "true", "!", "!"])
    );
    assert_eq!(boolean(Arc::new(UInt8Array::from(vec![0, 1, 2]))), some(&["false", "true", "!"]));
    assert_eq!(boolean(Arc::new(BooleanArray::from(vec![Some(true), None]))), some(&["true", "NULL"]));
}

#[test]
fn floats_of_every_type() {
    let float = |array: ArrayRef| becomes(Dataset::Trips, "distance_m", array);
    assert_eq!(float(texts(&["7.", "1e400", "nan", "1e-400", "\t12.5\n"])), some(&["7.0", "!", "!", "0.0", "12.5"]));
    assert_eq!(float(Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, 1.5]))), some(&["NULL", "!", "1.5"]));
    let decimal = Decimal128Array::from(vec![105]).with_precision_and_scale(9, 1).unwrap();
    assert_eq!(float(Arc::new(decimal)), some(&["10.5"]));
    assert_eq!(float(Arc::new(UInt64Array::from(vec![3]))), some(&["3.0"]));
}

#[test]
fn text_of_every_type() {
    let text = |array: ArrayRef| becomes(Dataset::Trips, "status", array);
    let values = vec![Some(" a "), None, Some(""), Some("x\0y"), Some("é")];
    let expected = some(&[" a ", "NULL", "", "!", "é"]);
    assert_eq!(text(Arc::new(StringArray::from(values.clone()))), expected);
    assert_eq!(text(Arc::new(LargeStringArray::from(values.clone()))), expected);
    assert_eq!(text(Arc::new(StringViewArray::from(values.clone()))), expected);
    let plain: ArrayRef = Arc::new(StringArray::from(values.clone()));
    for keys in [DataType::Int8, DataType::UInt16, DataType::Int64] {
        for inner in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let coded = cast(&plain, &DataType::Dictionary(Box::new(keys.clone()), Box::new(inner)));
            if let Ok(coded) = coded {
                assert_eq!(text(coded), expected);
            }
        }
    }
    assert_eq!(text(Arc::new(Int64Array::from(vec![-42]))), some(&["-42"]));
    let bytes = BinaryArray::from(vec![&b"ok"[..], &[0xff, 0xfe], b"a\0"]);
    assert_eq!(text(Arc::new(bytes)), some(&["ok", "!", "!"]));
    let code = |array: ArrayRef| becomes(Dataset::VehiclePositions, "route_id", array);
    assert_eq!(code(plain.clone()), expected);
    assert_eq!(code(cast(&plain, &crate::model::Kind::Code.arrow()).unwrap()), expected);
    assert_eq!(code(Arc::new(Int64Array::from(vec![7, 7]))), some(&["7", "7"]));
}

#[test]
fn instants_of_every_type() {
    let instant = |array: ArrayRef| becomes(Dataset::Vehicles, "commissioned_at", array);
    let noon = "2024-05-01T10:00:00Z";
    assert_eq!(instant(Arc::new(TimestampSecondArray::from(vec![NOON / 1_000_000, i64::MAX]))), some(&[noon, "!"]));
    assert_eq!(
        instant(Arc::new(TimestampMillisecondArray::from(vec![NOON / 1_000]).with_timezone("+05:00"))),
        some(&[noon])
    );
    assert_eq!(instant(Arc::new(TimestampMicrosecondArray::from(vec![NOON, i64::MIN]))), some(&[noon, "!"]));
    assert_eq!(instant(Arc::new(Date32Array::from(vec![19_844]))), some(&["2024-05-01T00:00:00Z"]));
    assert_eq!(
        instant(Arc::new(Date64Array::from(vec![19_844 * 86_400_000 + 1]))),
        some(&["2024-05-01T00:00:00.001Z"])
    );
    let nanos = TimestampNanosecondArray::from(vec![Some(-1), Some(1_999), Some(2_000), None]);
    let cleaned = clean(Dataset::Vehicles, vec![("commissioned_at", Arc::new(nanos))]);
    let micros = cleaned.rows.column_by_name("commissioned_at").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(micros.iter().collect::<Vec<_>>(), [Some(-1), Some(1), Some(2), None]);
    assert_eq!(cleaned.rows_truncated, 2);
    let written = [
        "2024-05-01T10:00:00Z",
        "2024-05-01 15:30:00+05:30",
        "2024-05-01T10:00",
        "2024-05-01",
        "2024-05-01T10:00:00.1234567-0000",
        "2024-05-01t12:00:00,5+02",
        "2024-04-30T24:00:00Z",
        "2024-02-30",
        "01.05.2024",
        "",
        "2024-05-01T25:00:00",
        "1714557600",
    ];
    let expected = [
        noon,
        noon,
        noon,
        "2024-05-01T00:00:00Z",
        "2024-05-01T10:00:00.123456Z",
        "2024-05-01T10:00:00.500Z",
        "2024-05-01T00:00:00Z",
        "!",
        "!",
        "!",
        "!",
        "!",
    ];
    assert_eq!(instant(texts(&written)), some(&expected));
    let date = |array: ArrayRef| becomes(Dataset::Users, "birthdate", array);
    assert_eq!(date(Arc::new(TimestampNanosecondArray::from(vec![-1, 0]))), some(&["1969-12-31", "1970-01-01"]));
    assert_eq!(
        date(texts(&["1980-02-03", "1980-02-03T23:00:00-02:00", "1980"])),
        some(&["1980-02-03", "1980-02-04", "!"])
    );
    assert_eq!(date(Arc::new(Date64Array::from(vec![-1]))), some(&["1969-12-31"]));
    assert_eq!(date(Arc::new(Date32Array::from(vec![i32::MAX, 3]))), some(&["!", "1970-01-04"]));
}

#[test]
fn json_of_every_type() {
    let json = |array: ArrayRef| becomes(Dataset::Routes, "schema_json", array);
    let written = [
        r#" {"b":1.0, "a":[2e0,"A"],"b":01e0} "#,
        "null",
        "",
        "[1,2",
        r#""\u0000""#,
        r#"{"b": 10e-1,"a":[2,"\u0041"]}"#,
        r#""\ud800""#,
    ];
    assert_eq!(json(texts(&written)), some(&["!", "null", "!", "!", "!", r#"{"a":[2,"A"],"b":1}"#, "!"]));
    let mut stops = ListBuilder::new(StringBuilder::new());
    stops.append_value([Some("S1"), None]);
    stops.append_null();
    let stops: ArrayRef = Arc::new(stops.finish());
    let field = Arc::new(Field::new("stops", stops.data_type().clone(), true));
    let number = (
        Arc::new(Field::new("n", DataType::Float64, true)),
        Arc::new(Float64Array::from(vec![2.50, f64::NAN])) as ArrayRef,
    );
    let record = StructArray::from(vec![(field, stops), number]);
    assert_eq!(json(Arc::new(record)), some(&[r#"{"n":2.5,"stops":["S1",null]}"#, r#"{"n":null,"stops":null}"#]));
    let mut map = MapBuilder::new(None, StringBuilder::new(), arrow::array::Float64Builder::new());
    map.keys().append_value("z");
    map.values().append_value(f64::INFINITY);
    map.append(true).unwrap();
    map.append(false).unwrap();
    assert_eq!(json(Arc::new(map.finish())), some(&["!", "NULL"]));
}

#[test]
fn json_numbers_compare_as_numeric() {
    for (a, b) in [
        ("1", "1.0"),
        ("100", "1e2"),
        ("0", "-0.000"),
        ("1e-50", "0.1e-49"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.1"),
    ] {
        assert_eq!(canonical_json(a), canonical_json(b), "{a} {b}");
    }
    assert_ne!(canonical_json("10000000000000000000000001"), canonical_json("10000000000000000000000002"));
    for bad in ["1e200000", "01", "+1", ".5", "1.", "nul", "[1,]", "{\"a\":1,}", "{a:1}", "1 2", "\"\u{1}\""] {
        assert_eq!(canonical_json(bad), None, "{bad}");
    }
    assert_eq!(canonical_json(&"[".repeat(100_000)), None);
}

#[test]
fn types_that_cannot_become_ours_are_refused_with_both_named() {
    let refused = |dataset: Dataset, name: &'static str, array: ArrayRef| {
        let batch = batch(dataset, vec![(name, array)]);
        Cleaner::new(dataset, "dt=2024-05-01/f.parquet", &batch.schema()).unwrap_err()
    };
    let error = refused(Dataset::Trips, "start_ts", Arc::new(Int64Array::from(vec![1])));
    assert_eq!(error.kind(), "schema");
    assert_eq!(
        (error.detail().context["file"].as_str(), error.detail().context["column"].as_str()),
        ("dt=2024-05-01/f.parquet", "start_ts")
    );
    assert!(error.to_string().contains("Int64") && error.to_string().contains("instant"), "{error}");
    refused(Dataset::Trips, "trip_id", Arc::new(Float64Array::from(vec![1.0])));
    refused(Dataset::Trips, "fare", Arc::new(BooleanArray::from(vec![true])));
    refused(Dataset::Users, "is_active", Arc::new(Float64Array::from(vec![1.0])));
    refused(Dataset::Routes, "schema_json", Arc::new(Int64Array::from(vec![1])));
    refused(
        Dataset::Users,
        "birthdate",
        cast(&texts(&["1"]), &DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)))
            .map(|_| Arc::new(Int64Array::from(vec![1])) as ArrayRef)
            .unwrap(),
    );
    let batch = RecordBatch::try_from_iter([("route_idd", texts(&["r"])), ("name", texts(&["n"]))]).unwrap();
    let error = Cleaner::new(Dataset::Routes, "f", &batch.schema()).unwrap_err();
    assert_eq!(error.detail().context["column"], "route_id");
    let batch = RecordBatch::try_from_iter([("route_id", texts(&["r"])), ("colour", texts(&["n"]))]).unwrap();
    let cleaner = Cleaner::new(Dataset::Routes, "f", &batch.schema()).unwrap();
    assert_eq!(
        (cleaner.columns(), cleaner.unknown_columns(), cleaner.stated()),
        (&["route_id"][..], &["colour".to_owned()][..], 1)
    );
}

#[test]
fn clean_rows_of_common_types_are_not_copied() {
    let coded = cast(&texts(&["v", "v"]), &crate::model::Kind::Code.arrow()).unwrap();
    let cleaned = clean(Dataset::VehiclePositions, vec![("vehicle_id", coded.clone())]);
    let codes = cleaned.rows.column_by_name("vehicle_id").unwrap().as_dictionary::<Int32Type>();
    assert!(Arc::ptr_eq(codes.values(), coded.as_dictionary::<Int32Type>().values()));
    let _: Option<&arrow::array::DictionaryArray<Int8Type>> = coded.as_dictionary_opt();
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-c\"\\\\\\n\u{e9}\u{1f600}/]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-d]{0,2}", inner, 0..4)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn money_agrees_with_exact_thousandths(thousandths in -10_000_000_000_000_i64..10_000_000_000_000) {
        // Half away from zero, by whole numbers.
        let cents = (thousandths.abs() + 5) / 10 * thousandths.signum();
        let text = format!("{}{}.{:03}", if thousandths < 0 { "-" } else { "" }, thousandths.abs() / 1000, thousandths.abs() % 1000);
        for array in [texts(&[&text]), Arc::new(Float64Array::from(vec![text.parse::<f64>().unwrap()])) as ArrayRef] {
            let cleaned = clean(Dataset::Payments, vec![("amount", array)]);
            if cents.abs() < 1_000_000_000_000 {
                let money = cleaned.rows.column_by_name("amount").unwrap().as_primitive::<Decimal128Type>();
                prop_assert_eq!(money.value(0), i128::from(cents));
            } else {
                prop_assert_eq!(cleaned.rejects.len(), 1);
            }
            prop_assert_eq!(cleaned.rows_rounded, u64::from(thousandths % 10 != 0 && cents.abs() < 1_000_000_000_000));
        }
    }

    #[test]
    fn money_of_any_float_is_that_of_its_shortest_text(value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let float = clean(Dataset::Payments, vec![("amount", Arc::new(Float64Array::from(vec![value])))]);
        let text = clean(Dataset::Payments, vec![("amount", texts(&[&format!("{value}")]))]);
        prop_assert_eq!(&float.rows, &text.rows);
        prop_assert_eq!(float.rows_rounded, text.rows_rounded);
    }

    #[test]
    fn floats_in_text_read_as_the_standard_library_reads_them(value in any::<f64>()) {
        prop_assume!(value.is_finite() && value >= 0.0);
        let cleaned = clean(Dataset::Trips, vec![("distance_m", texts(&[&format!("{value:e}")]))]);
        let read = cleaned.rows.column_by_name("distance_m").unwrap().as_primitive::<Float64Type>();
        prop_assert_eq!(read.value(0), value);
    }

    #[test]
    fn instants_in_text_read_back(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
        let text = DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true);
        prop_assume!(!text.starts_with(['+', '-']));
        let cleaned = clean(Dataset::Vehicles, vec![("commissioned_at", texts(&[&text]))]);
        let read = cleaned.rows.column_by_name("commissioned_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        prop_assert_eq!(read.value(0), micros);
        let dates = clean(Dataset::Users, vec![("birthdate", texts(&[&text]))]);
        let read = dates.rows.column_by_name("birthdate").unwrap().as_primitive::<Date32Type>();
        prop_assert_eq!(i64::from(read.value(0)), micros.div_euclid(86_400_000_000));
    }

    #[test]
    fn json_has_one_text_for_one_value(value in json_value()) {
        let compact = canonical_json(&value.to_string());
        let pretty = canonical_json(&serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(&compact, &pretty);
        let text = compact.unwrap();
        prop_assert_eq!(canonical_json(&text), Some(text.clone()));
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
