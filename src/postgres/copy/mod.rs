//! PostgreSQL's COPY BINARY format, both ways: Arrow batches to bytes and bytes to Arrow batches.
//!
//! Pure: bytes and Arrow only, no client and no runtime. [`Encoder`] settles every pair of Arrow and PostgreSQL
//! types before it makes a byte; [`Decoder`] takes the server's bytes in pieces of any size. Values that the other
//! side cannot hold are data errors that name column and row, never a silent change; the table of all pairs,
//! unsupported ones included, stands in [`types`].
//!
//! What it does not do: it sends nothing, creates no table, and leaves to the server what only the server knows
//! (the length of a `varchar(n)`, the precision of a `numeric(p,s)`, the grammar of JSON).

mod arrays;
mod counterparts;
mod decode;
mod encode;
mod field;
mod numeric;
mod oids;
mod prepare;
mod sink;
mod spelled;
pub mod types;

#[cfg(test)]
mod pairs;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{Encoder, Selection, Source};
pub use types::PgType;

/// The eleven bytes that every COPY BINARY stream begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Days from 1970-01-01 to 2000-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;

/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;
