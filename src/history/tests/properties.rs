//! Log and versions against the naive model, in every order.

use proptest::prelude::*;

use super::model::{Days, Step, rules, statement, step};
use crate::history::{Run, derive};

fn is_canonical(runs: &[Run]) -> bool {
    runs.iter().all(|run| run.to.is_none_or(|to| run.from < to))
        && runs.windows(2).all(|pair| match pair[0].to {
            Some(to) if to == pair[1].from => !pair[0].says(&pair[1].statement()),
            Some(to) => to < pair[1].from,
            None => false,
        })
}

/// All orders of `0..count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let insert = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    permutations(last).into_iter().flat_map(insert).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn loads_corrections_forgets_and_rewinds_match_the_naive_model(
        rules in rules(), steps in prop::collection::vec(step(), 1..14),
    ) {
        let (mut days, mut runs) = (Days::default(), Vec::new());
        for step in &steps {
            let before: Vec<Run> = runs.clone();
            let changed = days.take(step, &mut runs);
            prop_assert_eq!(changed, before != runs, "after {:?}", step);
            prop_assert!(is_canonical(&runs), "{:?}", runs);
            prop_assert_eq!(&runs, &days.log());
            prop_assert_eq!(derive(&runs, &days.loaded(), &rules).unwrap(), days.versions(&rules));
        }
    }

    #[test]
    fn repeating_a_step_changes_nothing(steps in prop::collection::vec(step(), 1..10)) {
        let (mut days, mut runs) = (Days::default(), Vec::new());
        for step in &steps {
            days.take(step, &mut runs);
            prop_assert!(!days.take(step, &mut runs));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_of_loading_gives_one_history(
        rules in rules(),
        contents in prop::collection::vec(statement(), 1..=5),
        mistake in statement(),
    ) {
        let in_order = Days(contents.iter().cloned().enumerate().map(|(day, said)| (day as i64 * 10, said)).collect());
        let expected = in_order.versions(&rules);
        for order in permutations(contents.len()) {
            let (mut days, mut runs) = (Days::default(), Vec::new());
            // The first day to come is wrong at first, and corrected last; a day that does not belong comes and goes.
            days.take(&Step::Load(order[0] as i64 * 10, mistake.clone()), &mut runs);
            days.take(&Step::Load(25, mistake.clone()), &mut runs);
            for &day in order[1..].iter().chain(&order) {
                days.take(&Step::Load(day as i64 * 10, contents[day].clone()), &mut runs);
            }
            days.take(&Step::Forget(25), &mut runs);
            prop_assert_eq!(&runs, &in_order.log(), "order {:?}", order);
            prop_assert_eq!(&derive(&runs, &days.loaded(), &rules).unwrap(), &expected);
        }
    }
}
