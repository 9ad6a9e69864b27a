//! Recordings of GTFS-Realtime into raw days. `ingest` makes them; `schedule` finds the runs that reports belong to; `origin` is what a day says
//! of its recordings.

pub(super) mod ingest;
pub(super) mod messages;
pub(super) mod origin;
pub(super) mod outcome;
mod schedule;
