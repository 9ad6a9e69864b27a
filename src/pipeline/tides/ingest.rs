//! TIDES packages into raw days.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::outcome::{IngestedTides, TidesDay};
use super::source::{PackageFile, PackageSource};
use crate::config::Secret;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::feeds::tides::{Collector, Listed, Package, Source, Summary};
use crate::lake::{FileWriter, Lake, PartitionWriter, SealedFile, rejected_path};
use crate::model::{Dataset, Zone};
use crate::pipeline::Pipeline;
use crate::pipeline::feed_name;
use crate::pipeline::input::on_thread;
use crate::pipeline::outcome::Outcome;
use crate::pipeline::report::{Report, TableReport};

/// How the origin of our files is told from that of others; their rejected rows stand in a file of this name.
const FORMAT: &str = "tides";
/// Batches that wait to be written.
const AHEAD: usize = 4;
/// What the files of all days together hold in memory before the largest ends its row group.
const OPEN_BYTES: usize = 128 << 20;

/// What to ingest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestTides {
    /// Path or URL of the package.
    pub source: String,
    /// Options of its object store; those of the lake when unset.
    pub source_options: Option<BTreeMap<String, Secret>>,
    /// The first service date; all of the package when unset.
    pub date_from: Option<NaiveDate>,
    /// The date after the last one.
    pub date_to: Option<NaiveDate>,
    /// Read and count, and write nothing.
    pub dry_run: bool,
}

type Rows = (Dataset, NaiveDate, RecordBatch);

/// A file of the package with what the descriptor says of it.
type Fetched = (Listed, PackageFile);

/// The files of the days under way.
struct DayFiles<'a> {
    pipeline: &'a Pipeline,
    lake: &'a Lake,
    writers: BTreeMap<NaiveDate, PartitionWriter>,
    files: BTreeMap<(NaiveDate, Dataset), FileWriter>,
}

impl Pipeline {
    /// Writes the rows of a TIDES package into raw days, by service date; what else a day holds stays.
    ///
    /// # Errors
    /// `NotFound` for a package or a file of it that is not there; `Schema` and `Data` for what cannot be read; the lake's own.
    pub async fn ingest_tides(&self, asked: IngestTides) -> Result<Report> {
        let started = Instant::now();
        let lake = self.lake()?;
        let options = asked.source_options.as_ref().unwrap_or(&self.settings.lake_options);
        let source = PackageSource::open(self, &asked.source, options).await?;
        let descriptor = source.descriptor().await?;
        let contents = Package::parse(&descriptor, &source.name)?.contents(&source.name)?;
        let mut files = Vec::with_capacity(contents.files.len());
        self.progress.begin(&format!("fetch {}", source.name), contents.files.len() as u64);
        for listed in contents.files {
            let file = source.file(&listed.path).await?;
            files.push((listed, file));
            self.progress.add(1);
        }
        let mut days = DayFiles { pipeline: self, lake: &lake, writers: BTreeMap::new(), files: BTreeMap::new() };
        let bytes =
            files.iter().filter_map(|(_, file)| std::fs::metadata(file.path()).ok()).map(|file| file.len()).sum();
        let mut report = Report::new("ingest_tides", None);
        (report.files, report.bytes) = (files.len() as u64, bytes);
        let summary = self.collect_tides(files, &asked, &mut days).await?;
        refuse_if_no_day(&summary, &source.name)?;
        let origin = json!({"format": FORMAT, "package_sha256": hex(&Sha256::digest(&descriptor))});
        let made = match asked.dry_run {
            true => summary.days.keys().map(|date| day_of(&summary, *date)).collect(),
            false => days.publish(&summary, &origin).await?,
        };
        add_counts(&mut report, &summary, &made, asked.dry_run);
        report.outcome = Outcome::IngestedTides(Box::new(IngestedTides {
            lake: lake.url().to_owned(),
            source: source.name.clone(),
            days: made,
            left_out: contents.left_out.into_iter().collect(),
            rows_of_other_days: by_table(&summary, |tally| tally.rows_of_other_days).filter(|(_, n)| *n > 0).collect(),
            values_left_out: by_table(&summary, |tally| tally.values_left_out.clone())
                .filter(|(_, fields)| !fields.is_empty())
                .collect(),
            dry_run: asked.dry_run,
        }));
        Ok(report.took(started))
    }

