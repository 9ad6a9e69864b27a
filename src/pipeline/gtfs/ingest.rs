//! Raw days of an agency's timetable: GTFS Schedule into the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{Days, NaiveDate};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::origin::GtfsOrigin;
use super::outcome::{DayReport, FeedReport, KeptVersion};
use crate::config::Secret;
use crate::control::Progress;
use crate::error::{Error, Result};
use crate::feeds::gtfs::{Day, Feed, OpenOptions, Table, version_for};
use crate::lake::{
    FileWriter, Lake, LocalCopy, ManifestFile, PartitionWriter, SealedFile, data_path, local_copy, rejected_path,
};
use crate::model::{Dataset, Reason, Zone};
use crate::pipeline::Pipeline;
use crate::pipeline::feed_name;
use crate::pipeline::input::on_thread;
use crate::pipeline::outcome::Outcome;
use crate::pipeline::report::{Report, TableReport};

/// The most days one call makes: a typing error should not fill a disk.
const MOST_DAYS: u64 = 3_660;

/// What is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestGtfs {
    /// Paths or URLs of one feed's versions.
    pub sources: Vec<String>,
    /// Options of their object store; those of the lake when unset.
    pub source_options: Option<BTreeMap<String, Secret>>,
    /// The first service date.
    pub date: NaiveDate,
    /// How many.
    pub days: u64,
    /// The name before every id, in a lake of several agencies.
    pub feed: Option<String>,
    /// The folder within the archive, when several hold a feed.
    pub folder: Option<String>,
    /// Also replace what was made of a newer version, or of one that claims the date where this does not.
    pub replace_newer: bool,
    /// Read and count, and write nothing.
    pub dry_run: bool,
}

/// A feed, and the days that are made of it.
struct Work<'a> {
    lake: &'a Lake,
    asked: &'a IngestGtfs,
    feed: &'a Arc<Feed>,
}

impl Pipeline {
    /// Writes the timetable of `days` service dates from `date` on into the lake; what else a raw day holds stays.
    ///
    /// # Errors
    /// `Config` for a zone that is not the service zone and for several feeds or versions of which none is chosen;
    /// `Schema` and `Data` for a feed that cannot be read; the lake's own.
    pub async fn ingest_gtfs(&self, asked: IngestGtfs) -> Result<Report> {
        let started = Instant::now();
        let dates = asked.dates()?;
        let lake = self.lake()?;
        let (_copies, feeds) = self.open_feeds(&asked).await?;
        let mut dates_of = BTreeMap::<usize, Vec<NaiveDate>>::new();
        for date in dates {
            dates_of.entry(version_for(&feeds, date)?).or_default().push(date);
        }
        let mut report = Report::new("ingest_gtfs", None);
        let mut told: Vec<FeedReport> = feeds.iter().map(|feed| FeedReport::of(feed)).collect();
        let mut days = Vec::new();
        for (number, dates) in dates_of {
            let (Some(feed), Some(told)) = (feeds.get(number), told.get_mut(number)) else { continue };
            self.check_zone(&feed.source, feed.zone.name())?;
            let work = Work { lake: &lake, asked: &asked, feed };
            self.ingest_feed(&work, &dates, &mut report, told, &mut days).await?;
        }
        days.sort_by_key(|day| day.dt);
        let is_unchanged = days.iter().all(|day| day.unchanged);
        report.unchanged = is_unchanged;
        report.tables.values_mut().for_each(|table| table.unchanged = is_unchanged);
        let IngestGtfs { dry_run, .. } = asked;
        report.outcome = Outcome::IngestedGtfs { lake: lake.url().to_owned(), feeds: told, days, dry_run };
        Ok(report.took(started))
    }

    /// Fetches and opens all sources; the copies must outlive the reading.
    async fn open_feeds(&self, asked: &IngestGtfs) -> Result<(Vec<LocalCopy>, Vec<Arc<Feed>>)> {
        let options = asked.source_options.as_ref().unwrap_or(&self.settings.lake_options);
        let (mut copies, mut feeds) = (Vec::new(), Vec::new());
        for source in &asked.sources {
            self.progress.begin(&format!("open {}", source.split('?').next().unwrap_or(source)), 0);
            let (copy, feed) = self.open_feed(source, options, asked.folder.clone(), asked.feed.clone()).await?;
            feeds.push(feed);
            copies.push(copy);
        }
        Ok((copies, feeds))
    }

