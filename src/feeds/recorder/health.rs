//! How a recorder is: a file in its spool, and the verdict on it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::files::{failed, unfinished};
use super::index::{Became, Feed, Poll};
use super::spool::is_in_use;
use crate::error::{Error, Result};

const FILE: &str = "health.json";
/// A recorder that works writes its health every second.
const LONGEST_SILENCE_SECONDS: i64 = 60;
/// How long a feed may go without a good answer: so many polls, and a while at least.
const MOST_MISSED: f64 = 6.0;
const SHORTEST_OUTAGE_SECONDS: f64 = 120.0;
/// An upload that failed once or twice is no trouble yet.
const FEW_FAILURES: u64 = 3;

/// What a recorder says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    /// The process.
    pub process_id: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it last said anything.
    pub updated_at: DateTime<Utc>,
    /// Whether it was asked to end, and did.
    pub is_stopped: bool,
    /// The lake that archives go to.
    pub to: String,
    /// The name of the feed in a lake of several agencies.
    #[serde(default)]
    pub feed: Option<String>,
    /// Seconds between two polls of a feed.
    pub every_seconds: f64,
    /// By what is asked for.
    pub feeds: BTreeMap<Feed, FeedHealth>,
    /// Bytes in the spool.
    pub spool_bytes: u64,
    /// Bytes that may be in it.
    pub spool_limit_bytes: u64,
    /// Since when new messages are not kept, for want of space or of a disk that can be written.
    pub not_kept_since: Option<DateTime<Utc>>,
    /// Archives that wait for their upload.
    pub archives_waiting: u64,
    /// The end of the oldest period that waits.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Archives that were uploaded and verified since the start.
    pub archives_uploaded: u64,
    /// Their bytes.
    pub bytes_uploaded: u64,
    /// When the last one was.
    pub uploaded_at: Option<DateTime<Utc>>,
    /// Uploads that failed one after the other, up to now.
    pub uploads_failed: u64,
    /// What the last one failed of.
    pub upload_error: Option<String>,
    /// What the spool's own work failed of, up to now.
    pub spool_error: Option<String>,
}

/// How one feed does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FeedHealth {
    /// The URL without secrets.
    pub url: String,
    /// Polls since the start.
    pub polls: u64,
    /// Of these, new messages that were kept.
    pub recorded: u64,
    /// Of these, those that found nothing new.
    pub unchanged: u64,
    /// Of these, those without a whole answer, or with one that cannot be read.
    pub failed: u64,
    /// Of these, new messages that were not kept.
    pub not_kept: u64,
    /// The last poll.
    pub polled_at: Option<DateTime<Utc>>,
    /// The last good answer.
    pub good_at: Option<DateTime<Utc>>,
    /// The last recording.
    pub recorded_at: Option<DateTime<Utc>>,
    /// When it is asked again.
    pub next_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Failures one after the other, up to now.
    pub failures: u64,
    /// What the last poll failed of; nothing after a good one.
    pub error: Option<String>,
}

/// Health and the verdict on it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Whether there is no problem.
    pub is_healthy: bool,
    /// Each in a sentence.
    pub problems: Vec<String>,
    /// Whether a recorder has the spool open.
    pub is_running: bool,
    /// What it said last.
    #[serde(flatten)]
    pub health: Health,
}

impl FeedHealth {
    fn count(&mut self, poll: &Poll, next_at: DateTime<Utc>) {
        self.polls += 1;
        self.next_at = Some(next_at);
        self.polled_at = Some(poll.received_at);
        self.status = poll.status;
        self.error.clone_from(&poll.error);
        match poll.became {
            Became::Recorded => {
                self.recorded += 1;
                self.recorded_at = Some(poll.received_at);
            }
            Became::Unchanged => self.unchanged += 1,
            Became::Failed => {}
            Became::NotKept => self.not_kept += 1,
        }
        if poll.is_good() {
            (self.failures, self.good_at) = (0, Some(poll.received_at));
        } else {
            self.failures += 1;
            self.failed += 1;
        }
    }
}

impl Health {
    /// That of a recorder which begins.
    pub fn new(to: &str, feed: Option<&str>, every_seconds: f64) -> Self {
        let now = Utc::now();
        Self {
            process_id: std::process::id(),
            started_at: now,
            updated_at: now,
            is_stopped: false,
            to: to.to_owned(),
            feed: feed.map(str::to_owned),
            every_seconds,
            feeds: BTreeMap::new(),
            spool_bytes: 0,
            spool_limit_bytes: 0,
            not_kept_since: None,
            archives_waiting: 0,
            waiting_since: None,
            archives_uploaded: 0,
            bytes_uploaded: 0,
            uploaded_at: None,
            uploads_failed: 0,
            upload_error: None,
            spool_error: None,
        }
    }

