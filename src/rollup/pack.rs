//! Short texts and UUIDs as 128 bits, reversibly.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

/// The kind of a canonical UUID; a short text's kind is its length, up to 16.
pub(crate) const UUID: u32 = 17;
/// The kind of an integer.
pub(crate) const INTEGER: u32 = 18;

const ONES: u64 = 0x0101_0101_0101_0101;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// The kind and value of a text that fits. Texts of different kinds or values differ, and only they do.
#[inline]
pub(crate) fn text(text: &[u8]) -> Option<(u32, [u64; 2])> {
    match text.len() {
        length @ 0..=16 => Some((length as u32, short(text))),
        36 => uuid(text).map(|value| (UUID, value)),
        _ => None,
    }
}

/// Appends the bytes behind a kind and value.
pub(crate) fn append(kind: u32, value: [u64; 2], to: &mut Vec<u8>) {
    let [low, high] = value.map(u64::to_le_bytes);
    match kind {
        UUID => {
            for (place, byte) in value.map(u64::to_be_bytes).as_flattened().iter().enumerate() {
                if matches!(place, 4 | 6 | 8 | 10) {
                    to.push(b'-');
                }
                to.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        INTEGER => to.extend(low),
        length => to.extend(&[low, high].as_flattened()[..(length as usize).min(16)]),
    }
}

/// A number that is the same for equal values.
#[inline]
pub(crate) fn hash(hasher: &DefaultHashBuilder, kind: u32, value: [u64; 2]) -> u64 {
    hasher.hash_one((value[0], value[1] ^ u64::from(kind) << 56))
}

#[inline]
fn short(text: &[u8]) -> [u64; 2] {
    let length = text.len();
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let high = if length == 8 { 0 } else { u64::from_le_bytes(*last) >> (8 * (16 - length)) };
        return [u64::from_le_bytes(*first), high];
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last)) << (8 * (length - 4));
        return [u64::from(u32::from_le_bytes(*first)) | last, 0];
    }
    [text.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)), 0]
}

#[inline]
fn uuid(text: &[u8]) -> Option<[u64; 2]> {
    if HYPHENS.iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    let four = |at: usize| text.get(at..).and_then(<[u8]>::first_chunk::<4>);
    let eight = |left: usize, right: usize| -> Option<u64> {
        let (left, right) = (u32::from_be_bytes(*four(left)?), u32::from_be_bytes(*four(right)?));
        hexadecimal(u64::from(left) << 32 | u64::from(right))
    };
    let (a, b, c, d) = (eight(0, 4)?, eight(9, 14)?, eight(19, 24)?, eight(28, 32)?);
    Some([a << 32 | b, c << 32 | d])
}

/// Eight digits in lower case, the first in the highest byte, as 32 bits.
#[inline]
fn hexadecimal(digits: u64) -> Option<u64> {
    let letters = digits >> 6 & ONES;
    let values = (digits & (15 * ONES)).wrapping_add(9 * letters);
    // A digit is at most 9, a letter's value 10 to 15, and both give back the character they came from.
    let is_read = (values.wrapping_add(6 * ONES - 6 * letters)) & (0xf0 * ONES) == 0
        && (values.wrapping_add(6 * letters)) & (0x10 * ONES) == letters << 4
        && values.wrapping_add(0x30 * ONES + 0x27 * letters) == digits;
    if !is_read {
        return None;
    }
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    Some((quads | quads >> 16) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_canonical_uuids_are_uuids() {
        let canonical = "01234567-89ab-cdef-fedc-ba9876543210";
        let (kind, value) = text(canonical.as_bytes()).unwrap();
        assert_eq!((kind, value), (UUID, [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]));
        assert_eq!(bytes(kind, value), canonical.as_bytes());
        for at in 0..36 {
            for byte in 0..=255_u8 {
                let mut other = canonical.as_bytes().to_vec();
                other[at] = byte;
                let is_canonical =
                    if HYPHENS.contains(&at) { byte == b'-' } else { b"0123456789abcdef".contains(&byte) };
                assert_eq!(text(&other).is_some(), is_canonical, "{}", String::from_utf8_lossy(&other));
            }
        }
    }

    fn bytes(kind: u32, value: [u64; 2]) -> Vec<u8> {
        let mut found = Vec::new();
        append(kind, value, &mut found);
        found
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(content in proptest::collection::vec(any::<u8>(), 0..40)) {
            match text(&content) {
                Some((kind, value)) => prop_assert_eq!(bytes(kind, value), content),
                None => prop_assert!(content.len() > 16),
            }
        }

        #[test]
        fn uuids_come_back(value in any::<[u64; 2]>()) {
            prop_assert_eq!(text(&bytes(UUID, value)), Some((UUID, value)));
        }
    }
}
