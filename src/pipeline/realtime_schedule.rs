//! The scheduled trips of the days around the one that recordings are read for.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{Days, NaiveDate};

use super::Pipeline;
use super::input::on_thread;
use super::realtime_outcome::ScheduleUsed;
use crate::error::{Error, Result};
use crate::feeds::realtime::{Run, Schedule, days};
use crate::lake::{Lake, ParquetFile, Places, parquet_files};
use crate::model::Dataset;

/// Service dates before and after a day whose runs may be under way on it: one begins at most two days before.
const DAYS_BEFORE: u64 = 2;
const DAYS_AFTER: u64 = 1;
const COLUMNS: [&str; 4] = ["trip_id", "start_time", "start_ts", "end_ts"];
const BATCH_ROWS: usize = 16_384;

impl Pipeline {
    /// The runs of the days around `dt` in a lake, and which days had some.
    pub(super) async fn schedule_around(&self, dt: NaiveDate, lake: &str) -> Result<(Schedule, Option<ScheduleUsed>)> {
        let (mut schedule, mut used) = (Schedule::default(), BTreeMap::new());
        let lake = Lake::open(lake, &self.settings.lake_options)?;
        let first = dt.checked_sub_days(Days::new(DAYS_BEFORE)).unwrap_or(dt);
        for day in first.iter_days().take((DAYS_BEFORE + DAYS_AFTER + 1) as usize) {
            let partition = match lake.partition(day, self.settings.unknown_files).await {
                Err(Error::NotFound(_)) => continue,
                found => found?,
            };
            let Some(parts) = partition.files.get(&Dataset::ScheduledTrips) else { continue };
            let names: Vec<_> = parts.iter().map(|part| format!("{}/{}", lake.url(), part.path)).collect();
            let places = Places { names, plain_files: true, folder_columns: false };
            let files = parquet_files(&places, &self.settings.lake_options, &self.cancel).await?;
            let before = schedule.len();
            schedule = on_thread(move || read(&files, day, &mut schedule).map(|()| schedule)).await?;
            used.insert(day, schedule.len() - before);
        }
        let used = (!used.is_empty()).then(|| ScheduleUsed { lake: lake.url().to_owned(), days: used });
        Ok((schedule, used))
    }
}

fn read(files: &[ParquetFile], day: NaiveDate, schedule: &mut Schedule) -> Result<()> {
    for file in files {
        for group in 0..file.row_groups() {
            for batch in file.read(group, &COLUMNS, BATCH_ROWS)? {
                add(&batch?, day, schedule).map_err(|e| e.with("file", &file.name))?;
            }
        }
    }
    Ok(())
}

fn add(batch: &RecordBatch, day: NaiveDate, schedule: &mut Schedule) -> Result<()> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    let column = |name: &str, wanted: &DataType| {
        let column = batch.column_by_name(name).ok_or_else(|| {
            Error::schema(format!("the schedule of {day} lacks the column {name}")).with("column", name)
        })?;
        arrow::compute::cast(column, wanted).map_err(|e| {
            Error::schema(format!("{name} of the schedule of {day} is {}, expected {wanted}", column.data_type()))
                .with("column", name)
                .because(e)
        })
    };
    let (trips, start_times) = (column("trip_id", &DataType::Utf8)?, column("start_time", &DataType::Utf8)?);
    let (starts, ends) = (column("start_ts", &instant)?, column("end_ts", &instant)?);
    let (trips, start_times) = (trips.as_string::<i32>(), start_times.as_string::<i32>());
    let starts = starts.as_primitive::<TimestampMicrosecondType>();
    let ends = ends.as_primitive::<TimestampMicrosecondType>();
    for row in 0..batch.num_rows() {
        if trips.is_null(row) || start_times.is_null(row) || starts.is_null(row) {
            continue;
        }
        let start_micros = starts.value(row);
        let end_micros = if ends.is_null(row) { start_micros } else { ends.value(row) };
        let start_time = start_times.value(row).to_owned();
        schedule.add(trips.value(row), Run { day: days(day), start_time, start_micros, end_micros });
    }
    Ok(())
}
