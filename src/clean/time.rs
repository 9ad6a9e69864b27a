//! Instants and dates.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, PrimitiveArray, TimestampMicrosecondArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::{Days, NaiveDate, NaiveTime};

use super::converted::{Converted, cast_to, is_string, unexpected};
use crate::error::Result;
use crate::model::Kind;

const DAY_MICROS: i64 = 86_400_000_000;
/// The first instant of PostgreSQL's timestamptz, 4714-11-24 BC; its last lies beyond 64-bit microseconds.
const FIRST_INSTANT: i64 = -210_866_803_200_000_000;
/// The days of PostgreSQL's date, as days since 1970.
const DATES: std::ops::Range<i32> = -2_440_588..2_145_042_906;

/// UTC microseconds; what has no zone is UTC, digits below a microsecond are cut off towards the past.
pub(super) fn to_instant(array: &ArrayRef, own_time: bool) -> Result<Converted> {
    use DataType as T;
    match array.data_type() {
        T::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(bounded(array.as_primitive::<TimestampMicrosecondType>().clone(), Vec::new(), own_time))
        }
        T::Timestamp(TimeUnit::Nanosecond, _) => Ok(from_nanos(array, own_time)),
        T::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(scaled(array.as_primitive::<TimestampMillisecondType>(), 1_000, own_time))
        }
        T::Timestamp(TimeUnit::Second, _) => {
            Ok(scaled(array.as_primitive::<TimestampSecondType>(), 1_000_000, own_time))
        }
        T::Date32 => Ok(scaled(array.as_primitive::<Date32Type>(), DAY_MICROS, own_time)),
        T::Date64 => Ok(scaled(array.as_primitive::<Date64Type>(), 1_000, own_time)),
        t if is_string(t) => from_text(array, own_time),
        _ => Err(unexpected(array, Kind::Instant)),
    }
}

fn from_nanos(array: &ArrayRef, own_time: bool) -> Converted {
    let nanos = array.as_primitive::<TimestampNanosecondType>();
    let truncated = if nanos.values().iter().fold(false, |any, v| any | (v % 1_000 != 0)) {
        (0..nanos.len()).filter(|i| nanos.is_valid(*i) && nanos.value(*i) % 1_000 != 0).map(|i| i as u32).collect()
    } else {
        Vec::new()
    };
    let micros: ScalarBuffer<i64> = nanos.values().iter().map(|v| v.div_euclid(1_000)).collect();
    bounded(PrimitiveArray::new(micros, nanos.nulls().cloned()), truncated, own_time)
}

/// Multiplies by a power that may leave 64 bits: those values saturate, and are unreadable except as own time.
fn scaled<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, factor: i64, own_time: bool) -> Converted
where
    T::Native: Into<i64>,
{
    let micros: ScalarBuffer<i64> = array.values().iter().map(|v| (*v).into().saturating_mul(factor)).collect();
    bounded(PrimitiveArray::new(micros, array.nulls().cloned()), Vec::new(), own_time)
}

/// Marks what PostgreSQL cannot hold as unreadable, and what saturated as well.
fn bounded(micros: TimestampMicrosecondArray, truncated: Vec<u32>, own_time: bool) -> Converted {
    let outside = |v: i64| v < FIRST_INSTANT || v == i64::MAX;
    let mut unreadable = Vec::new();
    let mut micros = micros;
    if !own_time && micros.values().iter().fold(false, |any, v| any | outside(*v)) {
        unreadable =
            (0..micros.len()).filter(|i| micros.is_valid(*i) && outside(micros.value(*i))).map(|i| i as u32).collect();
        micros = micros.iter().map(|v| v.filter(|v| !outside(*v))).collect();
    }
    let array = Arc::new(micros.with_timezone("UTC"));
    Converted { unreadable, truncated, ..Converted::plain(array) }
}

fn from_text(array: &ArrayRef, own_time: bool) -> Result<Converted> {
    let text = cast_to(array, &DataType::Utf8)?;
    let text = text.as_string::<i32>();
    let (mut unreadable, mut truncated) = (Vec::new(), Vec::new());
    let read = |(i, value): (usize, Option<&str>)| {
        let (micros, cut) = match parse_instant(value?) {
            Some(parsed) => parsed,
            None => {
                unreadable.push(i as u32);
                return None;
            }
        };
        if cut {
            truncated.push(i as u32);
        }
        Some(micros)
    };
    let micros: TimestampMicrosecondArray = text.iter().enumerate().map(read).collect();
    let mut converted = bounded(micros, truncated, own_time);
    converted.unreadable.extend(unreadable);
    converted.unreadable.sort_unstable();
    Ok(converted)
}

