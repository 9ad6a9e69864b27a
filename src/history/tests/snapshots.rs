//! Rows of one day to statements.

use super::{row, values};
use crate::history::{Columns, Presence, Snapshot, Statement};

fn snapshot() -> Snapshot {
    Snapshot::new(&["name", "base_fare", "lang"])
}

#[test]
fn equal_rows_are_one() {
    let mut day = snapshot();
    for _ in 0..3 {
        day.row("R1", &0b111_u64.into(), &[Some("North"), None, Some("")]).unwrap();
    }
    assert_eq!((day.rows(), day.observed_keys(), day.collapsed_rows()), (3, 1, 2));
    assert_eq!(day.get("R1"), row(&["North", "-", ""]));
    assert_eq!(day.get("R2"), None);
}

#[test]
fn rows_that_state_different_columns_are_one_in_either_order() {
    let parts: [(u64, [Option<&str>; 3]); 3] =
        [(0b011, [Some("North"), None, None]), (0b110, [None, None, Some("et")]), (0b001, [Some("North"), None, None])];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let mut day = snapshot();
        for part in order {
            day.row("R1", &parts[part].0.into(), &parts[part].1).unwrap();
        }
        assert_eq!(day.get("R1"), row(&["North", "-", "et"]));
        assert_eq!(day.collapsed_rows(), 2);
    }
}

#[test]
fn a_contradiction_names_key_column_and_both_values() {
    let mut day = snapshot();
    day.row("R1", &0b111_u64.into(), &[Some("North"), Some("2.50"), None]).unwrap();
    let error = day.row("R1", &0b010_u64.into(), &[None, None, None]).unwrap_err();
    assert_eq!(error.kind(), "data");
    assert_eq!(
        error.to_string(),
        "key 'R1' has two values of base_fare in one snapshot: '2.50' and NULL, expected one"
    );
    assert_eq!(
        (error.detail().context["key"].as_str(), error.detail().context["column"].as_str()),
        ("R1", "base_fare")
    );
    // The refused row left nothing behind.
    assert_eq!(day.get("R1"), row(&["North", "2.50", "-"]));
}

#[test]
fn a_mention_counts_only_without_a_clean_row() {
    let mut day = snapshot();
    day.mention("R1");
    day.mention("R2");
    day.row("R1", &0b001_u64.into(), &[Some("North")]).unwrap();
    day.mention("R1");
    assert_eq!(day.get("R2"), Some(Statement::mentioned()));
    assert_eq!(day.get("R1"), Some(Statement::observed(1_u64.into(), values(&["North", "-", "-"]))));
    assert!(day.names("R2") && !day.names("R3"));
    assert_eq!((day.rows(), day.observed_keys(), day.collapsed_rows()), (4, 1, 0));
    let kinds: Vec<_> = day.iter().map(|(key, said)| (key.to_owned(), said.kind)).collect();
    assert_eq!(kinds, [("R1".to_owned(), Presence::Observed), ("R2".to_owned(), Presence::Mentioned)]);
}

#[test]
fn columns_beyond_the_declared_ones_play_no_part() {
    let mut day = snapshot();
    day.row("R1", &u64::MAX.into(), &[Some("North"), None, None, Some("noise")]).unwrap();
    day.row("R1", &0b111_u64.into(), &[Some("North"), None, None]).unwrap();
    assert_eq!(day.get("R1"), row(&["North", "-", "-"]));
}

#[test]
fn a_snapshot_has_as_many_columns_as_it_likes() {
    for width in [1, 63, 64, 65, 128, 129, 300] {
        let mut day = Snapshot::new(&vec!["c"; width]);
        let said = |from: usize, step: usize| -> (Columns, Vec<Option<String>>) {
            let stated: Columns = (from..width).step_by(step).collect();
            let values = (0..width).map(|index| stated.holds(index).then(|| format!("value {index}"))).collect();
            (stated, values)
        };
        for (from, step) in [(0, 2), (1, 2), (0, 7), (width - 1, 1), (0, 1)] {
            let (stated, values) = said(from, step);
            let values: Vec<_> = values.iter().map(Option::as_deref).collect();
            day.row("R1", &stated, &values).unwrap();
        }
        let (stated, values) = said(0, 1);
        let values = values.into_iter().map(|value| value.map(Into::into)).collect();
        assert_eq!(day.get("R1"), Some(Statement::observed(stated, values)), "{width}");
        let (last, other) = (std::iter::once(width - 1).collect(), vec![Some("other"); width]);
        assert!(day.row("R1", &last, &other).is_err(), "{width}");
    }
}

#[test]
fn long_values_and_many_keys_come_back_whole_in_little_memory() {
    let long = "x".repeat(600_000);
    let mut day = snapshot();
    day.row("long", &0b111_u64.into(), &[Some(&long), None, Some("é")]).unwrap();
    assert_eq!(day.get("long"), row(&[&long, "-", "é"]));

    let mut day = Snapshot::new(&["city", "lang", "is_active", "gender", "birthdate", "created_at"]);
    let keys = 50_000;
    for number in 0..keys {
        let (key, created) = (format!("user_{number:010}"), (1_700_000_000_000_000_i64 + number).to_string());
        let said = [Some("San Francisco"), Some("en"), Some("true"), Some("F"), Some("1990-01-01"), Some(&*created)];
        day.row(&key, &0b111_111_u64.into(), &said).unwrap();
    }
    assert_eq!(day.iter().count() as i64, keys);
    assert_eq!(day.get("user_0000049999").unwrap().values[5].as_deref(), Some("1700000000049999"));
    let bytes_per_key = day.memory_bytes() / keys as usize;
    assert!(bytes_per_key < 128, "{bytes_per_key} bytes a key");
}
