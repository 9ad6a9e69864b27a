//! The PostgreSQL types that cross the wire here, with their OIDs and Arrow counterparts.
//!
//! # Encoding: Arrow to PostgreSQL
//!
//! Every pair that is not in this table is refused with a schema error before a byte is made. NULLs of every
//! type, and Arrow `Null` columns, become SQL NULL. `Dictionary(_, V)` goes wherever `V` goes.
//!
//! | Arrow | PostgreSQL | remarks |
//! |---|---|---|
//! | `Boolean` | `bool` | |
//! | `Int8…Int64`, `UInt8…UInt64` | `int2`, `int4`, `int8` | narrowing is checked value by value |
//! | `Int8…Int64`, `UInt8…UInt64` | `numeric` | |
//! | `Int8`, `Int16`, `UInt8`, `UInt16` | `float4`, `float8` | exact |
//! | `Int32`, `UInt32` | `float8` | exact |
//! | `Float16`, `Float32` | `float4`, `float8` | exact; NaN and infinities are kept |
//! | `Float64` | `float8` | NaN and infinities are kept |
//! | `Decimal32`, `Decimal64`, `Decimal128`, `Decimal256` | `numeric` | any scale; the server applies the column's own precision |
//! | `Utf8`, `LargeUtf8`, `Utf8View` | `text`, `varchar`, `bpchar`, `json`, `jsonb` | U+0000 is refused |
//! | `Utf8`, `LargeUtf8`, `Utf8View` | `uuid` | 32 hexadecimal digits, with or without hyphens and braces |
//! | `FixedSizeBinary(16)` | `uuid` | |
//! | `Binary`, `LargeBinary`, `BinaryView`, `FixedSizeBinary(n)` | `bytea` | |
//! | `Date32`, `Date64` | `date` | milliseconds are cut to the day; PostgreSQL's range is checked |
//! | `Time32`, `Time64` | `time` | nanoseconds are cut to microseconds |
//! | `Timestamp` with or without zone | `timestamptz` | without: UTC; nanoseconds cut towards the past; range checked |
//! | `Timestamp` with or without zone | `timestamp` | with: the clock of UTC |
//! | `List`, `LargeList` of strings | `text[]` | |
//! | `List`, `LargeList` of integers | `int8[]` | |
//! | `Null` | any | |
//! | `Int64`, `UInt64` | `float4`, `float8` | **unsupported**: may lose digits |
//! | `Float64` | `float4` | **unsupported**: may lose digits |
//! | floats | `numeric`, integers | **unsupported**: round them to a decimal first |
//! | decimals | integers, floats | **unsupported** |
//! | strings | numbers, dates, times, `bool`, `bytea` | **unsupported**: parse them first |
//! | numbers, dates, times | strings | **unsupported** |
//! | `Struct`, `Map`, `Union` | any | **unsupported**: turn them into JSON text first |
//! | `ListView`, `FixedSizeList`, nested lists, `RunEndEncoded` | any | **unsupported** |
//! | `Duration`, `Interval` | any | **unsupported** |
//!
//! # Decoding: PostgreSQL to Arrow
//!
//! | PostgreSQL | Arrow | remarks |
//! |---|---|---|
//! | `bool` | `Boolean` | |
//! | `int2`, `int4`, `int8` | `Int16`, `Int32`, `Int64` | |
//! | `float4`, `float8` | `Float32`, `Float64` | |
//! | `numeric(p,s)` with p ≤ 38 | `Decimal128(p,s)` | NaN, infinities and digits beyond the scale are data errors |
//! | `numeric` without or with larger precision | `Utf8` | the text that PostgreSQL prints, `NaN` and `Infinity` too |
//! | `text`, `varchar`, `bpchar`, `json`, `jsonb` | `Utf8` | |
//! | `uuid` | `Utf8` | 36 characters, lower case |
//! | `bytea` | `Binary` | |
//! | `date` | `Date32` | `infinity` is a data error |
//! | `time` | `Time64(µs)` | `24:00:00` is a data error |
//! | `timestamp`, `timestamptz` | `Timestamp(µs)` without zone, with `UTC` | `infinity` is a data error |
//! | `text[]`, `int8[]` | `List(Utf8)`, `List(Int64)` | one dimension; its lower bound is forgotten |
//! | anything else | | **unsupported**: cast it in the query |
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::fmt;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field, TimeUnit};