    /// Reads all files on a thread, while what they give is written.
    async fn collect_tides(
        &self,
        files: Vec<Fetched>,
        asked: &IngestTides,
        days: &mut DayFiles<'_>,
    ) -> Result<Summary> {
        let zone = Zone(self.settings.zone()?);
        self.progress.begin("read package", files.len() as u64);
        let (sender, receiver) = channel(AHEAD);
        let (pipeline, asked_for) = (self.clone(), asked.clone());
        let read = on_thread(move || pipeline.read_tides(&files, &asked_for, zone, &sender));
        let (written, summary) = tokio::join!(days.take(receiver, asked.dry_run), read);
        // Whoever writes ended first, and says why.
        written?;
        summary
    }

    fn read_tides(&self, files: &[Fetched], asked: &IngestTides, zone: Zone, sender: &Sender<Rows>) -> Result<Summary> {
        let mut sources = Vec::with_capacity(files.len());
        for (listed, file) in files {
            let source = Source { path: file.path(), name: &listed.path, table: listed.table, shape: listed.shape };
            if let Some(sha256) = &listed.sha256 {
                source.verify(sha256)?;
            }
            sources.push(source);
        }
        let mut sink = |dataset, date, rows| {
            let sent = sender.blocking_send((dataset, date, rows));
            sent.map_err(|_| Error::cancelled("nobody takes the rows of the package"))
        };
        let mut collector = Collector::new(&sources, zone, asked.date_from, asked.date_to)?;
        for source in sources {
            collector.read(source, &self.cancel, &mut sink)?;
            self.progress.add(1);
        }
        collector.finish(self.settings.reject_limit, &mut sink)
    }
}

impl DayFiles<'_> {
    /// Writes batches as they come, each day's into files of its own.
    async fn take(&mut self, mut rows: Receiver<Rows>, dry_run: bool) -> Result<()> {
        while let Some((dataset, date, batch)) = rows.recv().await {
            if !dry_run {
                self.file(dataset, date, &batch).await?.write(&batch).await?;
                self.bound_memory().await?;
            }
        }
        Ok(())
    }

    async fn file(&mut self, dataset: Dataset, date: NaiveDate, batch: &RecordBatch) -> Result<&mut FileWriter> {
        if !self.writers.contains_key(&date) {
            self.writers.insert(date, self.lake.amend(date, &self.pipeline.cancel).await?);
        }
        let writer = self.writers.get(&date).ok_or_else(|| Error::internal("a day was not begun"))?;
        Ok(match self.files.entry((date, dataset)) {
            std::collections::btree_map::Entry::Occupied(begun) => begun.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(writer.begin(dataset, None, &batch.schema())?)
            }
        })
    }

    async fn bound_memory(&mut self) -> Result<()> {
        let held: usize = self.files.values().map(FileWriter::memory_bytes).sum();
        let largest = self.files.values_mut().max_by_key(|file| file.memory_bytes());
        match largest.filter(|_| held > OPEN_BYTES) {
            Some(file) => file.flush().await,
            None => Ok(()),
        }
    }

    /// Puts the files in the place of what the days have of their datasets.
    async fn publish(mut self, summary: &Summary, origin: &Value) -> Result<Vec<TidesDay>> {
        let mut made = Vec::new();
        let part = Some(FORMAT);
        for date in summary.days.keys().copied() {
            let mut day = day_of(summary, date);
            for batch in &summary.fleet {
                self.file(Dataset::Vehicles, date, batch).await?.write(batch).await?;
            }
            let writer = match self.writers.remove(&date) {
                Some(writer) => writer,
                None => self.lake.amend(date, &self.pipeline.cancel).await?,
            };
            let datasets: Vec<Dataset> = self.files.keys().filter(|(of, _)| *of == date).map(|(_, d)| *d).collect();
            let mut sealed: Vec<SealedFile> = Vec::new();
            for dataset in &datasets {
                if let Some(file) = self.files.remove(&(date, *dataset)) {
                    sealed.push(file.seal(Some(origin)).await?);
                }
            }
            if let Some(rejected) = summary.rejected(date)? {
                let mut file = writer.begin_rejected(part, &rejected.schema())?;
                file.write(&rejected).await?;
                sealed.push(file.seal(Some(origin)).await?);
            }
            let is_ours = |path: &str| feed_name::is_of(path, &datasets) || path == rejected_path(part);
            day.unchanged = !writer.replace_files(is_ours, sealed).await?;
            if !day.unchanged {
                self.pipeline.progress.publish(format!("dt={date} of the lake"));
            }
            made.push(day);
        }
        Ok(made)
    }
}

