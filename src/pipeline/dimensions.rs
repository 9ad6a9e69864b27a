//! Step 3, first half: a day's snapshots into the dimensions.

use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;

use super::Pipeline;
use super::day::Day;
use super::input::{Audience, Judged, on_thread};
use super::outcome::{Outcome, TableOutcome};
use super::report::{Report, TableReport};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::history::{Columns, Snapshot};
use crate::model::{Dataset, Dimension};
use crate::warehouse::{self, DimensionLoad};

impl Pipeline {
    /// Loads one day's snapshots of routes, stops, users and vehicles, with history. A dry run does the same, keeps nothing of
    /// it, and notes no failure either.
    pub async fn load_dimensions(&self, dt: NaiveDate, dry_run: bool) -> Result<Report> {
        let mut day = Day::new(dt);
        if !dry_run {
            return self.load_dimensions_of(&mut day).await;
        }
        let mut report = self.load_dimensions_day(&mut day, true).await?;
        report.rows = 0;
        report.outcome = Outcome::Tried { dry_run: true };
        Ok(report)
    }

    /// The same for a day that other steps read, too.
    pub(super) async fn load_dimensions_of(&self, day: &mut Day) -> Result<Report> {
        self.tracked("load_dimensions", Some(day.dt), self.load_dimensions_day(day, false)).await
    }

    async fn load_dimensions_day(&self, day: &mut Day, dry_run: bool) -> Result<Report> {
        let started = Instant::now();
        let (dt, warehouse) = (day.dt, self.warehouse()?);
        day.open(self, &Dimension::ALL.map(|d| d.dataset)).await?;
        let mut report = Report::new("load_dimensions", Some(dt));
        let mut pending = Vec::new();
        for dimension in Dimension::ALL {
            let identities = day.identities(dimension.dataset);
            match warehouse::unchanged_dimension(warehouse, &dimension, dt, &identities).await? {
                Some(lines) if lines.is_empty() => {}
                Some(lines) => report.table(dimension.table, TableReport::unchanged(&lines)),
                None => pending.push(dimension),
            }
        }
        let datasets: Vec<Dataset> = pending.iter().map(|dimension| dimension.dataset).collect();
        let mut loads = Vec::with_capacity(pending.len());
        for (dimension, judged) in pending.into_iter().zip(day.all_judged(self, &datasets).await?) {
            loads.push((self.prepare_dimension(dimension, dt, Arc::clone(&judged)).await?, judged));
        }
        for (load, judged) in loads {
            report.table(load.dimension.table, self.publish_dimension(load, &judged, dry_run).await?);
        }
        report.nothing_is_unchanged();
        Ok(report.took(started))
    }

    /// Publishes one judged snapshot.
    pub(super) async fn publish_dimension(
        &self,
        load: DimensionLoad,
        judged: &Judged,
        dry_run: bool,
    ) -> Result<TableReport> {
        let what = format!("{} dt={}", load.dimension.table, load.dt);
        let loaded = warehouse::load_dimension(self.warehouse()?, load, dry_run).await?;
        if !dry_run {
            self.progress.publish(what);
        }
        let mut table = TableReport::of(&loaded.lines);
        judged.describe(&mut table);
        let written = loaded.written;
        let mut rekeyed = loaded.rekeyed;
        rekeyed.retain(|_, rows| *rows > 0);
        if !dry_run {
            table.rows_written = written.inserted + written.updated + written.deleted + rekeyed.values().sum::<u64>();
        }
        table.outcome = TableOutcome::Dimension {
            versions_inserted: written.inserted,
            versions_updated: written.updated,
            versions_deleted: written.deleted,
            empty_snapshot: loaded.is_empty,
            rekeyed,
            sample: loaded.sample,
        };
        Ok(table)
    }

    /// Collapses a judged snapshot into one statement a key.
    pub(super) async fn prepare_dimension(
        &self,
        dimension: Dimension,
        dt: NaiveDate,
        judged: Arc<Judged>,
    ) -> Result<DimensionLoad> {
        let cancel = self.cancel.clone();
        on_thread(move || {
            let snapshot = collapse(&dimension, &judged, &cancel)?;
            Ok(DimensionLoad { dimension, dt, lines: judged.lines(Audience::Warehouse), snapshot })
        })
        .await
    }
}

/// One statement a key: equal rows are one already, contradictory ones are an error.
pub(super) fn collapse(dimension: &Dimension, judged: &Judged, cancel: &Cancel) -> Result<Snapshot> {
    let declared = dimension.columns();
    let names: Vec<&str> = declared.iter().map(|c| c.name).collect();
    let mut snapshot = Snapshot::new(&names);
    let key_kind = Dataset::columns(dimension.dataset)[0].kind;
    judged.each(cancel, &mut |cleaner, kept, cleaned| {
        // The key is the first column of the dataset; the declared columns are those after it.
        let stated = Columns::from(cleaner.stated() >> 1);
        let keys = kept.column(0);
        for row in 0..kept.num_rows() {
            let values: Vec<_> = declared
                .iter()
                .enumerate()
                .map(|(index, column)| column.kind.canonical(kept.column(index + 1), row))
                .collect();
            let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
            let key = key_kind
                .canonical(keys, row)
                .ok_or_else(|| Error::internal("a clean row of a dimension has no key"))?;
            snapshot.row(&key, &stated, &values).map_err(|e| e.with("table", dimension.table))?;
        }
        for reject in &cleaned.rejects {
            if let Some(key) = &reject.key {
                snapshot.mention(key);
            }
        }
        Ok(())
    })?;
    Ok(snapshot)
}
