//! Step 4: dirty service dates from the facts into the mart.

use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::{Days, NaiveDate, Utc};

use super::Pipeline;
use super::report::{Report, TableReport};
use crate::error::{Error, Result};
use crate::model::Zone;
use crate::postgres::{MartSource, RouteName};
use crate::rollup::mart::{HourlyMart, RouteVersion, RouteVersions, schema};

/// The mart's table.
const TABLE: &str = "mart_route_hourly";

impl Pipeline {
    /// Rebuilds dirty service dates, all of them or those of the half-open range; with `force` the clean ones of the
    /// range too. Readers see a date's rows before or after, never between.
    pub async fn build_route_hourly(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        force: bool,
    ) -> Result<Report> {
        self.tracked("build_route_hourly", None, self.build_dates(from, to, force)).await
    }

    async fn build_dates(&self, from: Option<NaiveDate>, to: Option<NaiveDate>, force: bool) -> Result<Report> {
        let started = Instant::now();
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(Error::config(format!(
                "the dates run from {from} to {to}; the end is exclusive and must be later"
            )));
        }
        let warehouse = self.warehouse()?;
        let mart = self.mart().await?;
        mart.apply_schema().await?;
        let source = warehouse.mart_source().await?;
        let builds = source.builds(from, to, force).await?;
        let routes = if builds.is_empty() { Vec::new() } else { source.routes().await? };
        let zone = Zone(self.settings.zone()?);
        self.progress.begin("build mart", builds.len() as u64);
        let snapshot_ts = Utc::now();
        let (mut rebuilt, mut same, mut written) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = TableReport::default();
        for build in builds {
            self.cancel.check()?;
            let date = build.service_date;
            let rows = rows_of(&source, zone, &routes, date).await?;
            let replaced = mart.replace_service_date(date, &rows, snapshot_ts).await?;
            table.rows_loaded += replaced.rows;
            if replaced.changed {
                table.rows_written += replaced.rows;
                rebuilt.push(date.to_string());
            } else {
                same.push(date.to_string());
            }
            written.push((build, replaced.rows));
            self.progress.add(1);
        }
        source.end_snapshot().await?;
        for (build, rows) in &written {
            source.record(build, *rows).await?;
        }
        table.unchanged = rebuilt.is_empty();
        let mut report = Report::new("build_route_hourly", None);
        report.table(TABLE, table);
        report.detail("service_dates_rebuilt", rebuilt);
        report.detail("service_dates_same", same);
        Ok(report.took(started))
    }
}

/// The mart's rows of one service date.
async fn rows_of(source: &MartSource, zone: Zone, routes: &[RouteName], date: NaiveDate) -> Result<RecordBatch> {
    let facts = source.date(date).await?;
    let mut mart = HourlyMart::new(zone, versions(routes));
    for batch in &facts.trips {
        mart.add_trips(batch)?;
    }
    for batch in &facts.payments {
        mart.add_payments(batch)?;
    }
    for batch in &facts.positions {
        mart.add_positions(batch)?;
    }
    let next = date + Days::new(1);
    let mut days = mart.finish(date..next)?;
    Ok(days.pop().map_or_else(|| RecordBatch::new_empty(schema()), |(_, rows)| rows))
}

fn versions(routes: &[RouteName]) -> RouteVersions {
    let mut versions = RouteVersions::default();
    for route in routes {
        versions.insert(
            route.route_id.as_str(),
            RouteVersion {
                valid_from: route.valid_from_micros.unwrap_or(i64::MIN),
                valid_to: route.valid_to_micros,
                name: route.name.clone(),
                transport_type: route.transport_type.clone(),
                is_inferred: route.valid_from_micros.is_none(),
            },
        );
    }
    versions
}
