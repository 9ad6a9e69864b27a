//! What a step did, in numbers; every report is plain JSON. What only one verb tells stands in `outcome`.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::NaiveDate;
use serde::Serialize;

use super::outcome::{Outcome, TableOutcome};
use crate::load::Line;

/// What one step did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The verb.
    pub step: &'static str,
    /// The raw day, for steps that have one.
    pub dt: Option<NaiveDate>,
    /// Wall-clock time.
    pub seconds: f64,
    /// Whether nothing had to be written.
    pub unchanged: bool,
    /// Rows written (or, for generate, made).
    pub rows: u64,
    /// Bytes of the files read (or made).
    pub bytes: u64,
    /// Files read (or made).
    pub files: u64,
    /// Counts by table.
    pub tables: BTreeMap<String, TableReport>,
    /// The reports of a composed step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Report>,
    /// What else the step has to say.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What one step did to one table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableReport {
    /// Files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Rows in the files.
    pub rows_read: u64,
    /// Rows in the table.
    pub rows_loaded: u64,
    /// Equal rows that collapsed.
    pub rows_duplicate: u64,
    /// Rows that lost to a later one of their key.
    pub rows_superseded: u64,
    /// Rows that cannot be used.
    pub rows_rejected: u64,
    /// Rows actually written by this call.
    pub rows_written: u64,
    /// Rejected rows by reason code; a row may have several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected_by_reason: BTreeMap<&'static str, u64>,
    /// Rows with money that lay off a cent.
    pub rows_rounded: u64,
    /// Rows with an instant finer than a microsecond.
    pub rows_truncated: u64,
    /// Columns of the files that metropulse does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_columns: Vec<String>,
    /// Whether the ledger already held exactly these files.
    pub unchanged: bool,
    /// Rows of positions that share vehicle and time with a different one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_sharing_vehicle_and_time: Option<u64>,
    /// What else there is to say of this table.
    #[serde(flatten)]
    pub outcome: TableOutcome,
}

impl Report {
    pub(super) fn new(step: &'static str, dt: Option<NaiveDate>) -> Self {
        Self { step, dt, ..Self::default() }
    }

    pub(super) fn took(mut self, started: Instant) -> Self {
        self.seconds = started.elapsed().as_secs_f64();
        self
    }

    /// A day without files for any of a step's tables has nothing to write, and so is unchanged.
    pub(super) fn nothing_is_unchanged(&mut self) {
        self.unchanged |= self.tables.is_empty();
    }

    /// Adds a table and sums it up.
    pub(super) fn table(&mut self, name: &str, table: TableReport) {
        self.rows += table.rows_written;
        self.bytes += table.bytes;
        self.files += table.files;
        self.unchanged = self.tables.values().all(|t| t.unchanged) && table.unchanged;
        self.tables.insert(name.to_owned(), table);
    }
}

impl TableReport {
    /// The sums of ledger lines.
    pub(super) fn of(lines: &[Line]) -> Self {
        let mut table = Self::default();
        for line in lines {
            table.files += 1;
            table.bytes += line.part.size_bytes;
            table.rows_read += line.rows_read;
            table.rows_loaded += line.rows_loaded;
            table.rows_duplicate += line.rows_duplicate;
            table.rows_superseded += line.rows_superseded;
            table.rows_rejected += line.rows_rejected;
        }
        table
    }

    /// The sums of a load that the ledger already holds.
    pub(super) fn unchanged(lines: &[Line]) -> Self {
        Self { unchanged: true, ..Self::of(lines) }
    }
}
