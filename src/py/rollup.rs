//! `metropulse._core.rollup_hourly` and `merge_rollups`: any table in, an Arrow table out.

use std::sync::Arc;

use pyo3::prelude::*;
use serde::Deserialize;

use super::errors::raise;
use super::runtime::block_on;
use super::source::source as source_of;
use super::table::ArrowTable;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::model::Zone;
use crate::pipeline::Pipeline as Core;
use crate::rollup::{Measure, Spec};

/// Keys, time and measures, as the facade writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    keys: Vec<String>,
    time: String,
    measures: Vec<Measure>,
}

/// Groups a table by keys and hour.
#[pyfunction]
#[pyo3(signature = (settings_json, source, spec_json, partial, *, plain_files = false, folder_columns = true, progress = None))]
#[allow(clippy::too_many_arguments)]
pub(super) fn rollup_hourly(
    py: Python<'_>,
    settings_json: &str,
    source: &Bound<'_, PyAny>,
    spec_json: &str,
    partial: bool,
    plain_files: bool,
    folder_columns: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<ArrowTable> {
    let settings = Settings::from_json(settings_json).map_err(|e| raise(py, &e))?;
    let spec = spec(&settings, spec_json).map_err(|e| raise(py, &e))?;
    let source = source_of(source, plain_files, folder_columns)?;
    let core = Core::new(Arc::new(settings), Cancel::default(), Progress::default());
    let (schema, batches) = block_on(py, &core, progress.as_ref(), core.rollup_hourly(source, spec, partial))?;
    Ok(ArrowTable::new(schema, batches))
}

/// Puts partial results together.
#[pyfunction]
#[pyo3(signature = (settings_json, states, partial))]
pub(super) fn merge_rollups(
    py: Python<'_>,
    settings_json: &str,
    states: Vec<Bound<'_, PyAny>>,
    partial: bool,
) -> PyResult<ArrowTable> {
    let settings = Settings::from_json(settings_json).map_err(|e| raise(py, &e))?;
    let states = states.iter().map(|state| source_of(state, false, false)).collect::<PyResult<_>>()?;
    let core = Core::new(Arc::new(settings), Cancel::default(), Progress::default());
    let (schema, batches) = block_on(py, &core, None, core.merge_rollups(states, partial))?;
    Ok(ArrowTable::new(schema, batches))
}

/// Reads what is asked for; hours are cut in the zone of the settings.
pub(super) fn spec(settings: &Settings, json: &str) -> Result<Spec> {
    let asked: Asked =
        serde_json::from_str(json).map_err(|e| Error::config(format!("the rollup cannot be read: {e}")))?;
    let zone = Zone(settings.zone()?);
    Ok(Spec { keys: asked.keys, time: asked.time, measures: asked.measures, zone })
}
