//! The scheduled trips of the days around the one that recordings are read for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{Days, NaiveDate};

use super::outcome::{ScheduleSource, ScheduleUsed, ScheduleVersion};
use crate::error::{Error, Result};
use crate::feeds::Ids;
use crate::feeds::gtfs::Table;
use crate::feeds::realtime::{Run, Schedule, days};
use crate::lake::{Lake, ParquetFile, Places, local_path, parquet_files};
use crate::model::Dataset;
use crate::pipeline::Pipeline;
use crate::pipeline::feed_name;
use crate::pipeline::gtfs::origin::GtfsOrigin;
use crate::pipeline::input::on_thread;

/// Service dates before and after a day whose runs may be under way on it: one begins at most two days before.
const DAYS_BEFORE: u64 = 2;
const DAYS_AFTER: u64 = 1;
const COLUMNS: [&str; 4] = ["trip_id", "start_time", "start_ts", "end_ts"];
const BATCH_ROWS: usize = 16_384;
/// The file by which a folder is known to hold an agency's timetable.
const TIMETABLE: &str = "stop_times.txt";

/// Runs by the feed's own ids, how many each day has, and which versions of feeds those of a lake were made of.
#[derive(Default)]
struct Runs {
    schedule: Schedule,
    days: BTreeMap<NaiveDate, u64>,
    versions: Vec<ScheduleVersion>,
    ids: Ids,
}

impl Pipeline {
    /// The runs of the days around `dt`, and which days had some: in the lake or feed that is named, else in the pipeline's own
    /// lake.
    pub(super) async fn schedule_around(
        &self,
        dt: NaiveDate,
        named: Option<&str>,
        ids: &Ids,
    ) -> Result<(Schedule, Option<ScheduleUsed>)> {
        let first = dt.checked_sub_days(Days::new(DAYS_BEFORE)).unwrap_or(dt);
        let days: Vec<_> = first.iter_days().take((DAYS_BEFORE + DAYS_AFTER + 1) as usize).collect();
        let (mut runs, source) = match named {
            Some(feed) if is_feed(feed)? => self.runs_of_feed(days, feed).await?,
            Some(lake) => self.runs_of_lake(days, Lake::open(lake, &self.settings.lake_options)?, ids).await?,
            None => self.runs_of_lake(days, self.lake()?, ids).await?,
        };
        runs.days.retain(|_, count| *count > 0);
        let used = (!runs.days.is_empty()).then_some(ScheduleUsed { source, days: runs.days, versions: runs.versions });
        Ok((runs.schedule, used))
    }

    async fn runs_of_lake(&self, days: Vec<NaiveDate>, lake: Lake, ids: &Ids) -> Result<(Runs, ScheduleSource)> {
        let mut runs = Runs { ids: ids.clone(), ..Runs::default() };
        for day in days {
            let partition = match lake.partition(day, self.settings.unknown_files).await {
                Err(Error::NotFound(_)) => continue,
                found => found?,
            };
            let Some(parts) = partition.files.get(&Dataset::ScheduledTrips) else { continue };
            let names: Vec<_> = parts.iter().map(|part| format!("{}/{}", lake.url(), part.path)).collect();
            let places = Places { names, plain_files: true, folder_columns: false };
            let files = parquet_files(&places, &self.settings.lake_options, &self.cancel).await?;
            let origins = self.origins_of(&lake, day, ids).await?;
            runs = on_thread(move || read(&files, day, &mut runs).map(|()| runs)).await?;
            runs.note(day, origins);
        }
        Ok((runs, ScheduleSource::Lake(lake.url().to_owned())))
    }

    /// What the lake says of the timetable of a day: nothing, where another hand than ours made it.
    ///
    /// # Errors
    /// `Config` for a timetable of another zone: its runs would be those of other days.
    async fn origins_of(&self, lake: &Lake, day: NaiveDate, ids: &Ids) -> Result<Vec<GtfsOrigin>> {
        let Some((files, _)) = lake.sealed_files(day).await? else { return Ok(Vec::new()) };
        let trips = files.iter().filter(|file| feed_name::is_of(&file.path, &[Dataset::ScheduledTrips]));
        let mut origins: Vec<_> = trips.filter_map(GtfsOrigin::read).collect();
        origins.retain(|origin| ids.are_also_of(origin.feed.as_deref()));
        for zone in origins.iter().filter_map(|origin| origin.zone.as_deref()) {
            self.check_zone(&format!("the schedule of {day} in {}", lake.url()), zone)?;
        }
        Ok(origins)
    }

