//! What a feed's files held and what of it is no use: counts, and bad rows with file, line and reason.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::quarantine::{Kept, Origin, Rejected};
use super::row::{Row, Source};
use super::value::Unreadable;
use crate::error::Result;
use crate::model::{Dataset, Reason};

const FEED: Origin = Origin { whole: "feed", row: "line" };

/// Of neighbours with one key the last stays; how many went.
pub(super) fn keep_last<T: Copy, K: PartialEq>(all: &mut Vec<T>, key: impl Fn(&T) -> K) -> usize {
    let before = all.len();
    // Of equal neighbours `dedup_by` keeps the first: it takes over the later one's values.
    all.dedup_by(|later, kept| {
        let is_same = key(later) == key(kept);
        if is_same {
            *kept = *later;
        }
        is_same
    });
    before - all.len()
}

/// Why a row is of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bad {
    pub(super) reason: Reason,
    /// The trip that the row is about, when it concerns only the days on which that runs.
    pub(super) trip: Option<u32>,
}

impl Bad {
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, trip: None }
    }

    pub(super) fn unreadable() -> Self {
        Self::new(Reason::Unconvertible)
    }

    /// The same, of a trip.
    pub(super) fn of(self, trip: u32) -> Self {
        Self { trip: Some(trip), ..self }
    }
}

impl From<Unreadable> for Bad {
    fn from(_: Unreadable) -> Self {
        Self::unreadable()
    }
}

/// A bad row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The raw dataset that lacks it.
    pub dataset: Dataset,
    /// The file of the feed: `stop_times.txt`.
    pub file: &'static str,
    /// Its line there, from 1 (the header).
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// The row as it came.
    pub row_json: String,
    /// The trip on whose days it counts; `None` on every day.
    pub(super) trip: Option<u32>,
}

impl Reject {
    /// What the row has in a column.
    pub(super) fn value(&self, column: &str) -> Option<String> {
        let row: serde_json::Value = serde_json::from_str(&self.row_json).ok()?;
        Some(row.get(column)?.as_str()?.to_owned())
    }

    /// As the quarantine takes it.
    pub(super) fn shown(&self) -> Rejected<'_> {
        let Self { dataset, file, line, reason, row_json, .. } = self;
        Rejected { dataset: *dataset, file: (*file).into(), row: *line, reason: *reason, row_json }
    }
}

/// What one file of the feed held.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileTally {
    /// Rows, the header and blank lines apart.
    pub rows_read: u64,
    /// Rows equal in key to a later one, which won.
    pub rows_duplicate: u64,
    /// Rows that cannot be used.
    pub rows_rejected: u64,
    /// Trips of a service that no calendar names: they never run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_without_service: Option<u64>,
    /// Rows of trips whose own row cannot be used; they go with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_of_rejected_trips: Option<u64>,
    /// Columns that are not kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_columns: Vec<String>,
    /// The raw dataset that its rows become, or decide on.
    #[serde(skip)]
    pub dataset: &'static str,
}

/// Counts by file, and all bad rows.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By file name, for the files that were read.
    pub files: BTreeMap<&'static str, FileTally>,
    /// Bad rows by file and line.
    pub rejects: Vec<Reject>,
    kept: Kept,
}

impl Tally {
    pub(super) fn begin<'a>(&mut self, table: &'static Source, unknown: impl Iterator<Item = &'a String>) {
        let unknown_columns = unknown.filter(|name| !name.is_empty()).cloned().collect();
        self.files
            .insert(table.file, FileTally { unknown_columns, dataset: table.dataset.name(), ..FileTally::default() });
    }

    pub(super) fn end(&mut self, table: &'static Source, rows: u64) {
        if let Some(file) = self.files.get_mut(table.file) {
            file.rows_read = rows;
        }
    }

    /// Counts a row that a later one of its key replaced.
    pub(super) fn duplicate(&mut self, table: &'static Source) {
        if let Some(file) = self.files.get_mut(table.file) {
            file.rows_duplicate += 1;
        }
    }

    /// Counts a row of a trip whose own row cannot be used.
    pub(super) fn of_rejected_trip(&mut self, table: &'static Source) {
        if let Some(file) = self.files.get_mut(table.file) {
            *file.rows_of_rejected_trips.get_or_insert_default() += 1;
        }
    }

    /// Counts the trips that never run.
    pub(super) fn without_service(&mut self, table: &'static Source, trips: usize) {
        if let Some(file) = self.files.get_mut(table.file) {
            file.rows_without_service = Some(trips as u64).filter(|trips| *trips > 0);
        }
    }

    pub(super) fn reject(&mut self, table: &'static Source, row: &Row<'_>, bad: Bad) -> Result<()> {
        self.keep(Reject {
            dataset: table.dataset,
            file: table.file,
            line: row.line,
            reason: bad.reason,
            row_json: row.json(),
            trip: bad.trip,
        })
    }

    pub(super) fn keep(&mut self, reject: Reject) -> Result<()> {
        if let Some(file) = self.files.get_mut(reject.file) {
            file.rows_rejected += 1;
        }
        self.kept.add(FEED, &reject.shown())?;
        self.rejects.push(reject);
        Ok(())
    }

    /// Takes in what another part of the work counted.
    pub(super) fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
        self.rejects.extend(other.rejects);
        self.kept.merge(other.kept);
    }

    /// An error if too large a share of a file's rows is of no use.
    pub fn judge(&self, limit: f64) -> Result<()> {
        for (name, file) in &self.files {
            let first = || self.rejects.iter().find(|reject| reject.file == *name).map(Reject::shown);
            FEED.judge(name, (file.rows_rejected, file.rows_read), limit, first)?;
        }
        Ok(())
    }
}
