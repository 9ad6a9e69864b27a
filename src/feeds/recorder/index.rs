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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use proptest::prelude::*;

    use super::super::{Spool, pack};
    use super::*;

    const PERIOD: &str = "20240501T130000Z-3600s";
    const RECORDINGS: [&str; 2] = ["trip_updates-20240501T130001.000000Z", "vehicle_positions-20240501T130002.000000Z"];

    /// The index of an archive that is made of recordings and what the spool has as their index.
    fn archived(index: &[u8], recordings: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let period = folder.path().join("open").join(PERIOD);
        fs::create_dir_all(&period).unwrap();
        for name in RECORDINGS {
            fs::write(period.join(format!("{name}{SPOOLED}")), recordings).unwrap();
        }
        fs::write(period.join(INDEX), index).unwrap();
        let mut spool = Spool::open(folder.path(), None, 3600, 1 << 20).unwrap();
        let closed = spool.close(DateTime::default(), true).unwrap();
        pack(&closed[0], &spool.archives_folder()).unwrap();
        let (_, archive) = spool.archives().unwrap().remove(0);
        let packed = fs::File::open(spool.archives_folder().join(archive)).unwrap();
        let mut archive = tar::Archive::new(zstd::stream::Decoder::new(packed).unwrap());
        let mut first = archive.entries().unwrap().next().unwrap().unwrap();
        let mut bytes = Vec::new();
        first.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// A line as a recorder writes it, with a text that it was told.
    fn line(etag: String, file: Option<usize>) -> Vec<u8> {
        let file = file.map(|number| format!("{}{ARCHIVED}", RECORDINGS[number]));
        let poll = Poll { etag: Some(etag), file, ..Poll::new(Feed::Alerts) };
        [serde_json::to_vec(&poll).unwrap(), b"\n".to_vec()].concat()
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let noise = prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\n{}[]\",:0"[..])], 0..60);
        let whole = (".{0,6}", prop::option::of(0..RECORDINGS.len())).prop_map(|(etag, file)| line(etag, file));
        prop::collection::vec(prop_oneof![whole, noise], 0..5).prop_map(|lines| lines.concat())
    }

    fn polls(index: &[u8]) -> Vec<Poll> {
        index.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn any_bytes_as_an_index_leave_one_that_names_every_recording(
            index in lines(),
            torn in 0_usize..20,
            recordings in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let index = &index[..index.len().saturating_sub(torn)];
            let synced = index.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let archived = archived(index, &recordings);
            let told = polls(&archived);
            prop_assert_eq!(told.len(), archived.iter().filter(|byte| **byte == b'\n').count(), "every line is a poll");
            for known in polls(&index[..synced]) {
                prop_assert!(told.contains(&known), "{:?}", known);
            }
            for name in RECORDINGS {
                let named = |poll: &Poll| poll.file.as_ref().is_some_and(|file| file.starts_with(name));
                prop_assert!(told.iter().any(named), "{} in {:?}", name, told);
            }
        }

        #[test]
        fn any_name_of_a_file_or_folder_tells_a_time_or_none(
            name in prop_oneof![".{0,40}", "[+-]?[0-9]{8,20}T[0-9]{6}Z-[0-9]{1,12}s.{0,3}", "alerts-[0-9]{8}T[0-9.]{6,13}Z"],
        ) {
            let _ = (told_by(&name), Period::told_by(&name).map(Period::end));
        }
    }
}
