//! Facts: one raw day of one fact table, built aside with as-of keys and swapped in.
//!
//! `rows` makes fact rows of cleaned ones, `trips` finds a payment's trip, `supersede` settles business keys that several
//! raw days claim, `publish` puts them into one publication, `load` has several facts come in side by side. Of positions
//! that ClickHouse keeps, `watched` learns what the warehouse must know and `elsewhere` publishes it.

mod day;
mod elsewhere;
mod load;
mod publish;
mod rows;
mod supersede;
mod trips;
mod watched;

pub use day::{FactLoad, FactLoaded};
pub use load::load_facts;
pub(super) use publish::take_out;
