//! History: slowly changing dimensions as an algebra that does not care in which order days are loaded.
//!
//! ```text
//! rows of a day ─ Snapshot ─► Statement ─ assign / forget / rewind ─► [Run] ─ derive ─► [Version] ─ plan ─► writes
//!                                                                                          └─ AsOfIndex ─► keys of facts
//! ```
//!
//! * A [`Snapshot`] collapses the rows of one day into one [`Statement`] a key.
//! * The *log* of a key, a short list of [`Run`]s, remembers what each loaded day said of it. [`assign`], [`forget`]
//!   and [`rewind`] are the only ways to change it. The log is a function of the set of loaded days and their contents:
//!   late days, repeats and corrections, in any order, end in the same log.
//! * [`derive()`] computes a dimension's [`Version`]s from the log. It is a pure function, so it inherits that promise.
//! * [`plan()`] compares the versions wanted with the rows stored and says which rows to write, so that surrogate keys
//!   survive and facts need a new key only where the answer changed.
//! * [`AsOfIndex`] answers which version holds at an event's time, for millions of events.
//! * [`guard()`] refuses a snapshot from which too many keys vanished.
//!
//! The time axis is an [`Instant`] in microseconds: the start of a service day for daily snapshots, an effective time
//! for other sources. All intervals are half-open. Values are canonical text ([`Value`]): equal text is an equal value,
//! so whoever feeds this room writes numbers, instants and JSON in one form only.
//!
//! This room does no input or output, knows no table and no SQL, reads no clock and decides nothing about time zones.
//!
//! Tests: `tests/python/merge` and `tests/python/warehouse/truth`.

mod as_of;
mod columns;
mod derive;
mod guard;
mod log;
mod plan;
mod snapshot;
mod sparse;
mod value;

#[cfg(test)]
mod tests;

pub use as_of::{AsOfBuilder, AsOfIndex, Hit, KeyId, Misses, as_of};
pub use columns::Columns;
pub use derive::{ActiveWindow, Rules, Version, derive};
pub(crate) use guard::KEYS_NAMED;
pub use guard::{Census, guard};
pub use log::{Presence, Run, Statement, assign, covering, forget, joined, rewind, state};
pub use plan::{EventRange, Plan, Stored, Update, plan};
pub use snapshot::Snapshot;
pub use sparse::{Calendar, is_plain, read_off};
pub use value::{Instant, Value, Values, composite_key};
