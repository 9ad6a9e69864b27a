//! The work of a recorder: asking, keeping, packing, uploading, and saying how it goes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::control::{Cancel, Progress};
use crate::error::Result;
use crate::feeds::recorder::{Health, Pace, Period, Poll, Source, Spool, pack, settle};
use crate::lake::Lake;
use crate::pipeline::input::on_thread;

/// When to end: as soon as the caller says so, or when the time is over.
pub(super) struct End {
    pub(super) cancel: Cancel,
    pub(super) at: Option<Instant>,
}

const TICK: Duration = Duration::from_millis(50);

impl End {
    pub(super) fn is_there(&self) -> bool {
        self.cancel.is_cancelled() || self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// Sleeps until `due` or the end.
    pub(super) async fn sleep_until(&self, due: Instant) {
        while !self.is_there() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
    }

    pub(super) async fn wait(&self) {
        while !self.is_there() {
            tokio::time::sleep(TICK).await;
        }
    }
}

/// How often to look for periods that are over, and to write the health file.
const ROUND: Duration = Duration::from_secs(1);
/// The first pause after an upload that failed.
const UPLOAD_PAUSE: Duration = Duration::from_secs(5);

/// A recorder at work.
pub(super) struct Recorder {
    pub(super) lake: Lake,
    /// The name of the feed in a lake of several agencies.
    pub(super) feed: Option<String>,
    pub(super) spool: Arc<Mutex<Spool>>,
    pub(super) health: Mutex<Health>,
    pub(super) folder: PathBuf,
    pub(super) end: End,
    pub(super) progress: Progress,
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// Tells whoever watches what just happened.
    pub(super) fn say(&self, what: &str) {
        self.progress.begin(what, 0);
    }

    /// Asks one feed until the end.
    pub(super) async fn record(&self, mut source: Source, every: Duration) -> Result<()> {
        let mut pace = Pace::new(every, Instant::now());
        while !self.end.is_there() {
            let answer = tokio::select! {
                answer = source.ask() => answer,
                () = self.end.wait() => return Ok(()),
            };
            let asked = answer.retry_after;
            let (known, spool) = (source.known().clone(), Arc::clone(&self.spool));
            let settled = on_thread(move || Ok(settle(answer, &known, &spool))).await?;
            let poll = settled.poll;
            if let Some(known) = settled.known {
                source.learn(known);
            }
            let due = next(&mut pace, poll.is_good(), asked);
            self.count(&poll, due);
            self.end.sleep_until(due).await;
        }
        Ok(())
    }

    fn count(&self, poll: &Poll, due: Instant) {
        let news = {
            let mut health = locked(&self.health);
            let was_failing = health.feeds.get(&poll.feed).is_some_and(|feed| feed.failures > 0);
            health.count(poll, on_the_clock(due));
            match &poll.error {
                Some(why) if !was_failing => Some(format!("{}: {why}", poll.feed)),
                None if was_failing => Some(format!("{} answers again", poll.feed)),
                Some(_) | None => None,
            }
        };
        if let Some(news) = news {
            self.say(&news);
        }
        self.write_health();
    }

    /// Packs and uploads what is over, until the end.
    pub(super) async fn keep(&self) -> Result<()> {
        let mut pace = Pace::new(UPLOAD_PAUSE, Instant::now());
        let mut upload_due = Instant::now();
        while !self.end.is_there() {
            let packed = self.pack_closed(false).await;
            locked(&self.health).spool_error = packed.err().map(|e| e.to_string());
            if Instant::now() >= upload_due {
                match self.upload_all().await {
                    Ok(()) => pace = Pace::new(UPLOAD_PAUSE, Instant::now()),
                    Err(e) if e.is_cancelled() => {}
                    Err(e) => {
                        self.upload_failed(&e.to_string());
                        upload_due = pace.after_failure(Instant::now(), None);
                    }
                }
            }
            self.write_health();
            self.end.sleep_until(Instant::now() + ROUND).await;
        }
        Ok(())
    }

    fn upload_failed(&self, why: &str) {
        let mut health = locked(&self.health);
        health.uploads_failed += 1;
        health.upload_error = Some(why.to_owned());
        if health.uploads_failed == 1 {
            self.say(&format!("an upload failed and will be tried again: {why}"));
        }
    }

    /// Closes, packs and uploads all that there is.
    pub(super) async fn drain(&self) -> Result<()> {
        self.pack_closed(true).await?;
        while locked(&self.spool).has_open()? {
            // A period of the same name was closed before, and had to be packed first.
            self.pack_closed(true).await?;
        }
        self.upload_all().await
    }

    /// Packs the periods that are over, or all. One that cannot be packed keeps no other from it.
    async fn pack_closed(&self, is_last: bool) -> Result<()> {
        let spool = Arc::clone(&self.spool);
        on_thread(move || {
            let (closed, archives) = {
                let mut spool = locked(&spool);
                (spool.close(Utc::now(), is_last)?, spool.archives_folder())
            };
            let mut outcome = Ok(());
            for period in closed {
                // Without the lock: polls go on meanwhile.
                let packed = pack(&period, &archives).and_then(|()| locked(&spool).packed(&period));
                outcome = outcome.and(packed);
            }
            outcome
        })
        .await?;
        let waiting = locked(&self.spool).archives()?;
        self.waiting(&waiting);
        Ok(())
    }

    /// Uploads what waits, the oldest first: whoever finds an archive finds those before it.
    async fn upload_all(&self) -> Result<()> {
        let (waiting, folder) = {
            let spool = locked(&self.spool);
            (spool.archives()?, spool.archives_folder())
        };
        let mut left = waiting.as_slice();
        while let Some(((period, name), others)) = left.split_first() {
            left = others;
            let place = period.place(self.feed.as_deref(), name);
            let bytes = self.lake.upload(&folder.join(name), &place, &self.end.cancel).await?;
            // It is verified: the lake has it.
            locked(&self.spool).uploaded(name)?;
            {
                let mut health = locked(&self.health);
                health.archives_uploaded += 1;
                health.bytes_uploaded += bytes;
                health.uploaded_at = Some(Utc::now());
                (health.uploads_failed, health.upload_error) = (0, None);
            }
            self.waiting(left);
            self.say(&format!("uploaded {place} ({bytes} bytes)"));
            self.write_health();
        }
        Ok(())
    }

    fn waiting(&self, archives: &[(Period, String)]) {
        let mut health = locked(&self.health);
        health.archives_waiting = archives.len() as u64;
        health.waiting_since = archives.first().map(|(period, _)| period.end());
    }

    /// Notes that the recorder has ended.
    pub(super) fn stopped(&self) {
        locked(&self.health).is_stopped = true;
        self.write_health();
    }

    fn write_health(&self) {
        let (used, limit) = locked(&self.spool).space();
        let mut health = locked(&self.health);
        health.measure(used, limit);
        if let Err(e) = health.write(&self.folder) {
            // Nobody can be told by the file that the file cannot be written.
            self.say(&e.to_string());
        }
    }
}

/// The next poll of a feed, as the health file has it.
fn on_the_clock(due: Instant) -> DateTime<Utc> {
    let left = due.saturating_duration_since(Instant::now());
    Utc::now() + TimeDelta::from_std(left).unwrap_or_default()
}

/// When a feed is asked again.
fn next(pace: &mut Pace, is_good: bool, asked: Option<Duration>) -> Instant {
    let now = Instant::now();
    if is_good { pace.after_success(now) } else { pace.after_failure(now, asked) }
}
