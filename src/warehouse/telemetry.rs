//! Positions that ClickHouse keeps: what the warehouse must know of them all the same.
//!
//! [`REFERENCES`] has a row for all positions of a raw day with one vehicle, route and local date, with the keys that the
//! rows of a fact would have; whatever looks at the references of facts looks at it as well. `dwh.telemetry_mention`
//! counts what positions name of the schedule. Both are replaced in the publication of the positions. Two databases have
//! no transaction in common, so a run notes in `dwh.telemetry_publication` that it begins, before it touches ClickHouse,
//! and takes the note back in the transaction that publishes: a note that stays tells of a day to load again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Date32Type;
use chrono::{DateTime, NaiveDate, Utc};
use futures::future::BoxFuture;

use super::context::Warehouse;
use super::copied::{copy_rows, named};
use crate::control::Cancel;
use crate::error::Result;
use crate::load::Rows;
use crate::model::{Fact, Member};
use crate::postgres::{Session, get};

/// The table of what positions refer to.
pub(super) const REFERENCES: &str = "dwh.telemetry_reference";
/// The key of its rows.
pub(super) const REFERENCE_KEY: &str = "reference_sk";
/// Its time by which versions are chosen.
pub(super) const REFERENCE_TIME: &str = "f.first_ts";
/// The fact whose rows it stands for.
pub(super) const FACT: Fact = Fact::VEHICLE_POSITION;
/// The table of what positions name.
const MENTIONS: &str = "dwh.telemetry_mention";
/// The table of days under way.
const PUBLICATIONS: &str = "dwh.telemetry_publication";

/// One raw day of positions on its way to where the warehouse does not keep them.
pub trait Elsewhere: Send + Sync {
    /// Brings the rows to where no reader sees them yet, and makes sure that all of them are there.
    fn fill(&self, rows: Arc<dyn Rows>) -> BoxFuture<'_, Result<()>>;

    /// Makes them all that readers see of the day, at once; without rows the day goes.
    fn swap(&self) -> BoxFuture<'_, Result<()>>;

    /// Takes away what is left over, however the load ended.
    fn end(&self) -> BoxFuture<'_, ()>;
}

/// What the positions of a raw day refer to and name.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Rows of [`REFERENCES`] without its key.
    pub(super) references: Option<RecordBatch>,
    /// Positions by column and value.
    pub(super) mentions: BTreeMap<(&'static str, String), u64>,
}

/// The column of [`REFERENCES`] that refers to a member, if one does.
pub(super) fn reference_to(member: Member) -> Option<&'static str> {
    FACT.references.iter().find(|reference| reference.member == member).map(|reference| reference.surrogate)
}

/// Swaps a day, as the last act of a publication before its commit. The note that stands until then is written by a session
/// of its own: what the publication's session writes is not there before its commit.
pub(super) async fn swap(
    warehouse: &Warehouse,
    session: &Session,
    dt: NaiveDate,
    elsewhere: &dyn Elsewhere,
) -> Result<()> {
    warehouse.cancel.check()?;
    let other = warehouse.session().await?;
    let sql = format!(
        "INSERT INTO {PUBLICATIONS} (dt, run_id) VALUES ($1, $2) \
         ON CONFLICT (dt) DO UPDATE SET run_id = excluded.run_id, began_at = now()"
    );
    other.execute(&sql, &[&dt, &warehouse.run_id]).await?;
    other.release().await;
    session.execute(&format!("DELETE FROM {PUBLICATIONS} WHERE dt = $1"), &[&dt]).await?;
    elsewhere.swap().await
}

/// Days whose replacement has begun and not ended, and since when.
pub(super) async fn unfinished(session: &Session) -> Result<BTreeMap<NaiveDate, DateTime<Utc>>> {
    let rows = session.rows(&format!("SELECT dt, began_at FROM {PUBLICATIONS}"), &[]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// Whether a run ended while it replaced the rows of a day.
pub async fn is_unfinished(warehouse: &Warehouse, dt: NaiveDate) -> Result<bool> {
    let session = warehouse.session().await?;
    let found = unfinished(&session).await?.contains_key(&dt);
    session.release().await;
    Ok(found)
}

/// Replaces what is known of a raw day's positions, within their publication.
pub(super) async fn replace(session: &Session, dt: NaiveDate, known: &Known, cancel: &Cancel) -> Result<()> {
    for table in [REFERENCES, MENTIONS] {
        session.execute(&format!("DELETE FROM {table} WHERE dt = $1"), &[&dt]).await?;
    }
    if let Some(references) = known.references.as_ref().filter(|rows| rows.num_rows() > 0) {
        copy_rows(session, REFERENCES, references.clone(), cancel).await?;
    }
    if !known.mentions.is_empty() {
        copy_rows(session, MENTIONS, mentions_of(dt, &known.mentions)?, cancel).await?;
    }
    Ok(())
}

fn mentions_of(dt: NaiveDate, mentions: &BTreeMap<(&'static str, String), u64>) -> Result<RecordBatch> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("dt", Arc::new(Date32Array::from_value(Date32Type::from_naive_date(dt), mentions.len()))),
        ("column_name", Arc::new(StringArray::from_iter_values(mentions.keys().map(|(column, _)| column)))),
        ("value", Arc::new(StringArray::from_iter_values(mentions.keys().map(|(_, value)| value)))),
        ("position_cnt", Arc::new(Int64Array::from_iter_values(mentions.values().map(|rows| rows.cast_signed())))),
    ];
    named(columns)
}
