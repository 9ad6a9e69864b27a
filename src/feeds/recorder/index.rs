//! The index of polls, one line of JSON each, and the names that carry a time.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The index of a period, in the spool and in its archive. Its name hides it from readers of recordings.
pub(super) const INDEX: &str = "_polls.jsonl";
/// How a recording ends in the spool, where each is packed by itself, and in an archive, which is packed as a whole.
pub(super) const SPOOLED: &str = ".pb.zst";
pub(super) const ARCHIVED: &str = ".pb";
/// How an archive ends.
pub(super) const ARCHIVE: &str = ".tar.zst";

/// What a feed tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// Where vehicles are.
    VehiclePositions,
    /// How runs depart from the schedule.
    TripUpdates,
    /// What passengers are told.
    Alerts,
}

impl Feed {
    const ALL: [Self; 3] = [Self::VehiclePositions, Self::TripUpdates, Self::Alerts];

    /// The name, as settings and files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::VehiclePositions => "vehicle_positions",
            Self::TripUpdates => "trip_updates",
            Self::Alerts => "alerts",
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// A recording.
    Recorded,
    /// Nothing: the feed is as it was.
    Unchanged,
    /// Nothing: no whole answer came.
    Failed,
    /// Nothing: it was new, and the spool is full.
    NotKept,
}

/// One poll: a line of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// When the answer was there, whole, or when it was given up.
    pub received_at: DateTime<Utc>,
    /// Which feed was asked.
    pub feed: Feed,
    /// What became of it.
    pub became: Became,
    /// The recording's name in the archive.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// Its `ETag`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_modified: Option<String>,
    /// Bytes of the message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// From the question to the end of the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_ms: Option<u64>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Poll {
    /// A poll of which nothing is known yet.
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            received_at: Utc::now(),
            feed,
            became: Became::Failed,
            file: None,
            status: None,
            etag: None,
            last_modified: None,
            bytes: None,
            took_ms: None,
            error: None,
        }
    }

    /// Whether the feed answered as it should, whether or not anything was new.
    pub fn is_good(&self) -> bool {
        self.error.is_none()
    }
}

/// The name of a recording, without an ending.
pub(super) fn stem(feed: Feed, at: DateTime<Utc>) -> String {
    format!("{feed}-{}", at.format("%Y%m%dT%H%M%S%.6fZ"))
}

/// The feed and time of receipt that the name of a recording tells.
pub(super) fn told_by(name: &str) -> Option<(Feed, DateTime<Utc>)> {
    let (feed, rest) = name.split_once('-')?;
    let feed = Feed::ALL.into_iter().find(|known| known.name() == feed)?;
    let (time, _) = rest.split_once('Z')?;
    Some((feed, NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S%.f").ok()?.and_utc()))
}

/// A stretch of time whose recordings go into one archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// How long it is.
    pub seconds: u32,
}

impl Period {
    /// The period of this length that holds an instant.
    pub(super) fn of(at: DateTime<Utc>, seconds: u32) -> Self {
        let past = at.timestamp().rem_euclid(i64::from(seconds.max(1)));
        let start = DateTime::from_timestamp(at.timestamp() - past, 0).unwrap_or(at);
        Self { start, seconds }
    }

    /// The first instant after it.
    pub fn end(self) -> DateTime<Utc> {
        self.start + TimeDelta::seconds(i64::from(self.seconds))
    }

    /// The period that the name of its folder or archive tells: `20240501T130000Z-3600s…`.
    pub fn told_by(name: &str) -> Option<Self> {
        let (start, rest) = name.split_once("Z-")?;
        let (seconds, _) = rest.split_once('s')?;
        let start = NaiveDateTime::parse_from_str(start, "%Y%m%dT%H%M%S").ok()?.and_utc();
        Some(Self { start, seconds: seconds.parse().ok()? })
    }

    /// Where the archive of this name lies below a lake; those of a named feed lie apart.
    pub fn place(self, feed: Option<&str>, archive: &str) -> String {
        let day = self.start.format("%Y-%m-%d");
        feed.map_or_else(|| format!("recordings/{day}/{archive}"), |feed| format!("recordings/{day}/{feed}/{archive}"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}s", self.start.format("%Y%m%dT%H%M%SZ"), self.seconds)
    }
}
