//! Any table with history, and the log beside it: the one way from affected keys to written rows.
//!
//! ```text
//! affected keys ─► what is known of each (log, versions) ─► Subject::change ─► derive, plan ─► sheet ─► write ─► overlaps?
//! ```
//!
//! A [`Table`] says what the statements name. A [`Subject`] says how values are spelled and what is done to the log of a
//! key; both callers, `merge` for any table and the warehouse's dimensions, are one of each. [`Planner`] works the keys out
//! over the pure room `history`, a bounded number at a time, and fills the [`Sheet`]; [`write`] brings the sheet into table
//! and log, in an order that passes through no forbidden state, and [`check_overlaps`] refuses a history that is none.
//!
//! Tests: `tests/python/merge`, `tests/python/warehouse/truth`.

mod affected;
mod apply;
mod changes;
mod planner;
pub(crate) mod sheet;
mod stream;
mod table;
pub(crate) mod wire;

pub(crate) use affected::Affected;
pub(crate) use apply::{Fingerprint, check_overlaps, sample, write};
pub(crate) use planner::{Keeps, Planner, Subject, Tally};
pub(crate) use sheet::{Op, Sheet};
pub(crate) use stream::{literal, stream};
pub(crate) use table::{Item, Log, LogForm, Table};
