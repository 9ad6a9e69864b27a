//! Step 0: is a raw day complete, and waiting until it is.

use std::time::{Duration, Instant};

use chrono::NaiveDate;

use super::Pipeline;
use crate::error::{Error, Result};
use crate::lake::Readiness;
use crate::model::Dataset;

/// Who hears what a wait found, or what kept the lake from answering.
pub type Watch = dyn Fn(std::result::Result<&Readiness, &Error>) + Send + Sync;

impl Pipeline {
    /// Whether a raw day can be loaded: its manifest is whole, or every required dataset is there.
    pub async fn partition_ready(&self, dt: NaiveDate, required: &[Dataset]) -> Result<Readiness> {
        self.lake()?.ready(dt, required, None).await
    }

    /// Waits until a raw day can be loaded. Without a manifest its files must stay unchanged for `stable_for`; without
    /// `stable_for` only a manifest will do.
    ///
    /// A lake that cannot be reached for a moment does not end the wait; one that refuses does. `watch` hears each look
    /// that differs from the one before.
    pub async fn wait_for_partition(
        &self,
        dt: NaiveDate,
        required: &[Dataset],
        poll_every: Duration,
        stable_for: Option<Duration>,
        watch: &Watch,
    ) -> Result<Readiness> {
        let lake = self.lake()?;
        let mut seen: Option<(String, Instant)> = None;
        let mut told: Option<std::result::Result<Readiness, String>> = None;
        loop {
            let found = lake.ready(dt, required, None).await;
            let telling = found.as_ref().map(Readiness::clone).map_err(ToString::to_string);
            if told.as_ref() != Some(&telling) {
                watch(found.as_ref());
                told = Some(telling);
            }
            match found {
                Ok(readiness) if readiness.ready => {
                    if readiness.has_manifest {
                        return Ok(readiness);
                    }
                    let (fingerprint, since) =
                        seen.take().unwrap_or_else(|| (readiness.fingerprint.clone(), Instant::now()));
                    let same = fingerprint == readiness.fingerprint;
                    if same && stable_for.is_some_and(|long| since.elapsed() >= long) {
                        return Ok(readiness);
                    }
                    let since = if same { since } else { Instant::now() };
                    seen = Some((readiness.fingerprint, since));
                }
                Ok(_) => seen = None,
                Err(e) if e.is_retryable() => {}
                Err(e) => return Err(e),
            }
            if self.cancel.is_cancelled() {
                return Err(Error::cancelled(format!("stopped waiting for dt={dt}")));
            }
            tokio::time::sleep(poll_every).await;
        }
    }
}
