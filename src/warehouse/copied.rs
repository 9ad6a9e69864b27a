//! What all rows that are copied into the warehouse need.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::NaiveDate;

use super::ledger;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::load::{Feed, Unit};
use crate::model::Kind;
use crate::postgres::copy::PgType;
use crate::postgres::{Session, Target, copy_here};

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
    vec![("dt", format!("'{dt}'")), ("load_id", format!("'{}'", ledger::load_id(dt)))]
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

/// A batch of columns by name.
pub(super) fn named(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), false);
    let schema: SchemaRef = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    batch_of(&schema, columns.into_iter().map(|(_, column)| column).collect())
}

/// Rows that are made already.
struct Ready(RecordBatch);

impl Feed for Ready {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn units(&self) -> usize {
        1
    }

    fn read(&self, _: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        sink(self.0.clone())
    }
}

/// Copies a few rows into the columns that they name, within the caller's transaction.
pub(super) async fn copy_rows(session: &Session, table: &str, rows: RecordBatch, cancel: &Cancel) -> Result<()> {
    let schema = rows.schema();
    let column = |name: &str, data_type: &DataType| {
        let kind = PgType::of_arrow(data_type);
        Ok((name.to_owned(), kind.ok_or_else(|| Error::internal(format!("column {name} has no type in {table}")))?))
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type()));
    let target = Target::new(table.to_owned(), columns.collect::<Result<_>>()?);
    // These rows stand for others that were counted already.
    copy_here(session, &target, Arc::new(Ready(rows)), cancel, &Progress::default()).await.map(drop)
}
