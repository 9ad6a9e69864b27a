//! Step 2: raw files into staging, rejects and ledger included.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Date32Array, Int64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{Date32Type, Field, Schema, SchemaRef};
use chrono::NaiveDate;

use super::Pipeline;
use super::day::Day;
use super::input::{Audience, Judged, KeptRows};
use super::outcome::Outcome;
use super::report::{Report, TableReport};
use crate::error::{Error, Result};
use crate::load::{Feed, Repair, Unit};
use crate::model::{Dataset, Fact};
use crate::warehouse::{self, REJECT_COLUMNS, StageLoad};

impl Pipeline {
    /// Loads the raw files of one day into staging. Every file is read and judged before anything is written.
    pub async fn stage(&self, dt: NaiveDate) -> Result<Report> {
        self.stage_of(&mut Day::new(dt)).await
    }

    /// The same for a day that other steps read, too.
    pub(super) async fn stage_of(&self, day: &mut Day) -> Result<Report> {
        self.tracked("stage", Some(day.dt), self.stage_day(day)).await
    }

    async fn stage_day(&self, day: &mut Day) -> Result<Report> {
        let started = Instant::now();
        let (dt, warehouse) = (day.dt, self.warehouse()?);
        day.open(self, &Dataset::ALL).await?;
        let mut report = Report::new("stage", Some(dt));
        let mut pending = Vec::new();
        for dataset in Dataset::ALL {
            let table = dataset.staging_table();
            match warehouse.unchanged(table, dt, &day.identities(dataset)).await? {
                Some(lines) if lines.is_empty() => {}
                Some(lines) => report.table(table, TableReport::unchanged(&lines)),
                None => pending.push(dataset),
            }
        }
        let judged = day.all_judged(self, &pending).await?;
        self.publish_stage(dt, judged, Vec::new(), &mut report).await?;
        self.stage_feed_rejects(day, &mut report).await?;
        report.outcome = Outcome::Staged { ignored_files: day.ignored().to_vec() };
        report.nothing_is_unchanged();
        Ok(report.took(started))
    }

    /// Publishes judged datasets, with new repairs that they rest on.
    pub(super) async fn publish_stage(
        &self,
        dt: NaiveDate,
        judged: Vec<Arc<Judged>>,
        repairs: Vec<Repair>,
        report: &mut Report,
    ) -> Result<()> {
        if judged.is_empty() {
            return Ok(());
        }
        let warehouse = self.warehouse()?;
        let positions = warehouse.positions().await?;
        let keeps_rows = |dataset| Fact::of(dataset).is_none_or(|fact| !positions.are_elsewhere(fact.kind));
        let load = |judged: &Arc<Judged>| StageLoad {
            dataset: judged.dataset,
            lines: judged.lines(Audience::Staging),
            rows: Arc::new(KeptRows::new(Arc::clone(judged), Audience::Staging)),
            rejects: Arc::new(Rejects::new(Arc::clone(judged), dt)),
            repairs: repairs.iter().filter(|repair| repair.dataset == judged.dataset).cloned().collect(),
            keeps_rows: keeps_rows(judged.dataset),
        };
        let staged = warehouse::stage(warehouse, dt, judged.iter().map(load).collect()).await?;
        for (judged, lines) in judged.iter().zip(staged) {
            let mut table = TableReport::of(&lines);
            table.rows_written = table.rows_rejected + if keeps_rows(judged.dataset) { table.rows_loaded } else { 0 };
            judged.describe(&mut table);
            report.table(judged.dataset.staging_table(), table);
        }
        Ok(())
    }
}

/// The rejects of one dataset and day, as `staging.rejected` takes them.
pub(super) struct Rejects {
    judged: Arc<Judged>,
    dt: NaiveDate,
    schema: SchemaRef,
}

impl Rejects {
    pub(super) fn new(judged: Arc<Judged>, dt: NaiveDate) -> Self {
        Self { judged, dt, schema: Self::columns() }
    }

    /// The columns of every batch.
    pub(super) fn columns() -> SchemaRef {
        Arc::new(Schema::new(REJECT_COLUMNS.map(|(name, kind)| Field::new(name, kind.arrow(), true)).to_vec()))
    }
}

impl Feed for Rejects {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn units(&self) -> usize {
        self.judged.rejecting_units()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let load_id = warehouse::load_id(self.dt);
        self.judged.each_reject(unit, &mut |file, rejects| {
            let rows = rejects.len();
            let mut numbers = Int64Builder::with_capacity(rows);
            let mut reasons = ListBuilder::new(StringBuilder::new());
            let mut json = StringBuilder::new();
            for reject in rejects {
                numbers.append_value(reject.row_number.cast_signed());
                for reason in &reject.reasons {
                    reasons.values().append_value(reason.code());
                }
                reasons.append(true);
                json.append_value(&reject.row_json);
            }
            let same = |text: &str| StringArray::from_iter_values(std::iter::repeat_n(text, rows));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(same(self.judged.dataset.name())),
                Arc::new(Date32Array::from_value(Date32Type::from_naive_date(self.dt), rows)),
                Arc::new(same(file)),
                Arc::new(numbers.finish()),
                Arc::new(reasons.finish()),
                Arc::new(json.finish()),
                Arc::new(same(&load_id)),
            ];
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
                .map_err(|e| Error::internal("rejects do not fit their table").because(e))?;
            sink(batch)
        })
    }
}
