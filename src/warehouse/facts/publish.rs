//! The publication of one raw day of one fact table.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta};

use super::day::{FactLoaded, shared_by_facts};
use super::rows::Seen;
use super::supersede::{Moves, Settled, Settlement};
use crate::error::{Error, Result};
use crate::load::Line;
use crate::model::{Fact, FactKind};
use crate::postgres::{Session, get};
use crate::warehouse::context::Warehouse;
use crate::warehouse::members::{self, Members, Written};
use crate::warehouse::partition::{Built, Side, current};
use crate::warehouse::position_hours::{self, is_added_up};
use crate::warehouse::{ledger, schema, telemetry};

/// A side table with its rows.
pub(super) struct Filled {
    pub(super) side: Side,
    pub(super) built: Built,
    pub(super) fact: Fact,
    pub(super) dt: NaiveDate,
    pub(super) lines: Vec<Line>,
    pub(super) seen: Seen,
    pub(super) any: bool,
}

/// One transaction: business keys, members, indexes, ledger, dirty dates, and the swap as its last act.
pub(super) struct Publication<'a> {
    pub(super) warehouse: &'a Warehouse,
    pub(super) session: &'a Session,
    pub(super) members: &'a Arc<Members>,
    pub(super) side: &'a Side,
    pub(super) fact: Fact,
    pub(super) dt: NaiveDate,
}

impl Publication<'_> {
    /// Publishes a filled side table; `swapping` keeps others off the dimensions from the swap to the commit.
    pub(super) async fn publish(
        &self,
        built: Built,
        mut lines: Vec<Line>,
        seen: Seen,
        any: bool,
        swapping: &tokio::sync::Mutex<()>,
    ) -> Result<FactLoaded> {
        let (session, fact, dt) = (self.session, self.fact, self.dt);
        let side = self.side.name();
        session.run("BEGIN").await?;
        let old = current(session, fact.table, dt).await?;
        let mut written = self.members.publish(session, &ledger::load_id(dt), &seen.inferred).await?;
        let (settled, dirty) = self.settle(&mut lines, &seen, old.as_deref(), &mut written).await?;
        let stays = any && old.is_none() && !settled.any_met && seen.open_trips == 0;
        self.register(&settled, built, stays).await?;
        let check_members = old.is_some() || !settled.lost.is_empty();
        let leaving = if check_members {
            members::unreferenced(session, Some((&fact, dt, Some(&side)))).await?
        } else {
            Vec::new()
        };
        let quiet = swapping.lock().await;
        if any || old.is_some() {
            self.side.swap(session, any, self.warehouse.swap_deadline()).await?;
        } else {
            session.run(&format!("DROP TABLE {side}")).await?;
        }
        let removed = members::remove(session, &leaving).await?;
        session.commit().await?;
        drop(quiet);
        self.members.published(&written, removed);
        let moved = settled.lost.iter().chain(&settled.returned).filter(|(day, ..)| *day != dt);
        let moved_rows = moved.map(|(_, _, rows)| rows.unsigned_abs()).sum();
        Ok(FactLoaded { lines, misses: seen.misses, moved_rows, dirty_dates: dirty })
    }

    /// Registers the day's new business keys, and gives the side table what it lacks of the parent. `stays`: this transaction
    /// wrote nothing to the side table, so that other sessions may build its indexes meanwhile.
    async fn register(&self, settled: &Settled, mut built: Built, stays: bool) -> Result<()> {
        let Self { warehouse, session, side, .. } = *self;
        if let Some(settlement) = self.settlement() {
            let register = settlement.register(session, settled.any_met);
            if stays && !built.indexes {
                let connections = warehouse.settings.connections;
                futures::future::try_join(register, side.index(&warehouse.address, connections)).await?;
                built.indexes = true;
            } else {
                register.await?;
            }
        }
        side.finish(session, built).await
    }

    fn settlement(&self) -> Option<Settlement<'_>> {
        Settlement::new(&self.fact, self.side.name(), self.dt, &self.warehouse.settings.time_zone)
    }

    /// Business keys that are known, ledger and dirty dates: all but the rows of the day itself, and keys that are new.
    pub(super) async fn settle(
        &self,
        lines: &mut [Line],
        seen: &Seen,
        old: Option<&str>,
        written: &mut Written,
    ) -> Result<(Settled, Vec<NaiveDate>)> {
        let (session, fact, dt) = (self.session, self.fact, self.dt);
        let (side, zone) = (self.side.name(), &self.warehouse.settings.time_zone);
        let mut settled = Settled::default();
        if let Some(settlement) = self.settlement() {
            settled = settlement.settle(session, old, self.members, written).await?;
        }
        self.resolve_trips(&side, seen.open_trips > 0).await?;
        self.adjust_ledger(lines, &settled).await?;
        schema::fix_zone(session, zone).await?;
        let fingerprint = self.warehouse.fingerprint(&[]);
        ledger::write(session, fact.table, dt, lines, &fingerprint, &self.warehouse.run_id).await?;
        if is_added_up(fact.kind) {
            position_hours::replace(session, self.warehouse.zone, dt, &seen.hours.rows()?, &self.warehouse.cancel)
                .await?;
        }
        if fact.kind.is_telemetry() {
            if !lines.is_empty() {
                schema::fix_positions(session, self.warehouse.positions().await?).await?;
            }
            telemetry::replace(session, dt, &seen.known, &self.warehouse.cancel).await?;
        }
        let dirty = self.note_dates(seen, &settled).await?;
        Ok((settled, dirty))
    }

    /// Payments find their trip by its key, whichever of the two came first. `open`: some have not found it yet.
    async fn resolve_trips(&self, side: &str, open: bool) -> Result<()> {
        let sql = match self.fact.kind {
            FactKind::Payment if open => format!(
                "UPDATE {side} p SET trip_sk = k.trip_sk FROM dwh.trip_key k \
                 WHERE p.trip_sk IS NULL AND k.trip_id = p.trip_id"
            ),
            FactKind::Trip => format!(
                "UPDATE dwh.fact_payment f SET trip_sk = p.trip_sk FROM {side} p \
                 WHERE f.trip_sk IS NULL AND f.trip_id = p.trip_id"
            ),
            FactKind::Payment
            | FactKind::VehiclePosition
            | FactKind::ScheduledTrip
            | FactKind::ScheduledStopTime
            | FactKind::TripUpdate
            | FactKind::Alert => return Ok(()),
        };
        self.session.run(&sql).await
    }

    /// Rows that moved between days change the counts of both.
    async fn adjust_ledger(&self, lines: &mut [Line], settled: &Settled) -> Result<()> {
        let moves = |moves: &Moves, sign: i64| -> Vec<(NaiveDate, i16, i64)> {
            moves.iter().map(|(dt, file_no, rows)| (*dt, *file_no, sign * rows)).collect()
        };
        let mut all = moves(&settled.lost, 1);
        all.extend(moves(&settled.returned, -1));
        for (dt, file_no, rows) in all {
            if dt == self.dt {
                let line = lines
                    .get_mut(usize::try_from(file_no).unwrap_or(usize::MAX))
                    .ok_or_else(|| Error::internal(format!("file number {file_no} has no ledger line")))?;
                line.rows_loaded = line.rows_loaded.saturating_add_signed(-rows);
                line.rows_superseded = line.rows_superseded.saturating_add_signed(rows);
                continue;
            }
            let sql = "UPDATE dwh.load_ledger SET rows_loaded = rows_loaded - $4, rows_superseded = rows_superseded + $4 \
                       WHERE target = $1 AND dt = $2 AND file_no = $3";
            let touched = self.session.execute(sql, &[&self.fact.table, &dt, &file_no, &rows]).await?;
            if touched != 1 {
                return Err(Error::internal(format!("the ledger has no line for file {file_no} of {dt}"))
                    .with("table", self.fact.table));
            }
        }
        Ok(())
    }

    /// Marks every service date that the old or the new rows touch, where the mart counts them.
    async fn note_dates(&self, seen: &Seen, settled: &Settled) -> Result<Vec<NaiveDate>> {
        let (session, table, dt) = (self.session, self.fact.table, self.dt);
        let epoch = DateTime::UNIX_EPOCH.date_naive();
        let new: Vec<NaiveDate> =
            seen.service_days.iter().map(|&days| epoch + TimeDelta::days(i64::from(days))).collect();
        for (other, ..) in settled.returned.iter().filter(|(other, ..)| *other != dt) {
            let sql = "INSERT INTO dwh.fact_service_date (target, dt, service_date) \
                       SELECT $1, $2, unnest($3::date[]) ON CONFLICT DO NOTHING";
            session.execute(sql, &[&table, other, &settled.touched]).await?;
        }
        let sql = "WITH old AS (DELETE FROM dwh.fact_service_date WHERE target = $1 AND dt = $2 RETURNING service_date), \
                   dirty AS (SELECT service_date FROM old UNION SELECT unnest($3::date[]) UNION SELECT unnest($4::date[])) \
                   INSERT INTO dwh.mart_dirty (service_date, reason, run_id) \
                   SELECT service_date, $5, $6 FROM dirty WHERE $7 ORDER BY 1 RETURNING service_date";
        let reason = format!("{table} {dt}");
        let run_id = &self.warehouse.run_id;
        let is_in_mart = self.fact.kind.is_in_mart();
        let rows = session.rows(sql, &[&table, &dt, &new, &settled.touched, &reason, run_id, &is_in_mart]).await?;
        let sql = "INSERT INTO dwh.fact_service_date (target, dt, service_date) SELECT $1, $2, unnest($3::date[])";
        session.execute(sql, &[&table, &dt, &new]).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }
}

