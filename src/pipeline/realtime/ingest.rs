//! GTFS-Realtime recordings into a raw day: files fetched ahead, decoded on a thread of their own, written as they come.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use arrow::array::RecordBatch;
use chrono::{NaiveDate, Utc};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::messages::{self, each_message};
use super::origin::{is_of_recordings, origin};
use super::outcome::of_summary;
use crate::config::Secret;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::feeds::Ids;
use crate::feeds::realtime::{Collector, Flow, Found, Scope, Summary, is_recording};
use crate::lake::{Body, FileWriter, ManifestFile, Object, PartitionWriter, data_path, objects};
use crate::model::{Dataset, Zone, epoch_micros};
use crate::pipeline::Pipeline;
use crate::pipeline::feed_name;
use crate::pipeline::outcome::Outcome;
use crate::pipeline::report::{Report, TableReport};

/// Recordings fetched ahead.
const AHEAD: usize = 4;
/// Batches decoded ahead of who encodes them, who is held up at the end of each row group.
const DECODED_AHEAD: usize = 8;

/// What to ingest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recordings {
    /// Paths, folders, globs or URLs; the lake's own recordings of the feed and day when there are none.
    pub sources: Vec<String>,
    /// Options of their object store; those of the lake when unset.
    pub source_options: Option<BTreeMap<String, Secret>>,
    /// The lake or the GTFS feed whose scheduled trips are used; the pipeline's own lake without it.
    pub schedule: Option<String>,
    /// The name before every id, in a lake of several agencies.
    pub feed: Option<String>,
    /// Only report.
    pub dry_run: bool,
}

/// The day that is written, and the part of it that is the feed's.
#[derive(Clone, Copy)]
struct Target<'a> {
    writer: &'a PartitionWriter,
    feed: Option<&'a str>,
    cores: usize,
}

/// What a pass over all recordings made.
struct Collected {
    summary: Summary,
    files: BTreeMap<Dataset, FileWriter>,
    rows: BTreeMap<Dataset, u64>,
}

impl Pipeline {
    /// Writes what recordings of GTFS-Realtime say of one service date into its raw day.
    pub async fn ingest_gtfs_rt(&self, dt: NaiveDate, recordings: &Recordings) -> Result<Report> {
        let started = Instant::now();
        let (lake, settings) = (self.lake()?, &self.settings);
        let (feed, ids) = (recordings.feed.as_deref(), Ids::new(recordings.feed.as_deref()));
        feed_name::check(feed)?;
        let found = if recordings.sources.is_empty() {
            self.archives_of(dt, feed).await?
        } else {
            let options = recordings.source_options.as_ref().unwrap_or(&settings.lake_options);
            objects(&recordings.sources, options, is_recording, &self.cancel).await?
        };
        let (schedule, used) = self.schedule_around(dt, recordings.schedule.as_deref(), &ids).await?;
        let writer = if recordings.dry_run { None } else { Some(lake.amend(dt, &self.cancel).await?) };
        let (zone, now_micros) = (Zone(settings.zone()?), epoch_micros(Utc::now()));
        let scope = Scope { day: dt, schedule, zone, now_micros, ids };
        let target = writer.as_ref().map(|writer| Target { writer, feed, cores: settings.encoders() });
        let collected = self.collect(scope, &found, target).await?;
        refuse_if_nothing_was_read(&collected.summary)?;

        let mut report = Report::new("ingest_gtfs_rt", Some(dt));
        report.files = found.len() as u64;
        report.bytes = found.iter().map(|object| object.size_bytes).sum();
        for (dataset, table) in tables(&collected) {
            report.tables.insert(dataset.name().to_owned(), table);
        }
        let told = of_summary(collected.summary.clone(), used, recordings.dry_run);
        if let Some(writer) = writer {
            let datasets = replaced(&collected.summary, &writer, feed);
            refuse_mixed(&writer, &datasets, feed)?;
            report.tables.retain(|name, _| datasets.iter().any(|dataset| dataset.name() == name));
            report.unchanged = !publish(writer, &datasets, collected.files, &origin(&told, feed), feed).await?;
        }
        if report.unchanged {
            report.tables.values_mut().for_each(|table| (table.rows_written, table.unchanged) = (0, true));
        }
        report.rows = report.tables.values().map(|table| table.rows_written).sum();
        report.outcome = Outcome::IngestedRealtime(Box::new(told));
        Ok(report.took(started))
    }

