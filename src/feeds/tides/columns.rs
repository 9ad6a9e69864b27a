//! Columns of Arrow, a value at a time.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types: a few of many")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, TimeUnit, TimestampMicrosecondType,
};

use super::tables::Form;
use super::value::Cell;
use crate::error::{Error, Result};
use crate::model::Kind;

/// What kind of column a field is.
pub(super) fn kind(form: Form) -> Kind {
    match form {
        Form::Text | Form::Words(_) => Kind::Text,
        Form::Date => Kind::Date,
        Form::Instant | Form::Clock => Kind::Instant,
        Form::Number { .. } | Form::Speed => Kind::Float,
        Form::Money => Kind::Money,
        Form::Integer { .. } => Kind::Integer,
        Form::Boolean => Kind::Boolean,
    }
}

/// The value of a row of a column of one of our types.
pub(super) fn cell(column: &ArrayRef, row: usize) -> Result<Option<Cell<'_>>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let cell = match column.data_type() {
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row)),
        DataType::Dictionary(_, _) => {
            let codes = column.as_dictionary::<Int32Type>();
            let Some(code) = codes.key(row) else { return Ok(None) };
            match codes.values().is_null(code) {
                true => return Ok(None),
                false => Cell::Text(codes.values().as_string::<i32>().value(code)),
            }
        }
        DataType::Date32 => Cell::Date(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cell::Instant(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Float64 => Cell::Number(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => Cell::Cents(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Int32 => Cell::Integer(column.as_primitive::<Int32Type>().value(row)),
        DataType::Boolean => Cell::Boolean(column.as_boolean().value(row)),
        other => return Err(Error::internal(format!("a column of a raw day is of type {other}"))),
    };
    Ok(Some(cell))
}

/// A column under construction.
#[derive(Debug)]
pub(super) enum Builder {
    Text(StringBuilder),
    Date(Date32Builder),
    Instant(TimestampMicrosecondBuilder),
    Number(Float64Builder),
    Cents(Decimal128Builder),
    Integer(Int32Builder),
    Boolean(BooleanBuilder),
}

impl Builder {
    /// A column of a kind of the raw day; codes are built as text.
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Code | Kind::Json => Self::Text(StringBuilder::new()),
            Kind::Date => Self::Date(Date32Builder::new()),
            Kind::Instant => Self::Instant(TimestampMicrosecondBuilder::new().with_data_type(Kind::Instant.arrow())),
            Kind::Float => Self::Number(Float64Builder::new()),
            Kind::Money => Self::Cents(Decimal128Builder::new().with_data_type(Kind::Money.arrow())),
            Kind::Integer => Self::Integer(Int32Builder::new()),
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
        }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// `Internal` for a value of another type.
    pub(super) fn push(&mut self, cell: Option<Cell<'_>>) -> Result<()> {
        match (self, cell) {
            (Self::Text(column), None) => column.append_null(),
            (Self::Text(column), Some(Cell::Text(text))) => column.append_value(text),
            (Self::Date(column), None) => column.append_null(),
            (Self::Date(column), Some(Cell::Date(days))) => column.append_value(days),
            (Self::Instant(column), None) => column.append_null(),
            (Self::Instant(column), Some(Cell::Instant(micros))) => column.append_value(micros),
            (Self::Number(column), None) => column.append_null(),
            (Self::Number(column), Some(Cell::Number(number))) => column.append_value(number),
            (Self::Cents(column), None) => column.append_null(),
            (Self::Cents(column), Some(Cell::Cents(cents))) => column.append_value(cents),
            (Self::Integer(column), None) => column.append_null(),
            (Self::Integer(column), Some(Cell::Integer(number))) => column.append_value(number),
            (Self::Boolean(column), None) => column.append_null(),
            (Self::Boolean(column), Some(Cell::Boolean(value))) => column.append_value(value),
            (_, Some(other)) => return Err(Error::internal(format!("{other:?} does not fit its column"))),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) => Arc::new(column.finish()),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Instant(column) => Arc::new(column.finish()),
            Self::Number(column) => Arc::new(column.finish()),
            Self::Cents(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Boolean(column) => Arc::new(column.finish()),
        }
    }
}
