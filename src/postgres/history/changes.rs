//! What of one key comes into the sheet: the difference of its versions, and of its log.

use super::sheet::{Entry, Op};
use super::table::Log;
use crate::history::{Plan, Presence, Run, Stored, Version};

/// The versions that come, go or change. Where rows are shown, a changed one is sent whole.
pub(super) fn of_versions<'a>(
    key: i32,
    stored: &[Stored],
    plan: &Plan,
    wanted: &'a [Version],
    is_shown: bool,
    put: &mut dyn FnMut(Entry<'a>),
) {
    for &id in &plan.deletes {
        put(Entry { id: Some(id), ..Entry::new(Op::Delete, key) });
    }
    if plan.to_inferred.is_some() {
        put(Entry { id: plan.to_inferred, ..Entry::new(Op::Infer, key) });
    }
    let mut version = |op: Op, id: Option<i64>, version: &'a Version| {
        let values = match op {
            Op::Update | Op::Insert => Some(&version.values),
            Op::Delete | Op::Close | Op::Open | Op::Forget | Op::End | Op::Say | Op::Infer | Op::Changed => None,
        };
        put(Entry { id, from: version.from, to: version.to, values, ..Entry::new(op, key) });
    };
    for update in &plan.updates {
        let want = &wanted[update.version];
        // What shows these values already needs only its bounds.
        let shows = |row: &&Stored| row.surrogate == update.surrogate && !row.is_inferred && row.values == want.values;
        let op = match stored.iter().find(shows) {
            Some(_) if is_shown => Op::Update,
            Some(_) if want.to.is_some() => Op::Close,
            Some(_) => Op::Open,
            None => Op::Update,
        };
        version(op, Some(update.surrogate), want);
    }
    for &insert in &plan.inserts {
        version(Op::Insert, None, &wanted[insert]);
    }
}