    /// Collects the day; recordings that turn out not to be in the order of time are read again, by way of a scratch file.
    async fn collect(&self, scope: Scope, found: &[Object], target: Option<Target<'_>>) -> Result<Collected> {
        if let Some(collected) = self.pass(found, Collector::new(scope.clone()), target).await? {
            return Ok(collected);
        }
        let collector = Collector::sorted(scope, self.settings.spool.as_deref())?;
        let collected = self.pass(found, collector, target).await?;
        collected.ok_or_else(|| Error::internal("sorted recordings are out of order"))
    }

    /// Reads all recordings once; `None` when they are not in the order of time.
    async fn pass(
        &self,
        found: &[Object],
        collector: Collector,
        target: Option<Target<'_>>,
    ) -> Result<Option<Collected>> {
        self.progress.begin("ingest recordings", found.len() as u64);
        let (bodies, inbox) = channel(AHEAD);
        let (rows, batches) = channel(DECODED_AHEAD);
        let (cancel, progress) = (self.cancel.clone(), self.progress.clone());
        // A task of its own: encoding holds up whatever shares its thread.
        let fetch = tokio::spawn(fetch(found.to_vec(), self.settings.spool.clone(), self.cancel.clone(), bodies));
        let decode = tokio::task::spawn_blocking(move || decode(collector, inbox, &rows, &cancel, &progress));
        let (fetched, written, decoded) = tokio::join!(fetch, write(batches, target), decode);
        let (files, rows) = written?;
        let summary = decoded.map_err(|e| Error::internal("reading recordings broke off").because(e))??;
        fetched.map_err(|e| Error::internal("fetching recordings broke off").because(e))??;
        Ok(summary.map(|summary| Collected { summary, files, rows }))
    }
}

/// Opens recordings ahead of who reads them, in their order.
async fn fetch(
    found: Vec<Object>,
    spool: Option<PathBuf>,
    cancel: Cancel,
    bodies: Sender<(String, Body)>,
) -> Result<()> {
    let opened = stream::iter(found).map(move |object| {
        let (spool, cancel) = (spool.clone(), cancel.clone());
        async move {
            let body = messages::fetch(&object, spool.as_deref(), &cancel).await?;
            Ok::<_, Error>((object.name, body))
        }
    });
    let mut opened = opened.buffered(AHEAD).boxed();
    while let Some(body) = opened.next().await {
        if bodies.send(body?).await.is_err() {
            // Whoever reads has ended, and says why.
            return Ok(());
        }
    }
    Ok(())
}

/// Decodes what comes in until there is no more; `None` when recordings are not in the order of time.
fn decode(
    mut collector: Collector,
    mut inbox: Receiver<(String, Body)>,
    rows: &Sender<(Dataset, RecordBatch)>,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Option<Summary>> {
    let mut sink = |dataset, batch| {
        cancel.check()?;
        rows.blocking_send((dataset, batch)).map_err(|_| Error::cancelled("nobody takes the rows of recordings"))
    };
    let mut flow = Flow::On;
    while let Some((name, body)) = inbox.blocking_recv() {
        let mut each = |name: &str, found: Found<'_>| {
            cancel.check()?;
            if flow == Flow::On {
                flow = collector.take(name, found, &mut sink)?;
            }
            Ok(())
        };
        each_message(&name, body, &mut each)?;
        if flow == Flow::OutOfOrder {
            return Ok(None);
        }
        progress.add(1);
    }
    collector.finish(&mut sink).map(Some)
}

/// Writes batches as they come, each dataset into a file of its own; only counts them without a writer.
async fn write(
    mut batches: Receiver<(Dataset, RecordBatch)>,
    target: Option<Target<'_>>,
) -> Result<(BTreeMap<Dataset, FileWriter>, BTreeMap<Dataset, u64>)> {
    let (mut files, mut rows) = (BTreeMap::new(), BTreeMap::new());
    while let Some((dataset, batch)) = batches.recv().await {
        *rows.entry(dataset).or_default() += batch.num_rows() as u64;
        let Some(Target { writer, feed, cores }) = target else { continue };
        let file = match files.entry(dataset) {
            std::collections::btree_map::Entry::Occupied(begun) => begun.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(writer.begin(dataset, feed, &batch.schema())?.on_cores(cores))
            }
        };
        file.write(&batch).await?;
    }
    Ok((files, rows))
}

