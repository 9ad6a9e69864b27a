//! GTFS-Realtime: recordings of vehicle positions, trip updates and alerts into the rows of one raw day.
//!
//! [`messages`] finds the messages in a file or archive; a [`Collector`] takes them in and hands out batches. Messages are
//! read in place by a reader of the wire format of our own: decoding is what a fleet's day consists of, and a generic
//! decoder would make an object of every report first.
//!
//! Rules: a report belongs to the service date that it names, else to that of the scheduled run nearest in time, else to
//! its local date; a report that repeats its vehicle's last one is the same row; the last word on a run and stop counts.
//!
//! Invariants: whatever the bytes, no panic, and memory of a few times the bytes at most; it grows with vehicles, runs and
//! stops, of which there is a most, never with the number of recordings. A recording that cannot be read is told
//! of and stops nothing.
//!
//! What it does not do: it opens no file and no store.
//!
//! Tests: `tests/python/feeds`.

mod alerts;
mod collect;
mod columns;
mod filled;
mod json;
mod message;
mod names;
mod positions;
mod recording;
mod row;
mod schedule;
mod service;
mod spool;
mod summary;
mod trips;
mod updates;
mod wire;
mod words;

/// Vehicles, and runs, that a call takes in: more than a country has, and a bound for what lies.
const MOST: usize = 2_000_000;
/// Stops of one run that are taken in.
const MOST_STOPS: usize = 10_000;
/// An alert is read whole before it is known whether it says anything new.
const LARGEST_ALERT_BYTES: usize = 1 << 20;

pub use alerts::AlertCounts;
pub use collect::{Collector, Flow, Scope, Sink, told_at};
pub use positions::PositionCounts;
pub use recording::{Found, LARGEST_BYTES, is_recording, message_in, messages, why_unreadable};
pub use schedule::{Run, Schedule, date, days};
pub use summary::Summary;
pub use updates::UpdateCounts;

#[cfg(test)]
mod tests;
