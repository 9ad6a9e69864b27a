//! Types whose text is read here: addresses, intervals, numerics of any size, bytes.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::net::IpAddr;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};

use super::field::{Fixed, Made, Prepared, Why, nulls};
use super::numeric::write_text;
use super::types::PgType;

/// The numbers that PostgreSQL gives the families of addresses.
const FAMILIES: [(u8, u8); 2] = [(2, 32), (3, 128)];

/// Strings as `Utf8`; `None` for an array that holds none.
pub(super) fn texts(array: &ArrayRef) -> Option<StringArray> {
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            cast(array, &DataType::Utf8).ok()?.as_string_opt::<i32>().cloned()
        }
        _ => None,
    }
}

/// Addresses, with or without the bits of their net.
pub(super) fn inet(array: &ArrayRef, is_cidr: bool) -> Prepared {
    let texts = texts(array)?;
    Some(Box::new(Made::new(nulls(&texts), move |row, out: &mut Vec<u8>| {
        write_inet(texts.value(row).trim(), is_cidr, out).ok_or(Why::Range)
    })))
}

fn write_inet(text: &str, is_cidr: bool, out: &mut Vec<u8>) -> Option<()> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let (family, most) = FAMILIES[usize::from(address.is_ipv6())];
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
    out.extend_from_slice(&[family, bits, u8::from(is_cidr), most / 8]);
    match address {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
    Some(())
}

/// The text of an address as PostgreSQL sends it.
pub(super) fn read_inet(bytes: &[u8]) -> Option<String> {
    let [_, bits, is_cidr, _, address @ ..] = bytes else { return None };
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
        _ => return None,
    };
    let whole = usize::from(*bits) == (bytes.len() - 4) * 8 && *is_cidr == 0;
    Some(if whole { address.to_string() } else { format!("{address}/{bits}") })
}

/// Months, days and microseconds: what PostgreSQL keeps apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    months: i32,
    days: i32,
    micros: i64,
}

impl Span {
    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.micros.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.days.to_be_bytes());
        bytes[12..].copy_from_slice(&self.months.to_be_bytes());
        bytes
    }
}

pub(super) fn interval(array: &ArrayRef) -> Prepared {
    fn spans<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        span: impl Fn(T::Native) -> Option<Span> + Send + 'static,
    ) -> Prepared {
        let array = array.as_primitive_opt::<T>()?;
        let values = array.values().clone();
        Some(Box::new(Fixed { nulls: nulls(array), get: move |row| span(values[row]).map(Span::bytes) }))
    }
    let micros = |micros| Some(Span { micros, ..Span::default() });
    match array.data_type() {
        DataType::Duration(TimeUnit::Second) => {
            spans::<DurationSecondType>(array, move |v| micros(v.checked_mul(1_000_000)?))
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            spans::<DurationMillisecondType>(array, move |v| micros(v.checked_mul(1_000)?))
        }
        DataType::Duration(TimeUnit::Microsecond) => spans::<DurationMicrosecondType>(array, micros),
        DataType::Duration(TimeUnit::Nanosecond) => {
            spans::<DurationNanosecondType>(array, move |v| micros(v.div_euclid(1_000)))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            spans::<IntervalYearMonthType>(array, |months| Some(Span { months, ..Span::default() }))
        }
        DataType::Interval(IntervalUnit::DayTime) => spans::<IntervalDayTimeType>(array, |v| {
            Some(Span { months: 0, days: v.days, micros: i64::from(v.milliseconds) * 1_000 })
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => spans::<IntervalMonthDayNanoType>(array, |v| {
            Some(Span { months: v.months, days: v.days, micros: v.nanoseconds.div_euclid(1_000) })
        }),
        _ => {
            let texts = texts(array)?;
            let nulls = nulls(&texts);
            Some(Box::new(Fixed { nulls, get: move |row| span_of(texts.value(row).trim()).map(Span::bytes) }))
        }
    }
}

/// Reads `1 year 2 mons -3 days +04:05:06.7`, `2 hours`, or ISO 8601's `P1Y2M3DT4H5M6.7S`.
fn span_of(text: &str) -> Option<Span> {
    if let Some(iso) = text.strip_prefix('P') {
        return iso_span(iso);
    }
    let mut span = Span::default();
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            span.micros = span.micros.checked_add(clock(word)?)?;
            continue;
        }
        let unit = words.next()?.to_ascii_lowercase();
        let unit = if unit.len() > 2 { unit.trim_end_matches('s') } else { unit.as_str() };
        add(&mut span, millionths(word)?, unit)?;
    }
    Some(span)
}

fn iso_span(text: &str) -> Option<Span> {
    let (date, time) = text.split_once('T').map_or((text, ""), |(date, time)| (date, time));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut span = Span::default();
    for (part, units) in [
        (date, &[('Y', "year"), ('M', "mon"), ('W', "week"), ('D', "day")][..]),
        (time, &[('H', "hour"), ('M', "min"), ('S', "sec")]),
    ] {
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let letter = rest[end..].chars().next()?;
            let (_, unit) = units.iter().find(|(known, _)| *known == letter)?;
            add(&mut span, millionths(&rest[..end])?, unit)?;
            rest = &rest[end + 1..];
        }
    }
    Some(span)
}

