//! TIDES packages. `ingest` makes raw days of one; `export` makes one of what the warehouse holds.

pub(super) mod export;
mod files;
pub(super) mod ingest;
mod known;
pub(super) mod outcome;
mod source;
