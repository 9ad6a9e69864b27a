//! A toolkit for any PostgreSQL database: sessions and TLS, the COPY BINARY codec, rows into and out of any table, and
//! the history of any table.
//!
//! Nothing here knows a table that `ddl/` declares; that is the room `warehouse`, which is built on this one. A
//! [`Database`] says where and under which settings; each verb is a function over it.
//!
//! Tests: `tests/python/postgres/`, `tests/python/merge/`, `tests/postgres_copy.rs`.

mod client;
mod commit;
mod conninfo;
pub mod copy;
mod copy_in;
mod copy_table;
mod database;
pub(crate) mod history;
mod lock;
mod merge;
mod pooler;
mod query;
mod read_table;
mod sqlstate;
mod tls;

pub use client::{Address, Session, asked, get, is_lock_timeout, server_error};
pub(crate) use copy_in::{Target, copy_here, copy_parallel};
pub use copy_table::{Copied, CopyTable};
pub use database::Database;
pub(crate) use lock::{Advisory, hold};
pub use merge::{Adopted, Deleted, Effective, MergeSpec, Merged, Names, RewindSpec, merge, rewind};
pub use query::query;
pub(crate) use query::read;
pub use read_table::read_table;
