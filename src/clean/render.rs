//! Physical values as JSON text: strictly, to be compared, or readably, to be looked at.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Utc};

use crate::digest::hex;

/// A value as JSON for comparison; `None` if JSON has no word for it (an infinity, bytes that are no text).
pub(super) fn strict(array: &dyn Array, row: usize) -> Option<String> {
    let mut out = String::new();
    write(array, row, false, &mut out)?;
    Some(out)
}

/// A value as JSON for people: whatever it is, something is shown. U+0000, which jsonb cannot hold, is shown as
/// the six characters `\u0000`.
pub(super) fn readable(array: &dyn Array, row: usize) -> String {
    let mut out = String::new();
    write(array, row, true, &mut out).map_or_else(|| "null".into(), |()| out)
}

/// Appends a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write(array: &dyn Array, row: usize, lenient: bool, out: &mut String) -> Option<()> {
    use DataType as T;
    if array.is_null(row) || array.data_type() == &T::Null {
        out.push_str("null");
        return Some(());
    }
    match array.data_type() {
        T::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        t if t.is_integer() || t.is_decimal() => out.push_str(&array_value_to_string(array, row).ok()?),
        T::Float16 => float(f64::from(array.as_primitive::<Float16Type>().value(row)), None, lenient, out)?,
        T::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(f64::from(value), Some(format!("{value:?}")), lenient, out)?;
        }
        T::Float64 => float(array.as_primitive::<Float64Type>().value(row), None, lenient, out)?,
        T::Utf8 => string(array.as_string::<i32>().value(row), lenient, out)?,
        T::LargeUtf8 => string(array.as_string::<i64>().value(row), lenient, out)?,
        T::Utf8View => string(array.as_string_view().value(row), lenient, out)?,
        T::Binary => bytes(array.as_binary::<i32>().value(row), lenient, out)?,
        T::LargeBinary => bytes(array.as_binary::<i64>().value(row), lenient, out)?,
        T::BinaryView => bytes(array.as_binary_view().value(row), lenient, out)?,
        T::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row), lenient, out)?,
        T::Date32 | T::Date64 | T::Timestamp(_, _) => time(array, row, out)?,
        T::List(_) => list(&array.as_list::<i32>().value(row), lenient, out)?,
        T::LargeList(_) => list(&array.as_list::<i64>().value(row), lenient, out)?,
        T::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row), lenient, out)?,
        T::Struct(_) | T::Map(_, _) => object(array, row, lenient, out)?,
        T::Dictionary(_, values) => write(cast(&array.slice(row, 1), values).ok()?.as_ref(), 0, lenient, out)?,
        T::RunEndEncoded(_, values) => {
            write(cast(&array.slice(row, 1), values.data_type()).ok()?.as_ref(), 0, lenient, out)?;
        }
        _ => string(&array_value_to_string(array, row).ok()?, lenient, out)?,
    }
    Some(())
}

fn float(value: f64, text: Option<String>, lenient: bool, out: &mut String) -> Option<()> {
    if value.is_finite() {
        // The debug form has an exponent where the plain one would be hundreds of digits long.
        out.push_str(&text.unwrap_or_else(|| format!("{value:?}")));
    } else if lenient {
        quote(&value.to_string(), out);
    } else if value.is_nan() {
        out.push_str("null");
    } else {
        return None;
    }
    Some(())
}

fn string(text: &str, lenient: bool, out: &mut String) -> Option<()> {
    if !text.contains('\0') {
        quote(text, out);
    } else if lenient {
        quote(&text.replace('\0', "\\u0000"), out);
    } else {
        return None;
    }
    Some(())
}

fn bytes(bytes: &[u8], lenient: bool, out: &mut String) -> Option<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => string(text, lenient, out),
        Err(_) if lenient => {
            quote(&format!("\\x{}", hex(bytes)), out);
            Some(())
        }
        Err(_) => None,
    }
}

/// An instant or date in ISO form; one beyond the calendar as its bare number.
fn time(array: &dyn Array, row: usize, out: &mut String) -> Option<()> {
    use DataType as T;
    let (raw, instant): (i64, Option<DateTime<Utc>>) = match array.data_type() {
        T::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            (days.into(), DateTime::from_timestamp(i64::from(days) * 86_400, 0))
        }
        T::Date64 => {
            let millis = array.as_primitive::<Date64Type>().value(row);
            (millis, DateTime::from_timestamp_millis(millis))
        }
        T::Timestamp(TimeUnit::Second, _) => {
            let seconds = array.as_primitive::<TimestampSecondType>().value(row);
            (seconds, DateTime::from_timestamp(seconds, 0))
        }
        T::Timestamp(TimeUnit::Millisecond, _) => {
            let millis = array.as_primitive::<TimestampMillisecondType>().value(row);
            (millis, DateTime::from_timestamp_millis(millis))
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            (micros, DateTime::from_timestamp_micros(micros))
        }
        T::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = array.as_primitive::<TimestampNanosecondType>().value(row);
            (nanos, Some(DateTime::from_timestamp_nanos(nanos)))
        }
        _ => return None,
    };
    let date_only = matches!(array.data_type(), T::Date32);
    match instant {
        Some(instant) if date_only => quote(&instant.format("%Y-%m-%d").to_string(), out),
        Some(instant) => quote(&instant.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(), out),
        None => out.push_str(&raw.to_string()),
    }
    Some(())
}

fn list(values: &ArrayRef, lenient: bool, out: &mut String) -> Option<()> {
    out.push('[');
    for i in 0..values.len() {
        if i > 0 {
            out.push(',');
        }
        write(values.as_ref(), i, lenient, out)?;
    }
    out.push(']');
    Some(())
}

fn object(array: &dyn Array, row: usize, lenient: bool, out: &mut String) -> Option<()> {
    out.push('{');
    if let Some(fields) = array.as_struct_opt() {
        for (n, (name, column)) in fields.column_names().into_iter().zip(fields.columns()).enumerate() {
            if n > 0 {
                out.push(',');
            }
            string(name, lenient, out)?;
            out.push(':');
            write(column.as_ref(), row, lenient, out)?;
        }
    } else {
        let entries = array.as_map().value(row);
        let (keys, values) = (entries.column(0), entries.column(1));
        for i in 0..entries.len() {
            if i > 0 {
                out.push(',');
            }
            let mut key = String::new();
            write(keys.as_ref(), i, lenient, &mut key)?;
            if key.starts_with('"') {
                out.push_str(&key)
            } else {
                quote(&key, out)
            }
            out.push(':');
            write(values.as_ref(), i, lenient, out)?;
        }
    }
    out.push('}');
    Some(())
}
