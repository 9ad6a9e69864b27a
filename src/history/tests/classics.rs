//! The inputs on which merges of slowly changing dimensions classically go wrong.

use super::{row, run, tracking, value, values, version};
use crate::history::{
    ActiveWindow, Columns, Instant, Rules, Run, Snapshot, Statement, Version, assign, composite_key, covering, derive,
    forget,
};
use crate::model::Absent;

const DAY_1: Instant = 10;
const DAY_2: Instant = 20;
const DAY_3: Instant = 30;

/// Loads days in the order given, as a pipeline would.
fn load(days: &[(Instant, Option<Statement>)]) -> (Vec<Run>, Vec<Instant>) {
    let (mut runs, mut loaded) = (Vec::new(), Vec::new());
    for (day, statement) in days {
        let place = loaded.partition_point(|other| other < day);
        if loaded.get(place) != Some(day) {
            loaded.insert(place, *day);
        }
        assign(&mut runs, *day, loaded.get(place + 1).copied(), statement.clone());
    }
    (runs, loaded)
}

fn history(days: &[(Instant, Option<Statement>)], rules: &Rules) -> Vec<Version> {
    let (runs, loaded) = load(days);
    derive(&runs, &loaded, rules).unwrap()
}

#[test]
fn a_late_older_version_takes_its_place_before_the_newer() {
    let versions = history(&[(DAY_2, row(&["b"])), (DAY_1, row(&["a"]))], &tracking(1));
    assert_eq!(versions, [version(DAY_1, Some(DAY_2), &["a"]), version(DAY_2, None, &["b"])]);
}

#[test]
fn two_versions_in_one_batch_become_two_intervals() {
    // A change feed: one batch holds two effective times of one key; each is assigned at its own.
    let feed = [(DAY_1, row(&["a"])), (DAY_2, row(&["b"]))];
    let expected = [version(DAY_1, Some(DAY_2), &["a"]), version(DAY_2, None, &["b"])];
    assert_eq!(history(&feed, &tracking(1)), expected);
    // In one snapshot, which has one effective time, two versions contradict each other.
    let mut snapshot = Snapshot::new(&["name"]);
    snapshot.row("R1", &Columns::first(1), &[Some("a")]).unwrap();
    snapshot.row("R1", &Columns::first(1), &[Some("b")]).unwrap_err();
}

#[test]
fn an_exact_duplicate_is_one_row() {
    let mut snapshot = Snapshot::new(&["name"]);
    snapshot.row("R1", &Columns::first(1), &[Some("a")]).unwrap();
    snapshot.row("R1", &Columns::first(1), &[Some("a")]).unwrap();
    assert_eq!(snapshot.collapsed_rows(), 1);
    assert_eq!(history(&[(DAY_1, snapshot.get("R1"))], &tracking(1)), [version(DAY_1, None, &["a"])]);
}

#[test]
fn a_replay_of_day_1_after_day_2_changes_nothing() {
    let (mut runs, loaded) = load(&[(DAY_1, row(&["a"])), (DAY_2, row(&["b"]))]);
    assert!(!assign(&mut runs, DAY_1, Some(DAY_2), row(&["a"])));
    assert_eq!(derive(&runs, &loaded, &tracking(1)).unwrap().len(), 2);
    assert_eq!(runs, [run(DAY_1, Some(DAY_2), &["a"]), run(DAY_2, None, &["b"])]);
}

#[test]
fn changed_content_at_the_same_time_corrects_the_version() {
    let days = [(DAY_1, row(&["a"])), (DAY_2, row(&["b"])), (DAY_1, row(&["c"]))];
    let versions = history(&days, &tracking(1));
    assert_eq!(versions, [version(DAY_1, Some(DAY_2), &["c"]), version(DAY_2, None, &["b"])]);
}

#[test]
fn an_empty_extract_that_was_allowed_closes_and_under_ignore_does_nothing() {
    let days = [(DAY_1, row(&["a"])), (DAY_2, None)];
    assert_eq!(history(&days, &tracking(1)), [version(DAY_1, Some(DAY_2), &["a"])]);
    let ignoring = Rules { absent: Absent::Ignore, ..tracking(1) };
    assert_eq!(history(&days, &ignoring), [version(DAY_1, None, &["a"])]);
}

#[test]
fn null_in_a_part_of_a_key_is_a_key_of_its_own() {
    let parts = [[Some("a"), None], [Some("a"), Some("")], [Some("a"), Some(r"\N")], [None, Some("a")]];
    let mut snapshot = Snapshot::new(&["name"]);
    for (number, part) in parts.iter().enumerate() {
        snapshot.row(&composite_key(part), &Columns::first(1), &[Some(&*number.to_string())]).unwrap();
    }
    snapshot.row(&composite_key(&parts[0]), &Columns::first(1), &[Some("0")]).unwrap();
    assert_eq!((snapshot.observed_keys(), snapshot.collapsed_rows()), (4, 1));
    assert_eq!(composite_key(&[Some("R1")]), "R1");
}

