//! Loading one day's snapshot of one dimension, or taking a day out.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::super::client::{Session, get};
use super::super::ledger::{self, Line};
use super::super::lock::Lock;
use super::super::rekey;
use super::super::schema;
use super::super::warehouse::Warehouse;
use super::Shape;
use super::apply::{self, Written};
use super::sheet::{self, Entry, Op, Sheet, TABLE};
use crate::error::{Error, Result};
use crate::history::{
    Census, Plan, Presence, Rules, Run, Snapshot, Statement, Stored, Values, Version, assign, derive, guard, plan,
};
use crate::model::{Absent, Dimension, Member, Zone};

/// Rows of the stream of affected keys that are in memory at once.
const FETCH_ROWS: usize = 20_000;

/// One day's snapshot, judged and collapsed.
pub struct DimensionLoad {
    /// Which dimension.
    pub dimension: Dimension,
    /// The raw day.
    pub dt: NaiveDate,
    /// What each file brings; none takes the day out.
    pub lines: Vec<Line>,
    /// The statements.
    pub snapshot: Snapshot,
}

/// What a dimension load did.
#[derive(Debug, Default)]
pub struct DimensionLoaded {
    /// The ledger lines as published.
    pub lines: Vec<Line>,
    /// Whether the snapshot had no row.
    pub is_empty: bool,
    /// Rows inserted into, changed in and deleted from the dimension.
    pub written: Written,
    /// Facts whose key changed, by table.
    pub rekeyed: BTreeMap<&'static str, u64>,
}

impl Warehouse {
    /// The ledger lines of a dimension's day, when exactly these files are loaded under these settings.
    pub async fn unchanged_dimension(
        &self,
        dimension: &Dimension,
        dt: NaiveDate,
        parts: &[ledger::Part],
    ) -> Result<Option<Vec<Line>>> {
        let session = self.session().await?;
        let fingerprint = self.dimension_fingerprint(dimension);
        let lines = ledger::unchanged(&session, dimension.table, dt, parts, &fingerprint).await?;
        session.release().await;
        Ok(lines)
    }

    pub(in crate::postgres) fn dimension_fingerprint(&self, dimension: &Dimension) -> String {
        self.fingerprint(&[absent_name(self.settings.absent(dimension.dataset))])
    }

    /// Loads, corrects or (without files) takes out one day's snapshot.
    pub async fn load_dimension(&self, load: DimensionLoad) -> Result<DimensionLoaded> {
        let session = self.locked(&[Lock::Dimensions, Lock::Facts]).await?;
        self.progress.begin(&format!("load {}", load.dimension.table), load.snapshot.rows());
        let absent = self.settings.absent(load.dimension.dataset);
        let work = Work {
            warehouse: self,
            session: &session,
            shape: Shape { dimension: load.dimension },
            dt: load.dt,
            absent,
            leaving: None,
        };
        let loaded = work.publish(load).await;
        session.end(loaded.is_ok(), "ROLLBACK").await;
        loaded
    }
}

/// Takes a day's snapshot out, inside the caller's transaction; facts of that day are left alone, for they leave too.
pub(in crate::postgres) async fn take_out(
    warehouse: &Warehouse,
    session: &Session,
    dimension: Dimension,
    dt: NaiveDate,
) -> Result<DimensionLoaded> {
    let absent = warehouse.settings.absent(dimension.dataset);
    let work = Work { warehouse, session, shape: Shape { dimension }, dt, absent, leaving: Some(dt) };
    let snapshot = Snapshot::new(&[])?;
    work.assign_day(DimensionLoad { dimension, dt, lines: Vec::new(), snapshot }).await
}

fn absent_name(absent: Absent) -> &'static str {
    match absent {
        Absent::Close => "close",
        Absent::Ignore => "ignore",
        Absent::Error => "error",
    }
}

struct Work<'a> {
    warehouse: &'a Warehouse,
    session: &'a Session,
    shape: Shape,
    dt: NaiveDate,
    absent: Absent,
    /// A day whose facts leave in the same transaction: they need no new keys.
    leaving: Option<NaiveDate>,
}

/// The loaded days of a dimension before and after this load.
struct Days {
    old: Vec<NaiveDate>,
    new: Vec<NaiveDate>,
}

impl Days {
    fn earlier(&self, dt: NaiveDate) -> Option<NaiveDate> {
        self.new.iter().copied().rfind(|&day| day < dt)
    }

    fn later(&self, dt: NaiveDate) -> Option<NaiveDate> {
        self.new.iter().copied().find(|&day| day > dt)
    }
}

