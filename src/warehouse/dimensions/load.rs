//! Loading one day's snapshot of one dimension, or taking a day out.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::Shape;
use super::apply::{self, Written};
use super::sheet::{self, Entry, Op, Sheet, TABLE};
use crate::error::Result;
use crate::history::{Census, Presence, Snapshot, guard};
use crate::load::{Line, Part};
use crate::model::{Absent, Dimension, Member};
use crate::postgres::{Session, get};
use crate::warehouse::context::Warehouse;
use crate::warehouse::lock::Lock;
use crate::warehouse::{ledger, rekey, schema};

/// Rows of the snapshot that are sent at once.
const SEND_ROWS: usize = 20_000;

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

/// Loads, corrects or (without files) takes out one day's snapshot.
pub async fn load_dimension(warehouse: &Warehouse, load: DimensionLoad) -> Result<DimensionLoaded> {
    let session = warehouse.locked(&[Lock::Dimensions, Lock::Facts]).await?;
    warehouse.progress.begin(&format!("load {}", load.dimension.table), load.snapshot.rows());
    let absent = warehouse.settings.absent(load.dimension.dataset);
    let work = Work {
        warehouse,
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

/// Takes a day's snapshot out, inside the caller's transaction; facts of that day are left alone, for they leave too.
pub(in crate::warehouse) async fn take_out(
    warehouse: &Warehouse,
    session: &Session,
    dimension: Dimension,
    dt: NaiveDate,
) -> Result<DimensionLoaded> {
    let absent = warehouse.settings.absent(dimension.dataset);
    let work = Work { warehouse, session, shape: Shape { dimension }, dt, absent, leaving: Some(dt) };
    let snapshot = Snapshot::new(&[]);
    work.assign_day(DimensionLoad { dimension, dt, lines: Vec::new(), snapshot }).await
}

/// One load under its locks.
pub(super) struct Work<'a> {
    pub(super) warehouse: &'a Warehouse,
    pub(super) session: &'a Session,
    pub(super) shape: Shape,
    pub(super) dt: NaiveDate,
    pub(super) absent: Absent,
    /// A day whose facts leave in the same transaction: they need no new keys.
    leaving: Option<NaiveDate>,
}

/// The loaded days of a dimension before and after this load.
pub(super) struct Days {
    pub(super) old: Vec<NaiveDate>,
    pub(super) new: Vec<NaiveDate>,
}

impl Days {
    fn earlier(&self, dt: NaiveDate) -> Option<NaiveDate> {
        self.new.iter().copied().rfind(|&day| day < dt)
    }

    pub(super) fn later(&self, dt: NaiveDate) -> Option<NaiveDate> {
        self.new.iter().copied().find(|&day| day > dt)
    }
}

impl Work<'_> {
    async fn publish(&self, load: DimensionLoad) -> Result<DimensionLoaded> {
        self.session.run("BEGIN").await?;
        let loaded = self.assign_day(load).await?;
        self.session.commit().await?;
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
        let planned = self.plan_affected(&days, old_absent).await?;
        if !planned.is_empty() {
            written = apply::apply(session, &self.shape, &planned, &Warehouse::load_id(self.dt)).await?;
            rekeyed = self.follow(dimension.member).await?;
        }
        schema::fix_zone(session, &self.warehouse.settings.time_zone).await?;
        let fingerprint = dimension_fingerprint(self.warehouse, &dimension);
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
            sheet.push(
                Op::Snapshot,
                &Entry { key, is_mention, stated: Some(&statement.stated), values, ..Entry::default() },
            );
            if sheet.rows() >= SEND_ROWS {
                sheet.send(self.session, &self.warehouse.cancel).await?;
                self.warehouse.progress.add(SEND_ROWS as u64);
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
                 SELECT 'snapshot', key, is_mention, stated::text, said FROM {log} \
                 WHERE from_dt <= '{earlier}' AND (to_dt IS NULL OR to_dt > '{earlier}'); ANALYZE {TABLE}",
                log = self.shape.log()
            ))
            .await
    }

    async fn guard(&self, snapshot: &Snapshot, earlier: Option<NaiveDate>) -> Result<()> {
        let mut census = Census { previous_keys: 0, vanished: 0, vanished_keys: &[], snapshot_rows: snapshot.rows() };
        let mut names: Vec<String> = Vec::new();
        if let (Some(earlier), true) = (earlier, !self.absent.is_ignored()) {
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
        let today = self.absent.to_string();
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
             FULL JOIN (SELECT key, is_mention, stated::text AS stated, said FROM {log} \
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

    /// Facts follow changed answers; hours of renamed routes become dirty.
    async fn follow(&self, member: Member) -> Result<BTreeMap<&'static str, u64>> {
        if self.shape.dimension.interval.is_none() {
            return Ok(BTreeMap::new());
        }
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