#[test]
fn a_new_column_that_is_all_null_opens_no_version() {
    let stated_one = Some(Statement::observed(0b01_u64.into(), values(&["a", "-"])));
    let days = [(DAY_1, stated_one), (DAY_2, row(&["a", "-"]))];
    assert_eq!(history(&days, &tracking(2)), [version(DAY_1, None, &["a", "-"])]);
}

#[test]
fn there_and_back_again_is_three_versions() {
    let days = [(DAY_1, row(&["a"])), (DAY_2, row(&["b"])), (DAY_3, row(&["a"]))];
    let versions = history(&days, &tracking(1));
    assert_eq!(versions.len(), 3);
    assert_eq!(versions[0].values, versions[2].values);
    let (mut runs, _) = load(&days);
    assert!(forget(&mut runs, DAY_2, Some(DAY_1), Some(DAY_3)));
    assert_eq!(runs, [run(DAY_1, None, &["a"])]);
}

#[test]
fn a_missing_column_keeps_its_value_across_a_gap_and_null_does_not() {
    let unstated = Some(Statement::observed(0b01_u64.into(), values(&["a", "ignored"])));
    let days = [(DAY_1, row(&["a", "x"])), (DAY_2, None), (DAY_3, unstated), (40, row(&["a", "-"]))];
    let expected = [
        version(DAY_1, Some(DAY_2), &["a", "x"]),
        version(DAY_3, Some(40), &["a", "x"]),
        version(40, None, &["a", "-"]),
    ];
    assert_eq!(history(&days, &tracking(2)), expected);
}

#[test]
fn a_mention_keeps_open_what_is_open_and_closed_what_is_closed() {
    let mention = || Some(Statement::mentioned());
    let days = [(DAY_1, row(&["a"])), (DAY_2, mention()), (DAY_3, None), (40, mention())];
    assert_eq!(history(&days, &tracking(1)), [version(DAY_1, Some(DAY_3), &["a"])]);
    assert_eq!(history(&[(DAY_1, mention())], &tracking(1)), []);
    assert_eq!(history(&[(DAY_1, mention())], &Rules { type2: false, ..tracking(1) }), []);
}

#[test]
fn an_overwritten_column_shows_the_newest_statement_everywhere() {
    let rules = Rules { tracked: 0b01_u64.into(), overwritten: 0b10_u64.into(), ..tracking(2) };
    let days = [(DAY_3, row(&["b", "new"])), (DAY_1, row(&["a", "old"]))];
    assert_eq!(
        history(&days, &rules),
        [version(DAY_1, Some(DAY_3), &["a", "new"]), version(DAY_3, None, &["b", "new"])]
    );
}

#[test]
fn time_alone_flips_the_flag_at_the_next_loaded_day() {
    let active = Some(ActiveWindow { from_column: 1, to_column: 2, flag_column: 3 });
    let rules = Rules { columns: 4, tracked: 0b0001_u64.into(), active, ..tracking(4) };
    let said = || Some(Statement::observed(0b0111_u64.into(), values(&["a", "15", "30", "-"])));
    let mut days = vec![(DAY_1, said()), (DAY_2, said()), (DAY_3, said())];
    let show = |flag| ["a", "-", "-", flag];
    let expected = [
        version(DAY_1, Some(DAY_2), &show("false")),
        version(DAY_2, Some(DAY_3), &show("true")),
        version(DAY_3, None, &show("false")),
    ];
    assert_eq!(history(&days, &rules), expected);
    // A day that ignores the key is judged as well.
    days[1].1 = None;
    assert_eq!(history(&days, &Rules { absent: Absent::Ignore, ..rules }), expected);
}

#[test]
fn a_bound_that_is_no_number_is_a_clear_error() {
    let active = Some(ActiveWindow { from_column: 0, to_column: 1, flag_column: 2 });
    let rules = Rules { columns: 3, active, ..tracking(3) };
    let error = derive(&[run(DAY_1, None, &["soon", "-", "-"])], &[DAY_1], &rules).unwrap_err();
    assert_eq!(error.kind(), "internal");
    assert!(error.to_string().contains("'soon'"));
}

#[test]
fn a_log_tells_what_covers_a_day() {
    let runs = [run(DAY_1, Some(DAY_2), &["a"]), run(DAY_3, None, &["b"])];
    let said = |at| covering(&runs, at).and_then(|run| run.values[0].clone());
    assert_eq!([said(9), said(10), said(19), said(20), said(30)], [None, value("a"), value("a"), None, value("b")]);
}