/// A calendar date; an instant gives its UTC date.
pub(super) fn to_date(array: &ArrayRef) -> Result<Converted> {
    if array.data_type() == &DataType::Date32 {
        return Ok(fitting(array.as_primitive::<Date32Type>().iter().map(|d| d.map(i64::from))));
    }
    if let DataType::Timestamp(TimeUnit::Second, _) = array.data_type() {
        let seconds = array.as_primitive::<TimestampSecondType>();
        return Ok(fitting(seconds.iter().map(|s| s.map(|s| s.div_euclid(86_400)))));
    }
    if let DataType::Timestamp(TimeUnit::Millisecond, _) = array.data_type() {
        let millis = array.as_primitive::<TimestampMillisecondType>();
        return Ok(fitting(millis.iter().map(|s| s.map(|s| s.div_euclid(86_400_000)))));
    }
    if array.data_type() == &DataType::Date64 {
        let millis = array.as_primitive::<Date64Type>();
        return Ok(fitting(millis.iter().map(|s| s.map(|s| s.div_euclid(86_400_000)))));
    }
    let instants = to_instant(array, true)?;
    let micros = instants.array.as_primitive::<TimestampMicrosecondType>();
    let mut dates = fitting(micros.iter().map(|m| m.map(|m| m.div_euclid(DAY_MICROS))));
    // A time of day that is dropped on purpose is no loss of digits.
    dates.unreadable.extend(instants.unreadable);
    dates.unreadable.sort_unstable();
    Ok(dates)
}

fn fitting(days: impl Iterator<Item = Option<i64>>) -> Converted {
    let mut unreadable = Vec::new();
    let read = |(i, days): (usize, Option<i64>)| {
        let days = days?;
        let fits = i32::try_from(days).ok().filter(|d| DATES.contains(d));
        if fits.is_none() {
            unreadable.push(i as u32);
        }
        fits
    };
    let dates: Date32Array = days.enumerate().map(read).collect();
    Converted { unreadable, ..Converted::plain(Arc::new(dates)) }
}

/// ISO 8601 in its extended form, with `T` or a blank, with an offset or none; also a date alone. The flag says
/// whether digits below a microsecond were cut off.
pub fn parse_instant(text: &str) -> Option<(i64, bool)> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    if !text.is_ascii() {
        return None;
    }
    let split = text.find(['T', 't', ' ']);
    let (date, rest) = split.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let date = parse_date(date)?;
    let Some(rest) = rest else {
        return micros_of(date, NaiveTime::MIN, 0, 0).map(|m| (m, false));
    };
    let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = (rest[..at].trim_end(), offset_seconds(&rest[at..])?);
    let (whole, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(fraction) || (whole.len() != 8 && clock.len() != whole.len()) {
        return None;
    }
    let mut parts = whole.split(':').map(|p| if p.len() == 2 && digits(p) { p.parse::<u32>().ok() } else { None });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    let padded: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros: i64 = padded.parse().ok()?;
    let cut = fraction.bytes().skip(6).any(|b| b != b'0');
    let midnight_after = (hour, minute, second, micros) == (24, 0, 0, 0) && !cut;
    let (date, hour) = if midnight_after { (date.checked_add_days(Days::new(1))?, 0) } else { (date, hour) };
    let time = NaiveTime::from_hms_opt(hour, minute, second)?;
    micros_of(date, time, micros, offset).map(|m| (m, cut))
}

fn micros_of(date: NaiveDate, time: NaiveTime, micros: i64, offset: i64) -> Option<i64> {
    date.and_time(time).and_utc().timestamp_micros().checked_add(micros)?.checked_sub(offset * 1_000_000)
}

/// `YYYY-MM-DD`, or a year of more digits with its sign.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let (negative, plain) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let signed = plain.len() != text.len();
    let parts: Vec<&str> = plain.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let lengths = (year.len() == 4 || (signed && (4..=6).contains(&year.len()))) && month.len() == 2 && day.len() == 2;
    if !lengths || !plain.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return None;
    }
    let year: i32 = year.parse().ok()?;
    NaiveDate::from_ymd_opt(if negative { -year } else { year }, month.parse().ok()?, day.parse().ok()?)
}

/// `Z`, `+HH`, `+HHMM`, `+HH:MM` or nothing, in seconds east.
fn offset_seconds(text: &str) -> Option<i64> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = text.split_at(1);
    let digits = match digits.len() {
        5 => digits.split_once(':').map(|(h, m)| format!("{h}{m}"))?,
        2 | 4 => digits.to_owned(),
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    let minutes: i64 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    let hours: i64 = hours.parse().ok()?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3_600 + minutes * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}
