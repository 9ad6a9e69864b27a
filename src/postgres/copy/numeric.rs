//! PostgreSQL's numeric: groups of four decimal digits, the position of the first group, a sign and a scale.

use arrow::datatypes::i256;

use super::field::Why;

const BASE: u16 = 10_000;
const POWERS: [u16; 5] = [1, 10, 100, 1_000, 10_000];
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Digits after the point that PostgreSQL can show.
const MAX_SCALE: u16 = 16_383;

/// Groups of the largest value we write: 77 digits, split at the point.
const MAX_GROUPS: usize = 24;

/// An unsigned integer that can be taken apart from its low end.
trait Magnitude: Copy {
    fn is_zero(self) -> bool;
    /// Quotient and remainder by a number up to 10,000.
    fn split(self, divisor: u16) -> (Self, u16);
}

macro_rules! magnitude {
    ($($int:ty)*) => {$(
        impl Magnitude for $int {
            fn is_zero(self) -> bool {
                self == 0
            }
            fn split(self, divisor: u16) -> (Self, u16) {
                (self / <$int>::from(divisor), (self % <$int>::from(divisor)) as u16)
            }
        }
    )*};
}

magnitude!(u64 u128);

impl Magnitude for i256 {
    fn is_zero(self) -> bool {
        self == i256::ZERO
    }

    fn split(self, divisor: u16) -> (Self, u16) {
        let divisor = i256::from_i128(i128::from(divisor));
        let remainder = self.wrapping_rem(divisor);
        (self.wrapping_div(divisor), remainder.as_i128() as u16)
    }
}

fn write_magnitude<M: Magnitude>(mut rest: M, negative: bool, scale: i32, out: &mut Vec<u8>) {
    // Groups, lowest first. The lowest is cut so that the decimal point falls between two groups.
    let mut groups = [0_u16; MAX_GROUPS];
    let mut count = 0;
    let cut = scale.rem_euclid(4) as usize;
    if cut > 0 {
        let (quotient, low) = rest.split(POWERS[cut]);
        groups[0] = low * POWERS[4 - cut];
        (rest, count) = (quotient, 1);
    }
    while !rest.is_zero() && count < MAX_GROUPS {
        (rest, groups[count]) = rest.split(BASE);
        count += 1;
    }
    let below_point = scale.div_euclid(4) + i32::from(cut > 0);
    let weight = count as i32 - below_point - 1;
    let zeros = groups[..count].iter().take_while(|&&g| g == 0).count();
    let digits = &groups[zeros..count];
    let leading = digits.iter().rev().take_while(|&&g| g == 0).count();
    let digits = &digits[..digits.len() - leading];
    let (weight, sign) = match digits.len() {
        0 => (0, POSITIVE),
        _ => (weight - leading as i32, if negative { NEGATIVE } else { POSITIVE }),
    };
    put(digits.iter().rev().copied(), weight as i16, sign, scale.max(0) as u16, out);
}

/// Appends the wire form; the highest group comes first.
fn put(groups: impl ExactSizeIterator<Item = u16>, weight: i16, sign: u16, scale: u16, out: &mut Vec<u8>) {
    let mut head = [0_u8; 8];
    head[..2].copy_from_slice(&(groups.len() as u16).to_be_bytes());
    head[2..4].copy_from_slice(&weight.to_be_bytes());
    head[4..6].copy_from_slice(&sign.to_be_bytes());
    head[6..].copy_from_slice(&scale.to_be_bytes());
    out.extend_from_slice(&head);
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Appends the number that a text spells as PostgreSQL reads it: `-1.50`, `2e-3`, `NaN`, `-Infinity`.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), Why> {
    let (is_negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) | None => (false, text),
    };
    let sign = match rest.to_ascii_lowercase().as_str() {
        "nan" if rest == text => NAN,
        "infinity" | "inf" if is_negative => NEGATIVE_INFINITY,
        "infinity" | "inf" => INFINITY,
        _ => return write_digits(rest, if is_negative { NEGATIVE } else { POSITIVE }, out),
    };
    put([].into_iter(), 0, sign, 0, out);
    Ok(())
}

fn write_digits(text: &str, sign: u16, out: &mut Vec<u8>) -> Result<(), Why> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().map_err(|_| Why::Range)?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(part.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Why::Range);
    }
    // The value is the digits · 10^-scale, cut into groups such that the point falls between two of them.
    let scale = i32::try_from(part.len()).map_err(|_| Why::Range)? - i32::from(exponent);
    let shown = u16::try_from(scale.max(0)).ok().filter(|shown| *shown <= MAX_SCALE).ok_or(Why::Range)?;
    let zeros = (-scale).rem_euclid(4);
    digits.extend((0..zeros).map(|_| b'0'));
    let mut groups: Vec<u16> =
        digits.rchunks(4).map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))).collect();
    let lowest = -(scale + zeros) / 4;
    while groups.pop_if(|group| *group == 0).is_some() {}
    let empty = groups.iter().take_while(|group| **group == 0).count();
    let weight = i16::try_from(lowest + groups.len() as i32 - 1).map_err(|_| Why::Range)?;
    match groups.len() {
        0 => put([].into_iter(), 0, POSITIVE, shown, out),
        _ => put(groups[empty..].iter().rev().copied(), weight, sign, shown, out),
    }
    Ok(())
}

/// Appends `value` · 10^-`scale`.
pub(super) fn write_i128(value: i128, scale: i8, out: &mut Vec<u8>) {
    let magnitude = value.unsigned_abs();
    match u64::try_from(magnitude) {
        Ok(small) => write_magnitude(small, value < 0, scale.into(), out),
        Err(_) => write_magnitude(magnitude, value < 0, scale.into(), out),
    }
}

