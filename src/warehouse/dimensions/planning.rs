//! From what is known of each affected key to the rows of the sheet, a bounded number of keys at a time.

use chrono::NaiveDate;

use super::load::{Days, Work};
use super::sheet::{Counts, Entry, Op, Sheet, TABLE};
use crate::error::{Error, Result};
use crate::history::{Plan, Presence, Rules, Run, Statement, Stored, Values, Version, assign, derive, plan};
use crate::model::{Absent, Zone};
use crate::postgres::get;
use crate::warehouse::rekey;

/// Rows of known history that are in memory at once.
const FETCH_ROWS: usize = 20_000;

impl Work<'_> {
    /// Fills the sheet of changes and counts them.
    pub(super) async fn plan_affected(&self, days: &Days, old_absent: Absent) -> Result<Counts> {
        let planner = Planner {
            zone: self.warehouse.zone,
            width: self.shape.width(),
            declared: self.shape.declared().len(),
            at: self.dt,
            next: days.later(self.dt),
            old_days: starts(self.warehouse.zone, &days.old),
            new_days: starts(self.warehouse.zone, &days.new),
            old_rules: self.shape.rules(old_absent),
            new_rules: self.shape.rules(self.absent),
        };
        self.session.run(&format!("DECLARE affected_keys NO SCROLL CURSOR FOR {}", self.stream_sql())).await?;
        let mut sheet = Sheet::new();
        let mut pending: Vec<tokio_postgres::Row> = Vec::new();
        loop {
            self.warehouse.cancel.check()?;
            let fetched = self.session.rows(&format!("FETCH {FETCH_ROWS} FROM affected_keys"), &[]).await?;
            let is_last = fetched.len() < FETCH_ROWS;
            pending.extend(fetched);
            // The last key of a fetch may go on in the next one.
            let mut keys = gather(&pending, &planner)?;
            let held = if is_last { None } else { keys.pop() };
            let held_rows = held.map_or(0, |k| k.rows);
            let kept = pending.split_off(pending.len() - held_rows);
            self.plan_keys(keys, &planner, &mut sheet).await?;
            sheet.send(self.session, &self.warehouse.cancel).await?;
            pending = kept;
            if is_last {
                let counts = sheet.counts();
                let end = if counts.is_empty() { String::new() } else { format!("; ANALYZE {TABLE}") };
                self.session.run(&format!("CLOSE affected_keys{end}")).await?;
                return Ok(counts);
            }
        }
    }

    async fn plan_keys(&self, keys: Vec<Keyed>, planner: &Planner, sheet: &mut Sheet) -> Result<()> {
        let mut derived = Vec::with_capacity(keys.len());
        for mut key in keys {
            let old = derive(&key.runs, &planner.old_days, &planner.old_rules)?;
            fill_values(&mut key.stored, &old);
            let before = key.runs.clone();
            let statement = key.statement.take();
            assign(&mut key.runs, planner.start(planner.at), planner.next.map(|n| planner.start(n)), statement);
            let wanted = derive(&key.runs, &planner.new_days, &planner.new_rules)?;
            derived.push((key, before, wanted));
        }
        let left: Vec<String> = derived
            .iter()
            .filter(|(key, _, wanted)| wanted.is_empty() && !key.stored.is_empty())
            .map(|(key, ..)| key.key.clone())
            .collect();
        let member = self.shape.dimension.member;
        let referenced =
            if left.is_empty() { Vec::new() } else { rekey::referenced(self.session, member, &left).await? };
        for (key, before, wanted) in &derived {
            let plan = plan(&key.stored, wanted, referenced.contains(&key.key));
            write_log(sheet, planner, &key.key, before, &key.runs);
            write_plan(sheet, key, &plan, wanted);
        }
        Ok(())
    }

    /// Everything known of each affected key, key by key: its statement (0), its runs (1), its rows (2).
    fn stream_sql(&self) -> String {
        let dimension = self.shape.dimension;
        let micros = |column: &str| format!("(extract(epoch FROM m.{column}) * 1000000)::bigint");
        let (from, to) = dimension.interval.map_or_else(
            || ("NULL::bigint".to_owned(), "NULL::bigint".to_owned()),
            |(from, to)| (micros(from), micros(to)),
        );
        format!(
            "SELECT key, 0 AS part, is_mention, stated, said, NULL::date AS from_dt, NULL::date AS to_dt, \
               NULL::bigint AS sk, NULL::bigint AS at_from, NULL::bigint AS at_to, NULL::boolean AS is_inferred \
             FROM {TABLE} JOIN pg_temp.affected USING (key) WHERE op = 'snapshot' \
             UNION ALL SELECT key, 1, is_mention, stated::text, said, from_dt, to_dt, NULL, NULL, NULL, NULL \
             FROM {log} JOIN pg_temp.affected USING (key) \
             UNION ALL SELECT m.{key}, 2, NULL, NULL, NULL, NULL, NULL, m.{sk}, {from}, {to}, m.is_inferred \
             FROM {table} m JOIN pg_temp.affected a ON a.key = m.{key} ORDER BY key, part, from_dt, at_from",
            log = self.shape.log(),
            key = dimension.dataset.key(),
            sk = dimension.surrogate,
            table = dimension.table,
        )
    }
}

/// What working out one key's versions needs besides the key.
struct Planner {
    zone: Zone,
    width: usize,
    declared: usize,
    at: NaiveDate,
    next: Option<NaiveDate>,
    old_days: Vec<i64>,
    new_days: Vec<i64>,
    old_rules: Rules,
    new_rules: Rules,
}

impl Planner {
    fn start(&self, day: NaiveDate) -> i64 {
        self.zone.day_start_micros(day)
    }

