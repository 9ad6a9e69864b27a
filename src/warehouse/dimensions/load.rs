//! Loading one day's snapshot of one dimension, or taking a day out.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use serde::Serialize;

use super::compare::Found;
use super::day::Day;
use super::work::{Days, Work};
use crate::error::Result;
use crate::history::{Calendar, Columns, Instant, Snapshot};
use crate::load::{Line, Part};
use crate::model::{Absent, Dimension, Member};
use crate::postgres::history::{
    Affected, Keeps, Op, Planner, Sheet, Table, Tally, check_overlaps, sample, sheet, write,
};
use crate::postgres::{Session, get};
use crate::warehouse::context::Warehouse;
use crate::warehouse::lock::Lock;
use crate::warehouse::{ledger, rekey, schema};

/// From so many changed rows on, the server learns the new size at once: without, it would plan what follows in the
/// same transaction (and the facts that load a moment later) for an empty table, with cost that grows by the square.
const ANALYZE_ROWS: u64 = 1_000;

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

/// Rows written to a dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// New versions.
    pub inserted: u64,
    /// Versions whose interval or values changed.
    pub updated: u64,
    /// Versions that went.
    pub deleted: u64,
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
    /// Some of the rows that would change; of a dry run only.
    pub sample: Vec<serde_json::Value>,
}

/// The ledger lines of a dimension's day, when exactly these files are loaded under these settings.
pub async fn unchanged_dimension(
    warehouse: &Warehouse,
    dimension: &Dimension,
    dt: NaiveDate,
    parts: &[Part],
) -> Result<Option<Vec<Line>>> {
    let session = warehouse.session().await?;
    let fingerprint = dimension_fingerprint(warehouse, dimension);
    let lines = ledger::unchanged(&session, dimension.table, dt, parts, &fingerprint).await?;
    session.release().await;
    Ok(lines)
}

pub(in crate::warehouse) fn dimension_fingerprint(warehouse: &Warehouse, dimension: &Dimension) -> String {
    warehouse.fingerprint(&[&warehouse.settings.absent(dimension.dataset).to_string()])
}

/// Loads, corrects or (without files) takes out one day's snapshot. A dry run does the same and keeps nothing of it.
pub async fn load_dimension(warehouse: &Warehouse, load: DimensionLoad, dry_run: bool) -> Result<DimensionLoaded> {
    let session = warehouse.locked(&[Lock::Dimensions, Lock::Facts]).await?;
    warehouse.progress.begin(&format!("load {}", load.dimension.table), load.snapshot.rows());
    let work = Work::new(warehouse, &session, load.dimension, load.dt, dry_run, None);
    let loaded = work.publish(load).await;
    session.end(loaded.is_ok(), "ROLLBACK").await;
    loaded
}

/// Takes a day's snapshot out, inside the caller's transaction; facts of that day are left alone, for they leave too.
pub(in crate::warehouse) async fn take_out(
    warehouse: &Warehouse,
    session: &Session,
    dimension: Dimension,
    dt: NaiveDate,
) -> Result<DimensionLoaded> {
    let work = Work::new(warehouse, session, dimension, dt, false, Some(dt));
    let snapshot = Snapshot::new(&[]);
    let loaded = work.assign_day(DimensionLoad { dimension, dt, lines: Vec::new(), snapshot }).await?;
    sheet::discard(session).await?;
    Ok(loaded)
}

/// Looks at the columns by which rows are found; the rest, which costs the most, is left to autovacuum.
fn sample_sql(table: &Table) -> String {
    let (name, keys, bounds) = (&table.name, table.key_list(""), table.bounds.as_ref());
    let bounds = bounds.map_or_else(String::new, |(from, to)| format!(", {from}, {to}"));
    format!("ANALYZE {name} ({keys}, {}{bounds}); ANALYZE {} ({keys}, from_dt, to_dt)", table.surrogate, table.log.name)
}

