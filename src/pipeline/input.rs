//! A day's files on the way in: judged, and read again as clean rows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;

use super::Pipeline;
use super::kept_rejects::{KeptRejects, RejectingUnits};
use super::repair::Repairs;
use super::report::TableReport;
use crate::clean::{Cleaned, Cleaner, Counts, Evidence, Judge, Reject, Verdict};
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::lake::LocalPart;
use crate::load::{Line, Part, Repair, Rows, Unit};
use crate::model::Dataset;
use crate::queue::Queue;

/// Rows decoded at once.
const BATCH_ROWS: usize = 16_384;
/// How much of a rejected row a message shows.
const SHOWN_CHARS: usize = 300;
/// The part of the memory in which rejected rows are kept.
const REJECTS_SHARE: u64 = 16;

/// For whom rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Superseded rows stay.
    Staging,
    /// Of different rows with one key only the last.
    Warehouse,
}

/// One dataset of one day: its files, ready to be judged.
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
    #[cfg(test)]
    decoded: std::sync::atomic::AtomicUsize,
}

/// An input whose every row has its fate.
pub(super) struct Judged {
    pub(super) dataset: Dataset,
    /// The repairs it rests on.
    pub(super) repairs: Vec<Repair>,
    parts: Vec<Readable>,
    verdict: Verdict,
    unknown_columns: Vec<String>,
    /// Part and row group of every unit.
    units: Vec<(usize, usize)>,
    /// The units that have rejected rows.
    rejecting: RejectingUnits,
}

impl Pipeline {
    /// Gives every row of some inputs its fate; fails when too many of one are rejected.
    pub(super) async fn judge(&self, inputs: Vec<Input>) -> Result<Vec<Judged>> {
        let (settings, cancel, progress) = (Arc::clone(&self.settings), self.cancel.clone(), self.progress.clone());
        on_thread(move || judge(inputs, &settings, &cancel, &progress)).await
    }
}

/// Runs CPU work on a thread of its own.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("a working thread ended early").because(e))?
}

/// The input with the most rows has the memory to itself; the others are read at once before it and share it by their rows.
fn judge(mut inputs: Vec<Input>, settings: &Settings, cancel: &Cancel, progress: &Progress) -> Result<Vec<Judged>> {
    let names: Vec<&str> = inputs.iter().map(|input| input.dataset.name()).collect();
    progress.begin(&format!("read {}", names.join(", ")), inputs.iter().map(Input::rows).sum());
    let largest = (0..inputs.len()).max_by_key(|&at| inputs[at].rows()).map(|at| inputs.remove(at));
    let mut judged = judge_at_once(inputs, settings, cancel, progress)?;
    judged.extend(judge_at_once(largest.into_iter().collect(), settings, cancel, progress)?);
    // Where several have too many rejects, the first as they were asked for is the one to hear of.
    judged.sort_by_key(|one| names.iter().position(|name| *name == one.dataset.name()));
    judged.iter().try_for_each(|one| one.check_share(settings.reject_limit))?;
    Ok(judged)
}

/// Whichever thread is free takes the next row group of any input.
fn judge_at_once(inputs: Vec<Input>, settings: &Settings, cancel: &Cancel, progress: &Progress) -> Result<Vec<Judged>> {
    let rows = inputs.iter().map(Input::rows).sum::<u64>().max(1);
    let open = |input: Input| {
        let share = u128::from(settings.memory_bytes) * u128::from(input.rows()) / u128::from(rows);
        Judging::new(input, u64::try_from(share).unwrap_or(u64::MAX))
    };
    let judging = inputs.into_iter().map(open).collect::<Result<Vec<Judging>>>()?;
    let units = judging.iter().flat_map(|one| (0..one.units.len()).map(move |unit| (one, unit)));
    let units: Vec<(&Judging, Unit)> = units.collect();
    Queue::new(units.len()).drain(settings.threads(), |at| {
        let (one, unit) = units[at];
        one.see(unit, cancel, progress)
    })?;
    judging.into_iter().map(|one| one.finish(settings, cancel)).collect()
}

impl Input {
    fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }
}

/// An input whose rows are being looked at.
struct Judging {
    dataset: Dataset,
    repairs: Vec<Repair>,
    parts: Vec<Readable>,
    unknown: BTreeSet<String>,
    units: Vec<(usize, usize)>,
    judge: Mutex<Judge>,
    rejected: Mutex<KeptRejects>,
}

impl Judging {
    fn new(input: Input, memory_bytes: u64) -> Result<Self> {
        let Input { dataset, parts: files, repairs } = input;
        let mut unknown = BTreeSet::new();
        let mut parts = Vec::with_capacity(files.len());
        for part in files {
            let cleaner = Cleaner::new(dataset, &part.path, part.schema().as_ref())?;
            unknown.extend(cleaner.unknown_columns().iter().cloned());
            let repairs = Repairs::of(&repairs, &part.path, &part.sha256);
            parts.push(Readable {
                part,
                cleaner,
                repairs,
                #[cfg(test)]
                decoded: Default::default(),
            });
        }
        let mut judge = Judge::new(dataset, memory_bytes);
        let mut units = Vec::new();
        for (number, Readable { part, .. }) in parts.iter().enumerate() {
            judge.part_begins(part.rows);
            units.extend((0..part.row_groups()).map(|group| (number, group)));
        }
        let rejected = Mutex::new(KeptRejects::within(memory_bytes / REJECTS_SHARE));
        Ok(Self { dataset, repairs, parts, unknown, units, judge: Mutex::new(judge), rejected })
    }

