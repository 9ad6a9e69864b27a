//! What moves rows from a source to a sink, whatever the two are.
//!
//! A source is a [`Feed`] (rows as a table takes them) or [`Rows`] (cleaned rows of one dataset and day), in independent
//! [`Unit`]s that threads and connections share. What a load did with each file is a [`Line`] of
//! the ledger. This room knows neither a store nor a server.

pub(crate) mod columns;
mod feed;
mod import;
mod line;
mod repair;

pub use feed::{Feed, Origin, Rows, Unit, check_columns};
pub use import::ImportedStream;
pub use line::{Line, Part, fingerprint};
pub use repair::Repair;
