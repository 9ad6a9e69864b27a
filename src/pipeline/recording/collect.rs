//! Recording feeds for as long as the caller lets it: each feed is asked at its own pace, and whatever period is over is
//! packed and uploaded beside that.
//!
//! What fails is tried again, and stands in the health file; only a wrong call, or a spool that cannot be had, ends the work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde::Deserialize;

use super::outcome::{Collected, FeedCounts};
use super::recorder::{End, Recorder};
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::feeds::recorder::{Feed, FeedHealth, Health, Secrets, Source, Spool};
use crate::pipeline::Pipeline;
use crate::pipeline::feed_name;
use crate::pipeline::input::on_thread;
use crate::pipeline::outcome::Outcome;
use crate::pipeline::report::Report;

/// What to record, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// The name of the feed in a lake of several agencies.
    pub feed: Option<String>,
    /// The URL of each feed; `${NAME}` in it stands for a secret.
    pub feeds: BTreeMap<Feed, Secret>,
    /// Headers of each request; so in their values.
    pub headers: BTreeMap<String, Secret>,
    /// A file of secrets.
    pub secrets: Option<PathBuf>,
    /// Seconds between two polls of a feed.
    pub every_seconds: f64,
    /// Seconds until a request is given up.
    pub timeout_seconds: f64,
    /// Seconds that go into one archive.
    pub archive_seconds: u32,
    /// Where recordings wait for their upload.
    pub spool: PathBuf,
    /// How many bytes may wait there.
    pub spool_limit_bytes: u64,
    /// When to end by itself, everything uploaded.
    pub duration_seconds: Option<f64>,
}

impl Collect {
    fn sources(&self) -> Result<Vec<Source>> {
        let timeout = Duration::from_secs_f64(self.timeout_seconds);
        let secrets = Secrets::new(self.secrets.clone());
        let of = |(feed, url): (&Feed, &Secret)| {
            Source::new(*feed, url.clone(), self.headers.clone(), secrets.clone(), timeout)
        };
        self.feeds.iter().map(of).collect()
    }

    /// Refuses what cannot be meant.
    fn check(&self) -> Result<()> {
        let wrong = |name: &str, found: String, expected: &str| {
            Err(Error::config(format!("{name} is {found}, expected {expected}")).with("setting", name))
        };
        feed_name::check(self.feed.as_deref())?;
        if self.feeds.is_empty() {
            return Err(Error::config("no feed is named, expected a URL of vehicle positions, trip updates or alerts"));
        }
        if !(0.1..=3600.0).contains(&self.every_seconds) {
            return wrong("every", format!("{} s", self.every_seconds), "0.1 seconds to an hour");
        }
        if !(0.1..=600.0).contains(&self.timeout_seconds) {
            return wrong("timeout", format!("{} s", self.timeout_seconds), "0.1 seconds to ten minutes");
        }
        if self.archive_seconds == 0 || 3600 % self.archive_seconds != 0 {
            return wrong(
                "archive_every",
                format!("{} s", self.archive_seconds),
                "a whole part of an hour, or an hour",
            );
        }
        if self.duration_seconds.is_some_and(|seconds| !(0.0..=1e9).contains(&seconds)) {
            return wrong("duration", format!("{:?} s", self.duration_seconds), "a positive time");
        }
        Ok(())
    }

    fn health(&self, to: &str, sources: &[Source]) -> Health {
        let mut health = Health::new(to, self.feed.as_deref(), self.every_seconds);
        for source in sources {
            health.feeds.entry(source.feed()).or_default().url = source.shown();
        }
        health
    }
}

impl Pipeline {
    /// Records feeds until the caller stops it, or for a while.
    pub async fn collect_feeds(&self, asked: Collect) -> Result<Report> {
        let started = Instant::now();
        asked.check()?;
        let (lake, sources) = (self.lake()?, asked.sources()?);
        let end = End {
            cancel: self.cancel.clone(),
            at: asked.duration_seconds.map(|seconds| started + Duration::from_secs_f64(seconds)),
        };
        let (folder, seconds, limit) = (asked.spool.clone(), asked.archive_seconds, asked.spool_limit_bytes);
        let feed = asked.feed.clone();
        let spool = on_thread(move || Spool::open(&folder, feed.as_deref(), seconds, limit)).await?;
        let recorder = Recorder {
            spool: Arc::new(Mutex::new(spool)),
            health: Mutex::new(asked.health(lake.url(), &sources)),
            folder: asked.spool.clone(),
            lake,
            feed: asked.feed.clone(),
            end,
            progress: self.progress.clone(),
        };
        let names: Vec<_> = sources.iter().map(|source| source.feed().name()).collect();
        recorder.say(&format!("recording {} into {}", names.join(", "), recorder.lake.url()));
        let every = Duration::from_secs_f64(asked.every_seconds);
        let feeds = try_join_all(sources.into_iter().map(|source| recorder.record(source, every)));
        let worked = tokio::try_join!(feeds, recorder.keep()).map(drop);
        let uploaded = if worked.is_ok() && !self.cancel.is_cancelled() { recorder.drain().await } else { worked };
        recorder.stopped();
        self.cancel.check()?;
        uploaded?;
        Ok(report(&recorder, started))
    }
}

fn report(recorder: &Recorder, started: Instant) -> Report {
    let health = recorder.health.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = |feed: &FeedHealth| FeedCounts {
        polls: feed.polls,
        recorded: feed.recorded,
        unchanged: feed.unchanged,
        failed: feed.failed,
        not_kept: feed.not_kept,
    };
    let feeds: BTreeMap<_, _> = health.feeds.iter().map(|(name, feed)| (*name, counts(feed))).collect();
    let (to, feed) = (health.to.clone(), health.feed.clone());
    let mut report = Report::new("collect", None);
    (report.files, report.bytes) = (health.archives_uploaded, health.bytes_uploaded);
    report.unchanged = feeds.values().all(|feed| feed.recorded == 0);
    report.outcome = Outcome::Collected(Box::new(Collected { to, feed, feeds }));
    report.took(started)
}
