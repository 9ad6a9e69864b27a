//! `metropulse._core.Pipeline`: one method a verb, JSON reports out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use pyo3::prelude::*;
use serde::Serialize;

use super::errors::raise;
use super::rollup::spec as rollup_spec;
use super::runtime::{block_on, coroutine};
use super::source::source as rows_of;
use super::table::ArrowTable;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::lake::Readiness;
use crate::model::Dataset;
use crate::pipeline::{BegunMart, CopyOptions, MartFrom, Pipeline as Core, Table};
use crate::postgres::{MergeSpec, RewindSpec};

/// The tables and columns that metropulse knows, and where each comes from, as JSON.
#[pyfunction]
pub(super) fn catalog(py: Python<'_>) -> PyResult<String> {
    json(&crate::pipeline::catalog()).map_err(|e| raise(py, &e))
}

/// The steps of a day over the back ends that the settings name.
#[pyclass(frozen, module = "metropulse._core")]
pub(super) struct Pipeline {
    settings: Arc<Settings>,
    /// The calls under way, for `cancel` from another thread.
    running: Mutex<Vec<Cancel>>,
    /// The build of the mart that began here and has not ended.
    pub(super) begun: Mutex<Option<BegunMart>>,
}

impl Pipeline {
    /// Runs one verb to its end and gives its report as JSON.
    pub(super) fn call<T, F>(
        &self,
        py: Python<'_>,
        progress: Option<&Py<PyAny>>,
        verb: impl FnOnce(Core) -> F,
    ) -> PyResult<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let cancel = Cancel::default();
        let core = Core::new(Arc::clone(&self.settings), cancel.clone(), Progress::default());
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(cancel.clone());
        let outcome = block_on(py, &core, progress, verb(core.clone()));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|c| !c.is_same(&cancel));
        outcome
    }
}

pub(super) fn day(py: Python<'_>, text: &str) -> PyResult<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| raise(py, &Error::config(format!("the day is {text:?}, expected YYYY-MM-DD"))))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal("a report cannot be written as JSON").because(e))
}

pub(super) fn datasets(py: Python<'_>, names: &[String]) -> PyResult<Vec<Dataset>> {
    names.iter().map(|name| name.parse().map_err(|e| raise(py, &e))).collect()
}

fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| raise(py, &Error::config(format!("{name} is {value}, expected a number of seconds"))))
}

fn table((schema, batches): Table) -> ArrowTable {
    ArrowTable::new(schema, batches)
}

#[pymethods]
impl Pipeline {
    #[new]
    fn new(py: Python<'_>, settings_json: &str) -> PyResult<Self> {
        let settings = Settings::from_json(settings_json).map_err(|e| raise(py, &e))?;
        Ok(Self { settings: Arc::new(settings), running: Mutex::default(), begun: Mutex::default() })
    }

