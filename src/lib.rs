//! MetroPulse: public transport analytics, from raw daily Parquet to a Kimball warehouse and an hourly mart.
//!
//! Rooms and arrows: `py → pipeline → {warehouse, clickhouse, lake, feeds, generate, quality} → {postgres, load} → {clean,
//! history, rollup} → model`. The pure rooms (`clean`, `history`, `rollup`, `model`, `postgres::copy`) do no input or output and name
//! neither an async runtime nor a client. `docs/architecture.md` tells the whole story.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::wildcard_enum_match_arm))]

mod backoff;
pub mod clean;
pub mod clickhouse;
pub mod config;
pub mod control;
mod digest;
pub mod error;
pub mod feeds;
pub mod generate;
pub mod history;
pub mod lake;
pub mod load;
pub mod model;
pub mod pipeline;
pub mod postgres;
pub mod quality;
pub mod queue;
pub mod rollup;
pub mod runtime;
mod scratch;
pub mod warehouse;

#[cfg(feature = "python")]
mod py;

pub use error::{Error, Result};