/// The rows of the log that go, end elsewhere or come; how many.
pub(super) fn of_log<'a>(
    key: i32,
    log: &Log,
    said: &[(Option<i64>, Run)],
    kept: &'a [Run],
    put: &mut dyn FnMut(Entry<'a>),
) -> u64 {
    let mut rows = 0;
    let mut put = |entry| {
        rows += 1;
        put(entry);
    };
    let goes_on = |run: &Run, other: &Run| run.from == other.from && run.says(&other.statement());
    for (id, run) in said.iter().filter(|(_, run)| !kept.contains(run)) {
        let (id, from) = (*id, Some(log.kept(run.from)));
        match kept.iter().find(|other| goes_on(run, other)) {
            Some(other) => put(Entry { id, from, to: other.to.map(|to| log.kept(to)), ..Entry::new(Op::End, key) }),
            None => put(Entry { id, from, ..Entry::new(Op::Forget, key) }),
        }
    }
    for run in kept.iter().filter(|run| !said.iter().any(|(_, known)| known == *run || goes_on(known, run))) {
        let (to, stated) = match run.kind {
            Presence::Observed => (run.to, Some(&run.stated)),
            Presence::Mentioned => (run.to, None),
            Presence::Gone => (Some(run.from), Some(&run.stated)),
        };
        let (from, to) = (Some(log.kept(run.from)), to.map(|to| log.kept(to)));
        put(Entry { from, to, stated, values: Some(&run.values), ..Entry::new(Op::Say, key) });
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::table::LogForm;
    use super::*;
    use crate::history::{Columns, Statement, Update, Values, plan};

    const DAY: i64 = 86_400_000_000;

    fn values(text: u8) -> Values {
        [Some(text.to_string().into())].into()
    }

    /// Runs, one after the other, from how long each is, whether a gap follows, and what it says (0: a mention).
    fn runs(parts: &[(i64, bool, u8)]) -> Vec<Run> {
        let mut at = 0;
        let run = |(days, has_gap, says): &(i64, bool, u8)| {
            let statement = match says {
                0 => Statement::mentioned(),
                says => Statement::observed(Columns::first(1), values(*says)),
            };
            let run = Run::new(at * DAY, Some((at + days) * DAY), statement);
            at += days + i64::from(*has_gap);
            run
        };
        parts.iter().map(run).collect()
    }

    /// A row of the log: its end, and what it says.
    type Row = (Option<i64>, Option<Values>);

    fn row(run: &Run) -> Row {
        (run.to, (run.kind == Presence::Observed).then(|| run.values.clone()))
    }

    proptest! {
        #[test]
        fn the_rows_of_the_sheet_turn_one_log_into_the_other(
            said in prop::collection::vec((1..4_i64, any::<bool>(), 0..3_u8), 0..6),
            kept in prop::collection::vec((1..4_i64, any::<bool>(), 0..3_u8), 0..6),
        ) {
            let (said, kept) = (runs(&said), runs(&kept));
            let log = Log { name: "said".into(), form: LogForm::Instants };
            let known: Vec<_> = said.iter().cloned().map(|run| (None, run)).collect();
            let mut table: BTreeMap<i64, Row> = said.iter().map(|run| (run.from, row(run))).collect();
            let mut entries = Vec::new();
            let count = of_log(7, &log, &known, &kept, &mut |entry| entries.push(entry));
            prop_assert_eq!(count as usize, entries.len());
            // In the order in which they are written.
            for op in [Op::Forget, Op::End, Op::Say] {
                for entry in entries.iter().filter(|entry| entry.op == op) {
                    let from = entry.from.unwrap();
                    if op == Op::Forget {
                        prop_assert!(table.remove(&from).is_some());
                    } else if op == Op::End {
                        table.get_mut(&from).unwrap().0 = entry.to;
                    } else {
                        let says = entry.stated.and(entry.values.cloned());
                        prop_assert!(table.insert(from, (entry.to, says)).is_none(), "a second row at {}", from);
                    }
                }
            }
            prop_assert_eq!(table, kept.iter().map(|run| (run.from, row(run))).collect::<BTreeMap<_, _>>());
        }
    }

    #[test]
    fn a_run_that_only_ends_elsewhere_sends_no_values() {
        let log = Log { name: "said".into(), form: LogForm::Instants };
        let (known, kept) = ([(Some(3), runs(&[(1, false, 1)]).remove(0))], runs(&[(2, false, 1)]));
        let mut entries = Vec::new();
        of_log(7, &log, &known, &kept, &mut |entry| {
            entries.push((entry.op, entry.id, entry.to, entry.values.is_some()))
        });
        assert_eq!(entries, [(Op::End, Some(3), Some(2 * DAY), false)]);
    }

    #[test]
    fn a_version_sends_its_values_only_where_they_change() {
        let stored = |surrogate, from, to, text, is_inferred| Stored {
            surrogate,
            from: Some(from * DAY),
            to,
            values: values(text),
            is_inferred,
        };
        let version = |from, to: Option<i64>, text| Version {
            from: Some(from * DAY),
            to: to.map(|to| to * DAY),
            values: values(text),
        };
        let ops = |stored: &[Stored], wanted: &[Version], is_shown| {
            let mut ops = Vec::new();
            let plan = plan(stored, wanted, false);
            of_versions(7, stored, &plan, wanted, is_shown, &mut |entry| {
                ops.push((entry.op, entry.id, entry.values.is_some()));
            });
            ops
        };
        let open = [stored(1, 0, None, 1, false)];
        let closed = [version(0, Some(1), 1), version(1, None, 2)];
        assert_eq!(ops(&open, &closed, false), [(Op::Close, Some(1), false), (Op::Insert, None, true)]);
        assert_eq!(ops(&open, &closed, true), [(Op::Update, Some(1), true), (Op::Insert, None, true)]);
        assert_eq!(ops(&open, &[version(0, None, 2)], false), [(Op::Update, Some(1), true)]);
        let reopened = [stored(1, 0, Some(DAY), 1, false)];
        assert_eq!(ops(&reopened, &[version(0, None, 1)], false), [(Op::Open, Some(1), false)]);
        // What was inferred shows nothing yet, whatever it holds.
        assert_eq!(ops(&[stored(1, 0, None, 1, true)], &[version(0, None, 1)], false), [(Op::Update, Some(1), true)]);
        let referred =
            Plan { to_inferred: Some(1), deletes: vec![2], updates: Vec::<Update>::new(), ..Plan::default() };
        let mut found = Vec::new();
        of_versions(7, &open, &referred, &[], false, &mut |entry| found.push((entry.op, entry.id)));
        assert_eq!(found, [(Op::Delete, Some(2)), (Op::Infer, Some(1))]);
    }
}
