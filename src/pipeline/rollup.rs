//! Hourly rollups of any table: files or a stream of batches on all cores, and partial results put together.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{Schema, SchemaRef};

use super::Pipeline;
use super::Table;
use super::hours::{Hours, Run};
use super::input::on_thread;
use super::outcome::Outcome;
use super::report::Report;
use super::source::{Opened, STREAM, Source, broken};
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::lake::{ParquetFile, ParquetTable, TableReader, Units, parquet_files, write_parquet};
use crate::load::check_columns;
use crate::queue::Queue;
use crate::rollup::{Hourly, Spec};

/// Rows decoded at once.
const BATCH_ROWS: usize = 8_192;

impl Pipeline {
    /// Groups a table by keys and hour. With `partial` the result is a state for [`Self::merge_rollups`] instead.
    pub async fn rollup_hourly(&self, source: Source, spec: Spec, partial: bool) -> Result<Table> {
        let work = self.work(spec);
        let found = match self.open(source).await? {
            Opened::Files(table) => on_thread(move || work.files(table, None, partial)).await?,
            Opened::Stream(stream) => on_thread(move || work.stream(stream, partial)).await?,
        };
        Ok((found.schema(), vec![found]))
    }

    /// A rollup of this spec under the settings.
    pub(super) fn work(&self, spec: Spec) -> Work {
        let threads = self.settings.threads().max(1);
        let share = usize::try_from(self.settings.memory_bytes).unwrap_or(usize::MAX) / threads;
        let (cancel, progress) = (self.cancel.clone(), self.progress.clone());
        Work { spec, own_hours: None, threads, share, cancel, failed: Cancel::default(), progress }
    }

    /// Writes a rollup to a Parquet file at a path or URL; without a spec the sources are partial results.
    pub async fn write_rollup(
        &self,
        source: Source,
        spec: Option<Spec>,
        partial: bool,
        output: &str,
    ) -> Result<Report> {
        let started = Instant::now();
        let (schema, batches) = match spec {
            Some(spec) => self.rollup_hourly(source, spec, partial).await?,
            None => self.merge_rollups(vec![source], partial).await?,
        };
        let mut report = Report::new("rollup_hourly", None);
        report.rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let output = write_parquet(output, &self.settings.lake_options, &schema, &batches, &self.cancel).await?;
        report.outcome = Outcome::RolledUp { output };
        Ok(report.took(started))
    }

    /// Puts partial results together: the finished rollup, or with `partial` their common state.
    pub async fn merge_rollups(&self, states: Vec<Source>, partial: bool) -> Result<Table> {
        let mut sources: Vec<Batches> = Vec::new();
        for state in states {
            match state {
                Source::Stream(stream) => {
                    check_columns(STREAM, &stream.schema())?;
                    sources.push(batches_of(stream));
                }
                // Each state is a table of its own.
                Source::Files(places) => {
                    let files = parquet_files(&places, &self.settings.lake_options, &self.cancel).await?;
                    sources.extend(files.into_iter().map(batches_of_file));
                }
            }
        }
        let (cancel, threads) = (self.cancel.clone(), self.settings.threads().max(1));
        let bytes = usize::try_from(self.settings.memory_bytes).unwrap_or(usize::MAX) / 2;
        let merged = on_thread(move || {
            let mut merged: Option<Hourly> = None;
            for (schema, batches) in sources {
                let known = match &mut merged {
                    Some(known) => known,
                    empty => empty.insert(Hourly::like_partial(&schema)?.bounded(bytes).on_threads(threads)),
                };
                for batch in batches {
                    cancel.check()?;
                    let batch = RecordBatch::try_new(schema.clone(), batch?.columns().to_vec())
                        .map_err(|e| Error::schema("a partial rollup does not fit its schema").because(e))?;
                    known.merge_partial(&batch)?;
                }
            }
            let mut merged =
                merged.ok_or_else(|| Error::config("no partial rollup is given, expected at least one"))?;
            if partial { merged.partial() } else { merged.finish() }
        });
        let merged = merged.await?;
        Ok((merged.schema(), vec![merged]))
    }
}

/// A schema with its metadata, and the batches.
type Batches = (SchemaRef, Box<dyn Iterator<Item = Result<RecordBatch>> + Send>);

fn batches_of(stream: Box<dyn RecordBatchReader + Send>) -> Batches {
    (stream.schema(), Box::new(stream.map(|batch| batch.map_err(broken))))
}

fn batches_of_file(file: ParquetFile) -> Batches {
    let schema = file.schema().clone();
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let groups = (0..file.row_groups()).flat_map(move |group| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (batches, failed) = match file.read(group, &names, BATCH_ROWS) {
            Ok(batches) => (Some(batches), None),
            Err(e) => (None, Some(Err(e))),
        };
        batches.into_iter().flatten().chain(failed)
    });
    (schema, Box::new(groups))
}

/// One rollup over threads.
pub(super) struct Work {
    spec: Spec,
    /// As [`Hourly::owning`] takes them.
    own_hours: Option<Vec<(i64, i64)>>,
    threads: usize,
    /// Bytes that one thread may keep.
    share: usize,
    cancel: Cancel,
    /// Set by the first thread that fails, so that the others stop.
    failed: Cancel,
    progress: Progress,
}

impl Work {
    pub(super) fn owning(self, own_hours: Option<Vec<(i64, i64)>>) -> Self {
        Self { own_hours, ..self }
    }