use super::prepare::prepare;
use crate::error::{Error, Result};

/// A PostgreSQL type that can be written and read by COPY BINARY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PgType {
    /// `bool`
    Bool,
    /// `int2`
    Int2,
    /// `int4`
    Int4,
    /// `int8`
    Int8,
    /// `float4`
    Float4,
    /// `float8`
    Float8,
    /// `numeric` without a declared precision.
    Numeric,
    /// `numeric(precision, scale)`.
    Decimal(u16, i16),
    /// `text`
    Text,
    /// `varchar`
    Varchar,
    /// `bpchar`, also known as `char(n)`
    Bpchar,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `uuid`
    Uuid,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time` without time zone
    Time,
    /// `timestamp` without time zone
    Timestamp,
    /// `timestamptz`
    Timestamptz,
    /// `text[]`
    TextArray,
    /// `int8[]`
    Int8Array,
}

/// The largest precision that fits Arrow's `Decimal128`.
const DECIMAL128_DIGITS: u16 = 38;

impl PgType {
    /// Every type, `Numeric` standing for `Decimal` too.
    pub const ALL: [Self; 20] = [
        Self::Bool,
        Self::Int2,
        Self::Int4,
        Self::Int8,
        Self::Float4,
        Self::Float8,
        Self::Numeric,
        Self::Text,
        Self::Varchar,
        Self::Bpchar,
        Self::Json,
        Self::Jsonb,
        Self::Uuid,
        Self::Bytea,
        Self::Date,
        Self::Time,
        Self::Timestamp,
        Self::Timestamptz,
        Self::TextArray,
        Self::Int8Array,
    ];

    /// The OID in `pg_type`.
    pub const fn oid(self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Bytea => 17,
            Self::Int8 => 20,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Text => 25,
            Self::Json => 114,
            Self::Float4 => 700,
            Self::Float8 => 701,
            Self::TextArray => 1009,
            Self::Int8Array => 1016,
            Self::Bpchar => 1042,
            Self::Varchar => 1043,
            Self::Date => 1082,
            Self::Time => 1083,
            Self::Timestamp => 1114,
            Self::Timestamptz => 1184,
            Self::Numeric | Self::Decimal(..) => 1700,
            Self::Uuid => 2950,
            Self::Jsonb => 3802,
        }
    }

    /// The name in `pg_type.typname`.
    pub const fn typname(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Bytea => "bytea",
            Self::Int8 => "int8",
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Text => "text",
            Self::Json => "json",
            Self::Float4 => "float4",
            Self::Float8 => "float8",
            Self::TextArray => "_text",
            Self::Int8Array => "_int8",
            Self::Bpchar => "bpchar",
            Self::Varchar => "varchar",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamptz",
            Self::Numeric | Self::Decimal(..) => "numeric",
            Self::Uuid => "uuid",
            Self::Jsonb => "jsonb",
        }
    }

    /// The type of an OID, if it is one of ours.
    pub fn from_oid(oid: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.oid() == oid)
    }

    /// Adds the precision and scale that `pg_attribute.atttypmod` holds for a numeric column.
    #[must_use]
    pub fn with_typmod(self, typmod: i32) -> Self {
        const HEADER: i32 = 4;
        if self != Self::Numeric || typmod < HEADER {
            return self;
        }
        let packed = typmod - HEADER;
        // The scale is a signed number of 11 bits.
        let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
        Self::Decimal(((packed >> 16) & 0xffff) as u16, scale as i16)
    }

    /// The type of an SQL name such as `text`, `numeric(12,2)`, `timestamp with time zone` or `bigint[]`.
    ///
    /// # Errors
    /// A schema error when the type is not one of ours.
    pub fn from_sql(sql: &str) -> Result<Self> {
        let unknown = || Error::schema(format!("PostgreSQL type {sql:?} is not supported by COPY here"));
        let lower = sql.trim().to_ascii_lowercase();
        let (name, arguments, rest) = match lower.split_once('(') {
            Some((name, tail)) => {
                let (arguments, rest) = tail.split_once(')').ok_or_else(unknown)?;
                (name.trim_end(), Some(arguments), rest)
            }
            None => (lower.as_str(), None, ""),
        };
        let full: Vec<&str> = name.split_whitespace().chain(rest.split_whitespace()).collect();
        Ok(match full.join(" ").as_str() {
            "bool" | "boolean" => Self::Bool,
            "int2" | "smallint" => Self::Int2,
            "int4" | "int" | "integer" => Self::Int4,
            "int8" | "bigint" => Self::Int8,
            "float4" | "real" => Self::Float4,
            "float8" | "double precision" => Self::Float8,
            "numeric" | "decimal" => match arguments {
                None => Self::Numeric,
                Some(arguments) => {
                    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
                    let precision = precision.trim().parse().map_err(|_| unknown())?;
                    Self::Decimal(precision, scale.trim().parse().map_err(|_| unknown())?)
                }
            },
            "text" => Self::Text,
            "varchar" | "character varying" => Self::Varchar,
            "bpchar" | "char" | "character" => Self::Bpchar,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytea,
            "date" => Self::Date,
            "time" | "time without time zone" => Self::Time,
            "timestamp" | "timestamp without time zone" => Self::Timestamp,
            "timestamptz" | "timestamp with time zone" => Self::Timestamptz,
            "text[]" | "_text" => Self::TextArray,
            "int8[]" | "bigint[]" | "_int8" => Self::Int8Array,
            _ => return Err(unknown()),
        })
    }

    /// The Arrow type into which [`Decoder`](super::Decoder) reads this type.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Decimal(..) => self.decimal128().map_or(DataType::Utf8, |(p, s)| DataType::Decimal128(p, s)),
            Self::Numeric | Self::Text | Self::Varchar | Self::Bpchar | Self::Json | Self::Jsonb | Self::Uuid => {
                DataType::Utf8
            }
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::TextArray => DataType::List(Field::new_list_field(DataType::Utf8, true).into()),
            Self::Int8Array => DataType::List(Field::new_list_field(DataType::Int64, true).into()),
        }
    }

    /// The type of a table's column made for an Arrow column; `None` where no type takes it.
    ///
    /// A timestamp without zone becomes `timestamp`: what its clock meant is the reader's to know.
    pub fn of_arrow(arrow: &DataType) -> Option<Self> {
        Some(match arrow {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64 => Self::Decimal(20, 0),
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => {
                // Servers before 15 know no negative scale.
                let whole = u16::from(*p) + u16::from(s.min(&0).unsigned_abs());
                Self::Decimal(whole, i16::from(*s.max(&0)))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytea
            }
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::Timestamptz,
            DataType::Dictionary(_, value) => return Self::of_arrow(value),
            DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
                integer if integer.is_integer() => Self::Int8Array,
                text if Self::TextArray.takes(arrow) && Self::of_arrow(text) == Some(Self::Text) => Self::TextArray,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Whether [`Encoder`](super::Encoder) writes this Arrow type as this PostgreSQL type.
    pub fn takes(self, arrow: &DataType) -> bool {
        prepare(&new_empty_array(arrow), self).is_some()
    }

    /// Precision and scale when every value of this type fits `Decimal128`.
    pub(super) fn decimal128(self) -> Option<(u8, i8)> {
        match self {
            // Arrow has no scale above the precision, PostgreSQL has.
            Self::Decimal(p, s) if (1..=DECIMAL128_DIGITS).contains(&p) && (-38..=p as i16).contains(&s) => {
                Some((p as u8, s as i8))
            }
            _ => None,
        }
    }
}

impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal(precision, scale) => write!(f, "numeric({precision},{scale})"),
            Self::TextArray => f.write_str("text[]"),
            Self::Int8Array => f.write_str("int8[]"),
            other => f.write_str(other.typname()),
        }
    }
}