impl Work<'_> {
    async fn publish(&self, load: DimensionLoad) -> Result<DimensionLoaded> {
        self.session.run("BEGIN").await?;
        let loaded = self.assign_day(load).await?;
        if self.dry_run {
            self.session.run("ROLLBACK").await?;
        } else {
            self.session.commit().await?;
        }
        Ok(loaded)
    }

    /// Everything between BEGIN and COMMIT.
    async fn assign_day(&self, load: DimensionLoad) -> Result<DimensionLoaded> {
        let (session, dimension) = (self.session, self.shape.dimension);
        session.run("SET CONSTRAINTS ALL DEFERRED").await?;
        let days = self.days(load.lines.is_empty()).await?;
        let snapshot = Some(&load.snapshot).filter(|_| !load.lines.is_empty());
        if let Some(snapshot) = snapshot {
            self.guard(snapshot, &days).await?;
        }
        let old_absent = self.remember_absent().await?;
        let mut found = Found::new(snapshot);
        self.find_touched(&mut found, &days, old_absent != self.absent).await?;
        match snapshot {
            Some(snapshot) => self.find_restated(&mut found, snapshot).await?,
            None => self.find_leaving(&mut found).await?,
        }
        let mut loaded = self.change(snapshot, found.affected, &days, old_absent).await?;
        self.warehouse.progress.add(load.snapshot.rows());
        schema::fix_zone(session, &self.warehouse.settings.time_zone).await?;
        let fingerprint = dimension_fingerprint(self.warehouse, &dimension);
        let run_id = &self.warehouse.run_id;
        ledger::write(session, dimension.table, self.dt, &load.lines, &fingerprint, run_id).await?;
        loaded.is_empty = !load.lines.is_empty() && load.snapshot.rows() == 0;
        loaded.lines = load.lines;
        Ok(loaded)
    }

    /// Works the affected keys out and writes what changes.
    async fn change(
        &self,
        snapshot: Option<&Snapshot>,
        mut affected: Affected<u32>,
        days: &Days,
        old_absent: Absent,
    ) -> Result<DimensionLoaded> {
        let mut loaded = DimensionLoaded::default();
        if affected.len() == 0 {
            return Ok(loaded);
        }
        let start = |day| self.warehouse.zone.day_start_micros(day);
        let starts = |days: &[NaiveDate]| days.iter().map(|&day| start(day)).collect::<Vec<Instant>>();
        sheet::create(self.session, &self.table, &mut affected).await?;
        let mut planner = Planner {
            session: self.session,
            cancel: &self.warehouse.cancel,
            table: &self.table,
            keys: affected.len(),
            has_null: false,
            keeps: Keeps::Everything { days: starts(&days.old), rules: self.shape.rules(old_absent) },
            calendar: Calendar::snapshots(starts(&days.new).into_iter().map(|day| (day, Columns::default())).collect()),
            rules: self.shape.rules(self.absent),
            has_log: true,
            mark: None,
            referenced: Some(rekey::referenced_sql(self.shape.dimension.member)),
            is_shown: self.dry_run,
            subject: Day {
                kinds: self.shape.kinds(),
                snapshot,
                affected: &affected,
                at: start(self.dt),
                earlier: days.earlier(self.dt).map(start),
                later: days.later(self.dt).map(start),
            },
        };
        let (sheet, tally) = planner.run().await?;
        if !sheet.is_empty() {
            self.apply(&sheet, tally).await?;
            loaded.written = Written { inserted: tally.inserted, updated: tally.updated, deleted: tally.deleted };
            loaded.rekeyed = self.follow(self.shape.dimension.member, &sheet).await?;
        }
        if self.dry_run {
            loaded.sample = sample(self.session, &self.table).await?;
        }
        Ok(loaded)
    }

    async fn apply(&self, sheet: &Sheet, tally: Tally) -> Result<()> {
        write(self.session, &self.table, sheet, None).await?;
        if tally.versions() >= ANALYZE_ROWS {
            self.session.run(&sample_sql(&self.table)).await?;
        }
        check_overlaps(self.session, &self.table, false).await
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

    /// The meaning of absence that the stored history was made with; remembers today's.
    async fn remember_absent(&self) -> Result<Absent> {
        let name = format!("absent {}", self.shape.dimension.table);
        let rows = self.session.rows("SELECT value FROM dwh.deployment WHERE name = $1", &[&name]).await?;
        let today = self.absent.to_string();
        let sql = "INSERT INTO dwh.deployment (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.session.execute(sql, &[&name, &today]).await?;
        Ok(match rows.first().map(|row| get::<String>(row, 0)).transpose()?.as_deref() {
            Some("close") => Absent::Close,
            Some("ignore") => Absent::Ignore,
            Some("error") => Absent::Error,
            _ => self.absent,
        })
    }

    /// Facts follow changed answers; hours of renamed routes become dirty. Where no answer changed there is nothing to do.
    async fn follow(&self, member: Member, sheet: &Sheet) -> Result<BTreeMap<&'static str, u64>> {
        if self.shape.dimension.interval.is_none() || sheet.count(Op::Changed) == 0 {
            return Ok(BTreeMap::new());
        }
        rekey::note_changes(self.session).await?;
        let zone = &self.warehouse.settings.time_zone;
        let moved = rekey::rekey(self.session, member, zone, self.leaving).await?;
        match member {
            // The mart shows names and types of routes.
            Member::Route => {
                let reason = format!("{} {}", self.shape.dimension.table, self.dt);
                rekey::dirty_routes(self.session, zone, &reason, &self.warehouse.run_id).await?;
            }
            Member::User | Member::Vehicle | Member::Stop | Member::Shape | Member::PaymentMethod => {}
        }
        Ok(moved)
    }
}
