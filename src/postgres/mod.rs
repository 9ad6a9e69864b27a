//! The warehouse: sessions, COPY BINARY, staging, dimensions with history, facts, partitions and the ledger.
//!
//! Every step works the same way. It takes advisory locks in a fixed order, fills side tables over several
//! connections, and then publishes in one transaction: the swap of the partition, the ledger, dimension and key
//! changes, dirty service dates. A crash before the commit leaves the state before; orphaned side tables go at the
//! next run. What this room does not do: read Parquet, clean rows, or know any table that `ddl/` does not declare.

mod calendar;
mod client;
pub mod copy;
mod copy_in;
mod copy_table;
mod dimensions;
mod facts;
mod failure;
mod ledger;
mod lock;
mod mart_source;
mod members;
mod merge;
mod migrate;
mod partition;
mod purge;
mod quality;
mod query;
mod read_table;
mod rejected;
mod rekey;
mod schema;
mod stage;
mod status;
mod tls;
mod undo;
mod warehouse;

pub use calendar::Calendar;
pub use client::{Address, Session, get, wrong};
pub use copy_in::{Feed, Rows, Unit};
pub use copy_table::{Copied, CopyTable, Origin};
pub use dimensions::{DimensionLoad, DimensionLoaded};
pub use facts::{FactLoad, FactLoaded};
pub use failure::Failure;
pub use ledger::{Line, Part};
pub use mart_source::{Build, MartSource, RouteName};
pub use merge::{Effective, MergeSpec, Merged, Names, RewindSpec};
pub use migrate::{Migrated, Moved};
pub use purge::{Purge, Purged};
pub use quality::QualityRow;
pub use rejected::{Rejected, RejectedFilter, Repair};
pub use schema::{DDL, SCHEMA_VERSION};
pub use stage::StageLoad;
pub use status::{Built, Checked, Loaded, MissedDay, Status};
pub use undo::{Undone, UndoneTable};
pub use warehouse::Warehouse;
