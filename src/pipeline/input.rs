//! A day's files on the way in: fetched, hashed, judged, and read again as clean rows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use chrono::NaiveDate;

use super::Pipeline;
use super::repair::Repairs;
use super::report::TableReport;
use crate::clean::{Cleaned, Cleaner, Counts, Evidence, Judge, Verdict};
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::lake::LocalPart;
use crate::load::{Line, Part, Repair, Rows, Unit};
use crate::model::Dataset;
use crate::queue::Queue;
use crate::warehouse;

/// Rows decoded at once.
const BATCH_ROWS: usize = 16_384;
/// How much of a rejected row a message shows.
const SHOWN_CHARS: usize = 300;

/// For whom rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Superseded rows stay.
    Staging,
    /// Of different rows with one key only the last.
    Warehouse,
}

/// One dataset of one day: its files, ready to read.
pub(super) struct Input {
    pub(super) dataset: Dataset,
    pub(super) parts: Vec<LocalPart>,
    /// Repairs of rejected rows, of any file.
    pub(super) repairs: Vec<Repair>,
}

/// A part with what reading it takes.
struct Readable {
    part: LocalPart,
    cleaner: Cleaner,
    repairs: Repairs,
}

/// An input whose every row has its fate.
pub(super) struct Judged {
    pub(super) dataset: Dataset,
    parts: Vec<Readable>,
    verdict: Arc<Verdict>,
    unknown_columns: Vec<String>,
}

impl Input {
    /// The identity of every file, in order.
    pub(super) fn identities(&self) -> Vec<Part> {
        self.parts
            .iter()
            .map(|p| Part { file: p.path.clone(), size_bytes: p.size_bytes, sha256: p.sha256.clone() })
            .collect()
    }
}

impl Pipeline {
    /// Fetches and hashes the files of some datasets of one day; a dataset without files has an empty input.
    pub(super) async fn inputs(&self, dt: NaiveDate, datasets: &[Dataset]) -> Result<(Vec<Input>, Vec<String>)> {
        let lake = self.lake()?;
        let partition = lake.partition(dt).await?;
        let repairs = match self.settings.warehouse {
            Some(_) => warehouse::repairs(self.warehouse()?, dt).await?,
            None => Vec::new(),
        };
        let mut inputs = Vec::with_capacity(datasets.len());
        for &dataset in datasets {
            let mut parts = Vec::new();
            for part in partition.files.get(&dataset).into_iter().flatten() {
                parts.push(lake.fetch(part, self.settings.spool.as_deref(), &self.cancel).await?);
            }
            let repairs = repairs.iter().filter(|repair| repair.dataset == dataset).cloned().collect();
            inputs.push(Input { dataset, parts, repairs });
        }
        Ok((inputs, partition.ignored))
    }

