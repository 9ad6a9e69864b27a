//! Holds the tables of types in the documentation against what the codec does, pair by pair.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::types::PgType;

const DOCS: &str = include_str!("../../../docs/types.md");
const SOURCE: &str = include_str!("types.rs");

/// The rows of a Markdown table, cell by cell, without head.
fn rows(lines: impl Iterator<Item = String>) -> Vec<Vec<String>> {
    let rows = lines.filter(|l| l.starts_with('|')).map(|l| {
        let cells = l.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        cells.collect::<Vec<_>>()
    });
    rows.skip(2).collect()
}

fn section(name: &str) -> Vec<Vec<String>> {
    let (_, rest) = DOCS.split_once(&format!("<!-- {name} -->")).expect("the section begins");
    let (text, _) = rest.split_once(&format!("<!-- /{name} -->")).expect("the section ends");
    rows(text.lines().map(str::to_owned))
}

fn list(item: DataType) -> Vec<DataType> {
    let item = || Field::new_list_field(item.clone(), true).into();
    vec![DataType::List(item()), DataType::LargeList(item())]
}

/// The Arrow types that a word of the table stands for.
fn arrow(word: &str) -> Vec<DataType> {
    use DataType as T;
    let times = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let integers = [T::Int8, T::Int16, T::Int32, T::Int64, T::UInt8, T::UInt16, T::UInt32, T::UInt64];
    match word {
        "Boolean" => vec![T::Boolean],
        "Int8…Int64" => integers[..4].to_vec(),
        "UInt8…UInt64" => integers[4..].to_vec(),
        "Int8" => vec![T::Int8],
        "Int16" => vec![T::Int16],
        "Int32" => vec![T::Int32],
        "Int64" => vec![T::Int64],
        "UInt8" => vec![T::UInt8],
        "UInt16" => vec![T::UInt16],
        "UInt32" => vec![T::UInt32],
        "UInt64" => vec![T::UInt64],
        "Float16" => vec![T::Float16],
        "Float32" => vec![T::Float32],
        "Float64" => vec![T::Float64],
        "floats" => vec![T::Float16, T::Float32, T::Float64],
        "Decimal32" => vec![T::Decimal32(9, 2)],
        "Decimal64" => vec![T::Decimal64(18, 2)],
        "Decimal128" => vec![T::Decimal128(38, 2)],
        "Decimal256" => vec![T::Decimal256(76, 2)],
        "decimals" => vec![T::Decimal32(9, 2), T::Decimal64(18, 2), T::Decimal128(38, 2), T::Decimal256(76, 2)],
        "Utf8" => vec![T::Utf8],
        "LargeUtf8" => vec![T::LargeUtf8],
        "Utf8View" => vec![T::Utf8View],
        "strings" => vec![T::Utf8, T::LargeUtf8, T::Utf8View],
        "Binary" => vec![T::Binary],
        "LargeBinary" => vec![T::LargeBinary],
        "BinaryView" => vec![T::BinaryView],
        "FixedSizeBinary(16)" => vec![T::FixedSizeBinary(16)],
        "FixedSizeBinary(n)" => vec![T::FixedSizeBinary(16), T::FixedSizeBinary(3)],
        "Date32" => vec![T::Date32],
        "Date64" => vec![T::Date64],
        "Time32" => vec![T::Time32(times[0]), T::Time32(times[1])],
        "Time64" => vec![T::Time64(times[2]), T::Time64(times[3])],
        "Timestamp" => {
            let zoned = times.iter().map(|t| T::Timestamp(*t, Some("Europe/Moscow".into())));
            times.iter().map(|t| T::Timestamp(*t, None)).chain(zoned).collect()
        }
        "Interval" => {
            let units = [IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano];
            units.map(T::Interval).to_vec()
        }
        "lists of strings" => [list(T::Utf8), list(T::LargeUtf8), list(T::Utf8View)].concat(),
        "lists of integers" => integers.into_iter().flat_map(list).collect(),
        "Null" => vec![T::Null],
        "Struct" => vec![T::Struct(vec![Field::new("a", T::Int8, true)].into())],
        "Duration" => times.map(T::Duration).to_vec(),
        "FixedSizeList" => vec![T::FixedSizeList(Field::new_list_field(T::Int64, true).into(), 2)],
        "nested lists" => list(list(T::Int64).remove(0)),
        other => match other.strip_prefix("lists of ") {
            Some(item) => arrow(item).into_iter().flat_map(list).collect(),
            None => panic!("the table names {other}, which this test does not know"),
        },
    }
}

