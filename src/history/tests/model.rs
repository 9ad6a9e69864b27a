//! A naive history: keeps every raw snapshot by day and judges each loaded day from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::history::{ActiveWindow, Instant, Presence, Rules, Run, Statement, Value, Version, assign, forget, rewind};
use crate::model::Absent;

/// Two tracked columns, an overwritten one, two bounds and a flag.
pub const COLUMNS: usize = 6;
const BOUNDS: [usize; 2] = [3, 4];
const FLAG: usize = 5;

/// What is done to a log.
#[derive(Clone, Debug)]
pub enum Step {
    Load(Instant, Option<Statement>),
    Forget(Instant),
    Rewind(Instant),
}

/// One key's statement by loaded day; `None`: the day was loaded and did not name the key.
#[derive(Clone, Debug, Default)]
pub struct Days(pub BTreeMap<Instant, Option<Statement>>);

impl Days {
    pub fn loaded(&self) -> Vec<Instant> {
        self.0.keys().copied().collect()
    }

    /// Does a step to the days and to a log beside them; tells what the log's operation told.
    pub fn take(&mut self, step: &Step, runs: &mut Vec<Run>) -> bool {
        match step {
            Step::Load(day, statement) => {
                self.0.insert(*day, statement.clone());
                assign(runs, *day, self.after(*day), statement.clone())
            }
            Step::Forget(day) => match self.0.remove(day) {
                Some(_) => forget(runs, *day, self.0.range(..day).next_back().map(|(day, _)| *day), self.after(*day)),
                None => false,
            },
            Step::Rewind(day) => {
                self.0.retain(|loaded, _| loaded <= day);
                rewind(runs, *day)
            }
        }
    }

    fn after(&self, day: Instant) -> Option<Instant> {
        self.0.range(day + 1..).next().map(|(day, _)| *day)
    }

    /// The log that loading the days once, in order, gives.
    pub fn log(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for (day, statement) in &self.0 {
            assign(&mut runs, *day, None, statement.clone());
        }
        runs
    }

    pub fn versions(&self, rules: &Rules) -> Vec<Version> {
        let loaded = self.loaded();
        let mut versions: Vec<Version> = Vec::new();
        if !rules.type2 {
            let last = loaded.last().copied().unwrap_or_default();
            let observed = self.observed(Instant::MAX).next().is_some();
            let values = (0..COLUMNS).map(|column| self.shown(column, last, rules)).collect();
            return observed.then_some(Version { from: None, to: None, values }).into_iter().collect();
        }
        for (index, &day) in loaded.iter().enumerate() {
            if !self.is_held(day, rules.absent) {
                continue;
            }
            let (from, to) = (Some(day), loaded.get(index + 1).copied());
            let values = (0..COLUMNS).map(|column| self.shown(column, day, rules)).collect();
            match versions.last_mut() {
                Some(last) if last.to == from && last.values == values => last.to = to,
                _ => versions.push(Version { from, to, values }),
            }
        }
        versions
    }

    /// Newest first, up to a day.
    fn observed(&self, up_to: Instant) -> impl Iterator<Item = &Statement> {
        let said = self.0.range(..=up_to).rev().filter_map(|(_, statement)| statement.as_ref());
        said.filter(|statement| statement.kind == Presence::Observed)
    }

    fn is_held(&self, day: Instant, absent: Absent) -> bool {
        if absent == Absent::Ignore {
            return self.observed(day).next().is_some();
        }
        let mut said = self.0.range(..=day).rev().map(|(_, statement)| statement.as_ref());
        let decisive = said.find(|said| said.is_none_or(|statement| statement.kind == Presence::Observed));
        decisive.flatten().is_some()
    }

    fn newest(&self, column: usize, up_to: Instant) -> Value {
        let statement = self.observed(up_to).find(|statement| statement.stated.holds(column))?;
        statement.values[column].clone()
    }

    fn shown(&self, column: usize, day: Instant, rules: &Rules) -> Value {
        if rules.active.is_some() && column == FLAG {
            let [from, to] = BOUNDS.map(|bound| self.newest(bound, day).map(|text| text.parse::<i64>().unwrap()));
            let inactive = from.is_some_and(|from| day < from) || to.is_some_and(|to| day >= to);
            return Some((!inactive).to_string().into());
        }
        match (rules.overwritten.holds(column), rules.tracked.holds(column)) {
            (true, _) => self.newest(column, Instant::MAX),
            (_, true) => self.newest(column, day),
            _ => None,
        }
    }
}

pub fn rules() -> impl Strategy<Value = Rules> {
    let absent = prop_oneof![Just(Absent::Close), Just(Absent::Ignore), Just(Absent::Error)];
    (absent, any::<bool>(), proptest::bool::weighted(0.8)).prop_map(|(absent, judged, type2)| {
        let active = judged.then_some(ActiveWindow { from_column: BOUNDS[0], to_column: BOUNDS[1], flag_column: FLAG });
        Rules { columns: COLUMNS, absent, tracked: 0b11_u64.into(), overwritten: 0b100_u64.into(), active, type2 }
    })
}

pub fn statement() -> impl Strategy<Value = Option<Statement>> {
    let text = || prop_oneof![Just(None), Just(Some("x")), Just(Some("y"))];
    let bound = || prop_oneof![3 => Just(None), 1 => Just(Some("10")), 1 => Just(Some("25")), 1 => Just(Some("40"))];
    let stated = prop_oneof![2 => Just(0b11111_u64), 1 => 0..32_u64];
    let observed = (stated, text(), text(), text(), bound(), bound()).prop_map(|(stated, a, b, c, from, to)| {
        let values = [a, b, c, from, to, None].map(|value| value.map(Into::into));
        Some(Statement::observed(stated.into(), values.into()))
    });
    prop_oneof![2 => Just(None), 1 => Just(Some(Statement::mentioned())), 6 => observed]
}

pub fn step() -> impl Strategy<Value = Step> {
    let day = || (0..7_i64).prop_map(|day| day * 10);
    prop_oneof![
        12 => (day(), statement()).prop_map(|(day, statement)| Step::Load(day, statement)),
        3 => day().prop_map(Step::Forget),
        1 => (-1..70_i64).prop_map(Step::Rewind),
    ]
}
