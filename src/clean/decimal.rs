//! Decimal numbers as digits: exact, whatever their size.

use std::num::ParseIntError;

/// A decimal number: `0.DIGITS × 10^point`, without zeros at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Below zero; never so for zero.
    pub(super) negative: bool,
    /// Digits as bytes `b'0'..=b'9'`; empty for zero.
    pub(super) digits: Vec<u8>,
    /// Where the point stands, counted from the first digit.
    pub(super) point: i64,
}

/// Cents of a number in text, rounded half away from zero; `None` for what is no number or too large for money.
pub fn cents(text: &str) -> Option<i128> {
    Decimal::parse(text)?.cents().map(|(cents, _)| cents)
}

impl Decimal {
    /// Reads digits with sign, point and exponent; ASCII white space around is ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let point = exponent.saturating_add(whole.len() as i64);
        Some(Self::normal(negative, &all, point))
    }

    /// An integer times a power of ten.
    pub(super) fn scaled(text: &str, scale: i64) -> Option<Self> {
        let mut decimal = Self::parse(text)?;
        if !decimal.digits.is_empty() {
            decimal.point -= scale;
        }
        Some(decimal)
    }

    fn normal(negative: bool, all: &[u8], point: i64) -> Self {
        let Some(first) = all.iter().position(|b| *b != b'0') else {
            return Self { negative: false, digits: Vec::new(), point: 0 };
        };
        let last = all.iter().rposition(|b| *b != b'0').unwrap_or(first);
        Self { negative, digits: all[first..=last].to_vec(), point: point.saturating_sub(first as i64) }
    }

    /// The value of the digit `at` places after the point (negative: before it).
    fn digit(&self, at: i64) -> u8 {
        usize::try_from(self.point.saturating_add(at)).ok().and_then(|i| self.digits.get(i)).map_or(0, |b| b - b'0')
    }

    /// Cents, rounded half away from zero, and whether the value was more than 0.0005 off; `None` beyond ten
    /// digits before the point.
    pub(super) fn cents(&self) -> Option<(i128, bool)> {
        if self.point > 10 {
            return None;
        }
        let mut cents = (-10..2).fold(0_i128, |sum, at| sum * 10 + i128::from(self.digit(at)));
        let percent = self.digit(2) * 10 + self.digit(3);
        // Digits after the second below a cent; numbers smaller than that are all such digits.
        let more = self.digits.len() as i64 - self.point > 4;
        let off = percent > 5 || (percent == 5 && more);
        let rounded = off && percent < 95;
        if self.digit(2) >= 5 {
            cents += 1;
        }
        let cents = if self.negative { -cents } else { cents };
        (cents.abs() < 1_000_000_000_000).then_some((cents, rounded))
    }

    /// The value if it is whole and fits 32 bits.
    pub(super) fn int32(&self) -> Option<i32> {
        if self.digits.is_empty() {
            return Some(0);
        }
        if self.point > 10 || self.digits.len() as i64 > self.point {
            return None;
        }
        let value = (-self.point..0).fold(0_i64, |sum, at| sum * 10 + i64::from(self.digit(at)));
        i32::try_from(if self.negative { -value } else { value }).ok()
    }

    /// One text for one number: plain digits where that is short, else with an exponent.
    pub(super) fn canonical(&self) -> String {
        const PLAIN: i64 = 40;
        let sign = if self.negative { "-" } else { "" };
        let length = self.digits.len() as i64;
        let digits = String::from_utf8_lossy(&self.digits);
        if self.digits.is_empty() {
            return "0".into();
        }
        if (length..=PLAIN).contains(&self.point) {
            let zeros = "0".repeat(usize::try_from(self.point - length).unwrap_or_default());
            return format!("{sign}{digits}{zeros}");
        }
        if (1..length).contains(&self.point) {
            let (whole, fraction) = digits.split_at(usize::try_from(self.point).unwrap_or_default());
            return format!("{sign}{whole}.{fraction}");
        }
        if (-PLAIN..=0).contains(&self.point) {
            let zeros = "0".repeat(usize::try_from(-self.point).unwrap_or_default());
            return format!("{sign}0.{zeros}{digits}");
        }
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{}", self.point - 1)
    }

    /// Whether PostgreSQL's numeric can hold it.
    pub(super) fn fits_numeric(&self) -> bool {
        self.point <= 131_072 && self.digits.len() as i64 - self.point <= 16_383
    }
}

/// An exponent; one beyond all bounds counts as very large or very small.
fn exponent(text: &str) -> Option<i64> {
    const BEYOND: i64 = 1_000_000_000;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: Result<i64, ParseIntError> = digits.parse();
    let value = value.unwrap_or(BEYOND).min(BEYOND);
    Some(if text.starts_with('-') { -value } else { value })
}
