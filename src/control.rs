//! What a caller shares with running work: a flag to stop it and counters to watch it.
//!
//! Standard library only, so that the pure rooms may check the flag between batches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// What a caller hears first of work that it stopped; [`Progress::standing`] says the rest.
pub const STOPPED: &str = "stopped by the caller";
/// Publications that are named one by one where a caller hears what stands.
const MOST_NAMED: usize = 12;

/// A flag that asks running work to stop at its next batch. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether both are clones of one flag.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// An error once the work was asked to stop; called between batches.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled(STOPPED)) } else { Ok(()) }
    }
}

/// Counters of the work under way, read by a progress bar. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    label: Mutex<String>,
    done_rows: AtomicU64,
    total_rows: AtomicU64,
    published: Mutex<Vec<String>>,
}

impl Progress {
    /// Begins a phase of `total_rows` (0: unknown) under a label such as `stage trips`.
    pub fn begin(&self, label: &str, total_rows: u64) {
        let mut current = self.0.label.lock().unwrap_or_else(PoisonError::into_inner);
        label.clone_into(&mut current);
        self.0.done_rows.store(0, Ordering::Relaxed);
        self.0.total_rows.store(total_rows, Ordering::Relaxed);
    }

    /// Counts rows as done.
    pub fn add(&self, rows: u64) {
        self.0.done_rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Notes what was published: it stands, whatever becomes of the rest of the call.
    pub fn publish(&self, what: String) {
        self.0.published.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// What stands of a call that is broken off: each publication is whole, and there is nothing between them.
    pub fn standing(&self) -> String {
        let published = self.0.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.is_empty() {
            return "nothing was published".to_owned();
        }
        let named = published.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = published.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("published before that, and standing: {named}{more}; the rest is as it was; run again to complete it")
    }

    /// The phase's label, rows done and rows in all (0: unknown).
    pub fn read(&self) -> (String, u64, u64) {
        let label = self.0.label.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (label, self.0.done_rows.load(Ordering::Relaxed), self.0.total_rows.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_named_and_a_long_list_is_counted() {
        let progress = Progress::default();
        assert_eq!(progress.standing(), "nothing was published");
        progress.publish("staging.routes_raw dt=2024-05-01".into());
        assert!(
            progress.clone().standing().contains("standing: staging.routes_raw dt=2024-05-01; the rest is as it was")
        );
        (0..13).for_each(|day| progress.publish(format!("day {day}")));
        assert!(progress.standing().contains("day 10 and 2 more;"), "{}", progress.standing());
    }
}
