//! Change feeds: rows in any order, keys that go and come again, and what the versions tell of the log.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{run, tracking, values, version};
use crate::history::{Calendar, Columns, Run, Statement, Version, derive, is_plain, joined, read_off, rewind, state};
use crate::model::Absent;

fn derived(runs: &[Run]) -> Vec<Version> {
    derive(runs, &[], &super::Rules { absent: Absent::Ignore, ..tracking(1) }).unwrap()
}

/// By time, the value said; `None`: the key is gone.
fn said() -> impl Strategy<Value = Vec<(i64, Option<&'static str>)>> {
    let value = prop_oneof![Just(Some("a")), Just(Some("b")), Just(Some("-")), Just(None)];
    prop::collection::vec((0..8_i64, value), 0..10)
}

/// Versions by walking the times one by one.
fn walked(said: &BTreeMap<i64, Option<&'static str>>) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    for (at, text) in said {
        let end = said.range(at + 1..).next().map(|(next, _)| *next);
        let Some(text) = text else { continue };
        match versions.last_mut() {
            Some(last) if last.to == Some(*at) && last.values == values(&[text]) => last.to = end,
            _ => versions.push(version(*at, end, &[text])),
        }
    }
    versions
}

proptest! {
    #[test]
    fn rows_in_any_order_give_what_walking_the_times_gives(said in said(), to in 0..8_i64) {
        let statement = |text: Option<&str>| text.map_or_else(Statement::gone, |text| super::row(&[text]).unwrap());
        let (mut runs, mut model) = (Vec::new(), BTreeMap::new());
        for (at, text) in said {
            state(&mut runs, at, statement(text));
            model.insert(at, text);
            let versions = derived(&runs);
            prop_assert_eq!(&versions, &walked(&model));
            let calendar = Calendar::Feed(Columns::first(1));
            let told = read_off(&versions, &calendar);
            prop_assert_eq!(derived(&told), versions.clone());
            prop_assert_eq!(is_plain(&runs, &versions, &calendar), told == runs);
        }
        rewind(&mut runs, to);
        model.retain(|at, _| *at <= to);
        prop_assert_eq!(derived(&runs), walked(&model));
    }
}

#[test]
fn the_end_of_a_version_that_none_follows_tells_that_the_key_was_gone() {
    let calendar = Calendar::Feed(Columns::first(1));
    let versions = [version(1, Some(3), &["a"]), version(3, Some(5), &["b"]), version(7, None, &["b"])];
    let gone = Run::new(5, None, Statement::gone());
    let log = [run(1, None, &["a"]), run(3, None, &["b"]), gone, run(7, None, &["b"])];
    assert_eq!(read_off(&versions, &calendar), log);
    assert!(is_plain(&log, &versions, &calendar));
}

#[test]
fn stretches_of_days_that_state_the_same_columns_are_one_run() {
    let (all, first) = (Columns::first(2), Columns::first(1));
    let days = [(1, &all), (2, &all), (3, &first), (4, &first), (6, &all), (8, &all)];
    let calendar = Calendar::snapshots(days.map(|(day, stated)| (day, stated.clone())).to_vec());
    let versions = [version(2, Some(6), &["a", "b"]), version(8, None, &["c", "d"])];
    let narrow = Run { stated: first, ..run(3, Some(6), &["a", "-"]) };
    assert_eq!(read_off(&versions, &calendar), [run(2, Some(3), &["a", "b"]), narrow, run(8, None, &["c", "d"])]);
    assert_eq!(calendar.days(), [1, 2, 3, 4, 6, 8]);
}

#[test]
fn neighbours_that_say_the_same_after_a_column_went_are_joined() {
    let apart = vec![run(1, Some(2), &["a"]), run(2, Some(4), &["a"]), run(5, None, &["a"])];
    assert_eq!(joined(apart), [run(1, Some(4), &["a"]), run(5, None, &["a"])]);
}
