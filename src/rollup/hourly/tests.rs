use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{
    AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono_tz::TZ_VARIANTS;
use proptest::prelude::*;

use super::*;
use crate::model::Zone;

type Raw = (Option<u8>, Option<i8>, Option<i64>, Option<i32>, Option<i16>);
/// Count of rows, count of amounts, sum, least, greatest amount, different labels, sum of prices.
type Expected = (i64, i64, i128, Option<i32>, Option<i32>, BTreeSet<String>, i128);

fn measure(name: &str, op: Op, column: Option<&str>) -> Measure {
    Measure { name: name.into(), op, column: column.map(str::to_owned) }
}

fn spec(zone: Zone) -> Spec {
    let measures = vec![
        measure("rows", Op::Count, None),
        measure("amounts", Op::Count, Some("amount")),
        measure("total", Op::Sum, Some("amount")),
        measure("mean", Op::Avg, Some("amount")),
        measure("least", Op::Min, Some("amount")),
        measure("greatest", Op::Max, Some("amount")),
        measure("labels", Op::CountDistinct, Some("label")),
        measure("paid", Op::Sum, Some("price")),
        measure("speed", Op::Avg, Some("speed")),
    ];
    Spec { keys: vec!["route".into(), "lane".into()], time: "at".into(), measures, zone }
}

fn label(amount: i32) -> String {
    format!("L{}", amount.rem_euclid(7))
}

fn raw_batch(rows: &[Raw], dictionary: bool) -> RecordBatch {
    let text = if dictionary {
        DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))
    } else {
        DataType::Utf8View
    };
    let texts = |values: StringArray| cast(&values, &text).unwrap();
    let price = rows.iter().map(|r| r.4.map(i128::from)).collect::<Decimal128Array>();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("route", texts(rows.iter().map(|r| r.0.map(|n| format!("R{n}"))).collect())),
        ("lane", Arc::new(rows.iter().map(|r| r.1).collect::<arrow::array::Int8Array>())),
        ("at", Arc::new(rows.iter().map(|r| r.2).collect::<TimestampMicrosecondArray>())),
        ("amount", Arc::new(rows.iter().map(|r| r.3).collect::<Int32Array>())),
        ("label", texts(rows.iter().map(|r| r.3.map(label)).collect())),
        ("price", Arc::new(price.with_precision_and_scale(12, 2).unwrap())),
        ("speed", Arc::new(rows.iter().map(|r| r.4.map(f64::from)).collect::<Float64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

type Place = (Option<String>, Option<i64>, i64);

fn model(zone: Zone, rows: &[Raw]) -> BTreeMap<Place, Expected> {
    let mut groups: BTreeMap<_, Expected> = BTreeMap::new();
    for (route, lane, at, amount, price) in rows {
        let Some(at) = at else { continue };
        let place = (route.map(|n| format!("R{n}")), lane.map(i64::from), zone.hour_bucket_micros(*at));
        let group = groups.entry(place).or_default();
        group.0 += 1;
        group.6 += i128::from(price.unwrap_or_default());
        if let Some(amount) = amount {
            group.1 += 1;
            group.2 += i128::from(*amount);
            group.3 = Some(group.3.map_or(*amount, |least| least.min(*amount)));
            group.4 = Some(group.4.map_or(*amount, |greatest| greatest.max(*amount)));
            group.5.insert(label(*amount));
        }
    }
    groups
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn check(result: &RecordBatch, expected: &BTreeMap<Place, Expected>) {
    assert_eq!(result.num_rows(), expected.len());
    let hours = result.column_by_name("hour_bucket").unwrap().as_primitive::<TimestampMicrosecondType>();
    let routes = result.column(0).as_string::<i32>();
    for (row, (place, group)) in expected.iter().enumerate() {
        let route = routes.is_valid(row).then(|| routes.value(row).to_owned());
        assert_eq!(&(route, int(result, "lane", row), hours.value(row)), place);
        assert_eq!((int(result, "rows", row), int(result, "amounts", row)), (Some(group.0), Some(group.1)));
        assert_eq!(int(result, "total", row).map(i128::from), (group.1 > 0).then_some(group.2));
        assert_eq!(int(result, "least", row), group.3.map(i64::from));
        assert_eq!(int(result, "greatest", row), group.4.map(i64::from));
        assert_eq!(int(result, "labels", row), Some(group.5.len() as i64));
        let means = result.column_by_name("mean").unwrap().as_primitive::<Float64Type>();
        let mean = means.is_valid(row).then(|| means.value(row));
        assert_eq!(mean, (group.1 > 0).then(|| group.2 as f64 / group.1 as f64));
        let paid = result.column_by_name("paid").unwrap().as_primitive::<Decimal128Type>();
        assert_eq!(if paid.is_valid(row) { paid.value(row) } else { 0 }, group.6);
    }
}

fn rows() -> impl Strategy<Value = Vec<Raw>> {
    let at = prop_oneof![
        9 => (1_600_000_000_000_000_i64..1_640_000_000_000_000).prop_map(Some),
        3 => (86_400_000_000_i64..4_291_747_199_000_000).prop_map(Some),
        1 => Just(None),
    ];
    let row = (
        proptest::option::weighted(0.9, 0_u8..6),
        proptest::option::weighted(0.9, -2_i8..2),
        at,
        proptest::option::weighted(0.8, any::<i32>()),
        proptest::option::weighted(0.8, any::<i16>()),
    );
    proptest::collection::vec(row, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the zone, the encoding and the way the rows are split up and merged: the result is the model's.
    #[test]
    fn agrees_with_a_plain_map(
        rows in rows(), zone in 0..TZ_VARIANTS.len(), dictionary in any::<bool>(), cuts in (0_usize..120, 0_usize..120),
    ) {
        let zone = Zone(TZ_VARIANTS[zone]);
        let schema = raw_batch(&[], dictionary).schema();
        let (a, b) = (cuts.0.min(cuts.1).min(rows.len()), cuts.0.max(cuts.1).min(rows.len()));
        let expected = model(zone, &rows);

        let mut whole = Hourly::new(spec(zone), &schema).unwrap();
        whole.add(&raw_batch(&rows[..a], dictionary)).unwrap();
        whole.add(&raw_batch(&rows[a..b], dictionary)).unwrap();
        let mut rest = Hourly::new(spec(zone), &schema).unwrap();
        rest.add(&raw_batch(&rows[b..], dictionary)).unwrap();
        whole.merge(rest).unwrap();
        check(&whole.finish().unwrap(), &expected);
        prop_assert_eq!(whole.rows_without_time() as usize, rows.iter().filter(|r| r.2.is_none()).count());

        let state = whole.partial().unwrap();
        let mut again = Hourly::like_partial(state.schema_ref()).unwrap();
        again.merge_partial(&state).unwrap();
        check(&again.finish().unwrap(), &expected);
        prop_assert_eq!(again.rows_without_time(), whole.rows_without_time());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Rows of an hour that is known are counted as rows whose times tell it; alone, before and after others, and where the
    /// groups lie too far apart for a table.
    #[test]
    fn rows_of_a_known_hour_need_no_times(
        rows in rows(), zone in 0..TZ_VARIANTS.len(), hours in proptest::collection::vec(any::<bool>(), 120),
        is_sparse in any::<bool>(),
    ) {
        let zone = Zone(TZ_VARIANTS[zone]);
        let schema = raw_batch(&[], true).schema();
        let mut spec = spec(zone);
        let (mut expected, mut found) = (Hourly::new(spec.clone(), &schema).unwrap(), Hourly::new(spec.clone(), &schema).unwrap());
        prop_assert!(spec.needs_hours_alone());
        spec.measures.push(measure("last", Op::Max, Some("at")));
        prop_assert!(!spec.needs_hours_alone());
        if is_sparse {
            let apart: Vec<Raw> = (0..2).map(|n| (None, None, Some(n * 4_000_000_000_000_000_000), None, None)).collect();
            expected.add(&raw_batch(&apart, true)).unwrap();
            found.add(&raw_batch(&apart, true)).unwrap();
        }
        for (row, is_known) in rows.iter().zip(hours) {
            let batch = raw_batch(&[*row, *row], true);
            expected.add(&batch).unwrap();
            match row.2.filter(|_| is_known) {
                Some(at) => found.add_of_hour(&batch.project(&[0, 1, 3, 4, 5, 6]).unwrap(), zone.hour_bucket_micros(at)).unwrap(),
                None => found.add(&batch).unwrap(),
            }
        }
        prop_assert_eq!(found.finish().unwrap(), expected.finish().unwrap());
        prop_assert_eq!(found.rows_without_time(), expected.rows_without_time());
    }
}

fn one_key(times: ArrayRef) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"; times.len()]));
    RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("t", times, true)]).unwrap()
}

fn counting(schema: &Schema) -> Hourly {
    let measures = vec![measure("n", Op::Count, None), measure("last", Op::Max, Some("t"))];
    let spec = Spec { keys: vec!["k".into()], time: "t".into(), measures, zone: Zone(chrono_tz::UTC) };
    Hourly::new(spec, schema).unwrap()
}

#[test]
fn any_unit_of_time_gives_the_same_hours() {
    let second = 1_714_557_599_i64;
    let times: [ArrayRef; 4] = [
        Arc::new(TimestampSecondArray::from(vec![second, second + 1])),
        Arc::new(
            TimestampMillisecondArray::from(vec![second * 1_000 + 999, second * 1_000 + 1_000]).with_timezone("+03:00"),
        ),
        Arc::new(TimestampMicrosecondArray::from(vec![second * 1_000_000, second * 1_000_000 + 1_000_000])),
        Arc::new(TimestampNanosecondArray::from(vec![
            second * 1_000_000_000 + 999_999_999,
            (second + 1) * 1_000_000_000,
        ])),
    ];
    for time in times {
        let batch = one_key(time.clone());
        let mut rollup = counting(&batch.schema());
        rollup.add(&batch).unwrap();
        let result = rollup.finish().unwrap();
        assert_eq!(
            result.column(1).as_primitive::<TimestampMicrosecondType>().values(),
            &[1_714_554_000_000_000, 1_714_557_600_000_000]
        );
        assert_eq!(result.column_by_name("last").unwrap().data_type(), time.data_type());
    }
}

#[test]
fn far_apart_hours_of_many_keys_fall_back_to_a_map() {
    let keys: Vec<String> = (0..3_000).map(|n| format!("k{n}")).collect();
    let instants: Vec<i64> = (0..3_000).map(|n| n * 1_000_000_000_000).collect();
    let batch = RecordBatch::try_from_iter([
        ("k", Arc::new(StringArray::from(keys)) as ArrayRef),
        ("t", Arc::new(TimestampMicrosecondArray::from(instants)) as ArrayRef),
    ])
    .unwrap();
    let mut rollup = counting(&batch.schema());
    rollup.add(&batch.slice(0, 10)).unwrap();
    rollup.add(&batch).unwrap();
    let result = rollup.finish().unwrap();
    assert_eq!((rollup.groups(), result.num_rows()), (3_000, 3_000));
    let counts = result.column_by_name("n").unwrap().as_primitive::<Int64Type>();
    assert_eq!(counts.values().iter().sum::<i64>(), 3_010);
}

#[test]
fn an_overflow_is_an_error_and_never_a_wrong_sum() {
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"; 2]));
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0, 0]));
    let values: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![i64::MAX, 1]));
    let batch = RecordBatch::try_from_iter([("k", keys), ("t", times), ("v", values)]).unwrap();
    let spec = Spec {
        keys: vec!["k".into()],
        time: "t".into(),
        measures: vec![measure("s", Op::Sum, Some("v"))],
        zone: Zone(chrono_tz::UTC),
    };
    let mut rollup = Hourly::new(spec, &batch.schema()).unwrap();
    rollup.add(&batch).unwrap();
    assert_eq!(rollup.finish().unwrap_err().kind(), "data");
}

#[test]
fn wrong_columns_are_named() {
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0]));
    let batch = RecordBatch::try_from_iter([("k", flags), ("t", times), ("f", floats)]).unwrap();
    let with = |keys: &[&str], time: &str, measures: Vec<Measure>| {
        let keys = keys.iter().map(|k| (*k).to_owned()).collect();
        Hourly::new(Spec { keys, time: time.into(), measures, zone: Zone(chrono_tz::UTC) }, &batch.schema())
            .unwrap_err()
    };
    assert_eq!(with(&["x"], "t", vec![]).to_string(), "column x is missing; the columns are k, t, f");
    assert_eq!(with(&["f"], "t", vec![]).kind(), "schema");
    assert_eq!(with(&[], "k", vec![]).to_string(), "column k is Boolean, expected a timestamp");
    assert_eq!(with(&[], "t", vec![measure("s", Op::Sum, Some("k"))]).kind(), "schema");
    assert_eq!(with(&[], "t", vec![measure("s", Op::Sum, None)]).kind(), "config");
    assert_eq!(with(&[], "t", vec![measure("t", Op::Count, None), measure("t", Op::Count, None)]).kind(), "config");
}
