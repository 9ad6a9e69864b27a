//! What `ingest_gtfs_rt` tells of the recordings that it read.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use crate::feeds::realtime::{AlertCounts, Summary, UpdateCounts};

/// Where the schedule is from that reports were held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleSource {
    /// Raw days of a lake.
    Lake(String),
    /// An agency's feed.
    Feed {
        /// Where it came from.
        source: String,
        /// The digest of its bytes.
        sha256: String,
        /// `feed_version` of `feed_info.txt`.
        feed_version: Option<String>,
    },
}

/// The schedule that reports were held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleUsed {
    /// `lake`, or `feed`.
    #[serde(flatten)]
    pub source: ScheduleSource,
    /// The runs of each day that has some.
    pub days: BTreeMap<NaiveDate, u64>,
    /// Which versions of feeds the days of a lake were made of, as far as their manifests say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<ScheduleVersion>,
}

/// The version of a feed that days of a lake were made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleVersion {
    /// The feed's name, in a lake of several agencies.
    pub feed: Option<String>,
    /// The digest of its bytes.
    pub sha256: String,
    /// `feed_version` of `feed_info.txt`.
    pub feed_version: Option<String>,
    /// The days.
    pub days: Vec<NaiveDate>,
}

/// What was found in recordings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IngestedRealtime {
    /// Recordings that could be read, one for each poll.
    pub recordings: u64,
    /// Of these, those without an entity.
    pub recordings_empty: u64,
    /// Of these, those whose header has no time.
    pub recordings_without_time: u64,
    /// Of these, those whose header's time lies ahead of this machine's clock.
    pub recordings_in_the_future: u64,
    /// Recordings that could not be read.
    pub recordings_unreadable: u64,
    /// The first hundred that could not be read, or not wholly.
    pub damaged: Vec<Damaged>,
    /// Entities that could not be read, in recordings that could.
    pub entities_unreadable: u64,
    /// Entities that only say that another one is gone.
    pub entities_deleted: u64,
    /// Of vehicle positions.
    pub vehicle_positions: Positions,
    /// Of trip updates.
    pub trip_updates: UpdateCounts,
    /// Of alerts.
    pub alerts: AlertCounts,
    /// The schedule that was used.
    pub schedule: Option<ScheduleUsed>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

/// A recording that could not be read, or not wholly.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    /// Which.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// Counts of positions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Positions {
    /// Reports read.
    pub reports: u64,
    /// Those that repeat the vehicle's last one.
    pub repeated: u64,
    /// Rows of the day.
    pub rows: u64,
    /// Rows of other service dates, which are not written.
    pub other_days: BTreeMap<NaiveDate, u64>,
    /// Reports with neither a time nor a date.
    pub without_day: u64,
    /// Rows that name no vehicle; staging rejects them.
    pub without_vehicle: u64,
    /// Rows whose time lies more than five minutes ahead of their feed's, or ahead of this machine's clock.
    pub in_the_future: u64,
    /// Rows whose `start_date` is no date.
    pub bad_start_dates: u64,
}

/// The summary under the names that users read.
pub(super) fn of_summary(summary: Summary, schedule: Option<ScheduleUsed>, dry_run: bool) -> IngestedRealtime {
    let Summary { positions, updates, alerts, .. } = summary;
    IngestedRealtime {
        recordings: summary.recordings,
        recordings_empty: summary.recordings_empty,
        recordings_without_time: summary.recordings_without_time,
        recordings_in_the_future: summary.recordings_in_the_future,
        recordings_unreadable: summary.recordings_unreadable,
        damaged: summary.damaged.into_iter().map(|(file, why)| Damaged { file, why }).collect(),
        entities_unreadable: summary.entities_unreadable,
        entities_deleted: summary.entities_deleted,
        vehicle_positions: Positions {
            reports: positions.reports,
            repeated: positions.repeated,
            rows: positions.written,
            other_days: positions.other_days,
            without_day: positions.without_day,
            without_vehicle: positions.without_vehicle,
            in_the_future: positions.in_the_future,
            bad_start_dates: positions.bad_start_dates,
        },
        trip_updates: updates,
        alerts,
        schedule,
        dry_run,
    }
}
