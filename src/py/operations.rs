//! The verbs of a warehouse's life beside its days: status, undo, rewind, migrate, purge, rejects.

use pyo3::prelude::*;

use super::errors::raise;
use super::pipeline::{Pipeline, day, json};
use crate::error::Error;
use crate::pipeline::RepairedRow;
use crate::warehouse::{Purge, RejectedFilter};

#[pymethods]
impl Pipeline {
    #[pyo3(signature = (date_from, date_to, verify, *, progress = None))]
    fn status(
        &self,
        py: Python<'_>,
        date_from: Option<&str>,
        date_to: Option<&str>,
        verify: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let from = date_from.map(|text| day(py, text)).transpose()?;
        let to = date_to.map(|text| day(py, text)).transpose()?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.status(from, to, verify).await?) })
    }

    #[pyo3(signature = (dt, dry_run, *, progress = None))]
    fn undo(&self, py: Python<'_>, dt: &str, dry_run: bool, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let dt = day(py, dt)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.undo(dt, dry_run).await?) })
    }

    #[pyo3(signature = (to, dry_run, *, progress = None))]
    fn rewind(&self, py: Python<'_>, to: &str, dry_run: bool, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let to = day(py, to)?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.rewind(to, dry_run).await?) })
    }

    #[pyo3(signature = (dry_run, *, progress = None))]
    fn migrate(&self, py: Python<'_>, dry_run: bool, progress: Option<Py<PyAny>>) -> PyResult<String> {
        self.call(py, progress.as_ref(), |core| async move { json(&core.migrate(dry_run).await?) })
    }

    #[pyo3(signature = (older_than_days, what, dry_run, *, progress = None))]
    fn purge(
        &self,
        py: Python<'_>,
        older_than_days: u64,
        what: Vec<String>,
        dry_run: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let what: Vec<Purge> =
            what.iter().map(|name| name.parse().map_err(|e| raise(py, &e))).collect::<PyResult<_>>()?;
        self.call(
            py,
            progress.as_ref(),
            |core| async move { json(&core.purge(older_than_days, &what, dry_run).await?) },
        )
    }

    #[pyo3(signature = (dataset, dt, reason, limit))]
    fn rejected(
        &self,
        py: Python<'_>,
        dataset: Option<&str>,
        dt: Option<&str>,
        reason: Option<&str>,
        limit: u32,
    ) -> PyResult<String> {
        let filter = filter(py, dataset, dt, reason)?;
        self.call(py, None, |core| async move {
            let (rows, total) = core.rejected(filter, limit).await?;
            json(&serde_json::json!({"step": "rejected", "total": total, "rejected": rows}))
        })
    }

    #[pyo3(signature = (dataset, dt, reason, rows_json, *, progress = None))]
    fn requeue(
        &self,
        py: Python<'_>,
        dataset: Option<&str>,
        dt: Option<&str>,
        reason: Option<&str>,
        rows_json: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let filter = filter(py, dataset, dt, reason)?;
        let rows: Vec<RepairedRow> = serde_json::from_str(rows_json).map_err(|e| {
            raise(py, &Error::config(format!("a repaired row has file, row_number and row (an object): {e}")))
        })?;
        self.call(py, progress.as_ref(), |core| async move { json(&core.requeue(filter, &rows).await?) })
    }
}

fn filter<'a>(
    py: Python<'_>,
    dataset: Option<&str>,
    dt: Option<&str>,
    reason: Option<&'a str>,
) -> PyResult<RejectedFilter<'a>> {
    let dataset = dataset.map(|name| name.parse().map_err(|e| raise(py, &e))).transpose()?;
    Ok(RejectedFilter { dataset, dt: dt.map(|text| day(py, text)).transpose()?, reason })
}
