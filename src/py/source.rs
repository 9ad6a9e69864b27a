//! Rows that a caller names: a list of paths, or an Arrow stream of any library.

use arrow::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::pipeline::{Source, Stream};

pub(super) const CAPSULE: &std::ffi::CStr = c"arrow_array_stream";

/// Takes over a list of paths, or what has `__arrow_c_stream__`.
pub(super) fn source(given: &Bound<'_, PyAny>) -> PyResult<Source> {
    if !given.hasattr("__arrow_c_stream__")? {
        return Ok(Source::Paths(given.extract()?));
    }
    stream_of(given).map(Source::Stream)
}

/// Takes over what has `__arrow_c_stream__`.
pub(super) fn stream_of(given: &Bound<'_, PyAny>) -> PyResult<Stream> {
    let capsule = given.call_method0("__arrow_c_stream__")?.cast_into::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(CAPSULE))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a valid stream, which is moved out of it: the producer keeps an empty one.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    let reader = RecordBatchStreamReader::try_new(stream)
        .map_err(|e| PyTypeError::new_err(format!("the Arrow stream cannot be read: {e}")))?;
    Ok(Box::new(reader))
}