    /// Fetches and opens a source, of which `folder` holds the feed and `prefix` stands before its ids; the copy must outlive
    /// the reading.
    pub(in crate::pipeline) async fn open_feed(
        &self,
        source: &str,
        options: &BTreeMap<String, Secret>,
        folder: Option<String>,
        prefix: Option<String>,
    ) -> Result<(LocalCopy, Arc<Feed>)> {
        let (spool, cancel) = (self.settings.spool.clone(), self.cancel.clone());
        let copy = local_copy(source, options, spool.as_deref(), &cancel).await?;
        let (path, name) = (copy.path.clone(), copy.name.clone());
        let open = move || {
            let spool = spool.as_deref();
            let options = OpenOptions { folder: folder.as_deref(), prefix: prefix.as_deref(), spool };
            Feed::open(&path, &name, options, &cancel)
        };
        Ok((copy, Arc::new(on_thread(open).await?)))
    }

    /// Refuses a timetable of other agencies than those of the service zone.
    pub(in crate::pipeline) fn check_zone(&self, source: &str, zone: &str) -> Result<()> {
        let service_zone = self.settings.zone()?;
        if zone.parse().is_ok_and(|zone| Zone(zone).agrees_with(Zone(service_zone))) {
            return Ok(());
        }
        Err(Error::config(format!(
            "the agencies of {source} are in {zone}, the service zone is {service_zone}; add --time-zone {zone}, or set \
             METROPULSE_TIME_ZONE={zone} for all commands (in Python: time_zone=\"{zone}\")"
        ))
        .with("source", source))
    }

    async fn ingest_feed(
        &self,
        work: &Work<'_>,
        dates: &[NaiveDate],
        report: &mut Report,
        told: &mut FeedReport,
        days: &mut Vec<DayReport>,
    ) -> Result<()> {
        let mut ahead = Vec::new();
        for date in dates {
            match work.settled(*date).await? {
                Some(day) => days.push(day),
                None => ahead.push(*date),
            }
        }
        if ahead.is_empty() {
            return Ok(());
        }
        self.progress.begin(&format!("read {}", work.feed.source), 0);
        let (feed, cancel, progress) = (Arc::clone(work.feed), self.cancel.clone(), self.progress.clone());
        let asked = ahead.clone();
        let schedule = on_thread(move || feed.read(&asked, &cancel, &progress)).await?;
        schedule.tally.judge(self.settings.reject_limit)?;
        let mut rejected = BTreeSet::new();
        for date in ahead {
            let day = Arc::new(schedule.day(date)?);
            let mut made = self.write_day(work, &day, report).await?;
            made.rejected = day.rejects.len() as u64;
            let trips: &mut TableReport = report.tables.entry(Table::ScheduledTrips.name().to_owned()).or_default();
            trips.rows_duplicate += day.duplicate_runs;
            days.push(made);
            rejected.extend(day.rejects.iter().map(|r| (r.dataset, r.file, r.line, r.reason)));
        }
        told.files = schedule.tally.files.clone();
        told.count(report, &rejected);
        Ok(())
    }

