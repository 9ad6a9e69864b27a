//! GTFS Schedule: a zip or folder into the timetable of service dates.
//!
//! [`Feed::open`] finds the feed in its archive and reads agencies, version and calendar; [`Feed::read`] reads the
//! trips and calls of the days asked for in one pass, into compact rows; [`Schedule::day`] expands one date, and
//! [`Day::batches`] gives its tables. [`version_for`] chooses between versions of a feed.
//!
//! What is decided: times count from noon of the service date less twelve hours in the agencies' zone; a run is known by
//! trip and first departure; headways make one run each from start up to, not including, end; of two rows of one key
//! the later stays; blanks around values are no part of them.
//!
//! Invariants: a day is a function of the feed's bytes and its date, whatever other days are asked for beside it; memory
//! is bounded by the calls of the days asked for, 40 bytes each, and not by the file.

mod agency;
mod archive;
mod calendar;
mod columns;
mod day;
mod feed;
mod reject;
mod row;
mod rows;
mod shapes;
mod snapshot;
mod stop_times;
mod tables;
mod trips;
mod validity;
pub(super) mod value;
mod words;

pub use day::Day;
pub use feed::{Feed, OpenOptions, Schedule, version_for};
pub use reject::{FileTally, Reject, Tally};
pub use tables::Table;
pub use validity::Validity;

#[cfg(test)]
mod tests;