/// The words of a left cell.
fn words(cell: &str) -> Vec<String> {
    match cell {
        "`List`, `LargeList` of strings" => return vec!["lists of strings".into()],
        "`List`, `LargeList` of integers" => return vec!["lists of integers".into()],
        "`Timestamp` with or without zone" => return vec!["Timestamp".into()],
        "numbers, dates, times" => {
            let all = ["Int8…Int64", "UInt8…UInt64", "floats", "decimals", "Date32", "Date64", "Time32", "Time64"];
            return all.into_iter().map(str::to_owned).collect();
        }
        "`Struct`, `Map`, `Union`" => return vec!["Struct".into()],
        "`ListView`, `FixedSizeList`, nested lists, `RunEndEncoded`" => {
            return vec!["FixedSizeList".into(), "nested lists".into()];
        }
        _ => {}
    }
    if let Some(items) = cell.strip_prefix("`List`, `LargeList` of ") {
        return items.split(", ").map(|item| format!("lists of {}", item.trim_matches('`'))).collect();
    }
    cell.split(", ").map(|word| word.trim_matches('`').to_owned()).collect()
}

/// The PostgreSQL types of a right cell.
fn postgres(cell: &str) -> Vec<PgType> {
    let named = |word: &str| PgType::from_sql(word.trim_matches('`'));
    match cell {
        "any" => PgType::ALL.to_vec(),
        "arrays" => PgType::ALL.into_iter().filter(|pg| matches!(pg, PgType::Array(_))).collect(),
        "`numeric`, integers" => vec![PgType::Numeric, PgType::Int2, PgType::Int4, PgType::Int8],
        "integers, floats" => vec![PgType::Int2, PgType::Int4, PgType::Int8, PgType::Float4, PgType::Float8],
        "strings" => vec![PgType::Text, PgType::Varchar, PgType::Bpchar, PgType::Json, PgType::Jsonb],
        "numbers, dates, times, `bool`, `bytea`" => {
            let numbers = [PgType::Int2, PgType::Int4, PgType::Int8, PgType::Float4, PgType::Float8, PgType::Numeric];
            let times = [PgType::Date, PgType::Time, PgType::Timestamp, PgType::Timestamptz];
            numbers.into_iter().chain(times).chain([PgType::Bool, PgType::Bytea]).collect()
        }
        other => other.split(", ").map(|word| named(word).expect(word)).collect(),
    }
}

#[test]
fn the_documentation_shows_the_tables_of_the_code() {
    let docs = SOURCE.lines().filter_map(|l| l.strip_prefix("//! "));
    let tables: Vec<String> = docs.filter(|l| l.starts_with('|')).map(str::to_owned).collect();
    let shown: Vec<String> = ["encoding", "decoding"]
        .into_iter()
        .flat_map(|name| {
            let (_, rest) = DOCS.split_once(&format!("<!-- {name} -->\n")).expect("begins");
            let (text, _) = rest.split_once(&format!("<!-- /{name} -->")).expect("ends");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(shown, tables);
}

#[test]
fn every_pair_is_supported_exactly_as_the_table_says() {
    let (mut supported, mut refused, mut all) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for row in section("encoding") {
        let [left, right, remarks] = row.as_slice() else { panic!("{row:?}") };
        for arrow in words(left).iter().flat_map(|word| arrow(word)) {
            for pg in postgres(right) {
                let pair = format!("{arrow} -> {pg}");
                if remarks.starts_with("**unsupported**") { &mut refused } else { &mut supported }.insert(pair);
            }
            all.push(arrow);
        }
    }
    assert_eq!(supported.intersection(&refused).collect::<Vec<_>>(), Vec::<&String>::new());
    for arrow in all {
        for pg in PgType::ALL {
            let pair = format!("{arrow} -> {pg}");
            assert_eq!(pg.takes(&arrow), supported.contains(&pair), "{pair}");
            let coded = DataType::Dictionary(Box::new(DataType::Int16), Box::new(arrow.clone()));
            if !matches!(arrow, DataType::Null) && !arrow.is_nested() {
                assert_eq!(pg.takes(&coded), supported.contains(&pair), "dictionary of {pair}");
            }
        }
    }
}

#[test]
fn a_table_made_for_a_type_takes_that_type() {
    for row in section("encoding") {
        for arrow in words(&row[0]).iter().flat_map(|word| arrow(word)) {
            match PgType::of_arrow(&arrow) {
                Some(pg) => assert!(pg.takes(&arrow), "{arrow} -> {pg}"),
                None => assert!(!PgType::ALL.iter().any(|pg| pg.takes(&arrow)), "{arrow} could be made a column"),
            }
        }
    }
}
