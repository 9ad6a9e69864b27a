//! What a column of a raw file is: its name, its kind, and whether it must be there.

use arrow::datatypes::{DataType, TimeUnit};

/// What a column means, whatever physical type its writer chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text, kept as it came.
    Text,
    /// UTF-8 text that repeats much (keys of telemetry): dictionary-encoded in memory.
    Code,
    /// An instant in UTC, microseconds.
    Instant,
    /// A calendar date.
    Date,
    /// Currency units with two decimals.
    Money,
    /// A double: coordinates, speed, heading, distance.
    Float,
    /// A 32-bit integer.
    Integer,
    /// True or false.
    Boolean,
    /// JSON in canonical text.
    Json,
}

impl Kind {
    /// The Arrow type of a cleaned column of this kind.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::Code => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Money => DataType::Decimal128(12, 2),
            Self::Float => DataType::Float64,
            Self::Integer => DataType::Int32,
            Self::Boolean => DataType::Boolean,
        }
    }

    /// Whether it is text, however encoded.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Text | Self::Code => true,
            Self::Instant | Self::Date | Self::Money | Self::Float | Self::Integer | Self::Boolean | Self::Json => {
                false
            }
        }
    }

    /// Whether few values stand in many rows, by declaration: codes of telemetry.
    pub const fn is_code(self) -> bool {
        match self {
            Self::Code => true,
            Self::Text
            | Self::Instant
            | Self::Date
            | Self::Money
            | Self::Float
            | Self::Integer
            | Self::Boolean
            | Self::Json => false,
        }
    }

    /// The PostgreSQL type of the column in staging and the warehouse.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Text | Self::Code => "text",
            Self::Instant => "timestamptz",
            Self::Date => "date",
            Self::Money => "numeric(12,2)",
            Self::Float => "float8",
            Self::Integer => "int4",
            Self::Boolean => "bool",
            Self::Json => "jsonb",
        }
    }
}

/// One column of a raw dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the file, in staging and, where it is taken over, in the dimension.
    pub name: &'static str,
    /// What it means.
    pub kind: Kind,
    /// Whether a file without it is a schema error.
    pub required: bool,
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false }
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: true }
}