    async fn runs_of_feed(&self, days: Vec<NaiveDate>, source: &str) -> Result<(Runs, ScheduleSource)> {
        let settings = &self.settings;
        let (_copy, feed) = self.open_feed(source, &settings.lake_options, None, None).await?;
        self.check_zone(&feed.source, feed.zone.name())?;
        let (opened, cancel, progress, limit) =
            (Arc::clone(&feed), self.cancel.clone(), self.progress.clone(), settings.reject_limit);
        let runs = on_thread(move || {
            let (timetable, mut runs) = (opened.read(&days, &cancel, &progress)?, Runs::default());
            timetable.tally.judge(limit)?;
            for day in days {
                for batch in timetable.day(day)?.batches(Table::ScheduledTrips) {
                    runs.add(&batch?, day)?;
                }
            }
            Ok(runs)
        })
        .await?;
        let source = ScheduleSource::Feed {
            source: feed.source.clone(),
            sha256: feed.sha256.clone(),
            feed_version: feed.validity.version.clone(),
        };
        Ok((runs, source))
    }
}

/// Whether a schedule is named as an agency publishes it: a zip of any place, or a file or folder of this machine with a
/// timetable in it. All else is a lake.
fn is_feed(named: &str) -> Result<bool> {
    let address = if named.starts_with("http") { named.split(['?', '#']).next().unwrap_or(named) } else { named };
    if address.to_ascii_lowercase().ends_with(".zip") {
        return Ok(true);
    }
    let Some(path) = local_path("schedule", named)? else { return Ok(false) };
    let holds = |folder: &Path| folder.join(TIMETABLE).is_file();
    if path.is_file() || holds(&path) {
        return Ok(true);
    }
    let entries: Vec<_> = path.read_dir().into_iter().flatten().flatten().collect();
    let is_lake = entries.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("dt="));
    Ok(!is_lake && entries.iter().any(|entry| holds(&entry.path())))
}

fn read(files: &[ParquetFile], day: NaiveDate, runs: &mut Runs) -> Result<()> {
    for file in files {
        for group in 0..file.row_groups() {
            for batch in file.read(group, &COLUMNS, BATCH_ROWS)? {
                runs.add(&batch?, day).map_err(|e| e.with("file", &file.name))?;
            }
        }
    }
    Ok(())
}

impl Runs {
    /// Notes what the runs of a day were made of, if it has any.
    fn note(&mut self, day: NaiveDate, origins: Vec<GtfsOrigin>) {
        if self.days.get(&day).is_none_or(|runs| *runs == 0) {
            return;
        }
        for GtfsOrigin { feed, feed_sha256: sha256, feed_version, .. } in origins {
            match self.versions.iter_mut().find(|known| known.feed == feed && known.sha256 == sha256) {
                Some(known) => known.days.push(day),
                None => self.versions.push(ScheduleVersion { feed, sha256, feed_version, days: vec![day] }),
            }
        }
    }

    fn add(&mut self, batch: &RecordBatch, day: NaiveDate) -> Result<()> {
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
        let count = self.days.entry(day).or_default();
        for row in 0..batch.num_rows() {
            if trips.is_null(row) || start_times.is_null(row) || starts.is_null(row) {
                continue;
            }
            let Some(trip) = self.ids.own(trips.value(row)) else { continue };
            let start_micros = starts.value(row);
            let end_micros = if ends.is_null(row) { start_micros } else { ends.value(row) };
            let start_time = start_times.value(row).to_owned();
            *count += 1;
            self.schedule.add(trip, Run { day: days(day), start_time, start_micros, end_micros });
        }
        Ok(())
    }
}
