//! Money, floats, integers and booleans.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Decimal128Array, Float64Array, PrimitiveArray,
    PrimitiveBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int32Type,
    Int64Type, UInt64Type,
};

use super::converted::{Converted, cast_to, is_string, unexpected};
use super::decimal::Decimal;
use crate::error::{Error, Result};
use crate::model::Kind;

const MAX_CENTS: f64 = 1e12;

/// What became of one value.
enum Read<T> {
    Value(T),
    /// NaN.
    Null,
    Unreadable,
}

impl<T> From<Option<T>> for Read<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unreadable, Self::Value)
    }
}

fn gather<T: ArrowPrimitiveType>(
    len: usize,
    is_valid: impl Fn(usize) -> bool,
    mut read: impl FnMut(usize) -> Read<T::Native>,
) -> (PrimitiveArray<T>, Vec<u32>) {
    let mut values = PrimitiveBuilder::<T>::with_capacity(len);
    let mut unreadable = Vec::new();
    for i in 0..len {
        if !is_valid(i) {
            values.append_null();
            continue;
        }
        match read(i) {
            Read::Value(value) => values.append_value(value),
            Read::Null => values.append_null(),
            Read::Unreadable => {
                values.append_null();
                unreadable.push(i as u32);
            }
        }
    }
    (values.finish(), unreadable)
}

/// The physical types of numbers, brought together.
enum Numbers {
    Text(ArrayRef),
    Signed(ArrayRef),
    Unsigned(ArrayRef),
    Half(ArrayRef),
    Single(ArrayRef),
    Double(ArrayRef),
    Decimal(ArrayRef, i8),
    WideDecimal(ArrayRef, i8),
}

fn numbers(array: &ArrayRef, kind: Kind) -> Result<Numbers> {
    use DataType as T;
    Ok(match array.data_type() {
        t if is_string(t) => Numbers::Text(if t == &T::Utf8 { array.clone() } else { cast_to(array, &T::Utf8)? }),
        T::UInt64 => Numbers::Unsigned(array.clone()),
        t if t.is_integer() => Numbers::Signed(cast_to(array, &T::Int64)?),
        T::Float16 => Numbers::Half(array.clone()),
        T::Float32 => Numbers::Single(array.clone()),
        T::Float64 => Numbers::Double(array.clone()),
        T::Decimal32(_, scale) | T::Decimal64(_, scale) => {
            Numbers::Decimal(cast_to(array, &T::Decimal128(38, *scale))?, *scale)
        }
        T::Decimal128(_, scale) => Numbers::Decimal(array.clone(), *scale),
        T::Decimal256(_, scale) => Numbers::WideDecimal(array.clone(), *scale),
        _ => return Err(unexpected(array, kind)),
    })
}

/// Reads every value through its exact decimal form, after `fast` had its chance with doubles.
fn through_decimal<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    kind: Kind,
    mut finish: impl FnMut(Decimal) -> Option<T::Native>,
) -> Result<(PrimitiveArray<T>, Vec<u32>)> {
    let valid = |i| array.is_valid(i);
    let len = array.len();
    let mut shown =
        |value: &dyn Display| -> Read<T::Native> { Decimal::parse(&value.to_string()).and_then(&mut finish).into() };
    Ok(match numbers(array, kind)? {
        Numbers::Text(text) => {
            let text = text.as_string::<i32>();
            gather(len, valid, |i| Decimal::parse(text.value(i)).and_then(&mut finish).into())
        }
        Numbers::Signed(whole) => {
            let whole = whole.as_primitive::<Int64Type>();
            gather(len, valid, |i| shown(&whole.value(i)))
        }
        Numbers::Unsigned(whole) => {
            let whole = whole.as_primitive::<UInt64Type>();
            gather(len, valid, |i| shown(&whole.value(i)))
        }
        Numbers::Half(floats) => {
            let floats = floats.as_primitive::<Float16Type>();
            gather(len, valid, |i| if floats.value(i).is_nan() { Read::Null } else { shown(&floats.value(i)) })
        }
        Numbers::Single(floats) => {
            let floats = floats.as_primitive::<Float32Type>();
            gather(len, valid, |i| if floats.value(i).is_nan() { Read::Null } else { shown(&floats.value(i)) })
        }
        Numbers::Double(floats) => {
            let floats = floats.as_primitive::<Float64Type>();
            gather(len, valid, |i| if floats.value(i).is_nan() { Read::Null } else { shown(&floats.value(i)) })
        }
        Numbers::Decimal(decimals, scale) => {
            let decimals = decimals.as_primitive::<Decimal128Type>();
            let read = |i| Decimal::scaled(&decimals.value(i).to_string(), scale.into()).and_then(&mut finish).into();
            gather(len, valid, read)
        }
        Numbers::WideDecimal(decimals, scale) => {
            let decimals = decimals.as_primitive::<Decimal256Type>();
            let read = |i| Decimal::scaled(&decimals.value(i).to_string(), scale.into()).and_then(&mut finish).into();
            gather(len, valid, read)
        }
    })
}

