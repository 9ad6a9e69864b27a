//! What the reading of GTFS Schedule feeds tells.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::origin::{GtfsOrigin, Why};
use crate::feeds::gtfs::FileTally;

/// One version of a feed, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct FeedReport {
    /// Where it came from.
    pub source: String,
    /// The digest of its bytes.
    pub sha256: String,
    /// `feed_version` of `feed_info.txt`.
    pub feed_version: Option<String>,
    /// The first date for which it holds.
    pub valid_from: Option<NaiveDate>,
    /// The last date for which it holds.
    pub valid_to: Option<NaiveDate>,
    /// What its files held; empty when no day was read from it.
    pub files: BTreeMap<&'static str, FileTally>,
    /// The zone of its agencies.
    pub zone: &'static str,
    /// Files that are not read.
    pub unread_files: Vec<String>,
}

/// One service date, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct DayReport {
    /// The service date.
    pub dt: NaiveDate,
    /// The source whose version holds on it.
    pub source: String,
    /// Whether that version claims the date.
    pub is_claimed: bool,
    /// Runs scheduled.
    pub trips: u64,
    /// Their calls.
    pub stop_times: u64,
    /// Rows of the feed that cannot be used on this date.
    pub rejected: u64,
    /// Whether the day is as it was: the lake held exactly this already, or holds what is kept.
    pub unchanged: bool,
    /// The version that the day was left with, instead of the source's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptVersion>,
}

/// The version of a feed that a day was left with.
#[derive(Clone, Debug, Serialize)]
pub struct KeptVersion {
    /// Why it was.
    pub why: Why,
    /// The digest of the feed's bytes.
    pub sha256: String,
    /// `feed_version` of its `feed_info.txt`.
    pub feed_version: Option<String>,
    /// The first date for which it holds.
    pub valid_from: Option<NaiveDate>,
    /// The last date for which it holds.
    pub valid_to: Option<NaiveDate>,
}

impl KeptVersion {
    pub(super) fn of(origin: GtfsOrigin, why: Why) -> Self {
        let GtfsOrigin { feed_sha256: sha256, feed_version, valid_from, valid_to, .. } = origin;
        Self { why, sha256, feed_version, valid_from, valid_to }
    }
}
