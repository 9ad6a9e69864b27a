//! ClickHouse: the client, and loading the route mart by partition replacement.
//!
//! [`Mart`] speaks HTTP to one database. A service date is loaded as a whole: rows go into a shadow table of their
//! own, count and checksum are verified there, then `REPLACE PARTITION` swaps them in atomically, so a reader never
//! sees half a day and a load that fails leaves each date as it was or as it becomes. A date whose rows are already there is not touched.
//!
//! Telemetry is loaded by whole raw days in the same way, but streamed in Native blocks over several inserts.
//!
//! Proven on 18.16 and 26.9. Old servers know neither the self-describing binary formats nor server-side parameters,
//! so rows travel as RowBinary and the table's columns are checked here. Several service dates are not one
//! transaction, and replicated or distributed tables are not created.
//!
//! Tests: `tests/python/clickhouse`.

mod client;
mod columns;
mod error;
mod filled;
mod load;
mod native;
mod optional;
mod rows;
mod schema;
mod shadow;
mod sip;
mod telemetry;
mod text;

pub use client::Mart;
pub use filled::{Filled, Stamp};
pub use load::Replaced;
pub use schema::{DDL, TABLE, mart_columns};
pub use telemetry::{TELEMETRY_DDL, TELEMETRY_TABLE, TelemetryDay, TelemetryLoad};