    /// Writes one day, unless the lake holds exactly this.
    async fn write_day(&self, work: &Work<'_>, day: &Arc<Day>, report: &mut Report) -> Result<DayReport> {
        let [trips, stop_times] = [Table::ScheduledTrips, Table::ScheduledStopTimes].map(|table| day.rows(table));
        let mut made = work.day_report(day.date, trips, stop_times);
        if work.asked.dry_run {
            made.unchanged = false;
            return Ok(made);
        }
        let (part, origin) = (work.asked.feed.as_deref(), work.origin(day.date).to_json());
        let writer = work.lake.amend(day.date, &self.cancel).await?;
        work.check_layout(&writer)?;
        let tables = || Table::ALL.into_iter().filter(|table| *table != Table::Shapes || day.rows(*table) > 0);
        self.progress.begin(&format!("write {}", day.date), tables().map(|table| day.rows(table)).sum());
        // The calls are as much work as everything else, and more where trips have many: then both cores encode them.
        let (calls, others): (Vec<_>, Vec<_>) = tables().partition(|table| *table == Table::ScheduledStopTimes);
        let mut writing = JoinSet::new();
        for group in [calls, others] {
            let begin = |table: Table| {
                let file = writer.begin(table.dataset(), part, &table.schema())?;
                Ok((table, file.on_cores(self.settings.encoders())))
            };
            let begun = group.into_iter().map(begin).collect::<Result<Vec<_>>>()?;
            let written = write_tables(Arc::clone(day), begun, origin.clone(), self.progress.clone());
            // Encoding holds up whatever shares its thread, so that each group has one of its own.
            let runtime = Handle::current();
            writing.spawn_blocking(move || runtime.block_on(written));
        }
        let mut sealed = Vec::new();
        while let Some(group) = writing.join_next().await {
            sealed.extend(group.map_err(|e| Error::internal("writing a day broke off").because(e))??);
        }
        if !day.rejects.is_empty() {
            let batch = day.rejects_batch()?;
            let mut file = writer.begin_rejected(part, &batch.schema())?;
            file.write(&batch).await?;
            sealed.push(file.seal(Some(&origin)).await?);
        }
        let files: Vec<ManifestFile> = sealed.iter().map(|sealed| sealed.file.clone()).collect();
        made.unchanged = !writer.replace_files(|path| work.is_ours(path), sealed).await?;
        for (table, file) in
            Table::ALL.into_iter().filter_map(|t| Some((t, files.iter().find(|f| f.path == work.path(t))?)))
        {
            let counts = report.tables.entry(table.name().to_owned()).or_default();
            counts.files += 1;
            counts.bytes += file.bytes.unwrap_or(0);
            counts.rows_loaded += file.rows.unwrap_or(0);
            counts.rows_written += if made.unchanged { 0 } else { file.rows.unwrap_or(0) };
        }
        report.files += files.len() as u64;
        report.bytes += files.iter().filter_map(|file| file.bytes).sum::<u64>();
        report.rows += if made.unchanged { 0 } else { files.iter().filter_map(|file| file.rows).sum() };
        Ok(made)
    }
}

/// Writes tables of a day, one after the other.
async fn write_tables(
    day: Arc<Day>,
    files: Vec<(Table, FileWriter)>,
    origin: Value,
    progress: Progress,
) -> Result<Vec<SealedFile>> {
    let mut sealed = Vec::new();
    for (table, mut file) in files {
        for batch in day.batches(table) {
            let batch = batch?;
            file.write(&batch).await?;
            progress.add(batch.num_rows() as u64);
        }
        sealed.push(file.seal(Some(&origin)).await?);
    }
    Ok(sealed)
}

impl IngestGtfs {
    /// The days asked for.
    fn dates(&self) -> Result<Vec<NaiveDate>> {
        if !(1..=MOST_DAYS).contains(&self.days) {
            return Err(Error::config(format!("days is {}, expected 1 to {MOST_DAYS}", self.days)));
        }
        if self.sources.is_empty() {
            return Err(Error::config("the source is an empty list, expected at least one path or URL"));
        }
        feed_name::check(self.feed.as_deref())?;
        (0..self.days)
            .map(|offset| {
                let date = self.date.checked_add_days(Days::new(offset));
                date.ok_or_else(|| Error::config(format!("{offset} days after {} is no date", self.date)))
            })
            .collect()
    }
}

