//! TIDES 1.0: packages of what was operated, out of raw days and into them.
//!
//! A table of the standard and the raw dataset with its facts are declared field by field in `tables`; both ways go through this
//! one declaration. What other datasets of the day say of a row is in [`Known`]. [`Rows`] makes rows of the standard of rows of a raw day, which [`Csv`] encodes, and [`describe`] says what a
//! package consists of. [`Package`] reads that again, and a [`Collector`] brings rows of its files to their raw days.
//!
//! What is decided: the raw day is the service date; instants are written with the offset of the service zone, and read in it
//! where they have none; what a required field lacks is never guessed, only filled by a rule of the user ([`Fill`]).
//!
//! Invariants: what the standard can hold comes back equal; memory grows with the runs of a day and the fleet, never
//! with the rows; a row that cannot be read goes to quarantine with file, row and reason.
//!
//! What it does not do: it opens no store, and judges no row beyond what the standard says of it.

mod batches;
mod columns;
mod csv;
mod days;
mod known;
mod package;
mod packed;
mod pages;
mod read;
mod rows;
mod tables;
mod value;

pub use csv::Csv;
pub use days::{Collector, Sink, Summary, TableTally};
pub use known::{Known, Lookup};
pub use package::{About, Contents, DESCRIPTOR, Format, Listed, Package, Present, Shape, Written, describe, present};
pub use packed::Packed;
pub use read::Source;
pub use rows::{Fill, Fleet, LeftOut, Rows};
pub use tables::{TABLE_NAMES, Table, why_not};

#[cfg(test)]
mod tests;
