//! Loading raw days of facts: what needs no other fact is built aside while the facts with business keys come in.
//!
//! Trips, then payments, then positions and what feeds bring are published, each in a transaction of its own; that order
//! is what readers and a run after a crash see. One session holds the locks for all of them.

use std::sync::Arc;

use chrono::NaiveDate;

use super::day::{FactLoad, FactLoaded, shared_by_facts};
use super::elsewhere;
use super::publish::{Filled, Publication};
use super::rows::FactRows;
use super::trips::TripKeys;
use crate::error::{Error, Result};
use crate::load::Line;
use crate::model::{Computed, Fact};
use crate::postgres::{Session, get};
use crate::warehouse::beside::{beside, split};
use crate::warehouse::context::Warehouse;
use crate::warehouse::copied::expect_rows;
use crate::warehouse::lock::Lock;
use crate::warehouse::members::{Members, Shared};
use crate::warehouse::partition::{Built, Side};

/// A fact whose rows can be sent.
struct Ready {
    side: Side,
    fact: Fact,
    dt: NaiveDate,
    lines: Vec<Line>,
    feed: Arc<FactRows>,
    expected: u64,
}

/// What the facts of one load share.
struct Round<'a> {
    warehouse: &'a Warehouse,
    session: &'a Session,
    members: Shared,
    /// Held while a foreign key is checked aside, and from a swap to its commit: both need the dimensions, and the one
    /// would make the other wait attempt after attempt.
    swapping: tokio::sync::Mutex<()>,
}

/// Replaces what one raw day contributes to each of these fact tables, in the order of [`Fact::ALL`].
pub async fn load_facts(warehouse: &Warehouse, loads: Vec<FactLoad>) -> Result<Vec<FactLoaded>> {
    let session = warehouse.locked(&[Lock::Dimensions, Lock::Facts]).await?;
    let sides: Vec<Side> = loads.iter().map(|load| Side::new(load.fact.table, load.dt, &warehouse.run_id)).collect();
    let total = loads.iter().flat_map(|load| &load.lines).map(|line| line.rows_loaded).sum();
    let names: Vec<&str> = loads.iter().map(|load| load.fact.table).collect();
    warehouse.progress.begin(&format!("load {}", names.join(", ")), total);
    let elsewhere: Vec<_> = loads.iter().filter_map(|load| load.elsewhere.clone()).collect();
    let loaded = load_in_order(warehouse, &session, loads.into_iter().zip(sides.iter().cloned()).collect()).await;
    session.end(loaded.is_ok(), &Side::undo_sql(&sides)).await;
    for day in elsewhere {
        day.end().await;
    }
    loaded
}

async fn load_in_order(
    warehouse: &Warehouse,
    session: &Session,
    loads: Vec<(FactLoad, Side)>,
) -> Result<Vec<FactLoaded>> {
    let facts: Vec<Fact> = loads.iter().map(|(load, _)| load.fact).collect();
    let members = Arc::new(Members::read(session, warehouse.address.clone(), &facts).await?);
    let round = Round { warehouse, session, members, swapping: tokio::sync::Mutex::default() };
    let (keyed, alone): (Vec<_>, Vec<_>) = loads.into_iter().partition(|(load, _)| load.fact.registry.is_some());
    let (for_keyed, for_alone) = split(warehouse.settings.connections, !keyed.is_empty(), !alone.is_empty());
    let (mut leaving, mut ready) = (Vec::new(), Vec::with_capacity(alone.len()));
    for (load, side) in alone {
        match load.elsewhere.clone() {
            Some(elsewhere) => leaving.push((load, elsewhere)),
            None => ready.push(round.prepare(load, side).await?),
        }
    }
    let aside = async {
        let (mut sent, mut built) = (Vec::new(), Vec::with_capacity(ready.len()));
        for (load, elsewhere) in leaving {
            sent.push(elsewhere::send(warehouse, &round.members, load, elsewhere).await?);
        }
        for fact in ready {
            built.push(round.build(fact, for_alone).await?);
        }
        Ok::<_, Error>((sent, built))
    };
    let in_order = async {
        let mut loaded = Vec::with_capacity(keyed.len());
        for (load, side) in keyed {
            let filled = round.fill(round.prepare(load, side).await?, for_keyed).await?;
            loaded.push(round.publish(filled).await?);
        }
        Ok::<_, Error>(loaded)
    };
    let (mut loaded, (sent, built)) = beside(in_order, aside).await?;
    warehouse.progress.begin("publish facts", 0);
    // Positions come before what feeds bring, wherever they are kept.
    for sent in sent {
        loaded.push(elsewhere::publish(warehouse, session, &round.members, &round.swapping, sent).await?);
    }
    for filled in built {
        loaded.push(round.publish(filled).await?);
    }
    Ok(loaded)
}