    fn begin(&self, schema: &Schema) -> Result<Hourly> {
        let rollup = Hourly::new(self.spec.clone(), schema)?.bounded(self.share).on_threads(self.threads);
        Ok(rollup.owning(self.own_hours.clone()))
    }

    /// Whether each file can be rolled up, and with the others.
    pub(super) fn check(&self, table: &ParquetTable) -> Result<()> {
        for file in &table.files {
            let rollup = self.begin(file.schema()).map_err(|e| e.with("file", &file.name))?;
            // The types need not be the same, only of one kind.
            self.begin(&table.schema)?.merge(rollup).map_err(|e| e.with("file", &file.name))?;
        }
        Ok(())
    }

    /// Rolls up the files, or some row groups of them, each named by the number of its file and its own.
    pub(super) fn files(&self, table: ParquetTable, units: Option<Units>, partial: bool) -> Result<RecordBatch> {
        self.check(&table)?;
        let schema = table.schema.clone();
        let columns = self.spec.columns().into_iter().map(str::to_owned).collect();
        let mut reader = TableReader::new(table, units, Some(columns));
        let hours = Hours::told(&self.spec, &reader)?;
        for unit in hours.without_times() {
            reader.spare(unit, &self.spec.time);
        }
        self.progress.begin("roll up", reader.rows());
        let queue = Queue::new(reader.units());
        self.on_threads(reader.units(), || {
            let mut rollup = self.begin(&schema)?;
            while let Some(unit) = queue.take() {
                let (file, _) = reader.unit(unit);
                for Run { rows, hour } in hours.runs(&reader, unit)? {
                    let spared = hour.map(|_| self.spec.time.as_str());
                    for batch in reader.read_rows(unit, rows, spared, BATCH_ROWS)? {
                        self.add(&mut rollup, &batch?, hour).map_err(|e| e.with("file", &file.name))?;
                    }
                }
            }
            Ok(rollup)
        })
        .and_then(|rollup| finish(rollup, partial))
    }

    fn stream(&self, stream: Box<dyn RecordBatchReader + Send>, partial: bool) -> Result<RecordBatch> {
        self.progress.begin("roll up", 0);
        let schema = stream.schema();
        self.begin(&schema)?;
        let columns = self.spec.columns().into_iter().map(|name| schema.index_of(name));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>();
        let columns = columns.map_err(|e| Error::internal("a column is lost").because(e))?;
        let batches = Mutex::new(SharedStream { stream, rest: None });
        self.on_threads(usize::MAX, || {
            let mut rollup = self.begin(&schema)?;
            loop {
                let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).pull(&columns)?;
                let Some(batch) = batch else { return Ok(rollup) };
                for from in (0..batch.num_rows()).step_by(BATCH_ROWS) {
                    self.add(&mut rollup, &batch.slice(from, BATCH_ROWS.min(batch.num_rows() - from)), None)?;
                }
            }
        })
        .and_then(|rollup| finish(rollup, partial))
    }

    /// Adds the rows of a batch, of an hour bucket if it is known.
    fn add(&self, rollup: &mut Hourly, batch: &RecordBatch, hour: Option<i64>) -> Result<()> {
        self.cancel.check()?;
        self.failed.check()?;
        match hour {
            Some(hour) => rollup.add_of_hour(batch, hour)?,
            None => rollup.add(batch)?,
        }
        self.progress.add(batch.num_rows() as u64);
        Ok(())
    }

    /// Runs on every thread (at most `units` of them) and puts the results together.
    fn on_threads(&self, units: usize, work: impl Fn() -> Result<Hourly> + Sync) -> Result<Hourly> {
        let threads = self.threads.min(units).max(1);
        if threads == 1 {
            return work();
        }
        let runtime = tokio::runtime::Handle::try_current().ok();
        let run = || {
            // Remote files are read through the runtime of the caller.
            let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
            let done = work();
            if done.is_err() {
                self.failed.cancel();
            }
            done
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let mut whole: Option<Hourly> = None;
            let mut failure: Option<Error> = None;
            for thread in running {
                let done = thread.join().map_err(|_| Error::internal("a thread of the rollup broke off"));
                match done.and_then(|done| done) {
                    Ok(part) => match &mut whole {
                        Some(whole) => whole.merge(part)?,
                        None => whole = Some(part),
                    },
                    // The others only stop because one has failed.
                    Err(e) if failure.is_none() || !matches!(e, Error::Cancelled(_)) => failure = Some(e),
                    Err(_) => {}
                }
            }
            match (failure, whole) {
                (Some(failure), _) => Err(failure),
                (None, whole) => whole.ok_or_else(|| Error::internal("a rollup had no thread")),
            }
        })
    }
}

fn finish(mut rollup: Hourly, partial: bool) -> Result<RecordBatch> {
    if partial { rollup.partial() } else { rollup.finish() }
}

/// A stream that threads share. Large batches are handed out in pieces.
struct SharedStream {
    stream: Box<dyn RecordBatchReader + Send>,
    rest: Option<RecordBatch>,
}

impl SharedStream {
    const PIECE_ROWS: usize = 16 * BATCH_ROWS;

    fn pull(&mut self, columns: &[usize]) -> Result<Option<RecordBatch>> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.stream.next() {
                None => return Ok(None),
                Some(batch) => batch.and_then(|batch| batch.project(columns)).map_err(broken)?,
            },
        };
        if batch.num_rows() <= Self::PIECE_ROWS {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(Self::PIECE_ROWS, batch.num_rows() - Self::PIECE_ROWS));
        Ok(Some(batch.slice(0, Self::PIECE_ROWS)))
    }
}
