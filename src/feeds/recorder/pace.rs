//! When to ask again: by the clock while all is well, less and less often while it is not.

use std::time::{Duration, Instant};

/// The longest time between two tries of what fails, and the longest that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The pace of one feed.
#[derive(Clone, Debug)]
pub struct Pace {
    every: Duration,
    due: Instant,
    failures: u32,
}

impl Pace {
    /// A pace that begins now.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, due: now, failures: 0 }
    }

    /// When to ask again after a good answer: at the next beat of the clock. Beats that were missed are left out.
    pub fn after_success(&mut self, now: Instant) -> Instant {
        if self.failures > 0 {
            (self.failures, self.due) = (0, now);
        }
        let late = now.saturating_duration_since(self.due);
        let missed = u32::try_from(late.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX - 1);
        self.due += self.every * (missed + 1);
        self.due
    }

    /// When to ask again after a failure: twice as late each time, and not when everybody else does.
    pub fn after_failure(&mut self, now: Instant, asked: Option<Duration>) -> Instant {
        let doubled = self.every.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        let pause = doubled.min(LONGEST_PAUSE.max(self.every)).mul_f64(0.75 + 0.5 * fastrand::f64());
        self.due = now + pause.max(asked.unwrap_or_default().min(LONGEST_ASKED));
        self.due
    }
}
