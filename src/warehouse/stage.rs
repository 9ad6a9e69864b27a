//! Staging: the clean rows of one dataset and day, its rejects and its ledger lines, in one publication.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;

use super::beside::{beside, split};
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

impl StageLoad {
    fn table(&self) -> &'static str {
        self.dataset.staging_table()
    }

    fn expected(&self) -> u64 {
        self.lines.iter().map(|line| line.rows_loaded).sum()
    }

    /// Rows that go into staging.
    fn rows_to_send(&self) -> u64 {
        if self.keeps_rows { self.expected() } else { 0 }
    }
}

/// One raw day on its way into staging, over the session that holds its lock.
struct Round<'a> {
    warehouse: &'a Warehouse,
    session: &'a Session,
    dt: NaiveDate,
}

/// Replaces what one day holds of some datasets in staging, each in a publication of its own. The one with the most rows
/// comes in beside the others. Unchanged input is the caller's to notice.
pub async fn stage(warehouse: &Warehouse, dt: NaiveDate, loads: Vec<StageLoad>) -> Result<Vec<Vec<Line>>> {
    let session = warehouse.locked(&[Lock::Staging(dt)]).await?;
    let sides: Vec<Side> = loads.iter().map(|load| Side::new(load.table(), dt, &warehouse.run_id)).collect();
    let names: Vec<&str> = loads.iter().map(|load| load.dataset.name()).collect();
    let total = loads.iter().map(StageLoad::rows_to_send).sum();
    warehouse.progress.begin(&format!("stage {}", names.join(", ")), total);
    let round = Round { warehouse, session: &session, dt };
    let staged = round.stage(loads.iter().zip(&sides).collect()).await;
    session.end(staged.is_ok(), &Side::undo_sql(&sides)).await;
    staged.map(|()| loads.into_iter().map(|load| load.lines).collect())
}

impl Round<'_> {
    async fn stage(&self, mut loads: Vec<(&StageLoad, &Side)>) -> Result<()> {
        let most = loads.iter().map(|(load, _)| load.rows_to_send()).max().unwrap_or_default();
        let largest = loads.iter().position(|(load, _)| load.rows_to_send() == most && load.keeps_rows);
        let largest = largest.map(|at| loads.remove(at));
        let (for_others, for_largest) =
            split(self.warehouse.settings.connections, !loads.is_empty(), largest.is_some());
        if let Some((load, side)) = largest {
            self.make(load, side).await?;
        }
        let aside = async {
            match largest {
                Some((load, side)) => self.fill(load, side, for_largest).await,
                None => Ok(0),
            }
        };
        let in_order = async {
            for (load, side) in loads {
                if load.keeps_rows {
                    self.make(load, side).await?;
                    let copied = self.fill(load, side, for_others).await?;
                    self.publish(load, side, copied).await?;
                } else {
                    self.publish_without_rows(load).await?;
                }
            }
            Ok::<_, Error>(())
        };
        let ((), copied) = beside(in_order, aside).await?;
        match largest {
            Some((load, side)) => self.publish(load, side, copied).await,
            None => Ok(()),
        }
    }

    /// Makes the side table.
    async fn make(&self, load: &StageLoad, side: &Side) -> Result<()> {
        let feed = Plain::new(load.dataset, Arc::clone(&load.rows))?;
        let brought: Vec<&str> = feed.schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.session.run("BEGIN").await?;
        side.create(self.session, &brought, self.warehouse.swap_deadline()).await?;
        self.session.commit().await
    }

    /// Sends the rows; how many there were.
    async fn fill(&self, load: &StageLoad, side: &Side, connections: usize) -> Result<u64> {
        let feed = Plain::new(load.dataset, Arc::clone(&load.rows))?;
        let columns = feed.places.iter().map(|&at| load.dataset.columns()[at]);
        let named = columns.map(|c| (c.name.to_owned(), pg_type(c.kind))).collect();
        let copied = side.fill(self.warehouse, named, Arc::new(feed), connections, &shared(self.dt)).await?;
        expect_rows(copied, load.expected(), load.table())?;
        Ok(copied)
    }

    async fn publish(&self, load: &StageLoad, side: &Side, copied: u64) -> Result<()> {
        let Self { warehouse, session, dt } = *self;
        session.run("BEGIN").await?;
        side.finish(session, Built::default()).await?;
        self.write_beside_rows(load).await?;
        let keep = copied > 0;
        if keep || current(session, load.table(), dt).await?.is_some() {
            side.swap(session, keep, warehouse.swap_deadline()).await?;
        } else {
            session.run(&format!("DROP TABLE {}", side.name())).await?;
        }
        session.commit().await?;
        self.note(load);
        Ok(())
    }

    /// Publishes a day whose rows are not for PostgreSQL.
    async fn publish_without_rows(&self, load: &StageLoad) -> Result<()> {
        let Self { session, dt, .. } = *self;
        session.run("BEGIN").await?;
        self.write_beside_rows(load).await?;
        let sql = "UPDATE dwh.load_ledger SET purged_at = now() WHERE target = $1 AND dt = $2";
        session.execute(sql, &[&load.table(), &dt]).await?;
        session.commit().await?;
        self.note(load);
        Ok(())
    }

    fn note(&self, load: &StageLoad) {
        self.warehouse.progress.publish(format!("{} dt={}", load.table(), self.dt));
    }

    /// Rejects, repairs, ledger, and the settings that hold from now on.
    async fn write_beside_rows(&self, load: &StageLoad) -> Result<()> {
        let Self { warehouse, session, dt } = *self;
        self.replace_rejects(load).await?;
        rejected::keep(session, &load.repairs, &warehouse.run_id).await?;
        schema::fix_zone(session, &warehouse.settings.time_zone).await?;
        if Fact::of(load.dataset).is_some_and(|fact| fact.kind.is_telemetry()) && !load.lines.is_empty() {
            schema::fix_positions(session, warehouse.positions().await?).await?;
        }
        ledger::write(session, load.table(), dt, &load.lines, &warehouse.fingerprint(&[]), &warehouse.run_id).await
    }

    async fn replace_rejects(&self, load: &StageLoad) -> Result<()> {
        let sql = "DELETE FROM staging.rejected WHERE dataset = $1 AND dt = $2 AND file LIKE 'dt=%'";
        self.session.execute(sql, &[&load.dataset.name(), &self.dt]).await?;
        let expected: u64 = load.lines.iter().map(|l| l.rows_rejected).sum();
        if expected == 0 {
            return Ok(());
        }
        rejected::copy(self.warehouse, self.session, Arc::clone(&load.rejects), expected).await
    }
}