impl Work<'_> {
    /// What the manifest says of the files of a date.
    fn origin(&self, date: NaiveDate) -> GtfsOrigin {
        GtfsOrigin::of(self.feed, self.asked.feed.as_deref(), date)
    }

    fn path(&self, table: Table) -> String {
        data_path(table.dataset(), self.asked.feed.as_deref())
    }

    /// Whether a file of a day is one that this feed brings.
    fn is_ours(&self, path: &str) -> bool {
        Table::ALL.into_iter().any(|table| self.path(table) == path)
            || path == rejected_path(self.asked.feed.as_deref())
    }

    fn check_layout(&self, writer: &PartitionWriter) -> Result<()> {
        let (name, ours) = (self.asked.feed.as_deref(), Table::ALL.map(Table::dataset));
        feed_name::check_layout(writer, name, |file| {
            feed_name::is_of(&file.path, &ours) && file.path.contains('/') != name.is_some()
        })
    }

    fn day_report(&self, dt: NaiveDate, trips: u64, stop_times: u64) -> DayReport {
        let (source, is_claimed) = (self.feed.source.clone(), self.feed.validity.claims(dt));
        DayReport { dt, source, is_claimed, trips, stop_times, rejected: 0, unchanged: true, kept: None }
    }

    /// The report of a day that the lake holds as this very feed makes it, or of a version that holds before this one.
    async fn settled(&self, date: NaiveDate) -> Result<Option<DayReport>> {
        let Some((files, rejected)) = self.lake.sealed_files(date).await? else { return Ok(None) };
        let ours: Vec<&ManifestFile> = files.iter().chain(&rejected).filter(|file| self.is_ours(&file.path)).collect();
        let origin = self.origin(date);
        let outranking = ours.iter().filter_map(|file| GtfsOrigin::read(file)).find_map(|held| {
            let why = held.outranks(&origin)?;
            Some(KeptVersion::of(held, why))
        });
        if let Some(kept) = outranking.filter(|_| !self.asked.replace_newer) {
            return Ok(Some(DayReport { kept: Some(kept), ..self.held(date, &ours) }));
        }
        let origin = origin.to_json();
        let same: Vec<&ManifestFile> = ours.into_iter().filter(|file| file.origin.as_ref() == Some(&origin)).collect();
        let is_there = |table: Table| same.iter().any(|file| file.path == self.path(table) && file.rows.is_some());
        let is_whole = Table::ALL.into_iter().filter(|table| *table != Table::Shapes).all(is_there);
        Ok((is_whole && !self.asked.dry_run).then(|| self.held(date, &same)))
    }

    /// The report of a day that stays as it is, by the files that it has.
    fn held(&self, date: NaiveDate, files: &[&ManifestFile]) -> DayReport {
        let rows = |path: &str| files.iter().find(|file| file.path == path).and_then(|file| file.rows).unwrap_or(0);
        let [trips, stop_times] =
            [Table::ScheduledTrips, Table::ScheduledStopTimes].map(|table| rows(&self.path(table)));
        let rejected = rows(&rejected_path(self.asked.feed.as_deref()));
        DayReport { rejected, ..self.day_report(date, trips, stop_times) }
    }
}

/// Bad rows by dataset, file, line and reason.
type RejectedRows = BTreeSet<(Dataset, &'static str, u64, Reason)>;

impl FeedReport {
    pub(super) fn of(feed: &Feed) -> Self {
        Self {
            source: feed.source.clone(),
            sha256: feed.sha256.clone(),
            feed_version: feed.validity.version.clone(),
            valid_from: feed.validity.from,
            valid_to: feed.validity.to,
            zone: feed.zone.name(),
            files: BTreeMap::new(),
            unread_files: feed.unread_files.clone(),
        }
    }

    /// Adds what the feed's files held to the counts of the tables that they become.
    fn count(&self, report: &mut Report, rejected: &RejectedRows) {
        for (name, file) in &self.files {
            let table = report.tables.entry(file.dataset.to_owned()).or_default();
            table.rows_read += file.rows_read;
            table.rows_duplicate += file.rows_duplicate;
            table.unknown_columns.extend(file.unknown_columns.iter().map(|column| format!("{name}: {column}")));
        }
        for (dataset, _, _, reason) in rejected {
            let table: &mut TableReport = report.tables.entry(dataset.name().to_owned()).or_default();
            table.rows_rejected += 1;
            *table.rejected_by_reason.entry(reason.code()).or_default() += 1;
        }
    }
}
