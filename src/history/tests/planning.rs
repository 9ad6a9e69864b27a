//! Writes and surviving keys, as-of answers.

use proptest::prelude::*;

use super::model::{Days, rules, step};
use super::{values, version};
use crate::history::{
    AsOfBuilder, EventRange, Hit, Instant, Misses, Plan, Stored, Values, Version, as_of, derive, plan,
};

fn stored(surrogate: i64, from: Instant, to: Option<Instant>, texts: &[&str]) -> Stored {
    Stored { surrogate, from: Some(from), to, values: values(texts), is_inferred: false }
}

fn inferred(surrogate: i64, columns: usize) -> Stored {
    Stored { surrogate, from: None, to: None, values: vec![None; columns].into(), is_inferred: true }
}

/// Writes a plan as a database would, in its order, and checks the constraints on the way.
fn write(rows: &mut Vec<Stored>, plan: &Plan, wanted: &[Version], newest: &mut i64) {
    for surrogate in &plan.deletes {
        rows.retain(|row| row.surrogate != *surrogate);
        check(rows);
    }
    if let Some(surrogate) = plan.to_inferred {
        let row = rows.iter_mut().find(|row| row.surrogate == surrogate).unwrap();
        *row = inferred(surrogate, row.values.len());
    }
    for update in &plan.updates {
        let row = rows.iter_mut().find(|row| row.surrogate == update.surrogate).unwrap();
        *row = row_of(&wanted[update.version], update.surrogate);
        check(rows);
    }
    for &index in &plan.inserts {
        *newest += 1;
        rows.push(row_of(&wanted[index], *newest));
        check(rows);
    }
    rows.sort_by_key(|row| row.from);
}

fn row_of(version: &Version, surrogate: i64) -> Stored {
    Stored { surrogate, from: version.from, to: version.to, values: version.values.clone(), is_inferred: false }
}

/// Unique starts, one open row.
fn check(rows: &[Stored]) {
    for (index, left) in rows.iter().enumerate() {
        for right in rows[index + 1..].iter().filter(|right| !right.is_inferred && !left.is_inferred) {
            assert_ne!(left.from, right.from);
            assert!(left.to.is_some() || right.to.is_some());
        }
    }
}

fn answer(rows: &[Stored], at: Instant) -> Option<(i64, Values)> {
    let row = rows.iter().rev().find(|row| row.from.is_none_or(|from| from <= at)).or(rows.first());
    row.map(|row| (row.surrogate, row.values.clone()))
}

fn is_within(ranges: &[EventRange], at: Instant) -> bool {
    ranges.iter().any(|(from, to)| from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to))
}

fn overlaps(row: &Stored, version: &Version) -> bool {
    row.is_inferred
        || row.to.is_none_or(|to| version.from < Some(to)) && version.to.is_none_or(|to| row.from < Some(to))
}