    /// The service day that starts at an instant.
    fn day(&self, start: i64) -> NaiveDate {
        self.zone.local_date(start)
    }

    fn values(&self, said: Vec<Option<String>>) -> Values {
        let mut values: Vec<_> = said.into_iter().map(|v| v.map(String::into_boxed_str)).collect();
        values.resize(self.width, None);
        values.into_boxed_slice()
    }
}

fn starts(zone: Zone, days: &[NaiveDate]) -> Vec<i64> {
    days.iter().map(|&day| zone.day_start_micros(day)).collect()
}

/// One affected key with everything known of it.
struct Keyed {
    key: String,
    rows: usize,
    statement: Option<Statement>,
    runs: Vec<Run>,
    stored: Vec<Stored>,
}

fn gather(rows: &[tokio_postgres::Row], planner: &Planner) -> Result<Vec<Keyed>> {
    let mut keys: Vec<Keyed> = Vec::new();
    for row in rows {
        let key: &str = get(row, 0)?;
        if keys.last().is_none_or(|last| last.key != key) {
            let key = key.to_owned();
            keys.push(Keyed { key, rows: 0, statement: None, runs: Vec::new(), stored: Vec::new() });
        }
        let Some(last) = keys.last_mut() else { continue };
        last.rows += 1;
        match get::<i32>(row, 1)? {
            0 => last.statement = Some(statement(row, planner)?),
            1 => {
                let from: NaiveDate = get(row, 5)?;
                let to: Option<NaiveDate> = get(row, 6)?;
                let (from, to) = (planner.start(from), to.map(|to| planner.start(to)));
                last.runs.push(Run::new(from, to, statement(row, planner)?));
            }
            _ => last.stored.push(Stored {
                surrogate: get(row, 7)?,
                from: get(row, 8)?,
                to: get(row, 9)?,
                values: Values::default(),
                is_inferred: get(row, 10)?,
            }),
        }
    }
    Ok(keys)
}

fn statement(row: &tokio_postgres::Row, planner: &Planner) -> Result<Statement> {
    if get::<bool>(row, 2)? {
        return Ok(Statement::mentioned());
    }
    let stated = get::<&str>(row, 3)?.parse()?;
    let said: Vec<Option<String>> = get(row, 4)?;
    if said.len() > planner.declared {
        return Err(Error::internal(format!("{} values are kept, {} are declared", said.len(), planner.declared)));
    }
    Ok(Statement::observed(stated, planner.values(said)))
}

/// The dimension's rows show what the log derives, so their values need not be read back and compared as SQL types.
fn fill_values(stored: &mut [Stored], old: &[Version]) {
    for row in stored.iter_mut().filter(|row| !row.is_inferred) {
        if let Some(version) = old.iter().find(|v| v.from == row.from && v.to == row.to) {
            row.values = version.values.clone();
        }
    }
}

fn write_log(sheet: &mut Sheet, planner: &Planner, key: &str, before: &[Run], after: &[Run]) {
    for run in before.iter().filter(|run| !after.iter().any(|a| a.from == run.from)) {
        sheet.push(Op::LogGone, &Entry { key, from_dt: Some(planner.day(run.from)), ..Entry::default() });
    }
    for run in after.iter().filter(|run| !before.contains(run)) {
        let values: Values = run.values.iter().take(planner.declared).cloned().collect();
        sheet.push(
            Op::LogPut,
            &Entry {
                key,
                from_dt: Some(planner.day(run.from)),
                to_dt: run.to.map(|to| planner.day(to)),
                is_mention: run.kind == Presence::Mentioned,
                stated: Some(&run.stated),
                values: Some(&values),
                ..Entry::default()
            },
        );
    }
}

fn write_plan(sheet: &mut Sheet, known: &Keyed, plan: &Plan, wanted: &[Version]) {
    let key = known.key.as_str();
    for &surrogate in &plan.deletes {
        sheet.push(Op::Delete, &Entry { key, surrogate: Some(surrogate), ..Entry::default() });
    }
    if plan.to_inferred.is_some() {
        sheet.push(Op::Infer, &Entry { key, surrogate: plan.to_inferred, ..Entry::default() });
    }
    let shows = |surrogate: i64, version: &Version| {
        known.stored.iter().any(|row| row.surrogate == surrogate && !row.is_inferred && row.values == version.values)
    };
    let updates = plan.updates.iter().map(|u| {
        let op = if shows(u.surrogate, &wanted[u.version]) { Op::Move } else { Op::Update };
        (op, Some(u.surrogate), u.version)
    });
    let inserts = plan.inserts.iter().map(|&version| (Op::Insert, None, version));
    for (op, surrogate, version) in updates.chain(inserts) {
        let version = &wanted[version];
        let values = Some(&version.values).filter(|_| op != Op::Move);
        sheet.push(op, &Entry { key, surrogate, from: version.from, to: version.to, values, ..Entry::default() });
    }
    for &(from, to) in &plan.changed {
        sheet.push(Op::Changed, &Entry { key, from, to, ..Entry::default() });
    }
}

/// Days are dates in the log; this is what their starts must survive.
#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_days_start_gives_the_day_back() {
        for name in ["UTC", "America/Chicago", "America/Santiago", "America/Havana", "Asia/Kathmandu"] {
            let zone = Zone(name.parse().unwrap());
            for offset in 0..1_000 {
                let day = DateTime::UNIX_EPOCH.date_naive() + chrono::Days::new(19_000 + offset);
                assert_eq!(zone.local_date(zone.day_start_micros(day)), day, "{name}");
            }
        }
    }
}
