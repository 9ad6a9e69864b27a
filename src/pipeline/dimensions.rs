//! Step 3, first half: a day's snapshots into the dimensions.

use std::time::Instant;

use chrono::NaiveDate;

use super::Pipeline;
use super::input::{Audience, Input, Judged, on_thread};
use super::report::{Report, TableReport};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::history::Snapshot;
use crate::model::{Dataset, Dimension};
use crate::postgres::DimensionLoad;

impl Pipeline {
    /// Loads one day's snapshots of routes, stops, users and vehicles, with history.
    pub async fn load_dimensions(&self, dt: NaiveDate) -> Result<Report> {
        self.tracked("load_dimensions", Some(dt), self.load_dimensions_of(dt)).await
    }

    async fn load_dimensions_of(&self, dt: NaiveDate) -> Result<Report> {
        let started = Instant::now();
        let warehouse = self.warehouse()?;
        let datasets = Dimension::ALL.map(|d| d.dataset);
        let (inputs, _) = self.inputs(dt, &datasets).await?;
        let mut report = Report::new("load_dimensions", Some(dt));
        let mut pending = Vec::new();
        for (dimension, input) in Dimension::ALL.into_iter().zip(inputs) {
            match warehouse.unchanged_dimension(&dimension, dt, &input.identities()).await? {
                Some(lines) if lines.is_empty() => {}
                Some(lines) => report.table(dimension.table, TableReport::unchanged(&lines)),
                None => pending.push(self.prepare_dimension(dimension, dt, input).await?),
            }
        }
        for (load, judged) in pending {
            let dimension = load.dimension;
            let loaded = warehouse.load_dimension(load).await?;
            let mut table = TableReport::of(&loaded.lines);
            judged.describe(&mut table);
            let written = loaded.written;
            table.rows_written = written.inserted + written.updated + written.deleted;
            table.detail("versions_inserted", written.inserted);
            table.detail("versions_updated", written.updated);
            table.detail("versions_deleted", written.deleted);
            if loaded.is_empty {
                table.detail("empty_snapshot", true);
            }
            for (fact, rows) in loaded.rekeyed.into_iter().filter(|(_, rows)| *rows > 0) {
                table.rows_written += rows;
                let known = table.details.remove("rekeyed").unwrap_or_else(|| serde_json::json!({}));
                let mut rekeyed = known;
                rekeyed[fact] = rows.into();
                table.detail("rekeyed", rekeyed);
            }
            report.table(dimension.table, table);
        }
        Ok(report.took(started))
    }

    async fn prepare_dimension(
        &self,
        dimension: Dimension,
        dt: NaiveDate,
        input: Input,
    ) -> Result<(DimensionLoad, Judged)> {
        let judged = self.judge(input).await?;
        let cancel = self.cancel.clone();
        let (snapshot, judged) =
            on_thread(move || collapse(&dimension, &judged, &cancel).map(|snapshot| (snapshot, judged))).await?;
        Ok((DimensionLoad { dimension, dt, lines: judged.lines(Audience::Warehouse), snapshot }, judged))
    }
}

/// One statement a key: equal rows are one already, contradictory ones are an error.
pub(super) fn collapse(dimension: &Dimension, judged: &Judged, cancel: &Cancel) -> Result<Snapshot> {
    let declared = dimension.columns();
    let names: Vec<&str> = declared.iter().map(|c| c.name).collect();
    let mut snapshot = Snapshot::new(&names)?;
    let key_kind = Dataset::columns(dimension.dataset)[0].kind;
    judged.each(cancel, &mut |cleaner, kept, cleaned| {
        // The key is the first column of the dataset; the declared columns are those after it.
        let stated = cleaner.stated() >> 1;
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
            snapshot.row(&key, stated, &values).map_err(|e| e.with("table", dimension.table))?;
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
