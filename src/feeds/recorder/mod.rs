//! A recorder of GTFS-Realtime feeds: asks them again and again, and keeps on this machine what is new until it is uploaded.
//!
//! [`Source`] asks one feed and [`Pace`] says when again; [`Spool`] keeps each poll and closes periods; [`pack`] makes one
//! archive of a closed period, which [`super::realtime`] reads as it is; [`Health`] says how all of it goes.
//!
//! Invariants: a poll is counted as recorded only once its bytes and its name are synced to disk; a period is taken away
//! only once its archive is, and an archive only by whoever has verified its copy; whenever the process ends, the next
//! one on the same spool goes on, and finds no file that is torn; one spool has one recorder, and what waits in it is of one
//! feed. No secret is kept or shown.
//!
//! What it does not do: it opens no store, and decides nothing of what a message means.
//!
//! Tests: `tests/python/feeds`.

mod archive;
mod files;
mod health;
mod index;
mod pace;
mod secrets;
mod settle;
mod source;
mod spool;

pub use archive::pack;
pub use health::{FeedHealth, Health, Status, status};
pub use index::{Became, Feed, Period, Poll};
pub use pace::Pace;
pub use secrets::Secrets;
pub use settle::{Settled, settle};
pub use source::{Answer, Known, Source};
pub use spool::Spool;

#[cfg(test)]
mod tests;
