//! What all rows that are copied into the warehouse need.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;

use super::context::Warehouse;
use crate::error::{Error, Result};
use crate::model::Kind;
use crate::postgres::copy::PgType;

/// The PostgreSQL type that a cleaned column is copied as.
pub(super) fn pg_type(kind: Kind) -> PgType {
    match kind {
        Kind::Text | Kind::Code => PgType::Text,
        Kind::Instant => PgType::Timestamptz,
        Kind::Date => PgType::Date,
        Kind::Money => PgType::Numeric,
        Kind::Float => PgType::Float8,
        Kind::Integer => PgType::Int4,
        Kind::Boolean => PgType::Bool,
        Kind::Json => PgType::Jsonb,
    }
}

/// What all rows of a raw day have in common, as columns and SQL.
pub(super) fn shared(dt: NaiveDate) -> Vec<(&'static str, String)> {
    vec![("dt", format!("'{dt}'")), ("load_id", format!("'{}'", Warehouse::load_id(dt)))]
}

/// A batch of columns that were made for a schema.
pub(super) fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|e| Error::internal("columns do not fit their table").because(e))
}

/// The last line of defence: what went over the wire is what the ledger will say.
pub(super) fn expect_rows(copied: u64, expected: u64, table: &str) -> Result<()> {
    if copied == expected {
        return Ok(());
    }
    Err(Error::internal(format!("{copied} rows were copied, {expected} were judged; nothing was published"))
        .with("table", table))
}