/// numeric(12,2): a float counts as its own shortest decimal form, halves round away from zero.
pub(super) fn to_money(array: &ArrayRef) -> Result<Converted> {
    let mut rounded = 0;
    let (cents, unreadable) = match array.data_type() {
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            gather::<Decimal128Type>(array.len(), |i| array.is_valid(i), |i| money(floats.value(i), &mut rounded))
        }
        _ => through_decimal::<Decimal128Type>(array, Kind::Money, |decimal| {
            let (cents, off) = decimal.cents()?;
            rounded += u64::from(off);
            Some(cents)
        })?,
    };
    let cents: Decimal128Array = cents
        .with_precision_and_scale(12, 2)
        .map_err(|e| Error::internal(format!("money does not fit its type: {e}")))?;
    Ok(Converted { unreadable, rounded, ..Converted::plain(Arc::new(cents)) })
}

fn money(value: f64, rounded: &mut u64) -> Read<i128> {
    if value.is_nan() {
        return Read::Null;
    }
    let cents = (value * 100.0).round();
    // A double of at most 15 digits is the double nearest to one such decimal only: its shortest form.
    if cents.abs() < MAX_CENTS && cents / 100.0 == value {
        return Read::Value(cents as i128);
    }
    let exact = Decimal::parse(&format!("{value:e}")).and_then(|d| d.cents());
    exact
        .map(|(cents, off)| {
            *rounded += u64::from(off);
            cents
        })
        .into()
}

/// A double; NaN is NULL, an infinity is unreadable.
pub(super) fn to_float(array: &ArrayRef) -> Result<Converted> {
    let doubles = match numbers(array, Kind::Float)? {
        Numbers::Text(text) => {
            let text = text.as_string::<i32>();
            let read = |i| Decimal::parse(text.value(i)).and_then(|d| double(&d)).into();
            let (array, unreadable) = gather::<Float64Type>(text.len(), |i| text.is_valid(i), read);
            return Ok(Converted { unreadable, ..Converted::plain(Arc::new(array)) });
        }
        Numbers::Decimal(_, _) | Numbers::WideDecimal(_, _) => {
            let (array, unreadable) = through_decimal::<Float64Type>(array, Kind::Float, |d| double(&d))?;
            return Ok(Converted { unreadable, ..Converted::plain(Arc::new(array)) });
        }
        Numbers::Double(doubles) => doubles,
        Numbers::Signed(other) | Numbers::Unsigned(other) | Numbers::Half(other) | Numbers::Single(other) => {
            cast_to(&other, &DataType::Float64)?
        }
    };
    let floats: &Float64Array = doubles.as_primitive();
    if floats.values().iter().fold(true, |all, v| all & v.is_finite()) {
        return Ok(Converted::plain(doubles));
    }
    let read = |i| match floats.value(i) {
        v if v.is_nan() => Read::Null,
        v => Some(v).filter(|v| v.is_finite()).into(),
    };
    let (array, unreadable) = gather::<Float64Type>(floats.len(), |i| floats.is_valid(i), read);
    Ok(Converted { unreadable, ..Converted::plain(Arc::new(array)) })
}

fn double(decimal: &Decimal) -> Option<f64> {
    decimal.canonical().parse::<f64>().ok().filter(|v| v.is_finite())
}

/// A 32-bit integer; a fraction is unreadable.
pub(super) fn to_integer(array: &ArrayRef) -> Result<Converted> {
    let (array, unreadable) = match array.data_type() {
        DataType::Int32 => return Ok(Converted::plain(array.clone())),
        DataType::UInt64 => through_decimal::<Int32Type>(array, Kind::Integer, |d| d.int32())?,
        t if t.is_integer() => {
            let whole = cast_to(array, &DataType::Int64)?;
            let whole = whole.as_primitive::<Int64Type>();
            gather::<Int32Type>(whole.len(), |i| whole.is_valid(i), |i| i32::try_from(whole.value(i)).ok().into())
        }
        _ => through_decimal::<Int32Type>(array, Kind::Integer, |d| d.int32())?,
    };
    Ok(Converted { unreadable, ..Converted::plain(Arc::new(array)) })
}

/// A boolean: also `true/false/t/f/1/0` in any case and the integers 0 and 1.
pub(super) fn to_boolean(array: &ArrayRef) -> Result<Converted> {
    if array.data_type() == &DataType::Boolean {
        return Ok(Converted::plain(array.clone()));
    }
    let read: Box<dyn Fn(usize) -> Option<bool>> = match numbers(array, Kind::Boolean)? {
        Numbers::Text(text) => {
            let text = text.as_string::<i32>().clone();
            Box::new(move |i| boolean(text.value(i)))
        }
        Numbers::Signed(whole) => {
            let whole = whole.as_primitive::<Int64Type>().clone();
            Box::new(move |i| boolean(&whole.value(i).to_string()))
        }
        Numbers::Unsigned(whole) => {
            let whole = whole.as_primitive::<UInt64Type>().clone();
            Box::new(move |i| boolean(&whole.value(i).to_string()))
        }
        _ => return Err(unexpected(array, Kind::Boolean)),
    };
    let mut values = BooleanBuilder::with_capacity(array.len());
    let mut unreadable = Vec::new();
    for i in 0..array.len() {
        let value = if array.is_valid(i) { Some(read(i)) } else { None };
        if value == Some(None) {
            unreadable.push(i as u32);
        }
        values.append_option(value.flatten());
    }
    let array: BooleanArray = values.finish();
    Ok(Converted { unreadable, ..Converted::plain(Arc::new(array)) })
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let is = |words: [&str; 3]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(["true", "t", "1"]) {
        Some(true)
    } else if is(["false", "f", "0"]) {
        Some(false)
    } else {
        None
    }
}