impl Work<'_> {
    async fn publish(&self, load: DimensionLoad) -> Result<DimensionLoaded> {
        self.session.run("BEGIN").await?;
        let loaded = self.assign_day(load).await?;
        self.session.run("COMMIT").await?;
        Ok(loaded)
    }

    /// Everything between BEGIN and COMMIT.
    async fn assign_day(&self, load: DimensionLoad) -> Result<DimensionLoaded> {
        let (session, dimension) = (self.session, self.shape.dimension);
        session.run("SET CONSTRAINTS ALL DEFERRED").await?;
        session.run(sheet::CREATE).await?;
        let days = self.days(load.lines.is_empty()).await?;
        if load.lines.is_empty() {
            self.copy_earlier(days.earlier(self.dt)).await?;
        } else {
            self.send_snapshot(&load.snapshot).await?;
            self.guard(&load.snapshot, days.earlier(self.dt)).await?;
        }
        let old_absent = self.remember_absent().await?;
        self.find_affected(&days, old_absent != self.absent).await?;
        let (mut written, mut rekeyed) = (Written::default(), BTreeMap::new());
        if self.plan_affected(&days, old_absent).await? {
            written = apply::apply(session, &self.shape, &Warehouse::load_id(self.dt)).await?;
            rekeyed = self.follow(dimension.member()).await?;
        }
        schema::fix_zone(session, &self.warehouse.settings.time_zone).await?;
        let fingerprint = self.warehouse.dimension_fingerprint(&dimension);
        let run_id = &self.warehouse.run_id;
        ledger::write(session, dimension.table, self.dt, &load.lines, &fingerprint, run_id).await?;
        let is_empty = !load.lines.is_empty() && load.snapshot.rows() == 0;
        Ok(DimensionLoaded { lines: load.lines, is_empty, written, rekeyed })
    }

    async fn days(&self, leaving: bool) -> Result<Days> {
        let sql = "SELECT DISTINCT dt FROM dwh.load_ledger WHERE target = $1 ORDER BY dt";
        let rows = self.session.rows(sql, &[&self.shape.dimension.table]).await?;
        let old = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<NaiveDate>>>()?;
        let mut new: Vec<NaiveDate> = old.iter().copied().filter(|&day| day != self.dt).collect();
        if !leaving {
            new.push(self.dt);
            new.sort_unstable();
        }
        Ok(Days { old, new })
    }

    async fn send_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let mut sheet = Sheet::new();
        for (key, statement) in snapshot.iter() {
            let is_mention = statement.kind == Presence::Mentioned;
            let values = Some(&statement.values).filter(|_| !is_mention);
            sheet.push(Op::Snapshot, &Entry { key, is_mention, stated: statement.stated, values, ..Entry::default() });
            if sheet.rows() >= FETCH_ROWS {
                sheet.send(self.session, &self.warehouse.cancel).await?;
                self.warehouse.progress.add(FETCH_ROWS as u64);
            }
        }
        sheet.send(self.session, &self.warehouse.cancel).await?;
        self.session.run(&format!("UPDATE {TABLE} SET said = '{{}}' WHERE said IS NULL; ANALYZE {TABLE}")).await
    }

    /// A day taken out says what the loaded day before it said.
    async fn copy_earlier(&self, earlier: Option<NaiveDate>) -> Result<()> {
        let Some(earlier) = earlier else { return Ok(()) };
        self.session
            .run(&format!(
                "INSERT INTO {TABLE} (op, key, is_mention, stated, said) \
                 SELECT 'snapshot', key, is_mention, stated, said FROM {log} \
                 WHERE from_dt <= '{earlier}' AND (to_dt IS NULL OR to_dt > '{earlier}'); ANALYZE {TABLE}",
                log = self.shape.log()
            ))
            .await
    }

    async fn guard(&self, snapshot: &Snapshot, earlier: Option<NaiveDate>) -> Result<()> {
        let mut census = Census { previous_keys: 0, vanished: 0, vanished_keys: &[], snapshot_rows: snapshot.rows() };
        let mut names: Vec<String> = Vec::new();
        if let (Some(earlier), true) = (earlier, self.absent != Absent::Ignore) {
            let sql = format!(
                "SELECT count(*), count(*) FILTER (WHERE s.key IS NULL), \
                 (array_agg(l.key ORDER BY l.key) FILTER (WHERE s.key IS NULL))[1:5] \
                 FROM {log} l LEFT JOIN {TABLE} s ON s.key = l.key AND s.op = 'snapshot' \
                 WHERE NOT l.is_mention AND l.from_dt <= $1 AND (l.to_dt IS NULL OR l.to_dt > $1)",
                log = self.shape.log()
            );
            let row = self.session.row(&sql, &[&earlier]).await?;
            census.previous_keys = get::<i64>(&row, 0)?.unsigned_abs();
            census.vanished = get::<i64>(&row, 1)?.unsigned_abs();
            names = get::<Option<Vec<String>>>(&row, 2)?.unwrap_or_default();
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        census.vanished_keys = &names;
        guard(&census, self.absent, self.warehouse.settings.allow_vanishing)
            .map_err(|e| e.with("table", self.shape.dimension.table).with("dt", self.dt))
    }

    /// The meaning of absence that the stored history was made with; remembers today's.
    async fn remember_absent(&self) -> Result<Absent> {
        let name = format!("absent {}", self.shape.dimension.table);
        let rows = self.session.rows("SELECT value FROM dwh.deployment WHERE name = $1", &[&name]).await?;
        let today = absent_name(self.absent);
        let sql = "INSERT INTO dwh.deployment (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.session.touch(sql, &[&name, &today]).await?;
        Ok(match rows.first().map(|row| get::<String>(row, 0)).transpose()?.as_deref() {
            Some("close") => Absent::Close,
            Some("ignore") => Absent::Ignore,
            Some("error") => Absent::Error,
            _ => self.absent,
        })
    }

    /// The keys of which this day says something new, and those that a new loaded day may touch by itself.
    async fn find_affected(&self, days: &Days, all: bool) -> Result<()> {
        let (log, dt) = (self.shape.log(), self.dt);
        let mut sql = format!(
            "CREATE TEMP TABLE affected ON COMMIT DROP AS SELECT key FROM \
               (SELECT key, is_mention, stated, said FROM {TABLE} WHERE op = 'snapshot') s \
             FULL JOIN (SELECT key, is_mention, stated, said FROM {log} \
               WHERE from_dt <= '{dt}' AND (to_dt IS NULL OR to_dt > '{dt}')) l USING (key) \
             WHERE s.stated IS NULL OR l.stated IS NULL OR s.is_mention <> l.is_mention OR s.stated <> l.stated \
               OR s.said IS DISTINCT FROM l.said"
        );
        if all {
            sql.push_str(&format!(" UNION SELECT key FROM {log}"));
        } else if let Some(may_flip) = self.shape.may_flip().filter(|_| days.old != days.new) {
            sql.push_str(&format!(" UNION SELECT key FROM {log} WHERE {may_flip}"));
        }
        self.session.run(&format!("{sql}; ANALYZE pg_temp.affected")).await
    }

    /// Fills the sheet of changes; tells whether there are any.
    async fn plan_affected(&self, days: &Days, old_absent: Absent) -> Result<bool> {
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
        let mut changes = false;
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
            changes |= sheet.rows() > 0;
            sheet.send(self.session, &self.warehouse.cancel).await?;
            pending = kept;
            if is_last {
                let end = if changes { format!("; ANALYZE {TABLE}") } else { String::new() };
                self.session.run(&format!("CLOSE affected_keys{end}")).await?;
                return Ok(changes);
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
        let member = self.shape.dimension.member();
        let referenced =
            if left.is_empty() { Vec::new() } else { rekey::referenced(self.session, member, &left).await? };
        for (key, before, wanted) in &derived {
            let plan = plan(&key.stored, wanted, referenced.contains(&key.key));
            write_log(sheet, planner, &key.key, before, &key.runs);
            write_plan(sheet, &key.key, &plan, wanted);
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
             UNION ALL SELECT key, 1, is_mention, stated, said, from_dt, to_dt, NULL, NULL, NULL, NULL \
             FROM {log} JOIN pg_temp.affected USING (key) \
             UNION ALL SELECT m.{key}, 2, NULL, NULL, NULL, NULL, NULL, m.{sk}, {from}, {to}, m.is_inferred \
             FROM {table} m JOIN pg_temp.affected a ON a.key = m.{key} ORDER BY key, part, from_dt, at_from",
            log = self.shape.log(),
            key = dimension.dataset.key(),
            sk = dimension.surrogate,
            table = dimension.table,
        )
    }

    /// Facts follow changed answers; hours of renamed routes become dirty.
    async fn follow(&self, member: Member) -> Result<BTreeMap<&'static str, u64>> {
        if self.shape.dimension.interval.is_none() {
            return Ok(BTreeMap::new());
        }
        let moved = rekey::rekey(self.session, member, self.leaving).await?;
        if member == Member::Route {
            let zone = &self.warehouse.settings.time_zone;
            let reason = format!("{} {}", self.shape.dimension.table, self.dt);
            rekey::dirty_routes(self.session, zone, &reason, &self.warehouse.run_id).await?;
        }
        Ok(moved)
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
    let stated = get::<i64>(row, 3)?.cast_unsigned();
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
                stated: run.stated,
                values: Some(&values),
                ..Entry::default()
            },
        );
    }
}

fn write_plan(sheet: &mut Sheet, key: &str, plan: &Plan, wanted: &[Version]) {
    for &surrogate in &plan.deletes {
        sheet.push(Op::Delete, &Entry { key, surrogate: Some(surrogate), ..Entry::default() });
    }
    if plan.to_inferred.is_some() {
        sheet.push(Op::Infer, &Entry { key, surrogate: plan.to_inferred, ..Entry::default() });
    }
    let updates = plan.updates.iter().map(|u| (Op::Update, Some(u.surrogate), u.version));
    let inserts = plan.inserts.iter().map(|&version| (Op::Insert, None, version));
    for (op, surrogate, version) in updates.chain(inserts) {
        let version = &wanted[version];
        let values = Some(&version.values);
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