    /// The same, or `None` for a day without any file.
    pub(super) async fn inputs_if_any(&self, dt: NaiveDate, datasets: &[Dataset]) -> Result<Option<Vec<Input>>> {
        match self.inputs(dt, datasets).await {
            Ok((inputs, _)) => Ok(Some(inputs)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Gives every row of an input its fate; fails when too many are rejected.
    pub(super) async fn judge(&self, input: Input) -> Result<Judged> {
        let (settings, cancel, progress) = (Arc::clone(&self.settings), self.cancel.clone(), self.progress.clone());
        on_thread(move || judge(input, &settings, &cancel, &progress)).await
    }
}

/// Runs CPU work on a thread of its own.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("a working thread ended early").because(e))?
}

fn judge(input: Input, settings: &Settings, cancel: &Cancel, progress: &Progress) -> Result<Judged> {
    let Input { dataset, parts, repairs } = input;
    let rows = parts.iter().map(|p| p.rows).sum();
    progress.begin(&format!("read {dataset}"), rows);
    let mut unknown = BTreeSet::new();
    let mut ready = Vec::with_capacity(parts.len());
    for part in parts {
        let cleaner = Cleaner::new(dataset, &part.path, part.schema().as_ref())?;
        unknown.extend(cleaner.unknown_columns().iter().cloned());
        let repairs = Repairs::of(&repairs, &part.path, &part.sha256);
        ready.push(Readable { part, cleaner, repairs });
    }
    let mut judge = Judge::new(dataset, settings.memory_bytes);
    let mut units = Vec::new();
    for (number, Readable { part, .. }) in ready.iter().enumerate() {
        judge.part_begins(part.rows);
        units.extend((0..part.row_groups()).map(|group| (number, group)));
    }
    let judge = Mutex::new(judge);
    Queue::new(units.len()).drain(settings.threads(), |unit| {
        let (number, group) = units[unit];
        ready[number].read_group(group, &mut |cleaned| {
            cancel.check()?;
            let evidence = Evidence::of(dataset, cleaned)?;
            judge.lock().unwrap_or_else(PoisonError::into_inner).see_in(number, cleaned, evidence)?;
            progress.add(cleaned.rows_read);
            Ok(())
        })
    })?;
    let judge = judge.into_inner().unwrap_or_else(PoisonError::into_inner);
    let verdict = Arc::new(judge.finish_on(settings.threads(), cancel)?);
    let judged = Judged { dataset, parts: ready, verdict, unknown_columns: unknown.into_iter().collect() };
    judged.check_share(settings.reject_limit)?;
    Ok(judged)
}

impl Readable {
    fn read_group(&self, group: usize, sink: &mut dyn FnMut(&Cleaned) -> Result<()>) -> Result<()> {
        let Self { part, cleaner, repairs } = self;
        let mut row = part.first_row(group);
        for batch in part.read_row_groups(group..group + 1, cleaner.columns(), BATCH_ROWS)? {
            let batch = batch?;
            let cleaned = repairs.apply(cleaner, cleaner.clean(&batch, row)?)?;
            row += batch.num_rows() as u64;
            sink(&cleaned)?;
        }
        part.verify_unchanged()
    }
}

impl Judged {
    /// The counts of all files together.
    fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in (0..self.parts.len()).filter_map(|part| self.verdict.counts(part)) {
            total.rows_read += counts.rows_read;
            total.rejected += counts.rejected;
            total.rounded += counts.rounded;
            total.truncated += counts.truncated;
            for (reason, rows) in &counts.rejected_by_reason {
                *total.rejected_by_reason.entry(*reason).or_default() += rows;
            }
        }
        total
    }

    /// The share of rejects stays within the limit, over all files of the day.
    fn check_share(&self, limit: f64) -> Result<()> {
        let counts = self.total();
        let share = counts.rejected as f64 / (counts.rows_read.max(1)) as f64;
        if share <= limit {
            return Ok(());
        }
        let reasons: Vec<String> =
            counts.rejected_by_reason.iter().map(|(reason, rows)| format!("{} {rows}", reason.code())).collect();
        let files: Vec<&str> = self.parts.iter().map(|r| r.part.path.as_str()).collect();
        Err(Error::data(format!(
            "{} of {} rows of {} are rejected ({:.1} %), the limit is {:.1} % ({}){}; nothing was written; repair the \
             files or raise reject_limit (--reject-limit)",
            counts.rejected,
            counts.rows_read,
            self.dataset,
            share * 100.0,
            limit * 100.0,
            reasons.join(", "),
            self.first_reject()?.map_or_else(String::new, |reject| format!("; the first: {reject}"))
        ))
        .with("file", files.join(", ")))
    }

    /// The first rejected row, in words: nothing of it is written anywhere when a step stops.
    fn first_reject(&self) -> Result<Option<String>> {
        let mut found = None;
        for readable in &self.parts {
            for group in 0..readable.part.row_groups() {
                readable.read_group(group, &mut |cleaned| {
                    if let (None, Some(reject)) = (&found, cleaned.rejects.first()) {
                        let reasons: Vec<&str> = reject.reasons.iter().map(|reason| reason.code()).collect();
                        let row: String = reject.row_json.chars().take(SHOWN_CHARS).collect();
                        let file = &readable.part.path;
                        found = Some(format!("row {} of {file}, {}, {row}", reject.row_number, reasons.join(" and ")));
                    }
                    Ok(())
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// The ledger lines for staging, where superseded rows stay, or for the warehouse.
    pub(super) fn lines(&self, audience: Audience) -> Vec<Line> {
        self.parts
            .iter()
            .enumerate()
            .map(|(number, Readable { part, .. })| {
                let counts = self.verdict.counts(number).cloned().unwrap_or_default();
                let superseded = if audience == Audience::Staging { 0 } else { counts.superseded };
                Line {
                    part: Part { file: part.path.clone(), size_bytes: part.size_bytes, sha256: part.sha256.clone() },
                    rows_read: counts.rows_read,
                    rows_loaded: counts.rows_read - counts.duplicate - superseded - counts.rejected,
                    rows_duplicate: counts.duplicate,
                    rows_superseded: superseded,
                    rows_rejected: counts.rejected,
                }
            })
            .collect()
    }

    /// What judging found, for the report.
    pub(super) fn describe(&self, table: &mut TableReport) {
        let counts = self.total();
        table.rejected_by_reason = counts.rejected_by_reason.iter().map(|(r, rows)| (r.code(), *rows)).collect();
        table.rows_rounded = counts.rounded;
        table.rows_truncated = counts.truncated;
        table.unknown_columns.clone_from(&self.unknown_columns);
        if self.verdict.contradictions() > 0 {
            table.detail("rows_sharing_vehicle_and_time", self.verdict.contradictions());
        }
    }

    /// Reads everything once more, part by part, with the kept rows of each batch.
    pub(super) fn each(
        &self,
        cancel: &Cancel,
        sink: &mut dyn FnMut(&Cleaner, &RecordBatch, &Cleaned) -> Result<()>,
    ) -> Result<()> {
        for (number, readable) in self.parts.iter().enumerate() {
            for group in 0..readable.part.row_groups() {
                readable.read_group(group, &mut |cleaned| {
                    cancel.check()?;
                    let kept = self.kept(number, cleaned, Audience::Warehouse)?;
                    sink(&readable.cleaner, &kept, cleaned)
                })?;
            }
        }
        Ok(())
    }

    fn kept(&self, part: usize, cleaned: &Cleaned, audience: Audience) -> Result<RecordBatch> {
        let mask = match audience {
            Audience::Staging => self.verdict.filter_staged(part, cleaned),
            Audience::Warehouse => self.verdict.filter(part, cleaned),
        };
        if mask.true_count() == mask.len() {
            return Ok(cleaned.rows.clone());
        }
        filter_record_batch(&cleaned.rows, &mask).map_err(|e| Error::internal("rows cannot be filtered").because(e))
    }
}

/// The kept rows of a judged input, in units of row groups.
pub(super) struct KeptRows {
    judged: Arc<Judged>,
    audience: Audience,
    units: Vec<(usize, usize)>,
}

impl KeptRows {
    pub(super) fn new(judged: Arc<Judged>, audience: Audience) -> Self {
        let units = units(&judged);
        Self { judged, audience, units }
    }
}

/// (part, row group) of every unit.
fn units(judged: &Judged) -> Vec<(usize, usize)> {
    let parts = judged.parts.iter().enumerate();
    parts.flat_map(|(number, readable)| (0..readable.part.row_groups()).map(move |group| (number, group))).collect()
}

impl Rows for KeptRows {
    fn units(&self) -> usize {
        self.units.len()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch, i16) -> Result<()>) -> Result<()> {
        let (number, group) = self.units[unit];
        let file_no = i16::try_from(number).map_err(|_| {
            Error::data(format!("{number} files of one dataset and day, expected at most {}", i16::MAX))
        })?;
        self.judged.parts[number].read_group(group, &mut |cleaned| {
            let kept = self.judged.kept(number, cleaned, self.audience)?;
            if kept.num_rows() == 0 { Ok(()) } else { sink(kept, file_no) }
        })
    }
}

/// Reads the rejects of a judged input, unit by unit.
pub(super) fn each_reject(
    judged: &Judged,
    unit: Unit,
    sink: &mut dyn FnMut(&str, &Cleaned) -> Result<()>,
) -> Result<()> {
    let (number, group) = units(judged)[unit];
    let readable = &judged.parts[number];
    readable.read_group(group, &mut |cleaned| {
        if cleaned.rejects.is_empty() { Ok(()) } else { sink(&readable.part.path, cleaned) }
    })
}

/// How many units a judged input has.
pub(super) fn unit_count(judged: &Judged) -> usize {
    units(judged).len()
}
