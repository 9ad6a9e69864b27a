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
//! | `Int8…Int64`, `UInt8…UInt64` | `int2`, `int4`, `int8`, `oid` | narrowing is checked value by value |
//! | `Int8…Int64`, `UInt8…UInt64` | `numeric` | |
//! | `Int8`, `Int16`, `UInt8`, `UInt16` | `float4`, `float8` | exact |
//! | `Int32`, `UInt32` | `float8` | exact |
//! | `Float16`, `Float32` | `float4`, `float8` | exact; NaN and infinities are kept |
//! | `Float64` | `float8` | NaN and infinities are kept |
//! | `Decimal32`, `Decimal64`, `Decimal128`, `Decimal256` | `numeric` | any scale; the server applies the column's own precision |
//! | `Utf8`, `LargeUtf8`, `Utf8View` | `text`, `varchar`, `bpchar`, `json`, `jsonb`, `name` | U+0000 is refused; enums and `citext` too |
//! | `Utf8`, `LargeUtf8`, `Utf8View` | `uuid` | 32 hexadecimal digits, with or without hyphens and braces |
//! | `Utf8`, `LargeUtf8`, `Utf8View` | `inet`, `interval` | addresses with or without `/bits`; `1 day 02:03:04.5`, `P1DT2H3M4.5S` |
//! | `Utf8`, `LargeUtf8`, `Utf8View` | arrays | PostgreSQL's own form: `{a,"b c",NULL}` |
//! | `FixedSizeBinary(16)` | `uuid` | |
//! | `Binary`, `LargeBinary`, `BinaryView` | `text`, `varchar`, `bpchar`, `json`, `jsonb`, `name` | bytes that are UTF-8, as Impala writes text |
//! | `Binary`, `LargeBinary`, `BinaryView`, `FixedSizeBinary(n)` | `bytea` | |
//! | `Date32`, `Date64` | `date` | milliseconds are cut to the day; PostgreSQL's range is checked |
//! | `Time32`, `Time64` | `time` | nanoseconds are cut to microseconds |
//! | `Timestamp` with or without zone | `timestamptz` | without: UTC; nanoseconds cut towards the past; range checked |
//! | `Timestamp` with or without zone | `timestamp` | with: the clock of UTC |
//! | `List`, `LargeList` of strings | `text[]`, `varchar[]`, `uuid[]`, `inet[]` | arrays of enums, of `citext` and of domains too |
//! | `List`, `LargeList` of strings | `numeric[]` | `1.50`, `2e-3`, `NaN`: any number of digits |
//! | `List`, `LargeList` of integers | `int2[]`, `int4[]`, `int8[]`, `numeric[]`, `oid[]` | narrowing is checked value by value |
//! | `List`, `LargeList` of `Decimal32`, `Decimal64`, `Decimal128`, `Decimal256` | `numeric[]` | any scale |
//! | `List`, `LargeList` of `Int8`, `Int16`, `UInt8`, `UInt16` | `float4[]`, `float8[]` | exact |
//! | `List`, `LargeList` of `Int32`, `UInt32` | `float8[]` | exact |
//! | `List`, `LargeList` of `Float32` | `float4[]`, `float8[]` | |
//! | `List`, `LargeList` of `Float64` | `float8[]` | |
//! | `List`, `LargeList` of `Boolean` | `bool[]` | |
//! | `List`, `LargeList` of `Binary`, `LargeBinary`, `BinaryView`, `FixedSizeBinary(n)` | `bytea[]` | |
//! | `List`, `LargeList` of `Binary`, `LargeBinary`, `BinaryView` | `text[]`, `varchar[]` | bytes that are UTF-8 |
//! | `List`, `LargeList` of `FixedSizeBinary(16)` | `uuid[]` | |
//! | `List`, `LargeList` of `Date32` | `date[]` | |
//! | `List`, `LargeList` of `Time32`, `Time64` | `time[]` | nanoseconds are cut to microseconds |
//! | `List`, `LargeList` of `Timestamp` | `timestamp[]`, `timestamptz[]` | |
//! | `Duration`, `Interval` | `interval` | nanoseconds cut towards the past |
//! | `Null` | any | |
//! | `Int64`, `UInt64` | `float4`, `float8` | **unsupported**: may lose digits |
//! | `Float64` | `float4` | **unsupported**: may lose digits |
//! | floats | `numeric`, integers | **unsupported**: round them to a decimal first |
//! | decimals | integers, floats | **unsupported** |
//! | strings | numbers, dates, times, `bool`, `bytea` | **unsupported**: parse them first |
//! | strings | `oid` | **unsupported** |
//! | numbers, dates, times | strings | **unsupported** |
//! | `Struct`, `Map`, `Union` | any | **unsupported**: turn them into JSON text first |
//! | `ListView`, `FixedSizeList`, nested lists, `RunEndEncoded` | any | **unsupported** |
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
//! | `text`, `varchar`, `bpchar`, `json`, `jsonb`, `name`, `"char"`, enums, `citext` | `Utf8` | |
//! | `inet`, `cidr` | `Utf8` | `/bits` where it is not the whole address |
//! | `interval` | `Interval(MonthDayNano)` | beyond 292 years of hours: a data error |
//! | `oid` | `UInt32` | |
//! | `uuid` | `Utf8` | 36 characters, lower case |
//! | `bytea` | `Binary` | |
//! | `date` | `Date32` | `infinity` is a data error |
//! | `time` | `Time64(µs)` | `24:00:00` is a data error |
//! | `timestamp`, `timestamptz` | `Timestamp(µs)` without zone, with `UTC` | `infinity` is a data error |
//! | arrays of all of these | `List` | one dimension; its lower bound is forgotten |
//! | anything else | | **unsupported**: cast it in the query |
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::fmt;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

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
    /// `name`
    Name,
    /// `"char"`, one byte
    Char,
    /// `oid`
    Oid,
    /// `inet`
    Inet,
    /// `cidr`
    Cidr,
    /// `interval`
    Interval,
    /// A type of the database's own that goes over the wire as its text: an enum, `citext`.
    AsText,
    /// An array of one dimension.
    Array(Element),
}

