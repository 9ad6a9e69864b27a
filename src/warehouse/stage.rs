//! Staging: the clean rows of one dataset and day, its rejects and its ledger lines, in one publication.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;

use super::context::Warehouse;
use super::copied::{expect_rows, pg_type, shared};
use super::ledger;
use super::lock::Lock;
use super::partition::{Built, Side, current};
use super::rejected;
use super::schema;
use crate::error::{Error, Result};
use crate::load::{Feed, Line, Repair, Rows, Unit};
use crate::model::{Dataset, Fact};
use crate::postgres::Session;

/// One dataset of one day, judged and ready to load.
pub struct StageLoad {
    /// Which dataset.
    pub dataset: Dataset,
    /// The raw day.
    pub dt: NaiveDate,
    /// What each file brings.
    pub lines: Vec<Line>,
    /// The rows that stay, with the columns of [`Dataset::schema`].
    pub rows: Arc<dyn Rows>,
    /// The rejects, with the columns of [`REJECT_COLUMNS`](rejected::REJECT_COLUMNS).
    pub rejects: Arc<dyn Feed>,
    /// New repairs that these rows rest on.
    pub repairs: Vec<Repair>,
    /// Whether the rows come in: those that ClickHouse keeps are judged here, and their rejects kept, no more.
    pub keeps_rows: bool,
}

/// Cleaned rows as they are, without the columns that no file has.
struct Plain {
    rows: Arc<dyn Rows>,
    schema: SchemaRef,
    /// The places of the schema's columns in cleaned rows.
    places: Vec<usize>,
}

impl Plain {
    fn new(dataset: Dataset, rows: Arc<dyn Rows>) -> Result<Self> {
        let columns = dataset.columns().iter().enumerate();
        let places: Vec<usize> = columns.filter(|(_, column)| rows.states(column.name)).map(|(at, _)| at).collect();
        let schema = dataset.schema().project(&places);
        let schema = schema.map_err(|e| Error::internal("columns do not fit their dataset").because(e))?;
        Ok(Self { rows, schema: Arc::new(schema), places })
    }
}

impl Feed for Plain {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn units(&self) -> usize {
        self.rows.units()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.rows.read(unit, &mut |batch, _| {
            sink(batch.project(&self.places).map_err(|e| Error::internal("cleaned rows lack a column").because(e))?)
        })
    }
}

/// Replaces what one day holds of one dataset in staging. Unchanged input is the caller's to notice.
pub async fn stage(warehouse: &Warehouse, load: StageLoad) -> Result<Vec<Line>> {
    let table = load.dataset.staging_table();
    let session = warehouse.locked(&[Lock::Staging(load.dt)]).await?;
    let side = Side::new(table, load.dt, &warehouse.run_id);
    let published = if load.keeps_rows {
        fill_and_publish(warehouse, &session, &side, &load).await
    } else {
        publish_without_rows(warehouse, &session, &load).await
    };
    session.end(published.is_ok(), &Side::undo_sql(&[side])).await;
    published.map(|()| load.lines)
}

async fn fill_and_publish(warehouse: &Warehouse, session: &Session, side: &Side, load: &StageLoad) -> Result<()> {
    let table = load.dataset.staging_table();
    let feed = Plain::new(load.dataset, Arc::clone(&load.rows))?;
    let columns: Vec<_> = feed.places.iter().map(|&at| load.dataset.columns()[at]).collect();
    session.run("BEGIN").await?;
    let brought: Vec<&str> = columns.iter().map(|column| column.name).collect();
    side.create(session, &brought, warehouse.swap_deadline()).await?;
    session.commit().await?;
    let named = columns.iter().map(|c| (c.name.to_owned(), pg_type(c.kind))).collect();
    let expected: u64 = load.lines.iter().map(|l| l.rows_loaded).sum();
    warehouse.progress.begin(&format!("stage {}", load.dataset), expected);
    let connections = warehouse.settings.connections;
    let copied = side.fill(warehouse, named, Arc::new(feed), connections, &shared(load.dt)).await?;
    expect_rows(copied, expected, table)?;
    session.run("BEGIN").await?;
    side.finish(session, Built::default()).await?;
    write_beside_rows(warehouse, session, load).await?;
    let keep = copied > 0;
    if keep || current(session, table, load.dt).await?.is_some() {
        side.swap(session, keep, warehouse.swap_deadline()).await?;
    } else {
        session.run(&format!("DROP TABLE {}", side.name())).await?;
    }
    session.commit().await
}

/// Publishes a day whose rows are not for PostgreSQL.
async fn publish_without_rows(warehouse: &Warehouse, session: &Session, load: &StageLoad) -> Result<()> {
    let table = load.dataset.staging_table();
    session.run("BEGIN").await?;
    write_beside_rows(warehouse, session, load).await?;
    let sql = "UPDATE dwh.load_ledger SET purged_at = now() WHERE target = $1 AND dt = $2";
    session.execute(sql, &[&table, &load.dt]).await?;
    session.commit().await
}

/// Rejects, repairs, ledger, and the settings that hold from now on.
async fn write_beside_rows(warehouse: &Warehouse, session: &Session, load: &StageLoad) -> Result<()> {
    let table = load.dataset.staging_table();
    replace_rejects(warehouse, session, load).await?;
    rejected::keep(session, &load.repairs, &warehouse.run_id).await?;
    schema::fix_zone(session, &warehouse.settings.time_zone).await?;
    if Fact::of(load.dataset).is_some_and(|fact| fact.kind.is_telemetry()) && !load.lines.is_empty() {
        schema::fix_positions(session, warehouse.positions().await?).await?;
    }
    ledger::write(session, table, load.dt, &load.lines, &warehouse.fingerprint(&[]), &warehouse.run_id).await
}

async fn replace_rejects(warehouse: &Warehouse, session: &Session, load: &StageLoad) -> Result<()> {
    session
        .execute(
            "DELETE FROM staging.rejected WHERE dataset = $1 AND dt = $2 AND file LIKE 'dt=%'",
            &[&load.dataset.name(), &load.dt],
        )
        .await?;
    let expected: u64 = load.lines.iter().map(|l| l.rows_rejected).sum();
    if expected == 0 {
        return Ok(());
    }
    warehouse.progress.begin(&format!("reject {}", load.dataset), expected);
    rejected::copy(warehouse, session, Arc::clone(&load.rejects), expected).await
}