fn refuse_if_no_day(summary: &Summary, source: &str) -> Result<()> {
    if !summary.days.is_empty() {
        return Ok(());
    }
    let others: u64 = by_table(summary, |tally| tally.rows_of_other_days).map(|(_, rows)| rows).sum();
    let rejected: u64 = by_table(summary, |tally| tally.rows_rejected).map(|(_, rows)| rows).sum();
    let all_bad = format!("{source} has no row that can be used ({rejected} cannot)");
    if let Some(error) = summary.told_by_first_reject(&all_bad).filter(|_| others == 0) {
        return Err(error.with("source", source));
    }
    Err(Error::data(format!(
        "{source} has no usable row of a service date that was asked for ({others} rows of other days, {rejected} that \
         cannot be used), so that nothing says which raw day to write; look at date_from and date_to"
    ))
    .with("source", source))
}

fn by_table<T>(
    summary: &Summary,
    of: impl Fn(&crate::feeds::tides::TableTally) -> T,
) -> impl Iterator<Item = (&'static str, T)> {
    summary.tables.iter().map(move |(table, tally)| (table.name(), of(tally)))
}

fn day_of(summary: &Summary, dt: NaiveDate) -> TidesDay {
    let rows = summary.days.get(&dt).into_iter().flatten();
    let mut rows: BTreeMap<&'static str, u64> = rows.map(|(dataset, rows)| (dataset.name(), *rows)).collect();
    let vehicles: usize = summary.fleet.iter().map(RecordBatch::num_rows).sum();
    if vehicles > 0 {
        rows.insert(Dataset::Vehicles.name(), vehicles as u64);
    }
    TidesDay { dt, rows, rejected: summary.rows_rejected(dt), unchanged: false }
}

/// Adds the counts to the report.
fn add_counts(report: &mut Report, summary: &Summary, days: &[TidesDay], dry_run: bool) {
    for (table, tally) in &summary.tables {
        let dataset = table.dataset().name();
        let rows = |day: &TidesDay| day.rows.get(dataset).copied().unwrap_or(0);
        let is_written = |day: &&TidesDay| !dry_run && !day.unchanged;
        let counts = TableReport {
            rows_read: tally.rows_read,
            rows_rejected: tally.rows_rejected,
            rejected_by_reason: tally.rejected_by_reason.clone(),
            rows_loaded: days.iter().map(rows).sum(),
            rows_written: days.iter().filter(is_written).map(rows).sum(),
            unchanged: days.iter().all(|day| day.unchanged),
            ..TableReport::default()
        };
        report.rows += counts.rows_written;
        report.tables.insert(dataset.to_owned(), counts);
    }
    report.unchanged = days.iter().all(|day| day.unchanged);
}
