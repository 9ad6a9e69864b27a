//! Facts: one raw day of one fact table, built aside with as-of keys and swapped in.
//!
//! `rows` makes fact rows of cleaned ones, `trips` finds a payment's trip, `supersede` settles business keys that several
//! raw days claim, `load` puts them into one publication.

mod load;
mod rows;
mod supersede;
mod trips;

pub(super) use load::take_out;
pub use load::{FactLoad, FactLoaded};
