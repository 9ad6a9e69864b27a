//! One column's builder: fields of the wire to an Arrow array.

use std::sync::Arc;

use arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, NullBufferBuilder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::array::{ArrayRef, ArrowPrimitiveType, ListArray, PrimitiveBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};

use super::numeric::Numeric;
use super::spelled::read_inet;
use super::types::{Element, PgType};
use super::{DAY_MICROS, EPOCH_DAYS, EPOCH_MICROS};

/// What is wrong with a field, as one clause.
pub(super) type Fault = String;

type Outcome<T = ()> = Result<T, Fault>;

/// A column under construction.
pub(super) enum Sink {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Decimal { builder: Decimal128Builder, precision: u8, scale: i8 },
    Numeric { builder: StringBuilder, text: String },
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Uuid(StringBuilder),
    Bytea(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Char(StringBuilder),
    Oid(UInt32Builder),
    Inet(StringBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    List(List),
}

/// Arrays under construction: their elements, and how many each has.
pub(super) struct List {
    element: Element,
    items: Box<Sink>,
    lengths: Vec<usize>,
    /// Elements in all.
    held: usize,
    valid: NullBufferBuilder,
}

fn exactly<const N: usize>(bytes: &[u8]) -> Outcome<[u8; N]> {
    bytes.try_into().map_err(|_| format!("a field has {} bytes, expected {N}", bytes.len()))
}

fn utf8(bytes: &[u8]) -> Outcome<&str> {
    std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8 (set client_encoding to UTF8)".into())
}

/// Arrow's 32-bit offsets would panic beyond 2 GiB.
fn room(held: usize, more: usize) -> Outcome {
    if held + more > i32::MAX as usize {
        return Err("a batch holds more than 2 GiB of one column; take batches more often".into());
    }
    Ok(())
}

fn append_text(builder: &mut StringBuilder, text: &str) -> Outcome {
    room(builder.values_slice().len(), text.len())?;
    builder.append_value(text);
    Ok(())
}

fn append<T: ArrowPrimitiveType>(builder: &mut PrimitiveBuilder<T>, value: T::Native) -> Outcome {
    builder.append_value(value);
    Ok(())
}

impl Sink {
    pub fn new(pg: PgType) -> Self {
        match pg {
            PgType::Bool => Self::Bool(BooleanBuilder::new()),
            PgType::Int2 => Self::Int2(Int16Builder::new()),
            PgType::Int4 => Self::Int4(Int32Builder::new()),
            PgType::Int8 => Self::Int8(Int64Builder::new()),
            PgType::Float4 => Self::Float4(Float32Builder::new()),
            PgType::Float8 => Self::Float8(Float64Builder::new()),
            PgType::Numeric | PgType::Decimal(..) => match pg.decimal128() {
                Some((precision, scale)) => {
                    let builder = Decimal128Builder::new().with_data_type(DataType::Decimal128(precision, scale));
                    Self::Decimal { builder, precision, scale }
                }
                None => Self::Numeric { builder: StringBuilder::new(), text: String::new() },
            },
            PgType::Text | PgType::Varchar | PgType::Bpchar | PgType::Json => Self::Text(StringBuilder::new()),
            PgType::Jsonb => Self::Jsonb(StringBuilder::new()),
            PgType::Uuid => Self::Uuid(StringBuilder::new()),
            PgType::Bytea => Self::Bytea(BinaryBuilder::new()),
            PgType::Date => Self::Date(Date32Builder::new()),
            PgType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            PgType::Timestamp | PgType::Timestamptz => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(pg.arrow()))
            }
            PgType::Name | PgType::AsText => Self::Text(StringBuilder::new()),
            PgType::Char => Self::Char(StringBuilder::new()),
            PgType::Oid => Self::Oid(UInt32Builder::new()),
            PgType::Inet | PgType::Cidr => Self::Inet(StringBuilder::new()),
            PgType::Interval => Self::Interval(IntervalMonthDayNanoBuilder::new()),
            PgType::Array(element) => Self::List(List {
                element,
                items: Box::new(Self::new(*element.pg)),
                lengths: Vec::new(),
                held: 0,
                valid: NullBufferBuilder::new(0),
            }),
        }
    }