    /// Takes note of a poll.
    pub fn count(&mut self, poll: &Poll, next_at: DateTime<Utc>) {
        match poll.became {
            Became::Recorded => self.not_kept_since = None,
            Became::NotKept => self.not_kept_since = self.not_kept_since.or(Some(poll.received_at)),
            Became::Unchanged | Became::Failed => {}
        }
        self.feeds.entry(poll.feed).or_default().count(poll, next_at);
    }

    /// Takes note of the time and of the room in the spool.
    pub fn measure(&mut self, used_bytes: u64, limit_bytes: u64) {
        self.updated_at = Utc::now();
        (self.spool_bytes, self.spool_limit_bytes) = (used_bytes, limit_bytes);
    }

    /// What is wrong, each in a sentence.
    fn problems(&self, is_running: bool, now: DateTime<Utc>) -> Vec<String> {
        let mut found = Vec::new();
        if !is_running {
            let how = if self.is_stopped { "it was stopped" } else { "it broke off; what it had recorded is kept" };
            found.push(format!("no recorder runs on this spool: {how}; start one"));
        } else if now - self.updated_at > TimeDelta::seconds(LONGEST_SILENCE_SECONDS) {
            found.push(format!("the recorder has said nothing since {}", shown(self.updated_at)));
        }
        let patience = (self.every_seconds * MOST_MISSED).max(SHORTEST_OUTAGE_SECONDS);
        for (feed, health) in &self.feeds {
            let since = health.good_at.unwrap_or(self.started_at);
            if is_running && (now - since).as_seconds_f64() > patience {
                let why = health.error.as_deref().unwrap_or("it was not asked");
                found.push(format!(
                    "{feed}: no good answer since {} ({} failures): {why}",
                    shown(since),
                    health.failures
                ));
            }
        }
        if let Some(since) = self.not_kept_since {
            let why = self.feeds.values().find_map(|feed| feed.error.clone()).unwrap_or_default();
            found.push(format!(
                "new messages are not kept since {} ({} of {} bytes in the spool; nothing that was kept is deleted): {why}",
                shown(since),
                self.spool_bytes,
                self.spool_limit_bytes
            ));
        }
        if let Some(why) = self.upload_error.as_ref().filter(|_| self.uploads_failed >= FEW_FAILURES) {
            let since = self.waiting_since.map(shown).unwrap_or_default();
            found.push(format!("{} archives wait for their upload since {since}: {why}", self.archives_waiting));
        }
        found.extend(self.spool_error.clone());
        found
    }

    fn status(self, is_running: bool) -> Status {
        let problems = self.problems(is_running, Utc::now());
        Status { is_healthy: problems.is_empty(), problems, is_running, health: self }
    }

    /// Writes the file of a recorder that runs or has just ended.
    ///
    /// # Errors
    /// `Storage` when the spool cannot be written.
    pub fn write(&self, spool: &Path) -> Result<()> {
        let path = spool.join(FILE);
        let status = self.clone().status(!self.is_stopped);
        let text = serde_json::to_vec_pretty(&status)
            .map_err(|e| Error::internal("the health of a recorder cannot be written as JSON").because(e))?;
        // Not synced: after the power went, nobody needs to know how a recorder was that is no more.
        let mut file = unfinished(spool).map_err(failed("writing", &path))?;
        file.write_all(&text).map_err(failed("writing", &path))?;
        set_readable(file.as_file()).map_err(failed("writing", &path))?;
        file.persist(&path).map_err(|e| failed("writing", &path)(e.error))?;
        Ok(())
    }
}

/// A health check may run as somebody else.
fn set_readable(file: &std::fs::File) -> std::io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
}

/// How the recorder of a spool is, be it alive or not.
///
/// # Errors
/// `NotFound` when nothing was ever recorded there; `Data` when the file is none of ours.
pub fn status(spool: &Path) -> Result<Status> {
    let path = spool.join(FILE);
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::not_found(format!("{} is not there: no recorder has used this spool", path.display()))
                .with("spool", spool.display()));
        }
        read => read.map_err(failed("reading", &path))?,
    };
    let health: Health = serde_json::from_slice(&text).map_err(|e| {
        Error::data(format!("{} is no health file of a recorder: {e}", path.display())).with("file", path.display())
    })?;
    Ok(health.status(is_in_use(spool)))
}

fn shown(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
