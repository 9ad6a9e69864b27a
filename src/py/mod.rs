//! The binding: the only place that knows PyO3. Thin: parse arguments, release the GIL, run, translate errors.
//!
//! Tests: `tests/python/facade`.

mod errors;
mod feeds;
mod html;
mod operations;
mod pipeline;
mod rollup;
mod runtime;
mod shares;
mod source;
mod table;

use pyo3::prelude::*;

/// The native core of metropulse. Importing it starts no thread.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::feeds::collect_status;
    #[pymodule_export]
    use super::pipeline::{Pipeline, catalog};
    #[pymodule_export]
    use super::rollup::{merge_rollups, rollup_hourly};
    #[pymodule_export]
    use super::shares::{ArrowStream, absolute_place, parquet_layout, rollup_pieces, worker_schema};
    #[pymodule_export]
    use super::table::ArrowTable;
}