    /// Looks at the rows of one unit.
    fn see(&self, unit: Unit, cancel: &Cancel, progress: &Progress) -> Result<()> {
        let (number, group) = self.units[unit];
        self.parts[number].read_group(group, &mut |cleaned| {
            cancel.check()?;
            if !cleaned.rejects.is_empty() {
                self.rejected.lock().unwrap_or_else(PoisonError::into_inner).keep(unit, &cleaned.rejects);
            }
            let evidence = Evidence::of(self.dataset, cleaned)?;
            self.judge.lock().unwrap_or_else(PoisonError::into_inner).see_in(number, cleaned, evidence)?;
            progress.add(cleaned.rows_read);
            Ok(())
        })
    }

    fn finish(self, settings: &Settings, cancel: &Cancel) -> Result<Judged> {
        let Self { dataset, repairs, parts, unknown, units, judge, rejected } = self;
        let judge = judge.into_inner().unwrap_or_else(PoisonError::into_inner);
        let verdict = judge.finish_on(settings.threads(), cancel)?;
        let rejected = rejected.into_inner().unwrap_or_else(PoisonError::into_inner);
        let rejecting = rejected.into_units();
        let unknown_columns = unknown.into_iter().collect();
        Ok(Judged { dataset, repairs, parts, verdict, unknown_columns, units, rejecting })
    }
}

impl Readable {
    fn read_group(&self, group: usize, sink: &mut dyn FnMut(&Cleaned) -> Result<()>) -> Result<()> {
        #[cfg(test)]
        self.decoded.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Self { part, cleaner, repairs, .. } = self;
        // A file that changed meanwhile reads like a damaged one, and running again helps.
        let changed = |e: Error| part.verify_unchanged().err().unwrap_or(e);
        let mut row = part.first_row(group);
        for batch in part.read_row_groups(group..group + 1, cleaner.columns(), BATCH_ROWS).map_err(changed)? {
            let batch = batch.map_err(changed)?;
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
        if !self.rejecting.is_empty() {
            self.each_reject(0, &mut |file, rejects| {
                if let (None, Some(reject)) = (&found, rejects.first()) {
                    let reasons: Vec<&str> = reject.reasons.iter().map(|reason| reason.code()).collect();
                    let row: String = reject.row_json.chars().take(SHOWN_CHARS).collect();
                    found = Some(format!("row {} of {file}, {}, {row}", reject.row_number, reasons.join(" and ")));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// How many units have rejected rows.
    pub(super) fn rejecting_units(&self) -> usize {
        self.rejecting.len()
    }

    /// The rejected rows of one of these units, with the name of their file; where they were too many to keep it is read again.
    pub(super) fn each_reject(&self, unit: Unit, sink: &mut dyn FnMut(&str, &[Reject]) -> Result<()>) -> Result<()> {
        let (unit, kept) = &self.rejecting[unit];
        let (number, group) = self.units[*unit];
        let readable = &self.parts[number];
        let file = &readable.part.path;
        match kept {
            Some(rejects) => sink(file, rejects),
            None => readable.read_group(group, &mut |cleaned| {
                if cleaned.rejects.is_empty() { Ok(()) } else { sink(file, &cleaned.rejects) }
            }),
        }
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
                    part: Part {
                        file: part.path.clone(),
                        size_bytes: part.size_bytes,
                        sha256: part.sha256.clone(),
                        etag: part.etag.clone(),
                        origin: part.origin.clone(),
                    },
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
            table.rows_sharing_vehicle_and_time = Some(self.verdict.contradictions());
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

    /// How many row groups were decoded so far.
    #[cfg(test)]
    pub(super) fn decoded_groups(&self) -> usize {
        self.parts.iter().map(|readable| readable.decoded.load(std::sync::atomic::Ordering::Relaxed)).sum()
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
}

impl KeptRows {
    pub(super) fn new(judged: Arc<Judged>, audience: Audience) -> Self {
        Self { judged, audience }
    }
}

impl Rows for KeptRows {
    fn units(&self) -> usize {
        self.judged.units.len()
    }

    fn states(&self, column: &str) -> bool {
        // Where files are gone there is no row to spare, and a COPY needs columns.
        let parts = &self.judged.parts;
        parts.is_empty() || parts.iter().any(|readable| readable.cleaner.columns().contains(&column))
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch, i16) -> Result<()>) -> Result<()> {
        let (number, group) = self.judged.units[unit];
        let file_no = i16::try_from(number).map_err(|_| {
            Error::data(format!("{number} files of one dataset and day, expected at most {}", i16::MAX))
        })?;
        self.judged.parts[number].read_group(group, &mut |cleaned| {
            let kept = self.judged.kept(number, cleaned, self.audience)?;
            if kept.num_rows() == 0 { Ok(()) } else { sink(kept, file_no) }
        })
    }
}
