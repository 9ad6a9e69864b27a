//! Arrow streams of other libraries, as their producers really write them.
//!
//! arrow-rs refuses an array of type null that brings a buffer, which the C data interface forbids and Polars writes (a
//! bitmap that is not there). Such buffers are left out before anything is read.

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, RecordBatchReader, StructArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow::ffi_stream::FFI_ArrowArrayStream;

/// The batches of a stream over the C stream interface.
#[derive(Debug)]
pub struct ImportedStream {
    stream: FFI_ArrowArrayStream,
    schema: SchemaRef,
}

type Result<T> = std::result::Result<T, ArrowError>;

impl ImportedStream {
    /// Takes a stream over.
    ///
    /// # Errors
    /// What the producer says, or a schema that is none of a table.
    ///
    /// # Safety
    /// The stream and what it hands out must keep to the C stream interface, but for buffers of null arrays.
    pub unsafe fn try_new(mut stream: FFI_ArrowArrayStream) -> Result<Self> {
        let Some(get_schema) = stream.get_schema().filter(|_| stream.release().is_some()) else {
            return Err(ArrowError::CDataInterface("the stream was read before".into()));
        };
        let mut schema = FFI_ArrowSchema::empty();
        // SAFETY: the stream is not released, and both pointers live through the call.
        let code = unsafe { get_schema(&raw mut stream, &raw mut schema) };
        if code != 0 {
            return Err(failed(&mut stream, "schema", code));
        }
        let field = Field::try_from(&schema)?;
        let DataType::Struct(fields) = field.data_type() else {
            let what = format!("the stream is of {}, expected a table", field.data_type());
            return Err(ArrowError::CDataInterface(what));
        };
        let schema = Arc::new(Schema::new_with_metadata(fields.clone(), field.metadata().clone()));
        Ok(Self { stream, schema })
    }

    fn pull(&mut self) -> Result<Option<RecordBatch>> {
        let mut array = FFI_ArrowArray::empty();
        let Some(get_next) = self.stream.get_next() else {
            return Err(ArrowError::CDataInterface("the stream has no way to get a batch".into()));
        };
        // SAFETY: the stream is not released, and both pointers live through the call.
        let code = unsafe { get_next(&raw mut self.stream, &raw mut array) };
        if code != 0 {
            return Err(failed(&mut self.stream, "next batch", code));
        }
        if array.is_released() {
            return Ok(None);
        }
        let kind = DataType::Struct(self.schema.fields().clone());
        // SAFETY: the array is ours alone and, by the contract of `try_new`, has the stream's type but for such buffers.
        let data = unsafe {
            leave_out_buffers_of_nulls((&raw mut array).cast(), &kind);
            from_ffi_and_data_type(array, kind)?
        };
        let rows = RecordBatchOptions::new().with_row_count(Some(data.len()));
        let (_, columns, _) = StructArray::from(data).into_parts();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows).map(Some)
    }
}

/// The producer's own words, if it has any.
fn failed(stream: &mut FFI_ArrowArrayStream, what: &str, code: i32) -> ArrowError {
    let words = stream.get_last_error().and_then(|get_last_error| {
        // SAFETY: the stream is not released and its last call failed; the text lives until the next call.
        unsafe {
            let words = get_last_error(stream);
            (!words.is_null()).then(|| CStr::from_ptr(words).to_string_lossy().into_owned())
        }
    });
    let words = words.map_or_else(String::new, |words| format!(": {words}"));
    ArrowError::CDataInterface(format!("the producer gave no {what} (error {code}){words}"))
}

impl Iterator for ImportedStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pull().transpose()
    }
}

impl RecordBatchReader for ImportedStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The layout of an array in the C data interface, whose fields arrow-rs keeps to itself.
#[repr(C)]
struct Layout {
    length: i64,
    null_count: i64,
    offset: i64,
    buffer_count: i64,
    child_count: i64,
    buffers: *mut *const c_void,
    children: *mut *mut Layout,
    dictionary: *mut Layout,
}

/// Nulls need no buffer; one that is there is not looked at. The producer frees its memory by what it keeps to itself.
///
/// # Safety
/// `array` must point to an array of this type that nobody else looks at.
#[allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types: those that hold others")]
unsafe fn leave_out_buffers_of_nulls(array: *mut Layout, kind: &DataType) {
    let child = |index: usize, kind: &DataType| {
        // SAFETY: an array of this type has that child, which belongs to it alone.
        unsafe {
            if (*array).child_count > index as i64 {
                leave_out_buffers_of_nulls(*(*array).children.add(index), kind);
            }
        }
    };
    match kind {
        // SAFETY: the pointer is valid.
        DataType::Null => unsafe { (*array).buffer_count = 0 },
        DataType::Struct(fields) => {
            fields.iter().enumerate().for_each(|(index, field)| child(index, field.data_type()))
        }
        DataType::Union(fields, _) => {
            fields.iter().enumerate().for_each(|(index, (_, field))| child(index, field.data_type()));
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => child(0, field.data_type()),
        DataType::RunEndEncoded(_, values) => child(1, values.data_type()),
        // SAFETY: a dictionary array points to its values.
        DataType::Dictionary(_, values) => unsafe {
            if !(*array).dictionary.is_null() {
                leave_out_buffers_of_nulls((*array).dictionary, values);
            }
        },
        _ => {}
    }
}
