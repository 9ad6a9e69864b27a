//! Errors as the Python classes of `metropulse.exceptions`.

use std::error::Error as _;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::error::Error;

/// The Python exception for an error; its causes become `__cause__`.
pub(super) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match build(py, error) {
        Ok(exception) => exception,
        // The exceptions module is part of the package; without it the message still arrives.
        Err(broken) => {
            let told = PyRuntimeError::new_err(error.to_string());
            told.set_cause(py, Some(broken));
            told
        }
    }
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let detail = error.detail();
    let kwargs = PyDict::new(py);
    let context = PyDict::new(py);
    for (name, value) in &detail.context {
        context.set_item(name, value)?;
    }
    if let Some(report) = &detail.report {
        kwargs.set_item("report", py.import("json")?.call_method1("loads", (report,))?)?;
    }
    kwargs.set_item("context", context)?;
    kwargs.set_item("retryable", detail.retryable)?;
    let class = py.import("metropulse.exceptions")?.getattr(class_name(error))?.cast_into::<PyType>()?;
    let exception = PyErr::from_value(class.call((detail.message.as_str(),), Some(&kwargs))?);
    if let Some(cause) = causes(error) {
        exception.set_cause(py, Some(PyRuntimeError::new_err(cause)));
    }
    Ok(exception)
}

fn class_name(error: &Error) -> &'static str {
    match error {
        Error::Config(_) => "ConfigError",
        Error::NotFound(_) => "NotFoundError",
        Error::Schema(_) => "SchemaError",
        Error::Data(_) => "DataError",
        Error::Quality(_) => "QualityError",
        Error::Conflict(_) => "ConflictError",
        Error::Storage(_) => "StorageError",
        Error::Database(_) => "DatabaseError",
        Error::Cancelled(_) => "CancelledError",
        Error::Internal(_) => "InternalError",
    }
}

/// The chain of causes in one line.
fn causes(error: &Error) -> Option<String> {
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        source = cause.source();
    }
    (!texts.is_empty()).then(|| texts.join(": "))
}
