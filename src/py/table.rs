//! Query results for Python, over the Arrow C stream interface.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchIterator};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    SchemaRef, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::ffi_stream::FFI_ArrowArrayStream;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::path::PathBuf;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDateTime, PyDict, PyList, PyTzInfo};

use super::errors::raise;

/// The rows of a query. Any Arrow library takes them over without a copy.
#[pyclass(frozen, module = "metropulse._core")]
pub(super) struct ArrowTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl ArrowTable {
    pub(super) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }
}

#[pymethods]
impl ArrowTable {
    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn __len__(&self) -> usize {
        self.num_rows()
    }

    fn __repr__(&self) -> String {
        format!("<ArrowTable {} rows: {}>", self.num_rows(), self.column_names().join(", "))
    }

    fn write_parquet(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| crate::lake::write_parquet_file(&path, &self.schema, &self.batches)).map_err(|e| raise(py, &e))
    }

    fn _repr_html_(&self) -> String {
        super::html::html(&self.schema, &self.batches)
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface lets a producer ignore the request; consumers cast.
        drop(requested_schema);
        let batches: Vec<_> = self.batches.iter().cloned().map(Ok).collect();
        let reader = RecordBatchIterator::new(batches, self.schema.clone());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), c"arrow_array_stream")
    }

    fn to_pylist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                let entry = PyDict::new(py);
                for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
                    entry.set_item(field.name(), value(py, column, row)?)?;
                }
                rows.append(entry)?;
            }
        }
        Ok(rows)
    }
}

fn value<'py>(py: Python<'py>, column: &dyn Array, row: usize) -> PyResult<Bound<'py, PyAny>> {
    macro_rules! plain {
        ($kind:ty) => {
            column.as_primitive::<$kind>().value(row).into_bound_py_any(py)
        };
    }
    if column.is_null(row) {
        return Ok(py.None().into_bound(py));
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into_bound_py_any(py),
        DataType::Int8 => plain!(Int8Type),
        DataType::Int16 => plain!(Int16Type),
        DataType::Int32 => plain!(Int32Type),
        DataType::Int64 => plain!(Int64Type),
        DataType::UInt8 => plain!(UInt8Type),
        DataType::UInt16 => plain!(UInt16Type),
        DataType::UInt32 => plain!(UInt32Type),
        DataType::UInt64 => plain!(UInt64Type),
        DataType::Float32 => plain!(Float32Type),
        DataType::Float64 => plain!(Float64Type),
        DataType::Utf8 => column.as_string::<i32>().value(row).into_bound_py_any(py),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into_bound_py_any(py),
        DataType::Utf8View => column.as_string_view().value(row).into_bound_py_any(py),
        DataType::Binary => column.as_binary::<i32>().value(row).into_bound_py_any(py),
        DataType::Decimal128(..) => decimal(py, &column.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            // Python counts days from 0001-01-01 as 1.
            py.import("datetime")?.getattr("date")?.call_method1("fromordinal", (i64::from(days) + 719_163,))
        }
        DataType::Timestamp(..) => instant(py, column, row),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let list = PyList::empty(py);
            for index in 0..items.len() {
                list.append(value(py, &items, index)?)?;
            }
            list.into_bound_py_any(py)
        }
        _ => text(column, row)?.into_bound_py_any(py),
    }
}

fn decimal<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("decimal")?.call_method1("Decimal", (text,))
}

/// Instants become aware datetimes in UTC, times without zone naive ones.
fn instant<'py>(py: Python<'py>, column: &dyn Array, row: usize) -> PyResult<Bound<'py, PyAny>> {
    let DataType::Timestamp(unit, zone) = column.data_type() else {
        return Err(PyValueError::new_err("not a timestamp"));
    };
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone());
    let cast = arrow::compute::cast(&column.slice(row, 1), &micros)
        .map_err(|e| PyValueError::new_err(format!("a timestamp in {unit:?} cannot be shown: {e}")))?;
    let micros = cast.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0);
    let utc = PyTzInfo::utc(py)?;
    let epoch = PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, zone.as_ref().map(|_| &*utc))?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("microseconds", micros)?;
    let delta = py.import("datetime")?.getattr("timedelta")?.call((), Some(&kwargs))?;
    epoch.add(delta)
}

fn text(column: &dyn Array, row: usize) -> PyResult<String> {
    let shown = ArrayFormatter::try_new(column, &FormatOptions::default())
        .map_err(|e| PyValueError::new_err(format!("a value of type {} cannot be shown: {e}", column.data_type())))?;
    Ok(shown.value(row).to_string())
}