/// What an array is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    /// How elements are written and read.
    pub(super) pg: &'static PgType,
    /// Their OID in the database: of a domain or an enum its own.
    pub(super) oid: u32,
}

/// The array of a type, whose elements have this OID.
pub(super) const fn array(pg: &'static PgType, oid: u32) -> PgType {
    PgType::Array(Element { pg, oid })
}

/// The largest precision that fits Arrow's `Decimal128`.
const DECIMAL128_DIGITS: u16 = 38;

impl PgType {
    /// `text[]`
    pub const TEXT_ARRAY: Self = array(&Self::Text, 25);
    /// `int8[]`
    pub const INT8_ARRAY: Self = array(&Self::Int8, 20);

    /// Every type that Arrow data is commonly written to, `Numeric` standing for `Decimal` too.
    pub const ALL: [Self; 37] = [
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
        Self::Name,
        Self::Oid,
        Self::Inet,
        Self::Interval,
        Self::TEXT_ARRAY,
        Self::INT8_ARRAY,
        array(&Self::Varchar, 1043),
        array(&Self::Uuid, 2950),
        array(&Self::Inet, 869),
        array(&Self::Bool, 16),
        array(&Self::Int2, 21),
        array(&Self::Int4, 23),
        array(&Self::Float4, 700),
        array(&Self::Float8, 701),
        array(&Self::Numeric, 1700),
        array(&Self::Bytea, 17),
        array(&Self::Oid, 26),
        array(&Self::Date, 1082),
        array(&Self::Time, 1083),
    ];

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
            "name" => Self::Name,
            "oid" => Self::Oid,
            "inet" => Self::Inet,
            "cidr" => Self::Cidr,
            "interval" => Self::Interval,
            array => {
                let element = array.strip_suffix("[]").or_else(|| array.strip_prefix('_')).ok_or_else(unknown)?;
                let element = Self::from_sql(element).map_err(|_| unknown())?;
                return match element {
                    Self::Array(_) | Self::Decimal(..) => Err(unknown()),
                    scalar => Self::array_of(scalar, scalar.oid()).ok_or_else(unknown),
                };
            }
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
            Self::Name | Self::Char | Self::Inet | Self::Cidr | Self::AsText => DataType::Utf8,
            Self::Oid => DataType::UInt32,
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Array(element) => DataType::List(Field::new_list_field(element.pg.arrow(), true).into()),
        }
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
            Self::Char => f.write_str("\"char\""),
            Self::AsText => f.write_str("a type of this database"),
            Self::Array(element) => write!(f, "{}[]", element.pg),
            other => f.write_str(&other.typname()),
        }
    }
}