fn refuse_if_nothing_was_read(summary: &Summary) -> Result<()> {
    match summary.damaged.first() {
        Some((file, why)) if summary.recordings == 0 => Err(Error::data(format!(
            "none of {} recordings can be read; the first is {file}: {why}",
            summary.recordings_unreadable
        ))
        .with("file", file)),
        _ => Ok(()),
    }
}

/// The datasets of which recordings said something, and so replace what the day has of them; with the reports that were read,
/// and how many of these repeat another.
fn reported_datasets(summary: &Summary) -> Vec<(Dataset, u64, u64)> {
    let (positions, mut told) = (&summary.positions, Vec::new());
    if positions.reports > 0 {
        told.push((Dataset::VehiclePositions, positions.reports, positions.repeated));
        told.push((Dataset::Trips, 0, 0));
    }
    if summary.updates.updates > 0 {
        told.push((Dataset::TripUpdates, summary.updates.stop_updates.max(summary.updates.updates), 0));
    }
    if summary.alerts.alerts > 0 {
        told.push((Dataset::Alerts, summary.alerts.alerts, 0));
    }
    told
}

fn tables(collected: &Collected) -> Vec<(Dataset, TableReport)> {
    let of = |(dataset, rows_read, rows_duplicate)| {
        let rows_written = collected.rows.get(&dataset).copied().unwrap_or(0);
        (dataset, TableReport { rows_read, rows_duplicate, rows_written, ..TableReport::default() })
    };
    reported_datasets(&collected.summary).into_iter().map(of).collect()
}

/// The datasets that are put in the place of what the day has of them.
fn replaced(summary: &Summary, writer: &PartitionWriter, feed: Option<&str>) -> Vec<Dataset> {
    let mut datasets: Vec<_> = reported_datasets(summary).into_iter().map(|(dataset, ..)| dataset).collect();
    if writer.files().any(|file| feed_name::is_of(&file.path, &[Dataset::Trips]) && !is_ours(file)) {
        // The agency delivers its trips itself.
        datasets.retain(|dataset| ![Dataset::Trips].contains(dataset));
    }
    let own = data_path(Dataset::VehiclePositions, feed);
    let has_positions = writer.files().any(|file| match feed {
        Some(_) => file.path == own,
        None => feed_name::is_of(&file.path, &[Dataset::VehiclePositions]),
    });
    if datasets.is_empty() && !has_positions {
        // Feeds without an entity: a day on which nothing was reported.
        datasets.push(Dataset::VehiclePositions);
    }
    datasets
}

/// A feed without a name replaces whatever the day has of a dataset, but not what named feeds brought.
fn refuse_mixed(writer: &PartitionWriter, datasets: &[Dataset], feed: Option<&str>) -> Result<()> {
    feed_name::check_layout(writer, feed, |file| {
        let is_named = file.origin.as_ref().is_some_and(|origin| origin.get("feed").is_some_and(Value::is_string));
        feed_name::is_of(&file.path, datasets) && if feed.is_some() { !file.path.contains('/') } else { is_named }
    })
}

/// Writes the files of these datasets into the day. Says whether anything changed.
async fn publish(
    writer: PartitionWriter,
    datasets: &[Dataset],
    mut files: BTreeMap<Dataset, FileWriter>,
    origin: &Value,
    feed: Option<&str>,
) -> Result<bool> {
    files.retain(|dataset, _| datasets.contains(dataset));
    if datasets.contains(&Dataset::VehiclePositions) && !files.contains_key(&Dataset::VehiclePositions) {
        let empty = writer.begin(Dataset::VehiclePositions, feed, &Dataset::VehiclePositions.schema())?;
        files.insert(Dataset::VehiclePositions, empty);
    }
    let mut sealed = Vec::new();
    for file in files.into_values() {
        sealed.push(file.seal(Some(origin)).await?);
    }
    match feed {
        None => writer.replace(datasets, sealed).await,
        Some(_) => {
            let own: Vec<String> = datasets.iter().map(|dataset| data_path(*dataset, feed)).collect();
            writer.replace_files(|path| own.iter().any(|own| own == path), sealed).await
        }
    }
}

fn is_ours(file: &ManifestFile) -> bool {
    file.origin.as_ref().is_some_and(is_of_recordings)
}
