//! The verbs that take agencies' own feeds into the lake, record them, and take packages out of it.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde::de::DeserializeOwned;

use super::errors::raise;
use super::pipeline::{Pipeline, day, json};
use crate::error::{Error, Result};
use crate::feeds::recorder::status;
use crate::pipeline::{Collect, DescribeGtfs, ExportTides, IngestGtfs, IngestTides, Recordings};

#[pymethods]
impl Pipeline {
    #[pyo3(signature = (spec_json, *, progress = None))]
    fn ingest_gtfs(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let asked: IngestGtfs = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.ingest_gtfs(asked).await?) })
    }

    #[pyo3(signature = (spec_json, *, progress = None))]
    fn describe_gtfs(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let asked: DescribeGtfs = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.describe_gtfs(asked).await?) })
    }

    #[pyo3(signature = (dt, spec_json, *, progress = None))]
    fn ingest_gtfs_rt(
        &self,
        py: Python<'_>,
        dt: &str,
        spec_json: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let dt = day(py, dt)?;
        let recordings: Recordings = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.ingest_gtfs_rt(dt, &recordings).await?) })
    }

    #[pyo3(signature = (spec_json, *, progress = None))]
    fn collect(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let wanted: Collect = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.collect_feeds(wanted).await?) })
    }

    #[pyo3(signature = (spec_json, *, progress = None))]
    fn ingest_tides(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let asked: IngestTides = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.ingest_tides(asked).await?) })
    }

    #[pyo3(signature = (spec_json, *, progress = None))]
    fn export_tides(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let asked: ExportTides = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.export_tides(asked).await?) })
    }

    #[pyo3(signature = (dt, feed = None, hours_past = None))]
    fn recordings(&self, py: Python<'_>, dt: &str, feed: Option<&str>, hours_past: Option<f64>) -> PyResult<String> {
        let dt = day(py, dt)?;
        let feed = feed.map(str::to_owned);
        self.call(py, None, |core| async move { json(&core.recordings(dt, feed.as_deref(), hours_past).await?) })
    }
}

/// How the recorder of a spool is, as JSON.
#[pyfunction]
pub(super) fn collect_status(py: Python<'_>, spool: PathBuf) -> PyResult<String> {
    py.detach(|| json(&status(&spool)?)).map_err(|e| raise(py, &e))
}

fn asked<T: DeserializeOwned>(spec_json: &str) -> Result<T> {
    serde_json::from_str(spec_json).map_err(|e| Error::config(format!("what is asked for cannot be read: {e}")))
}
