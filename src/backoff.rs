//! Pauses between attempts: each about twice as long as the one before, up to a limit, and never the same for two callers.

use std::time::Duration;

/// How often something that did not come about is tried again; with the pauses of [`Backoff::brief`] within four seconds.
const MOST_RETRIES: usize = 4;

/// The pauses before one attempt after the other.
///
/// A pause is drawn from the upper half of a span, and the span doubles up to a limit. So nobody asks again at once, and
/// those who were refused together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    span: Duration,
    limit: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, limit: Duration) -> Self {
        Self { span: first, limit }
    }

    /// For what is away for a moment: a server that restarts, a place in its queue.
    pub(crate) const fn brief() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(2))
    }

    /// The next pause.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let span = self.span.min(self.limit);
        self.span = span.saturating_mul(2);
        span.mul_f64(f64::midpoint(1.0, fastrand::f64()))
    }

    /// Waits for the next pause.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }
}

/// Makes an attempt again, after a pause, while it fails in a way that passes; at most [`MOST_RETRIES`] times.
pub(crate) async fn retrying<T, E, F: Future<Output = Result<T, E>>>(
    passes: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    let mut pauses = Backoff::brief();
    for _ in 0..MOST_RETRIES {
        match attempt().await {
            Err(e) if passes(&e) => pauses.pause().await,
            outcome => return outcome,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const FIRST: Duration = Duration::from_millis(50);
    const LIMIT: Duration = Duration::from_secs(2);

    fn schedule(pauses: usize) -> Vec<Duration> {
        let mut backoff = Backoff::new(FIRST, LIMIT);
        (0..pauses).map(|_| backoff.next_pause()).collect()
    }

    #[test]
    fn a_pause_lies_in_the_upper_half_of_a_span_that_doubles_up_to_the_limit() {
        for _ in 0..200 {
            for (nth, pause) in schedule(40).into_iter().enumerate() {
                let doubled = u32::try_from(nth).ok().and_then(|n| 2_u32.checked_pow(n)).unwrap_or(u32::MAX);
                let span = FIRST.saturating_mul(doubled).min(LIMIT);
                assert!(pause <= span && pause >= span / 2, "pause {nth} is {pause:?} of {span:?}");
            }
        }
    }

    #[test]
    fn two_callers_do_not_come_back_together() {
        let schedules: Vec<_> = (0..50).map(|_| schedule(4)).collect();
        for nth in 0..4 {
            let mut pauses: Vec<_> = schedules.iter().map(|pauses| pauses[nth]).collect();
            pauses.sort_unstable();
            pauses.dedup();
            assert!(pauses.len() > 40, "pause {nth} was the same for many");
        }
    }

    fn attempts(passes: bool, fails: usize) -> (bool, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut made = 0;
        let outcome = runtime.block_on(retrying(
            |_| passes,
            || {
                made += 1;
                let outcome = if made > fails { Ok(()) } else { Err(Error::database("away")) };
                std::future::ready(outcome)
            },
        ));
        (outcome.is_ok(), made)
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told_at_once() {
        assert_eq!(attempts(true, 1), (true, 2));
        assert_eq!(attempts(false, 1), (false, 1));
    }

    #[test]
    fn attempts_end() {
        assert_eq!(attempts(true, usize::MAX), (false, MOST_RETRIES + 1));
    }
}
