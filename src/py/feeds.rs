//! The verbs that take agencies' own feeds into the lake.

use pyo3::prelude::*;
use serde::de::DeserializeOwned;

use super::errors::raise;
use super::pipeline::{Pipeline, day, json};
use crate::error::{Error, Result};
use crate::pipeline::{IngestGtfs, Recordings};

#[pymethods]
impl Pipeline {
    #[pyo3(signature = (spec_json, *, progress = None))]
    fn ingest_gtfs(&self, py: Python<'_>, spec_json: &str, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let asked: IngestGtfs = asked(spec_json).map_err(|e| raise(py, &e))?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.ingest_gtfs(asked).await?) })
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
}

fn asked<T: DeserializeOwned>(spec_json: &str) -> Result<T> {
    serde_json::from_str(spec_json).map_err(|e| Error::config(format!("what to ingest cannot be read: {e}")))
}