    pub fn append_null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::Int2(b) => b.append_null(),
            Self::Int4(b) => b.append_null(),
            Self::Int8(b) => b.append_null(),
            Self::Float4(b) => b.append_null(),
            Self::Float8(b) => b.append_null(),
            Self::Decimal { builder, .. } => builder.append_null(),
            Self::Numeric { builder, .. } => builder.append_null(),
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) | Self::Char(b) | Self::Inet(b) => b.append_null(),
            Self::Oid(b) => b.append_null(),
            Self::Interval(b) => b.append_null(),
            Self::Bytea(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Time(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::List(list) => {
                list.lengths.push(0);
                list.valid.append_null();
            }
        }
    }

    pub fn append(&mut self, bytes: &[u8]) -> Outcome {
        match self {
            Self::Bool(b) => {
                b.append_value(exactly::<1>(bytes)? != [0]);
                Ok(())
            }
            Self::Int2(b) => append(b, i16::from_be_bytes(exactly(bytes)?)),
            Self::Int4(b) => append(b, i32::from_be_bytes(exactly(bytes)?)),
            Self::Int8(b) => append(b, i64::from_be_bytes(exactly(bytes)?)),
            Self::Float4(b) => append(b, f32::from_be_bytes(exactly(bytes)?)),
            Self::Float8(b) => append(b, f64::from_be_bytes(exactly(bytes)?)),
            Self::Decimal { builder, precision, scale } => append(builder, decimal(bytes, *precision, *scale)?),
            Self::Numeric { builder, text } => {
                text.clear();
                Numeric::parse(bytes)?.to_text(text);
                append_text(builder, text)
            }
            Self::Text(b) => append_text(b, utf8(bytes)?),
            Self::Jsonb(b) => match bytes {
                [1, text @ ..] => append_text(b, utf8(text)?),
                _ => Err("a jsonb does not begin with version 1".into()),
            },
            Self::Uuid(b) => append_text(b, uuid(&exactly(bytes)?, &mut [0; 36])),
            Self::Bytea(b) => {
                room(b.values_slice().len(), bytes.len())?;
                b.append_value(bytes);
                Ok(())
            }
            Self::Date(b) => append(b, date(bytes)?),
            Self::Time(b) => append(b, time(bytes)?),
            Self::Timestamp(b) => append(b, timestamp(bytes)?),
            Self::Char(b) => append_text(b, &one_byte(exactly(bytes)?)),
            Self::Oid(b) => append(b, u32::from_be_bytes(exactly(bytes)?)),
            Self::Inet(b) => append_text(b, &read_inet(bytes).ok_or("an address has another form than expected")?),
            Self::Interval(b) => append(b, interval(bytes)?),
            Self::List(b) => b.append(bytes),
        }
    }

    /// The array so far; the column begins anew.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int2(b) => Arc::new(b.finish()),
            Self::Int4(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Float4(b) => Arc::new(b.finish()),
            Self::Float8(b) => Arc::new(b.finish()),
            Self::Decimal { builder, .. } => Arc::new(builder.finish()),
            Self::Numeric { builder, .. } => Arc::new(builder.finish()),
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) | Self::Char(b) | Self::Inet(b) => Arc::new(b.finish()),
            Self::Oid(b) => Arc::new(b.finish()),
            Self::Interval(b) => Arc::new(b.finish()),
            Self::Bytea(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::List(b) => b.finish(),
        }
    }
}

