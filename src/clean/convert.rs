//! Chooses the conversion of a column by its kind and physical type.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;

use super::converted::{Converted, cast_to, is_binary, is_string};
use super::{json, number, text, time};
use crate::error::Result;
use crate::model::Kind;

/// Whether a physical type can become a kind at all.
pub(super) fn accepts(kind: Kind, physical: &DataType) -> bool {
    use DataType as T;
    match physical {
        T::Dictionary(_, values) => return accepts(kind, values),
        T::RunEndEncoded(_, values) => return accepts(kind, values.data_type()),
        _ => {}
    }
    let string = is_string(physical);
    let integer = physical.is_integer();
    let float = physical.is_floating();
    let decimal = physical.is_decimal();
    let date = matches!(physical, T::Date32 | T::Date64 | T::Timestamp(_, _));
    let binary = is_binary(physical);
    physical == &T::Null
        || match kind {
            Kind::Text | Kind::Code => string || integer || binary,
            Kind::Instant | Kind::Date => string || date,
            Kind::Money | Kind::Float | Kind::Integer => string || integer || float || decimal,
            Kind::Boolean => string || integer || physical == &T::Boolean,
            Kind::Json => string || binary || physical.is_nested(),
        }
}

/// Converts a column. An instant that is the row's own event time saturates instead of being unreadable, so that
/// the rule on its range can judge it.
pub(super) fn convert(kind: Kind, array: &ArrayRef, own_time: bool) -> Result<Converted> {
    match array.data_type() {
        DataType::Null => Ok(Converted::plain(new_null_array(&kind.arrow(), array.len()))),
        DataType::Dictionary(_, values) if !(kind.is_text() && is_string(values)) => {
            convert(kind, &cast_to(array, values)?, own_time)
        }
        DataType::RunEndEncoded(_, values) => convert(kind, &cast_to(array, values.data_type())?, own_time),
        _ => match kind {
            Kind::Text => text::to_text(array),
            Kind::Code => text::to_code(array),
            Kind::Instant => time::to_instant(array, own_time),
            Kind::Date => time::to_date(array),
            Kind::Money => number::to_money(array),
            Kind::Float => number::to_float(array),
            Kind::Integer => number::to_integer(array),
            Kind::Boolean => number::to_boolean(array),
            Kind::Json => json::to_json(array),
        },
    }
}