/// Appends `value` · 10^-`scale`; the one value without a positive counterpart is refused.
pub(super) fn write_i256(value: i256, scale: i8, out: &mut Vec<u8>) -> Result<(), Why> {
    if let Some(small) = value.to_i128() {
        write_i128(small, scale, out);
        return Ok(());
    }
    let magnitude = value.checked_abs().ok_or(Why::Range)?;
    write_magnitude(magnitude, value.is_negative(), scale.into(), out);
    Ok(())
}

/// A numeric as it came over the wire.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numeric<'a> {
    sign: u16,
    weight: i16,
    scale: u16,
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    /// Checks and takes apart the wire form; the error says what is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let Some((head, digits)) = bytes.split_first_chunk::<8>() else {
            return Err("a numeric is shorter than its head");
        };
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let numeric = Self { sign: word(4), weight: word(2) as i16, scale: word(6), digits };
        if digits.len() != usize::from(word(0)) * 2 {
            return Err("a numeric's length and its number of digits differ");
        }
        if !matches!(numeric.sign, POSITIVE | NEGATIVE | NAN | INFINITY | NEGATIVE_INFINITY) {
            return Err("a numeric has an unknown sign");
        }
        if numeric.scale & 0xC000 != 0 {
            return Err("a numeric's scale is out of range");
        }
        if numeric.groups().any(|g| g >= BASE) {
            return Err("a numeric has a digit above 9999");
        }
        Ok(numeric)
    }

    fn groups(&self) -> impl Iterator<Item = u16> + '_ {
        self.digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The group that counts 10,000^`weight`.
    fn group(&self, weight: i32) -> u16 {
        let at = usize::try_from(i32::from(self.weight) - weight).ok();
        let pair = at.and_then(|at| self.digits.get(2 * at..2 * at + 2));
        pair.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The value · 10^`scale` if it is a whole number of at most `precision` digits.
    pub fn to_decimal(&self, precision: u8, scale: i8) -> Option<i128> {
        if !matches!(self.sign, POSITIVE | NEGATIVE) {
            return None;
        }
        let limit = 10_i128.checked_pow(precision.into())?;
        let mut total = 0_i128;
        for (at, group) in self.groups().enumerate().filter(|&(_, g)| g != 0) {
            let exponent = (i32::from(self.weight) - at as i32) * 4 + i32::from(scale);
            let part = if exponent >= 0 {
                i128::from(group).checked_mul(10_i128.checked_pow(exponent as u32)?)?
            } else {
                let divisor = *POWERS.get(exponent.unsigned_abs() as usize)?;
                if group % divisor != 0 {
                    return None;
                }
                i128::from(group / divisor)
            };
            total = total.checked_add(part)?;
        }
        (total < limit).then_some(if self.sign == NEGATIVE { -total } else { total })
    }

    /// Appends the text that PostgreSQL prints.
    pub fn to_text(&self, out: &mut String) {
        match self.sign {
            NAN => return out.push_str("NaN"),
            INFINITY => return out.push_str("Infinity"),
            NEGATIVE_INFINITY => return out.push_str("-Infinity"),
            NEGATIVE => out.push('-'),
            _ => {}
        }
        let start = out.len();
        for weight in (0..=i32::from(self.weight)).rev() {
            let group = self.group(weight);
            // The first group is printed without leading zeros.
            let places = if out.len() > start { 4 } else { POWERS[..4].iter().filter(|&&p| group >= p).count() };
            out.extend(POWERS[..places].iter().rev().map(|&power| digit(group, power)));
        }
        if out.len() == start {
            out.push('0');
        }
        if self.scale > 0 {
            out.push('.');
            let groups = (1..).flat_map(|below| [3, 2, 1, 0].map(|place| (self.group(-below), POWERS[place])));
            out.extend(groups.take(self.scale.into()).map(|(group, power)| digit(group, power)));
        }
    }
}

fn digit(group: u16, power: u16) -> char {
    char::from(b'0' + (group / power % 10) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_the_number_that_postgresql_prints() {
        for (text, printed) in [
            ("0", "0"),
            ("-0.00", "0.00"),
            ("1", "1"),
            ("+10000", "10000"),
            ("-1234567.8901", "-1234567.8901"),
            (".5", "0.5"),
            ("7.", "7"),
            ("0.00001", "0.00001"),
            ("1.50", "1.50"),
            ("2e-3", "0.002"),
            ("1.5e3", "1500"),
            ("12E7", "120000000"),
            ("99999999999999999999999999999999999999999999.25", "99999999999999999999999999999999999999999999.25"),
            ("nan", "NaN"),
            ("-Infinity", "-Infinity"),
            ("inf", "Infinity"),
        ] {
            let (mut bytes, mut back) = (Vec::new(), String::new());
            write_text(text, &mut bytes).unwrap();
            Numeric::parse(&bytes).unwrap().to_text(&mut back);
            assert_eq!(back, printed, "{text}");
        }
        for text in ["", "-", ".", "1,5", "1e", "e5", "0x10", "-nan", "1e99999", "1 2", "1e-20000"] {
            assert!(write_text(text, &mut Vec::new()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_of_digits_is_written_as_its_decimal() {
        for (value, scale) in [(0, 0), (1, 0), (-15, 1), (123_456_789, 4), (10_000, 2), (-1, 7), (99_999, 5)] {
            let (mut spelled, mut made, mut text) = (Vec::new(), Vec::new(), String::new());
            write_i128(value, scale, &mut made);
            Numeric::parse(&made).unwrap().to_text(&mut text);
            write_text(&text, &mut spelled).unwrap();
            assert_eq!(spelled, made, "{text}");
        }
    }
}
