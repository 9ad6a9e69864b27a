//! Rows that a caller names: a list of paths, or an Arrow stream of any library.

use arrow::ffi_stream::FFI_ArrowArrayStream;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::lake::Places;
use crate::load::ImportedStream;
use crate::pipeline::{Source, Stream};

pub(super) const CAPSULE: &std::ffi::CStr = c"arrow_array_stream";

/// Takes over a list of paths, which are read as asked for, or what has `__arrow_c_stream__`.
pub(super) fn source(given: &Bound<'_, PyAny>, plain_files: bool, folder_columns: bool) -> PyResult<Source> {
    if !given.hasattr("__arrow_c_stream__")? {
        return Ok(Source::Files(Places { names: given.extract()?, plain_files, folder_columns }));
    }
    stream_of(given).map(Source::Stream)
}

/// Takes over what has `__arrow_c_stream__`.
pub(super) fn stream_of(given: &Bound<'_, PyAny>) -> PyResult<Stream> {
    let capsule = given.call_method0("__arrow_c_stream__")?.cast_into::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(CAPSULE))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a valid stream, which is moved out of it: the producer keeps an empty one.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    // SAFETY: as above; what the stream hands out is the producer's promise.
    let reader = unsafe { ImportedStream::try_new(stream) }
        .map_err(|e| PyTypeError::new_err(format!("the Arrow stream cannot be read: {e}")))?;
    Ok(Box::new(reader))
}
