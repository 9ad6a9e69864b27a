//! Composite keys and the guard.

use proptest::prelude::*;

use crate::history::{Census, composite_key, guard};
use crate::model::Absent;

proptest! {
    #[test]
    fn different_parts_give_different_keys(
        left in prop::collection::vec(prop::option::of("[a|N\\\\E]{0,3}"), 0..4),
        right in prop::collection::vec(prop::option::of("[a|N\\\\E]{0,3}"), 0..4),
    ) {
        let encode = |parts: &[Option<String>]| composite_key(&parts.iter().map(Option::as_deref).collect::<Vec<_>>());
        prop_assert_eq!(left == right, encode(&left) == encode(&right));
    }
}

fn census(previous_keys: u64, vanished: u64, snapshot_rows: u64) -> Census<'static> {
    Census { previous_keys, vanished, vanished_keys: &["R1", "R2", "R3", "R4", "R5", "R6"], snapshot_rows }
}

#[test]
fn a_close_of_many_keys_is_refused_unless_allowed() {
    let lost = census(33, 10, 23);
    let error = guard(&lost, Absent::Close, false).unwrap_err();
    assert_eq!(error.kind(), "data");
    assert_eq!(
        error.to_string(),
        "10 of 33 keys (30.3 %) vanished since the loaded day before ('R1', 'R2', 'R3', 'R4', 'R5', ...), \
         at most 30 % may; if this is right, load it with allow_vanishing=True (--allow-vanishing)"
    );
    assert_eq!(error.detail().context["vanished_keys"], "10");
    guard(&lost, Absent::Close, true).unwrap();
    guard(&lost, Absent::Ignore, false).unwrap();
    // Exactly 30 % and fewer than ten keys may go.
    guard(&census(40, 12, 28), Absent::Close, false).unwrap();
    guard(&census(10, 9, 1), Absent::Close, false).unwrap();
}

#[test]
fn one_vanished_key_is_too_many_where_absence_is_an_error() {
    let error = guard(&census(100, 6, 94), Absent::Error, false).unwrap_err();
    assert!(error.to_string().contains("'R5', ...), expected every key (absent=error)"), "{error}");
    guard(&census(100, 0, 100), Absent::Error, false).unwrap();
    guard(&census(100, 6, 94), Absent::Error, true).unwrap();
}

#[test]
fn an_empty_extract_is_refused_where_absence_speaks() {
    for absent in [Absent::Close, Absent::Error] {
        let error = guard(&census(3, 3, 0), absent, false).unwrap_err();
        assert!(error.to_string().contains("the snapshot has no row"), "{error}");
        guard(&census(0, 0, 0), absent, false).unwrap_err();
        guard(&census(3, 3, 0), absent, true).unwrap();
    }
    guard(&census(3, 3, 0), Absent::Ignore, false).unwrap();
}
