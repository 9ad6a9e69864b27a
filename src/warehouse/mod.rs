//! The warehouse: staging, dimensions with history, facts, partitions and the ledger, as `ddl/` declares them.
//!
//! Every step works the same way. It takes advisory locks in a fixed order, fills side tables over several
//! connections, and then publishes in one transaction: the swap of the partition, the ledger, dimension and key
//! changes, dirty service dates. A crash before the commit leaves the state before; orphaned side tables go at the
//! next run. Each verb is a function over a [`Warehouse`]. What works on any database is in the room `postgres`; what
//! this room does not do is read Parquet or clean rows.
//!
//! Tests: `tests/python/warehouse/`; what happens inside a publication, beside its code.

mod beside;
mod calendar;
mod context;
mod copied;
mod dimensions;
mod facts;
mod failure;
mod flavour;
mod ledger;
#[cfg(test)]
mod live;
mod lock;
mod mart_source;
mod members;
mod migrate;
mod partition;
mod position_hours;
mod purge;
mod quality;
mod rejected;
mod rekey;
mod schema;
mod stage;
mod status;
mod telemetry;
mod undo;

pub use calendar::{Calendar, load_calendar};
pub use context::Warehouse;
pub use dimensions::{DimensionLoad, DimensionLoaded, load_dimension, unchanged_dimension};
pub use facts::{FactLoad, FactLoaded, load_facts};
pub use failure::{Failure, forget_failure, record_failure};
pub use ledger::load_id;
pub use mart_source::{Build, MartSource, RouteName, mart_source};
pub use migrate::{Migrated, Moved, mark_mart_dirty, migrate};
pub use purge::{Purge, Purged, purge};
pub use quality::{QualityRow, built_dates, loaded_days, number_over, numbers, record_quality};
pub use rejected::{
    REJECT_COLUMNS, REJECTED, Rejected, RejectedFilter, rejected, rejected_days, repairs, repairs_of,
    stage_feed_rejects,
};
pub use schema::{DDL, SCHEMA_VERSION};
pub use stage::{StageLoad, stage};
pub use status::{Built, Checked, Loaded, MissedDay, Status, status};
pub use telemetry::{Elsewhere, is_unfinished};
pub use undo::{Undone, UndoneTable, days_after, held, undo};
