//! What was found in recordings, in numbers, and what was wrong with which.

use super::alerts::AlertCounts;
use super::positions::PositionCounts;
use super::recording::Poll;
use super::updates::UpdateCounts;

/// The most recordings that are named one by one.
const NAMED: usize = 100;

/// What was found in the recordings of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Recordings that could be read.
    pub recordings: u64,
    /// Of these, those without an entity.
    pub recordings_empty: u64,
    /// Of these, those whose header has no time.
    pub recordings_without_time: u64,
    /// Of these, those whose header's time lies ahead of the clock that read them.
    pub recordings_in_the_future: u64,
    /// Recordings that could not be read.
    pub recordings_unreadable: u64,
    /// The first of those that could not be read, or not wholly: name and reason.
    pub damaged: Vec<(String, String)>,
    /// Entities that could not be read, in recordings that could.
    pub entities_unreadable: u64,
    /// Entities that only say that another one is gone.
    pub entities_deleted: u64,
    /// Of vehicle positions.
    pub positions: PositionCounts,
    /// Of trip updates.
    pub updates: UpdateCounts,
    /// Of alerts.
    pub alerts: AlertCounts,
}

impl Summary {
    pub(super) fn count_recording(&mut self, poll: &Poll, entities: usize) {
        self.recordings += 1;
        self.recordings_empty += u64::from(entities == 0);
        self.recordings_without_time += u64::from(poll.header_micros.is_none());
        self.recordings_in_the_future += u64::from(poll.header_micros.is_some_and(|at| at > poll.now_micros));
    }

    pub(super) fn unreadable(&mut self, name: &str, why: String) {
        self.recordings_unreadable += 1;
        self.damaged(name, why);
    }

    pub(super) fn damaged(&mut self, name: &str, why: String) {
        if self.damaged.len() < NAMED {
            self.damaged.push((name.to_owned(), why));
        }
    }
}
