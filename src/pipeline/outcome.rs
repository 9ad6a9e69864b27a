//! What each verb tells beyond the counts that all reports share. The names are those of the JSON that users read.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::gtfs::outcome::{DayReport, FeedReport};
use super::realtime::outcome::IngestedRealtime;
use super::recording::outcome::Collected;
use super::tides::outcome::{ExportedTides, IngestedTides};
use crate::postgres::Merged;
use crate::quality;
use crate::warehouse::{Moved, UndoneTable};

/// What a verb has to say.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Its counts say everything.
    #[default]
    Counts,
    /// A dry run of `load_dimensions`.
    Tried {
        /// Whether nothing was kept of it.
        dry_run: bool,
    },
    /// `load_calendar`.
    Calendar {
        /// Dates that were added.
        dates: u64,
        /// Seconds of the day that were added.
        times: u64,
    },
    /// `generate`.
    Generated {
        /// The days made.
        days: Vec<NaiveDate>,
        /// The lake they lie in.
        lake: String,
    },
    /// `ingest_gtfs`.
    IngestedGtfs {
        /// The lake that the days lie in.
        lake: String,
        /// The feeds that were given, in this order.
        feeds: Vec<FeedReport>,
        /// The days made.
        days: Vec<DayReport>,
        /// Whether nothing was written.
        dry_run: bool,
    },
    /// `ingest_gtfs_rt`.
    IngestedRealtime(Box<IngestedRealtime>),
    /// `collect`.
    Collected(Box<Collected>),
    /// `ingest_tides`.
    IngestedTides(Box<IngestedTides>),
    /// `export_tides`.
    ExportedTides(Box<ExportedTides>),
    /// `stage`.
    Staged {
        /// Files of the day that no dataset takes.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ignored_files: Vec<String>,
    },
    /// `build_route_hourly`.
    MartBuilt {
        /// `warehouse` or `lake`.
        source: &'static str,
        /// Dates whose rows were replaced.
        service_dates_rebuilt: Vec<NaiveDate>,
        /// Dates that had those very rows.
        service_dates_same: Vec<NaiveDate>,
        /// Dates whose rows somebody else had taken away.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        service_dates_lost: Vec<NaiveDate>,
    },
    /// `check_quality`.
    Checked {
        /// Every check, passed or not.
        checks: Vec<quality::Outcome>,
        /// Failed checks of severity `error`.
        failed: usize,
        /// Failed checks of severity `warn`.
        warned: usize,
    },
    /// One dataset and day of `requeue`.
    RequeuedDataset {
        /// The dataset.
        dataset: &'static str,
        /// Rows rejected before and not now.
        rows_passed: i64,
        /// Rows rejected now.
        rows_rejected: u64,
    },
    /// `requeue`.
    Requeued {
        /// Rows rejected before and not now.
        rows_passed: i64,
    },
    /// `undo`.
    Undone {
        /// Service dates that the mart must build again.
        dirty_dates: Vec<NaiveDate>,
        /// Inferred members that nothing refers to any more.
        inferred_removed: u64,
        /// Repaired rows that were forgotten with their day.
        repairs_removed: u64,
        /// Whether nothing was kept of it.
        dry_run: bool,
    },
    /// `rewind`.
    Rewound {
        /// The last day that stays.
        to: NaiveDate,
        /// The days taken out, the newest first.
        days: Vec<NaiveDate>,
        /// Whether nothing was kept of it.
        dry_run: bool,
    },
    /// `migrate`.
    Migrated {
        /// `empty`, `prototype`, or the version that was there.
        from_version: String,
        /// The version that is there now.
        to_version: u32,
        /// Versions whose migrations were applied.
        applied: Vec<u32>,
        /// Tables moved aside.
        moved: Vec<Moved>,
        /// The mart's table as it is called now, when it was moved aside.
        mart_moved: Option<String>,
        /// Payment methods taken over.
        payment_methods: u64,
        /// Whether nothing was kept of it.
        dry_run: bool,
    },
    /// `purge`.
    Purged {
        /// What is older went.
        before: NaiveDate,
        /// The raw days it touched.
        days: Vec<NaiveDate>,
        /// Whether nothing was kept of it.
        dry_run: bool,
    },
    /// `copy_parquet`.
    Copied {
        /// The table, with its schema.
        table: String,
        /// Whether the table was made.
        created: bool,
        /// Whether the rows came in frozen.
        frozen: bool,
        /// Connections used.
        connections: usize,
        /// Why fewer connections were used than asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        one_connection_because: Option<String>,
    },
    /// `merge_snapshot` and `rewind_snapshot`.
    Merged(Box<Merged>),
    /// `rollup_hourly` into a file.
    RolledUp {
        /// The file.
        output: String,
    },
}

/// What a verb has to say of one table.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(untagged)]
pub enum TableOutcome {
    /// Its counts say everything.
    #[default]
    Counts,
    /// A dimension that was loaded.
    Dimension {
        /// New versions.
        versions_inserted: u64,
        /// Versions whose interval or values changed.
        versions_updated: u64,
        /// Versions that went.
        versions_deleted: u64,
        /// Whether the snapshot has no row.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        empty_snapshot: bool,
        /// Rows of facts that got another key, by fact table.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        rekeyed: BTreeMap<&'static str, u64>,
        /// Some of the rows that would change; of a dry run only.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        sample: Vec<serde_json::Value>,
    },
    /// A fact that was loaded.
    Fact {
        /// References to a time that no version holds, by dimension table.
        as_of_misses: BTreeMap<&'static str, AsOfMisses>,
        /// Rows of other days that left or came back.
        #[serde(skip_serializing_if = "is_zero")]
        rows_of_other_days_moved: u64,
        /// Service dates that the mart must build again.
        dirty_dates: Vec<NaiveDate>,
    },
    /// What a day that was taken out held of the table.
    Undone(UndoneTable),
}

/// References to a time that no version holds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AsOfMisses {
    /// Before the first version.
    pub before_first: u64,
    /// Between two versions.
    pub gap: u64,
}

fn is_zero(rows: &u64) -> bool {
    *rows == 0
}