    #[pyo3(signature = (*, progress = None))]
    fn apply_schema(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<String> {
        self.call(py, progress.as_ref(), |core| async move { json(&core.apply_schema().await?) })
    }

    #[pyo3(signature = (start, days, seed, scale, *, progress = None))]
    fn generate(
        &self,
        py: Python<'_>,
        start: &str,
        days: u64,
        seed: u64,
        scale: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let start = day(py, start)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.generate(start, days, seed, scale).await?) })
    }

    #[pyo3(signature = (start, end, *, progress = None))]
    fn load_calendar(&self, py: Python<'_>, start: &str, end: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let (start, end) = (day(py, start)?, day(py, end)?);
        self.call(py, progress.as_ref(), |core| async move { json(&core.load_calendar(start, end).await?) })
    }

    #[pyo3(signature = (dt, *, progress = None))]
    fn stage(&self, py: Python<'_>, dt: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let dt = day(py, dt)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.stage(dt).await?) })
    }

    #[pyo3(signature = (dt, dry_run, *, progress = None))]
    fn load_dimensions(
        &self,
        py: Python<'_>,
        dt: &str,
        dry_run: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let dt = day(py, dt)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.load_dimensions(dt, dry_run).await?) })
    }

    #[pyo3(signature = (dt, *, progress = None))]
    fn load_facts(&self, py: Python<'_>, dt: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let dt = day(py, dt)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.load_facts(dt).await?) })
    }

    #[pyo3(signature = (date_from, date_to, force, *, source = "warehouse", progress = None))]
    fn build_route_hourly(
        &self,
        py: Python<'_>,
        date_from: Option<&str>,
        date_to: Option<&str>,
        force: bool,
        source: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let source: MartFrom = source.parse().map_err(|e| raise(py, &e))?;
        let from = date_from.map(|text| day(py, text)).transpose()?;
        let to = date_to.map(|text| day(py, text)).transpose()?;
        self.call(py, progress.as_ref(), |core| async move {
            json(&core.build_route_hourly(source, from, to, force).await?)
        })
    }

    #[pyo3(signature = (dt, *, progress = None))]
    fn check_quality(&self, py: Python<'_>, dt: Option<&str>, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let dt = dt.map(|text| day(py, text)).transpose()?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.check_quality(dt).await?) })
    }

    #[pyo3(signature = (dt, *, progress = None))]
    fn run(&self, py: Python<'_>, dt: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let dt = day(py, dt)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.run(dt).await?) })
    }

    #[pyo3(signature = (dt, *, progress = None))]
    fn load_telemetry(&self, py: Python<'_>, dt: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let dt = day(py, dt)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.load_telemetry(dt).await?) })
    }

    #[pyo3(signature = (
        source, table, create, truncate, connections, *, plain_files = false, folder_columns = true, progress = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn copy_parquet(
        &self,
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        table: String,
        create: bool,
        truncate: bool,
        connections: usize,
        plain_files: bool,
        folder_columns: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let (source, options) =
            (rows_of(source, plain_files, folder_columns)?, CopyOptions { create, truncate, connections });
        self.call(py, progress.as_ref(), |core| async move { json(&core.copy_parquet(source, &table, options).await?) })
    }

    #[pyo3(signature = (source, spec_json, *, plain_files = false, folder_columns = true, progress = None))]
    fn merge_snapshot(
        &self,
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        spec_json: &str,
        plain_files: bool,
        folder_columns: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let spec = MergeSpec::from_json(spec_json).map_err(|e| raise(py, &e))?;
        let source = rows_of(source, plain_files, folder_columns)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.merge_snapshot(source, &spec).await?) })
    }

    #[pyo3(signature = (spec_json, *, progress = None))]
    fn rewind_snapshot(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let spec = RewindSpec::from_json(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.rewind_snapshot(&spec).await?) })
    }

    #[pyo3(signature = (
        source, spec_json, partial, output, *, plain_files = false, folder_columns = true, progress = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn rollup_hourly(
        &self,
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        spec_json: Option<&str>,
        partial: bool,
        output: &str,
        plain_files: bool,
        folder_columns: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let spec = spec_json.map(|json| rollup_spec(&self.settings, json)).transpose().map_err(|e| raise(py, &e))?;
        let source = rows_of(source, plain_files, folder_columns)?;
        self.call(py, progress.as_ref(), |core| async move {
            json(&core.write_rollup(source, spec, partial, output).await?)
        })
    }

    fn partition_ready(&self, py: Python<'_>, dt: &str, required: Vec<String>) -> PyResult<String> {
        let (dt, required) = (day(py, dt)?, datasets(py, &required)?);
        self.call(py, None, |core| async move { json(&core.partition_ready(dt, &required).await?) })
    }

    #[pyo3(signature = (dt, required, poll_seconds, stable_seconds, *, watch = None))]
    fn wait_for_partition<'py>(
        &self,
        py: Python<'py>,
        dt: &str,
        required: Vec<String>,
        poll_seconds: f64,
        stable_seconds: Option<f64>,
        watch: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (dt, required) = (day(py, dt)?, datasets(py, &required)?);
        let poll_every = seconds(py, "poll_seconds", poll_seconds)?;
        let stable_for = stable_seconds.map(|value| seconds(py, "stable_seconds", value)).transpose()?;
        let core = Core::new(Arc::clone(&self.settings), Cancel::default(), Progress::default());
        let watch = move |found: std::result::Result<&Readiness, &Error>| {
            let Some(watch) = &watch else { return };
            let found = found.map_or_else(|error| json(&BTreeMap::from([("error", error.to_string())])), json);
            // Who does not listen any more, or cannot, ends no wait.
            let _ = found.map(|found| Python::attach(|py| watch.call1(py, (found,)).map(drop)));
        };
        coroutine(
            py,
            async move { json(&core.wait_for_partition(dt, &required, poll_every, stable_for, &watch).await?) },
        )
    }

    fn warehouse_query(&self, py: Python<'_>, sql: String) -> PyResult<ArrowTable> {
        self.call(py, None, |core| async move { Ok(table(core.warehouse_query(&sql).await?)) })
    }

    #[pyo3(signature = (name, columns = None, connections = None))]
    fn warehouse_table(
        &self,
        py: Python<'_>,
        name: String,
        columns: Option<Vec<String>>,
        connections: Option<usize>,
    ) -> PyResult<ArrowTable> {
        self.call(py, None, |core| async move {
            Ok(table(core.warehouse_table(&name, columns.as_deref(), connections).await?))
        })
    }

    fn mart_query(&self, py: Python<'_>, sql: String) -> PyResult<ArrowTable> {
        self.call(py, None, |core| async move { Ok(table(core.mart_query(&sql).await?)) })
    }

    fn cancel(&self) {
        for call in &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            call.cancel();
        }
    }
}
