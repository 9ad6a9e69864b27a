//! What to do about columns that cannot be copied as they are.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use arrow::datatypes::DataType;

use super::super::copy::PgType;

/// What to do about an Arrow type that a PostgreSQL type (`None`: none that COPY BINARY is known for here) does not take.
pub(super) fn advice(arrow: &DataType, pg: Option<PgType>) -> &'static str {
    match arrow {
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => "turn it into JSON text",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..) => "turn it into JSON text, or into a list of what an array holds",
        DataType::Duration(_) | DataType::Interval(_) => {
            "copy it into an interval, or turn it into a number of seconds"
        }
        DataType::RunEndEncoded(..) => "cast it to its values' type",
        _ => match pg {
            None => "copy it into a column of a plain type and cast it in SQL",
            Some(PgType::Char) => "copy it into a column of type text and cast it in SQL",
            Some(PgType::Text | PgType::Varchar | PgType::Bpchar | PgType::Json | PgType::Jsonb) => {
                "cast it to a string"
            }
            Some(PgType::Name | PgType::AsText | PgType::Inet | PgType::Cidr) => "cast it to a string",
            Some(PgType::Interval) => "write it as a duration, an interval or its text",
            Some(PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid) => "cast it to an integer",
            Some(PgType::Float4 | PgType::Float8) => "cast it to a float of that size",
            Some(PgType::Numeric | PgType::Decimal(..)) => "cast it to a decimal",
            Some(PgType::Date) => "cast it to a date",
            Some(PgType::Time) => "cast it to a time of day",
            Some(PgType::Timestamp | PgType::Timestamptz) => "cast it to a timestamp",
            Some(PgType::Bool) => "cast it to a boolean",
            Some(PgType::Bytea) => "cast it to binary",
            Some(PgType::Uuid) => "write it as text or as 16 bytes",
            Some(PgType::Array(_)) => "turn it into a list, or into text such as {a,b}",
        },
    }
}
