//! The wire format of Protocol Buffers, read in place: no copy, no allocation, never beyond the slice.

use std::fmt;

/// The deepest nesting of groups that is skipped.
const DEEPEST_GROUP: usize = 64;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A length reaches beyond the end.
    CutShort,
    /// A number of more than ten bytes.
    Varint,
    /// A field number or wire type that does not exist.
    Tag,
    /// A group that does not end, or ends without a beginning.
    Group,
    /// No header, which each message has.
    NoHeader,
    /// More vehicles, runs, stops of a run or text of an alert than there can be.
    TooMany,
    /// A value of another type than the standard's, where JSON shows its type.
    Untranslated,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutShort => "the message is cut short",
            Self::Varint => "a number is longer than ten bytes",
            Self::Tag => "a field has a number or type that Protocol Buffers do not know",
            Self::NoHeader => "it is no GTFS-Realtime message: it has no header",
            Self::TooMany => "it has more vehicles, runs, stops of a run or text of an alert than any feed",
            Self::Untranslated => "an entity of its JSON has a value of another type than the standard's",
            Self::Group => "a group of fields does not end where it should",
        })
    }
}

/// The value of a field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    /// A group, which no field of ours is.
    Group,
}

/// The fields of one message, in the order of the wire. Each reader gets a copy of the steps, of which its own types leave
/// little: a day is hundreds of millions of fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's number and value, `None` behind the last.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        let Some((first, rest)) = self.rest.split_first() else { return Ok(None) };
        // Fields of ours have numbers below 16, and so tags of one byte.
        let (number, kind) = match *first {
            8..0x80 => {
                self.rest = rest;
                (u32::from(*first >> 3), *first & 7)
            }
            0..8 | 0x80.. => self.tag()?,
        };
        let value = match kind {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => Value::Bytes(self.bytes()?),
            3 => self.skip_group(number)?,
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            4 => return Err(Malformed::Group),
            _ => return Err(Malformed::Tag),
        };
        Ok(Some((number, value)))
    }

    #[cold]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Tag)?;
        if tag >> 3 == 0 {
            return Err(Malformed::Tag);
        }
        Ok((tag >> 3, (tag & 7) as u8))
    }

    /// Lengths and codes have one byte, delays two, times five; those are read without a loop.
    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(*second) << 7)
            }
            [a, b, c, d, e, rest @ ..] if b & c & d >= 0x80 && *e < 0x80 => {
                self.rest = rest;
                let low = u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7;
                let high = u64::from(c & 0x7f) | u64::from(d & 0x7f) << 7 | u64::from(*e) << 14;
                Ok(low | high << 14)
            }
            _ => self.long_varint(),
        }
    }

    #[cold]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Malformed::CutShort } else { Malformed::Varint })
    }

    #[inline(always)]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(*value)
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::CutShort)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(value)
    }

    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<Value<'a>, Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let (number, kind) = self.tag()?;
            match kind {
                0 => drop(self.varint()?),
                1 => drop(self.fixed::<8>()?),
                2 => drop(self.bytes()?),
                3 if open.len() < DEEPEST_GROUP => open.push(number),
                4 if number == innermost => drop(open.pop()),
                5 => drop(self.fixed::<4>()?),
                3 | 4 => return Err(Malformed::Group),
                _ => return Err(Malformed::Tag),
            }
        }
        Ok(Value::Group)
    }
}
