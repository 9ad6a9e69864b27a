//! The publication of a raw day whose rows ClickHouse keeps: one transaction of the warehouse that ends after the swap.

use std::sync::Arc;

use chrono::NaiveDate;

use super::day::{FactLoad, FactLoaded};
use super::publish::Publication;
use super::rows::Seen;
use super::watched::Watched;
use crate::error::{Error, Result};
use crate::load::{Line, Rows};
use crate::model::Fact;
use crate::postgres::Session;
use crate::warehouse::context::Warehouse;
use crate::warehouse::copied::expect_rows;
use crate::warehouse::ledger;
use crate::warehouse::members::{self, Shared};
use crate::warehouse::partition::Side;
use crate::warehouse::telemetry::{self, Elsewhere};

/// A day whose rows are where no reader sees them yet.
pub(super) struct Sent {
    fact: Fact,
    dt: NaiveDate,
    lines: Vec<Line>,
    seen: Seen,
    elsewhere: Arc<dyn Elsewhere>,
}

/// Sends the rows, and learns on the way what they refer to.
pub(super) async fn send(
    warehouse: &Warehouse,
    members: &Shared,
    load: FactLoad,
    elsewhere: Arc<dyn Elsewhere>,
) -> Result<Sent> {
    let FactLoad { fact, dt, lines, rows, .. } = load;
    let expected = lines.iter().map(|line| line.rows_loaded).sum();
    let watched = Arc::new(Watched::new(rows, warehouse.zone));
    elsewhere.fill(Arc::<Watched>::clone(&watched) as Arc<dyn Rows>).await?;
    let members = Arc::clone(members);
    let (seen, rows) = tokio::task::spawn_blocking(move || watched.take_seen(dt, &members))
        .await
        .map_err(|e| Error::internal("a working thread ended early").because(e))??;
    expect_rows(rows, expected, fact.table)?;
    Ok(Sent { fact, dt, lines, seen, elsewhere })
}

/// Publishes the day. What fails before the swap leaves both databases as they were; the note that stands before it tells
/// of a day that was swapped and not committed.
pub(super) async fn publish(
    warehouse: &Warehouse,
    session: &Session,
    members: &Shared,
    swapping: &tokio::sync::Mutex<()>,
    sent: Sent,
) -> Result<FactLoaded> {
    let Sent { fact, dt, mut lines, seen, elsewhere } = sent;
    // Nothing is built under this name: only facts with a business key look at it.
    let side = Side::new(fact.table, dt, &warehouse.run_id);
    let publication = Publication { warehouse, session, members, side: &side, fact, dt };
    session.run("BEGIN").await?;
    let mut written = members.publish(session, &ledger::load_id(dt), &seen.inferred).await?;
    let (_, dirty_dates) = publication.settle(&mut lines, &seen, None, &mut written).await?;
    let leaving = members::unreferenced(session, None).await?;
    let quiet = swapping.lock().await;
    let removed = members::remove(session, &leaving).await?;
    telemetry::swap(warehouse, session, dt, &*elsewhere).await?;
    session.commit().await?;
    drop(quiet);
    members.published(&written, removed);
    warehouse.progress.publish(format!("{} dt={dt}", fact.table));
    Ok(FactLoaded { lines, misses: seen.misses, moved_rows: 0, dirty_dates })
}
