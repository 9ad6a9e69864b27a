//! The values of GTFS: times past midnight, dates, numbers. Blank is `None`; what cannot be read is [`Unreadable`].

use chrono::NaiveDate;

/// A value that is not what its column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::feeds) struct Unreadable;

type Value<T> = Result<Option<T>, Unreadable>;

/// Hours that a time may have at most: runs of several days are written past 24:00.
const MOST_HOURS: i32 = 999;

/// `H:MM:SS` in seconds since the start of the service day's timetable; hours may pass 24 and need no padding.
pub(in crate::feeds) fn seconds(text: &[u8]) -> Value<i32> {
    if text.is_empty() {
        return Ok(None);
    }
    let [hours @ .., b':', m1, m2, b':', s1, s2] = text else { return Err(Unreadable) };
    if hours.is_empty() || hours.len() > 3 {
        return Err(Unreadable);
    }
    let mut hour = 0;
    for digit in hours {
        hour = hour * 10 + decimal(*digit)?;
    }
    let (minute, second) = (decimal(*m1)? * 10 + decimal(*m2)?, decimal(*s1)? * 10 + decimal(*s2)?);
    if hour > MOST_HOURS || minute > 59 || second > 59 {
        return Err(Unreadable);
    }
    Ok(Some(hour * 3600 + minute * 60 + second))
}

fn decimal(digit: u8) -> Result<i32, Unreadable> {
    if digit.is_ascii_digit() { Ok(i32::from(digit - b'0')) } else { Err(Unreadable) }
}

/// `HH:MM:SS` of so many seconds, hours of two digits at least.
pub(in crate::feeds) fn clock(seconds: i32) -> String {
    let (hours, rest) = (seconds.div_euclid(3600), seconds.rem_euclid(3600));
    format!("{hours:02}:{:02}:{:02}", rest / 60, rest % 60)
}

/// `YYYYMMDD`.
pub(super) fn date(text: &[u8]) -> Value<NaiveDate> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() != 8 {
        return Err(Unreadable);
    }
    let mut number = 0;
    for digit in text {
        number = number * 10 + decimal(*digit)?;
    }
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    NaiveDate::from_ymd_opt(year, month.unsigned_abs(), day.unsigned_abs()).map(Some).ok_or(Unreadable)
}

/// A finite number.
pub(super) fn number(text: &[u8]) -> Value<f64> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(value) = short_decimal(text) {
        return Ok(Some(value));
    }
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    parsed.filter(|value| value.is_finite()).map(Some).ok_or(Unreadable)
}

/// A number of up to fifteen digits, point and minus as nearly all are. Its digits as a whole number and the power of ten
/// below them are doubles exactly, so that their quotient is the nearest double (Clinger, How to Read Floating Point Numbers
/// Accurately, 1990).
fn short_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (mut whole, mut digits, mut point) = (0_u64, 0, None);
    for byte in text {
        match byte {
            b'0'..=b'9' => (whole, digits) = (whole * 10 + u64::from(byte - b'0'), digits + 1),
            b'.' if point.is_none() => point = Some(digits),
            _ => return None,
        }
        if digits > 15 {
            return None;
        }
    }
    let after_point = digits - point.unwrap_or(digits);
    let value = (digits > 0).then(|| whole as f64 / POWERS[after_point])?;
    Some(if is_negative { -value } else { value })
}

/// A whole number that is not negative.
pub(super) fn integer(text: &[u8]) -> Value<i32> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut number = 0_i32;
    for digit in text {
        let next = number.checked_mul(10).ok_or(Unreadable)?;
        number = next.checked_add(decimal(*digit)?).ok_or(Unreadable)?;
    }
    Ok(Some(number))
}

/// A code of an enumeration: a small whole number.
pub(super) fn code(text: &[u8]) -> Value<i16> {
    match text {
        [] => Ok(None),
        [digit] => Ok(Some(decimal(*digit)? as i16)),
        longer => integer(longer)?.map(|n| i16::try_from(n).map_err(|_| Unreadable)).transpose(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_number_is_the_double_that_is_nearest(text in "-?[0-9]{0,17}\\.?[0-9]{0,17}") {
            let nearest = text.parse::<f64>().ok().map(f64::to_bits);
            let read = number(text.as_bytes()).ok().flatten().map(f64::to_bits);
            prop_assert_eq!(read, nearest);
        }
    }

    #[test]
    fn times_need_no_padding_and_pass_midnight() {
        assert_eq!(seconds(b"5:30:00"), Ok(Some(19_800)));
        assert_eq!(seconds(b"05:30:00"), Ok(Some(19_800)));
        assert_eq!(seconds(b"25:10:09"), Ok(Some(90_609)));
        assert_eq!(seconds(b""), Ok(None));
        for wrong in ["5:30", "5:60:00", "5:00:60", "-5:00:00", "a:00:00", "1000:00:00", "05:00:00 ", "::", "5:0:00"] {
            assert_eq!(seconds(wrong.as_bytes()), Err(Unreadable), "{wrong}");
        }
        assert_eq!((clock(19_800).as_str(), clock(90_609).as_str()), ("05:30:00", "25:10:09"));
        assert_eq!(clock(100 * 3600), "100:00:00");
    }

    #[test]
    fn dates_and_numbers_are_what_they_say_or_unreadable() {
        assert_eq!(date(b"20240229"), Ok(NaiveDate::from_ymd_opt(2024, 2, 29)));
        assert_eq!([date(b"20230229"), date(b"2024-2-9"), date(b"2024022")], [Err(Unreadable); 3]);
        assert_eq!([number(b"1e400"), number(b"NaN"), number(b"1,5")], [Err(Unreadable); 3]);
        assert_eq!(number(b"-99.14105"), Ok(Some(-99.14105)));
        assert_eq!([number(b"-"), number(b"."), number(b"1.2.3"), number(b"--1")], [Err(Unreadable); 4]);
        assert_eq!([integer(b"2147483648"), integer(b"-1"), integer(b"1.0")], [Err(Unreadable); 3]);
        assert_eq!((code(b"3"), code(b""), code(b"99999")), (Ok(Some(3)), Ok(None), Err(Unreadable)));
    }
}