impl List {
    fn append(&mut self, bytes: &[u8]) -> Outcome {
        let mut length = 0;
        list(bytes, self.element.oid, |item| {
            length += 1;
            match item {
                Some(item) => self.items.append(item),
                None => {
                    self.items.append_null();
                    Ok(())
                }
            }
        })?;
        room(self.held, length)?;
        self.held += length;
        self.lengths.push(length);
        self.valid.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        self.held = 0;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        let field = Field::new_list_field(self.element.pg.arrow(), true).into();
        Arc::new(ListArray::new(field, offsets, self.items.finish(), self.valid.finish()))
    }
}

/// PostgreSQL's text of a `"char"`.
fn one_byte(byte: [u8; 1]) -> String {
    match byte[0] {
        0 => String::new(),
        ascii if ascii.is_ascii() => char::from(ascii).to_string(),
        other => format!("\\{other:03o}"),
    }
}

fn interval(bytes: &[u8]) -> Outcome<IntervalMonthDayNano> {
    let bytes: [u8; 16] = exactly(bytes)?;
    let word = |at: usize| i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let micros = i64::from(word(0)) << 32 | i64::from(word(4) as u32);
    let nanoseconds =
        micros.checked_mul(1_000).ok_or("an interval has more hours than Arrow can hold, or is infinite")?;
    Ok(IntervalMonthDayNano::new(word(12), word(8), nanoseconds))
}

fn decimal(bytes: &[u8], precision: u8, scale: i8) -> Outcome<i128> {
    let numeric = Numeric::parse(bytes)?;
    numeric.to_decimal(precision, scale).ok_or_else(|| {
        let mut text = String::new();
        numeric.to_text(&mut text);
        format!("{text} is not a value of Decimal128({precision}, {scale})")
    })
}

fn date(bytes: &[u8]) -> Outcome<i32> {
    match i32::from_be_bytes(exactly(bytes)?) {
        i32::MAX | i32::MIN => Err("a date is infinite, which Arrow cannot hold".into()),
        days => days.checked_add(EPOCH_DAYS).ok_or_else(|| "a date is out of Arrow's range".into()),
    }
}

fn time(bytes: &[u8]) -> Outcome<i64> {
    let micros = i64::from_be_bytes(exactly(bytes)?);
    if (0..DAY_MICROS).contains(&micros) {
        return Ok(micros);
    }
    Err("a time is not before 24:00:00, which Arrow cannot hold".into())
}

fn timestamp(bytes: &[u8]) -> Outcome<i64> {
    match i64::from_be_bytes(exactly(bytes)?) {
        i64::MAX | i64::MIN => Err("a timestamp is infinite, which Arrow cannot hold".into()),
        micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| "a timestamp is out of Arrow's range".into()),
    }
}

fn uuid<'a>(bytes: &[u8; 16], text: &'a mut [u8; 36]) -> &'a str {
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        for nibble in [byte >> 4, byte & 15] {
            text[at] = b"0123456789abcdef"[usize::from(nibble)];
            at += 1;
        }
    }
    std::str::from_utf8(text).unwrap_or_default()
}

/// Takes an array apart: dimensions, null flag, element type, then length and lower bound, then the elements.
fn list(bytes: &[u8], element: u32, mut item: impl FnMut(Option<&[u8]>) -> Outcome) -> Outcome {
    let mut rest = bytes;
    let word = |rest: &mut &[u8]| -> Outcome<i32> {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or("an array is cut short")?;
        *rest = tail;
        Ok(i32::from_be_bytes(*head))
    };
    let (dimensions, _has_null, oid) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)? as u32);
    if oid != element {
        return Err(format!("an array's elements have type OID {oid}, expected {element}"));
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = word(&mut rest)?;
            word(&mut rest)?;
            count
        }
        more => return Err(format!("an array has {more} dimensions, expected 1")),
    };
    for _ in 0..count {
        match word(&mut rest)? {
            -1 => item(None)?,
            length => {
                let length = usize::try_from(length).map_err(|_| "an array element has a negative length")?;
                let (value, tail) = rest.split_at_checked(length).ok_or("an array is cut short")?;
                item(Some(value))?;
                rest = tail;
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("an array is followed by {} stray bytes", rest.len())) }
}