/// Adds millionths of a unit; months and days have no parts here.
fn add(span: &mut Span, millionths: i64, unit: &str) -> Option<()> {
    const WHOLE: i64 = 1_000_000;
    let whole =
        |factor: i64| (millionths % WHOLE == 0).then(|| i32::try_from(millionths / WHOLE * factor).ok()).flatten();
    let micros = |factor: i64| millionths.checked_mul(factor);
    match unit {
        "year" | "yr" | "y" => span.months = span.months.checked_add(whole(12)?)?,
        "month" | "mon" => span.months = span.months.checked_add(whole(1)?)?,
        "week" | "w" => span.days = span.days.checked_add(whole(7)?)?,
        "day" | "d" => span.days = span.days.checked_add(whole(1)?)?,
        "hour" | "hr" | "h" => span.micros = span.micros.checked_add(micros(3_600)?)?,
        "minute" | "min" | "m" => span.micros = span.micros.checked_add(micros(60)?)?,
        "second" | "sec" | "s" => span.micros = span.micros.checked_add(micros(1)?)?,
        "millisecond" | "msec" | "ms" => span.micros = span.micros.checked_add(millionths / 1_000)?,
        "microsecond" | "usec" | "us" => span.micros = span.micros.checked_add(millionths / WHOLE)?,
        _ => return None,
    }
    Some(())
}

/// A decimal number in millionths.
fn millionths(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && part.is_empty()) || !(whole.bytes().chain(part.bytes())).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i64 = format!("{part:0<6}")[..6].parse().ok()?;
    let value = whole.checked_mul(1_000_000)?.checked_add(part)?;
    Some(if is_negative { -value } else { value })
}

/// Microseconds of `[-]hours:minutes[:seconds]`.
fn clock(text: &str) -> Option<i64> {
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = rest.split(':');
    let hours: i64 = parts.next()?.parse().ok().filter(|hours| *hours >= 0)?;
    let minutes: i64 = parts.next()?.parse().ok().filter(|minutes| (0..60).contains(minutes))?;
    let seconds = parts.next().map_or(Some(0), millionths).filter(|s| (0..60_000_000).contains(s))?;
    if parts.next().is_some() {
        return None;
    }
    let micros = hours.checked_mul(3_600_000_000)?.checked_add(minutes * 60_000_000 + seconds)?;
    Some(if is_negative { -micros } else { micros })
}

/// A writer of elements that stand in text and have no form of their own in Arrow: numerics of any size, bytes.
pub(super) fn element(array: &ArrayRef, pg: PgType) -> Prepared {
    let write = match pg {
        PgType::Numeric | PgType::Decimal(..) => write_text,
        PgType::Bytea => write_bytes,
        _ => return None,
    };
    let texts = texts(array)?;
    Some(Box::new(Made::new(nulls(&texts), move |row, out: &mut Vec<u8>| write(texts.value(row), out))))
}

/// Reads `\xdeadbeef`, or the older `de\001\\`.
fn write_bytes(text: &str, out: &mut Vec<u8>) -> Result<(), Why> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .map(|c| c.to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()
            .ok_or(Why::Range)?;
        let (pairs, rest) = digits.as_chunks::<2>();
        out.extend(pairs.iter().map(|[high, low]| high * 16 + low));
        return if rest.is_empty() { Ok(()) } else { Err(Why::Range) };
    }
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        (rest, _) = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => (tail, out.push(b'\\')),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                (tail, out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0')))
            }
            (b'\\', _) => return Err(Why::Range),
            (byte, tail) => (tail, out.push(*byte)),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_postgresql_reads_them() {
        let span = |months, days, micros| Some(Span { months, days, micros });
        for (text, meant) in [
            ("1 day 02:03:04.5", span(0, 1, 7_384_500_000)),
            ("1 year 2 mons -3 days", span(14, -3, 0)),
            ("-00:00:01", span(0, 0, -1_000_000)),
            ("+100:00", span(0, 0, 360_000_000_000)),
            ("2 hours 30 min", span(0, 0, 9_000_000_000)),
            ("1.5 hours", span(0, 0, 5_400_000_000)),
            ("250 ms", span(0, 0, 250_000)),
            ("-1.000001 sec", span(0, 0, -1_000_001)),
            ("P1Y2M3DT4H5M6.7S", span(14, 3, 14_706_700_000)),
            ("PT-1S", span(0, 0, -1_000_000)),
            ("P2W", span(0, 14, 0)),
            ("1.5 days", None),
            ("P", None),
            ("P1S", None),
            ("", None),
            ("soon", None),
            ("1 fortnight", None),
            ("00:61", None),
            ("9999999999 years", None),
        ] {
            assert_eq!(span_of(text), meant, "{text}");
        }
    }

    #[test]
    fn bytes_are_read_in_both_forms() {
        for (text, meant) in [
            (r"\x", Some(&b""[..])),
            (r"\x00fF", Some(b"\x00\xff")),
            (r"\x00 ff", Some(b"\x00\xff")),
            ("abc", Some(b"abc")),
            (r"a\\b\001\377", Some(b"a\\b\x01\xff")),
            (r"\x0", None),
            (r"\xzz", None),
            (r"\9", None),
            (r"\400", None),
        ] {
            let mut bytes = Vec::new();
            assert_eq!(write_bytes(text, &mut bytes).is_ok().then_some(&bytes[..]), meant, "{text}");
        }
    }

    #[test]
    fn addresses_go_over_the_wire_and_back() {
        for (text, is_cidr, back) in [
            ("192.168.0.1", false, Some("192.168.0.1")),
            ("192.168.0.1/24", false, Some("192.168.0.1/24")),
            ("10.0.0.0/8", true, Some("10.0.0.0/8")),
            ("10.0.0.1", true, Some("10.0.0.1/32")),
            ("::1", false, Some("::1")),
            ("2001:db8::/32", false, Some("2001:db8::/32")),
            ("10.0.0.1/33", false, None),
            ("10.0.0", false, None),
            ("host", false, None),
        ] {
            let mut bytes = Vec::new();
            let read = write_inet(text, is_cidr, &mut bytes).and_then(|()| read_inet(&bytes));
            assert_eq!(read.as_deref(), back, "{text}");
        }
    }
}
