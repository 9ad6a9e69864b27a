//! Streams the batches of a local part.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::failure::file_error;
use super::fetch::LocalPart;
use super::unite::Completion;
use crate::error::{Error, Result};

/// The batches of a part, in file order.
#[derive(Debug)]
pub struct PartReader {
    inner: ParquetRecordBatchReader,
    path: String,
    /// The rows of each row group still to come, with its number; the last one first.
    ahead: Vec<(usize, u64)>,
    failed: bool,
    completion: Arc<Completion>,
    /// The columns that were asked for.
    asked: Vec<String>,
    /// The number of the next row in the file, from 1.
    next_row: u64,
}

impl LocalPart {
    /// The schema as batches will have it: the file's own types, except that repeating text comes as a dictionary
    /// and INT96 as microseconds. Columns of its folders that the file lacks come last, as text.
    pub fn schema(&self) -> SchemaRef {
        self.completion.schema(self.metadata.schema())
    }

    /// The number of row groups: the unit by which several threads may share a file.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The number, from 1, of the first row of a row group.
    pub fn first_row(&self, row_group: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        1 + groups.iter().take(row_group).map(|g| g.num_rows().unsigned_abs()).sum::<u64>()
    }

    /// Streams the named columns of the whole file. Names the file does not have are left out.
    pub fn read(&self, columns: &[&str], batch_rows: usize) -> Result<PartReader> {
        self.read_row_groups(0..self.row_groups(), columns, batch_rows)
    }

    /// Streams the named columns of some row groups. Each reader has a file handle of its own, so several may run
    /// side by side.
    pub fn read_row_groups(&self, groups: Range<usize>, columns: &[&str], batch_rows: usize) -> Result<PartReader> {
        let file = File::open(&self.file).map_err(|e| file_error(e, "reading", &self.path))?;
        let metadata = self.metadata.metadata();
        let mut ahead: Vec<(usize, u64)> = metadata
            .row_groups()
            .iter()
            .enumerate()
            .take(groups.end)
            .skip(groups.start)
            .map(|(number, group)| (number, group.num_rows().unsigned_abs()))
            .collect();
        ahead.reverse();
        let schema = self.metadata.schema();
        let roots = (0..schema.fields().len()).filter(|i| columns.contains(&schema.field(*i).name().as_str()));
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let inner = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_projection(mask)
            .with_row_groups(groups.clone().collect())
            .with_batch_size(batch_rows.max(1))
            .build()
            .map_err(|e| corrupt(&self.path, None, &e))?;
        Ok(PartReader::new(inner, &self.path, ahead).completed(&self.completion, columns, self.first_row(groups.start)))
    }
}

impl Iterator for PartReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        while self.ahead.last().is_some_and(|(_, rows)| *rows == 0) {
            self.ahead.pop();
        }
        let group = self.ahead.last().map(|(number, _)| *number);
        // Damaged pages can make the decoder panic; that is the file's fault, not the caller's.
        let step = catch_unwind(AssertUnwindSafe(|| self.inner.next()));
        let result = match step {
            Ok(None) => {
                let missing = self.ahead.iter().map(|(_, rows)| rows).sum::<u64>();
                if missing == 0 {
                    return None;
                }
                Err(corrupt(&self.path, group, &format!("{missing} rows fewer than its footer says")))
            }
            Ok(Some(Ok(batch))) => {
                let (rows, first_row) = (batch.num_rows() as u64, self.next_row);
                let beyond = self.pass(rows);
                self.next_row += rows;
                let completed = match beyond {
                    0 => self.completion.complete(batch, &self.asked, &self.path, first_row),
                    _ => Err(corrupt(&self.path, group, &format!("{beyond} rows more than its footer says"))),
                };
                self.failed = completed.is_err();
                return Some(completed);
            }
            Ok(Some(Err(error))) => Err(failed(&self.path, group, error)),
            Err(_) => Err(corrupt(&self.path, group, &"the pages are damaged")),
        };
        self.failed = true;
        Some(result)
    }
}

impl PartReader {
    /// `ahead`: the row groups to come with their rows, the last one first.
    pub(super) fn new(inner: ParquetRecordBatchReader, path: &str, ahead: Vec<(usize, u64)>) -> Self {
        let (completion, asked) = (Arc::default(), Vec::new());
        Self { inner, path: path.to_owned(), ahead, failed: false, completion, asked, next_row: 1 }
    }

    /// Completes the batches, of which the first begins with this row of the file.
    pub(super) fn completed(mut self, completion: &Arc<Completion>, asked: &[&str], first_row: u64) -> Self {
        self.completion = Arc::clone(completion);
        self.asked = asked.iter().map(|&name| name.to_owned()).collect();
        self.next_row = first_row;
        self
    }

    /// Counts rows that came; returns how many there are beyond those that were to come.
    fn pass(&mut self, mut rows: u64) -> u64 {
        while let Some((_, left)) = self.ahead.last_mut() {
            let taken = rows.min(*left);
            *left -= taken;
            rows -= taken;
            if *left > 0 {
                break;
            }
            self.ahead.pop();
        }
        rows
    }
}

/// A decoder's error: what the store said while it was read, or damage.
fn failed(path: &str, row_group: Option<usize>, error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(cause) => match cause.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(cause) => corrupt(path, row_group, &cause),
        },
        error => corrupt(path, row_group, &error),
    }
}

pub(super) fn corrupt(path: &str, row_group: Option<usize>, cause: &dyn std::fmt::Display) -> Error {
    let place = row_group.map_or_else(String::new, |g| format!(" in row group {g}"));
    let error = Error::data(format!("{path} cannot be decoded{place}: {cause}; write the file again"));
    let error = error.with("file", path);
    match row_group {
        Some(group) => error.with("row_group", group),
        None => error,
    }
}