impl Round<'_> {
    /// Makes the side table and all that its rows need.
    async fn prepare(&self, load: FactLoad, side: Side) -> Result<Ready> {
        let (warehouse, session) = (self.warehouse, self.session);
        let FactLoad { fact, dt, lines, rows, .. } = load;
        let expected: u64 = lines.iter().map(|l| l.rows_loaded).sum();
        let first_key = reserve(session, fact.surrogate, expected).await?;
        let trips = match fact.computed {
            Computed::Trip => TripKeys::read(session, dt, warehouse.settings.memory_bytes / 2).await?,
            Computed::Duration | Computed::DateAndTime | Computed::Nothing => TripKeys::default(),
        };
        let (members, day) = (Arc::clone(&self.members), (dt, warehouse.zone));
        let feed = FactRows::new(fact, rows, members, trips, day, first_key, lines.len())?;
        let columns = feed.columns();
        let brought: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        session.run("BEGIN").await?;
        side.create(session, &brought, warehouse.swap_deadline()).await?;
        session.commit().await?;
        Ok(Ready { side, fact, dt, lines, feed: Arc::new(feed), expected })
    }

    /// Sends the rows.
    async fn fill(&self, ready: Ready, connections: usize) -> Result<Filled> {
        let Ready { side, fact, dt, lines, feed, expected } = ready;
        let rows = Arc::clone(&feed) as _;
        let copied = side.fill(self.warehouse, feed.columns(), rows, connections, &shared_by_facts(dt)).await?;
        expect_rows(copied, expected, fact.table)?;
        if copied > 0 {
            let references = fact.references.iter().map(|reference| reference.surrogate);
            let key = fact.registry.map(|registry| registry.key);
            let columns: Vec<&str> = ["dt"].into_iter().chain(fact.time).chain(references).chain(key).collect();
            side.sample(&self.warehouse.address, &columns).await?;
        }
        let built = Built::default();
        Ok(Filled { side, built, fact, dt, lines, seen: feed.take_seen(), any: copied > 0 })
    }

    /// Sends the rows of a fact that no publication changes any more, and builds what its partition needs.
    async fn build(&self, ready: Ready, connections: usize) -> Result<Filled> {
        let mut filled = self.fill(ready, connections).await?;
        let address = &self.warehouse.address;
        if filled.any {
            filled.side.index(address, self.warehouse.settings.connections).await?;
            filled.built.indexes = true;
            // A key that exists for facts alone is not in its dimension before the publication.
            if filled.seen.inferred.values().all(|numbers| numbers.is_empty()) {
                filled.side.refer(address, &self.swapping).await?;
                filled.built.foreign_keys = true;
            }
        }
        Ok(filled)
    }

    async fn publish(&self, filled: Filled) -> Result<FactLoaded> {
        let publication = Publication {
            warehouse: self.warehouse,
            session: self.session,
            members: &self.members,
            side: &filled.side,
            fact: filled.fact,
            dt: filled.dt,
        };
        let loaded = publication.publish(filled.built, filled.lines, filled.seen, filled.any, &self.swapping).await?;
        self.warehouse.progress.publish(format!("{} dt={}", filled.fact.table, filled.dt));
        Ok(loaded)
    }
}

/// Draws a block of surrogate keys; the caller holds the lock of the facts.
async fn reserve(session: &Session, sequence: &str, count: u64) -> Result<i64> {
    let first: i64 = get(&session.row(&format!("SELECT nextval('dwh.{sequence}')"), &[]).await?, 0)?;
    let last = first + i64::try_from(count).unwrap_or(i64::MAX - first).max(1) - 1;
    session.row(&format!("SELECT setval('dwh.{sequence}', $1)"), &[&last]).await?;
    Ok(first)
}
