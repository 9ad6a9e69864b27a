//! What every conversion of a column gives, and what it needs.

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::model::Kind;

/// A converted column.
#[derive(Debug)]
pub(super) struct Converted {
    /// Values in the kind's Arrow type; NULL where the value is unreadable.
    pub(super) array: ArrayRef,
    /// Positions of unreadable values, ascending.
    pub(super) unreadable: Vec<u32>,
    /// Money that was more than 0.0005 off a cent.
    pub(super) rounded: u64,
    /// Positions of instants that lost digits below a microsecond, ascending.
    pub(super) truncated: Vec<u32>,
}

impl Converted {
    /// A column without anything to report.
    pub(super) fn plain(array: ArrayRef) -> Self {
        Self { array, unreadable: Vec::new(), rounded: 0, truncated: Vec::new() }
    }
}

/// A cast that is lossless by choice of the types.
pub(super) fn cast_to(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast(array, to).map_err(|e| {
        Error::data(format!("a batch of type {} cannot be brought into {to}: {e}", array.data_type())).because(e)
    })
}

/// The error of a type that was not refused when the file was opened.
pub(super) fn unexpected(array: &dyn Array, kind: Kind) -> Error {
    Error::schema(format!("a batch has type {}, which cannot become {kind:?}", array.data_type()))
}

pub(super) fn is_string(physical: &DataType) -> bool {
    matches!(physical, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub(super) fn is_binary(physical: &DataType) -> bool {
    matches!(physical, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}
