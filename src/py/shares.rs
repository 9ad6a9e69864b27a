//! The verbs that many workers share: cleaned days and the mart's shares as streams, pieces of a rollup.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::ffi_stream::FFI_ArrowArrayStream;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use serde::de::DeserializeOwned;

use super::errors::raise;
use super::pipeline::{Pipeline, datasets, day, json};
use super::rollup::spec as rollup_spec;
use super::runtime::block_on;
use super::source::{CAPSULE, stream_of};
use super::table::ArrowTable;
use crate::clickhouse::Filled;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::model::Dataset;
use crate::pipeline::{Failure, MartBuild, Piece, Pipeline as Core, Streamed};

/// Rows that are made while they are read, once.
#[pyclass(frozen, module = "metropulse._core")]
pub(super) struct ArrowStream {
    stream: Mutex<Option<Streamed>>,
    failure: Failure,
}

impl ArrowStream {
    fn new(stream: Streamed) -> Self {
        Self { failure: stream.failure(), stream: Mutex::new(Some(stream)) }
    }
}

#[pymethods]
impl ArrowStream {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer that wants other types must cast: the protocol lets a producer ignore the wish.
        drop(requested_schema);
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or_else(|| PyValueError::new_err("the stream was read already; ask for it again"))?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(stream)), CAPSULE)
    }

    fn raise_failure(&self, py: Python<'_>) -> PyResult<()> {
        self.failure.take().map_or(Ok(()), |error| Err(raise(py, &error)))
    }
}

fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::config(format!("{what} cannot be read: {e}")))
}

/// Lists the files of a rollup's source, with the rows of their row groups.
#[pyfunction]
pub(super) fn parquet_layout(
    py: Python<'_>,
    settings_json: &str,
    names: Vec<String>,
    spec_json: &str,
) -> PyResult<String> {
    let settings = Settings::from_json(settings_json).map_err(|e| raise(py, &e))?;
    let spec = rollup_spec(&settings, spec_json).map_err(|e| raise(py, &e))?;
    let core = Core::new(Arc::new(settings), Cancel::default(), Progress::default());
    block_on(py, &core, None, async { json(&core.parquet_layout(&names, spec).await?) })
}

/// Rolls up some row groups into a state; of the hours that are its own it counts values in the place of listing them.
#[pyfunction]
#[pyo3(signature = (settings_json, pieces_json, spec_json, own_hours = None))]
pub(super) fn rollup_pieces(
    py: Python<'_>,
    settings_json: &str,
    pieces_json: &str,
    spec_json: &str,
    own_hours: Option<Vec<(i64, i64)>>,
) -> PyResult<ArrowTable> {
    let settings = Settings::from_json(settings_json).map_err(|e| raise(py, &e))?;
    let spec = rollup_spec(&settings, spec_json).map_err(|e| raise(py, &e))?;
    let pieces: Vec<Piece> = read("the pieces", pieces_json).map_err(|e| raise(py, &e))?;
    let core = Core::new(Arc::new(settings), Cancel::default(), Progress::default());
    let (schema, batches) = block_on(py, &core, None, core.rollup_pieces(pieces, spec, own_hours))?;
    Ok(ArrowTable::new(schema, batches))
}

/// The columns that workers stream, as an empty table.
#[pyfunction]
pub(super) fn worker_schema(py: Python<'_>, name: &str) -> PyResult<ArrowTable> {
    let schema = crate::pipeline::worker_schema(name).map_err(|e| raise(py, &e))?;
    Ok(ArrowTable::new(schema, Vec::new()))
}

/// A place by a name that means the same to every process.
#[pyfunction]
pub(super) fn absolute_place(py: Python<'_>, name: &str) -> PyResult<String> {
    crate::lake::absolute_place("lake", name).map_err(|e| raise(py, &e))
}

fn dataset(py: Python<'_>, name: &str) -> PyResult<Dataset> {
    name.parse().map_err(|e| raise(py, &e))
}

fn build(py: Python<'_>, text: &str) -> PyResult<MartBuild> {
    read("the build", text).map_err(|e| raise(py, &e))
}

#[pymethods]
impl Pipeline {
    fn listed(
        &self,
        py: Python<'_>,
        days: Option<Vec<String>>,
        dataset_names: Vec<String>,
    ) -> PyResult<Vec<(String, &'static str)>> {
        let days = days.map(|days| days.iter().map(|text| day(py, text)).collect::<PyResult<Vec<_>>>()).transpose()?;
        let datasets = datasets(py, &dataset_names)?;
        let listed = self.call(py, None, |core| async move { core.listed(days, &datasets).await })?;
        Ok(listed.into_iter().map(|(dt, dataset)| (dt.to_string(), dataset.name())).collect())
    }

    fn clean(&self, py: Python<'_>, dt: &str, dataset_name: &str) -> PyResult<ArrowStream> {
        let (dt, dataset) = (day(py, dt)?, dataset(py, dataset_name)?);
        self.call(py, None, |core| async move { core.clean(dt, dataset).await }).map(ArrowStream::new)
    }

    fn clean_rejects(&self, py: Python<'_>, dt: &str, dataset_name: &str) -> PyResult<ArrowStream> {
        let (dt, dataset) = (day(py, dt)?, dataset(py, dataset_name)?);
        self.call(py, None, |core| async move { core.clean_rejects(dt, dataset).await }).map(ArrowStream::new)
    }

    fn begin_mart(&self, py: Python<'_>) -> PyResult<ArrowTable> {
        let begun = self.call(py, None, |core| async move { core.begin_mart().await })?;
        let (schema, batches) = begun.routes();
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(ArrowTable::new(schema, batches))
    }

    fn mart_shares(&self, py: Python<'_>, dt: &str, dataset_name: &str, build_json: &str) -> PyResult<ArrowStream> {
        let (dt, dataset, build) = (day(py, dt)?, dataset(py, dataset_name)?, build(py, build_json)?);
        self.call(py, None, |core| async move { core.mart_shares(dt, dataset, build).await }).map(ArrowStream::new)
    }

    fn fill_mart(
        &self,
        py: Python<'_>,
        shares: &Bound<'_, PyAny>,
        routes: &Bound<'_, PyAny>,
        build_json: &str,
    ) -> PyResult<String> {
        let (shares, routes, build) = (stream_of(shares)?, stream_of(routes)?, build(py, build_json)?);
        self.call(py, None, |core| async move { json(&core.fill_mart(shares, routes, build).await?) })
    }

    fn swap_mart(&self, py: Python<'_>, filled_json: &str, build_json: &str) -> PyResult<String> {
        let build = build(py, build_json)?;
        let filled: Vec<Filled> = read("the filled dates", filled_json).map_err(|e| raise(py, &e))?;
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let begun = begun.ok_or_else(|| raise(py, &Error::internal("no build of the mart was begun here")))?;
        self.call(py, None, |core| async move { json(&core.swap_mart(begun, filled, build).await?) })
    }

    fn abandon_mart(&self, py: Python<'_>, build_json: &str) -> PyResult<()> {
        let build = build(py, build_json)?;
        drop(self.begun.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.call(py, None, |core| async move { core.abandon_mart(build).await })
    }
}