fn check_survivors(before: &[Stored], after: &[Stored], wanted: &[Version]) {
    for row in before {
        let Some(first) = wanted.iter().position(|version| overlaps(row, version)) else { continue };
        let owner = before.iter().find(|owner| owner.surrogate == after[first].surrogate);
        let owner = owner.expect("the leftmost piece of a row has a key that was there");
        assert!(owner.from <= row.from, "a join or split keeps the left key");
        if after[first].from == row.from && !row.is_inferred {
            assert_eq!(after[first].surrogate, row.surrogate);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_reach_the_wanted_rows_with_surviving_keys(
        rules in rules(), steps in prop::collection::vec((step(), any::<bool>()), 1..14),
    ) {
        let (mut days, mut runs, mut rows, mut newest) = (Days::default(), Vec::new(), Vec::new(), 0);
        for (step, referenced) in &steps {
            days.take(step, &mut runs);
            let wanted = derive(&runs, &days.loaded(), &rules).unwrap();
            let before = rows.clone();
            let writes = plan(&rows, &wanted, *referenced);
            write(&mut rows, &writes, &wanted, &mut newest);

            let untouched = before.iter().filter(|row| rows.contains(row)).count();
            prop_assert_eq!(before.len(), untouched + writes.deletes.len() + writes.updates.len()
                + usize::from(writes.to_inferred.is_some()));
            if wanted.is_empty() {
                let kept = before.first().filter(|_| *referenced).map(|row| row.surrogate);
                prop_assert_eq!(rows.iter().map(|row| row.surrogate).collect::<Vec<_>>(), Vec::from_iter(kept));
                prop_assert!(rows.iter().all(|row| row.is_inferred));
            } else {
                let reached: Vec<Version> = rows.iter()
                    .map(|row| Version { from: row.from, to: row.to, values: row.values.clone() }).collect();
                prop_assert_eq!(&reached, &wanted);
                check_survivors(&before, &rows, &wanted);
            }
            let again = plan(&rows, &wanted, *referenced);
            prop_assert!(again.is_empty() && again.changed.is_empty(), "{:?}", again);
            for at in -5..75 {
                let differs = !before.is_empty() && !rows.is_empty() && answer(&before, at) != answer(&rows, at);
                prop_assert_eq!(is_within(&writes.changed, at), differs, "at {} in {:?}", at, writes.changed);
            }
        }
    }

    #[test]
    fn the_index_answers_like_a_search_by_hand(
        keys in prop::collection::vec((any::<bool>(), prop::collection::btree_set(0..40_i64, 1..6), any::<bool>()), 1..6),
    ) {
        let mut builder = AsOfBuilder::default();
        let mut by_key = Vec::new();
        for (number, (known, bounds, open)) in keys.iter().enumerate() {
            let bounds: Vec<Instant> = bounds.iter().copied().collect();
            let mut versions: Vec<Version> = bounds.chunks(2)
                .map(|pair| version(pair[0], pair.get(1).copied(), &["x"])).collect();
            if let Some(last) = versions.last_mut() && *open { last.to = None; }
            if !*known { versions = vec![Version { from: None, to: None, values: values(&["-"]) }]; }
            for (index, version) in versions.iter().enumerate().rev() {
                builder.push(&format!("k{number}"), index as i64, version.from, version.to, !*known);
            }
            by_key.push((*known, versions));
        }
        let index = builder.finish();
        prop_assert_eq!(index.len(), keys.len());
        for (number, (known, versions)) in by_key.iter().enumerate() {
            let key = index.resolve(&format!("k{number}")).unwrap();
            for at in -2..45 {
                let latest = versions.iter().rposition(|version| version.from <= Some(at));
                let expected = match latest {
                    _ if !*known => (0, Hit::Inferred),
                    None => (0, Hit::BeforeFirst),
                    Some(place) if versions[place].to.is_none_or(|to| at < to) => (place, Hit::Exact),
                    Some(place) => (place, Hit::Gap),
                };
                prop_assert_eq!(index.lookup(key, at), (expected.0 as i64, expected.1));
                if *known { prop_assert_eq!(as_of(versions, at), Some(expected)); }
            }
        }
    }
}

#[test]
fn the_first_observation_takes_over_the_inferred_row() {
    let wanted = [version(10, None, &["a"])];
    let writes = plan(&[inferred(7, 1)], &wanted, true);
    assert_eq!(writes.updates.iter().map(|update| update.surrogate).collect::<Vec<_>>(), [7]);
    assert!(writes.inserts.is_empty() && writes.deletes.is_empty());
    assert_eq!(writes.changed, [(None, None)]);
}

#[test]
fn a_key_observed_no_more_stays_for_its_facts_only() {
    let rows = [stored(1, 10, Some(20), &["a"]), stored(2, 20, None, &["b"])];
    let kept = plan(&rows, &[], true);
    assert_eq!((kept.to_inferred, kept.deletes.as_slice()), (Some(1), [2].as_slice()));
    assert_eq!(kept.changed, [(None, None)]);
    let gone = plan(&rows, &[], false);
    assert_eq!((gone.to_inferred, gone.deletes.as_slice()), (None, [1, 2].as_slice()));
    assert!(plan(&[inferred(3, 1)], &[], true).is_empty());
    assert_eq!(plan(&[inferred(3, 1)], &[], false).deletes, [3]);
}

#[test]
fn a_split_keeps_the_left_key_and_changes_only_the_right() {
    let rows = [stored(1, 10, None, &["a"])];
    let wanted = [version(10, Some(20), &["a"]), version(20, Some(30), &["b"]), version(30, None, &["a"])];
    let writes = plan(&rows, &wanted, true);
    assert_eq!((writes.updates.len(), writes.inserts.as_slice()), (1, [1, 2].as_slice()));
    assert_eq!(writes.changed, [(Some(20), None)]);
}

#[test]
fn a_join_keeps_the_left_key() {
    let rows = [stored(1, 10, Some(20), &["a"]), stored(2, 20, Some(30), &["b"]), stored(3, 30, None, &["a"])];
    let writes = plan(&rows, &[version(10, None, &["a"])], true);
    assert_eq!(writes.updates.iter().map(|update| update.surrogate).collect::<Vec<_>>(), [1]);
    assert_eq!(
        (writes.deletes.as_slice(), writes.changed.as_slice()),
        ([2, 3].as_slice(), [(Some(20), None)].as_slice())
    );
}

#[test]
fn an_earlier_day_that_says_the_same_extends_the_row() {
    let writes = plan(&[stored(1, 20, None, &["a"])], &[version(10, None, &["a"])], true);
    assert_eq!(writes.updates.len(), 1);
    assert_eq!(writes.changed, []);
}

#[test]
fn a_new_key_changes_no_answer() {
    let writes = plan(&[], &[version(10, None, &["a"])], false);
    assert_eq!((writes.inserts.as_slice(), writes.changed.as_slice()), ([0].as_slice(), [].as_slice()));
}

#[test]
fn members_made_for_facts_join_the_index() {
    let mut builder = AsOfBuilder::default();
    builder.push("card", 1, None, None, false);
    let mut index = builder.finish();
    let wallet = index.insert("wallet", 2, true);
    assert_eq!(index.insert("wallet", 9, true), wallet);
    assert_eq!(index.insert("card", 9, true), index.resolve("card").unwrap());
    assert_eq!(index.lookup(wallet, 0), (2, Hit::Inferred));
    assert_eq!(index.lookup(index.resolve("card").unwrap(), Instant::MAX), (1, Hit::Exact));
    assert_eq!((index.len(), index.is_empty(), index.resolve("cash")), (2, false, None));
}

#[test]
fn misses_are_counted_by_kind() {
    let mut misses = Misses::default();
    [Hit::Gap, Hit::Exact, Hit::BeforeFirst, Hit::Inferred, Hit::Gap].into_iter().for_each(|hit| misses.count(hit));
    misses.add(Misses { before_first: 1, gap: 0 });
    assert_eq!((misses, misses.total()), (Misses { before_first: 2, gap: 2 }, 4));
}
