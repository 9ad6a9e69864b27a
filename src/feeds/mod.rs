//! Feeds as agencies publish them, turned into the tables of raw days: a format reads a local source into Arrow batches.
//!
//! [`gtfs`] reads GTFS Schedule, [`realtime`] recordings of GTFS-Realtime, which [`recorder`] makes; [`tides`] reads and
//! writes TIDES packages. A format knows files of this machine alone: fetching and writing is the work of [`crate::lake`],
//! and what a row of a raw day must be is judged by [`crate::clean`] as everybody's.
//!
//! Invariants: no length that a file claims is allocated, what a file unpacks to is bounded, and a row that cannot be
//! read goes to quarantine with file, line and reason, never the whole feed. A recording that cannot be read is told of.
//!
//! Tests: `tests/python/feeds`.

pub mod gtfs;
mod ids;
pub mod realtime;
pub mod recorder;
pub mod tides;

mod quarantine;
mod records;
mod unpack;
mod zipped;

/// Kilometres an hour of a metre a second.
const KMH: f64 = 3.6;

pub use ids::Ids;

#[cfg(test)]
mod memory;
