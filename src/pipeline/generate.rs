//! Raw days of the synthetic city, written into the lake.

use std::time::Instant;

use chrono::{Datelike, Days, NaiveDate};

use super::Pipeline;
use super::outcome::Outcome;
use super::report::{Report, TableReport};
use crate::error::{Error, Result};
use crate::generate::{City, schema};
use crate::lake::Lake;
use crate::model::Zone;

/// The most days one call makes: a typing error should not fill a disk.
const MOST_DAYS: u64 = 3_660;
/// The last year whose dates read as `yyyy-mm-dd`.
const LAST_YEAR: i32 = 9_999;

impl Pipeline {
    /// Makes `days` raw days from `start` on; a day is a function of seed, scale, zone and date alone.
    pub async fn generate(&self, start: NaiveDate, days: u64, seed: u64, scale: f64) -> Result<Report> {
        let started = Instant::now();
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Error::config(format!("days is {days}, expected 1 to {MOST_DAYS}")));
        }
        let lake = self.lake()?;
        let city = City::new(seed, scale, Zone(self.settings.zone()?))?;
        let mut report = Report::new("generate", None);
        let mut made = Vec::new();
        for offset in 0..days {
            let dt =
                start.checked_add_days(Days::new(offset)).filter(|dt| dt.year() <= LAST_YEAR).ok_or_else(|| {
                    Error::config(format!("{offset} days after {start} lies beyond the year {LAST_YEAR}"))
                })?;
            self.generate_day(&lake, &city, dt, &mut report).await?;
            made.push(dt);
        }
        report.outcome = Outcome::Generated { days: made, lake: lake.url().to_owned() };
        report.unchanged = false;
        Ok(report.took(started))
    }

    async fn generate_day(&self, lake: &Lake, city: &City, dt: NaiveDate, report: &mut Report) -> Result<()> {
        let mut writer = lake.write(dt, &self.cancel).await?;
        let day = city.day(dt);
        for dataset in City::DATASETS {
            self.progress.begin(&format!("generate {dt} {dataset}"), 0);
            let mut file = writer.begin(dataset, None, &schema(dataset))?;
            for batch in day.batches(dataset) {
                let batch = batch?;
                file.write(&batch).await?;
                self.progress.add(batch.num_rows() as u64);
            }
            let written = file.finish().await?;
            let table = report.tables.entry(dataset.name().to_owned()).or_default();
            add(table, written.rows.unwrap_or(0), written.bytes.unwrap_or(0));
            report.rows += written.rows.unwrap_or(0);
            report.bytes += written.bytes.unwrap_or(0);
            report.files += 1;
            writer.add(written);
        }
        writer.finish().await?;
        self.progress.publish(format!("raw dt={dt}"));
        Ok(())
    }
}

fn add(table: &mut TableReport, rows: u64, bytes: u64) {
    table.files += 1;
    table.bytes += bytes;
    table.rows_written += rows;
}
