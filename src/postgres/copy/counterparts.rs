//! Which PostgreSQL type a column gets for an Arrow type, and which pairs of types can be written.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types: a few of many")]

use arrow::array::new_empty_array;
use arrow::datatypes::DataType;

use super::prepare::prepare;
use super::types::PgType;

impl PgType {
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
            DataType::Duration(_) | DataType::Interval(_) => Self::Interval,
            DataType::List(item) | DataType::LargeList(item) => {
                let element = match Self::of_arrow(item.data_type())? {
                    Self::Int2 | Self::Int4 | Self::Int8 => Self::Int8,
                    Self::Decimal(..) if item.data_type().is_integer() => Self::Int8,
                    Self::Decimal(..) => Self::Numeric,
                    element => element,
                };
                let array = Self::array_of(element, element.oid())?;
                return array.takes(arrow).then_some(array);
            }
            _ => return None,
        })
    }

    /// Whether [`Encoder`](super::Encoder) writes this Arrow type as this PostgreSQL type.
    pub fn takes(self, arrow: &DataType) -> bool {
        prepare(&new_empty_array(arrow), self).is_some()
    }
}