/// What a day's leaving changes beside the rows that go with its partition.
#[derive(Debug)]
pub(in crate::warehouse) struct TakenOut {
    /// Rows of older days that came back.
    pub(in crate::warehouse) returned_rows: u64,
    /// Service dates that the mart must build again.
    pub(in crate::warehouse) dirty_dates: Vec<NaiveDate>,
}

/// Takes a day out of a fact's keys, ledger and dates, inside the caller's transaction. Its partition is the caller's
/// to drop, last of all.
pub(in crate::warehouse) async fn take_out(
    warehouse: &Warehouse,
    session: &Session,
    fact: Fact,
    dt: NaiveDate,
) -> Result<TakenOut> {
    let side = Side::new(fact.table, dt, &warehouse.run_id);
    side.create(session, &[], warehouse.swap_deadline()).await?;
    side.complete(session, &shared_by_facts(dt)).await?;
    let members = Arc::new(Members::read(session, warehouse.address.clone(), &[]).await?);
    let publication = Publication { warehouse, session, members: &members, side: &side, fact, dt };
    let old = current(session, fact.table, dt).await?;
    let (settled, dirty_dates) =
        publication.settle(&mut [], &Seen::default(), old.as_deref(), &mut Written::default()).await?;
    session.run(&format!("DROP TABLE {}", side.name())).await?;
    let returned_rows = settled.returned.iter().map(|(_, _, rows)| rows.unsigned_abs()).sum();
    Ok(TakenOut { returned_rows, dirty_dates })
}
