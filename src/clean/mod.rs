//! Turns physical batches, as their writers chose the types, into rows of the model: typed, judged, with reasons.
//!
//! [`Cleaner`] resolves a file's columns by name and converts batches; rows that break a rule come back as
//! [`Reject`]s. [`Judge`] then gives every clean row of a dataset and day its fate: kept, duplicate or superseded.
//!
//! Invariants: a row is either in [`Cleaned::rows`] or in [`Cleaned::rejects`], never both and never in neither; a
//! value that cannot be read is `unconvertible` and nothing else; equality is that of the converted values.
//!
//! What becomes what, beyond the obvious: whole numbers are text by their decimal digits (keys often are numbers),
//! fractions, booleans and times are not; floats and decimals without a fraction are integers; 0 and 1 are
//! booleans; bytes are text if they are UTF-8; seconds since an epoch in a plain integer are no instant.
//!
//! Not done here: reading files (see [`crate::lake`]), comparing days, and choosing between different rows of one
//! key in a dimension (see [`crate::history`]).
//!
//! Tests: `tests/` beside this file; of whole days `tests/python/pipeline`.

mod cleaner;
mod convert;
mod converted;
mod decimal;
mod fate;
mod hash;
mod json;
mod judge;
mod number;
mod render;
mod rules;
mod spill;
mod text;
mod time;

pub use cleaner::{Cleaned, Cleaner, Reject};
pub use decimal::cents;
pub use fate::Fate;
pub use json::canonical_json;
pub use judge::{Counts, Evidence, Judge, Verdict};
pub use rules::wrong_place;
pub use time::parse_instant;

#[cfg(test)]
mod tests;
