//! Queries with Arrow results, over COPY OUT BINARY.
#![allow(clippy::wildcard_enum_match_arm, reason = "the driver's kinds may grow")]

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::StreamExt;
use tokio_postgres::types::{Kind as TypeKind, Type};

use super::client::{Session, server_error};
use super::copy::{Decoder, PgType};
use super::database::Database;
use crate::error::{Error, Result};

/// Rows of one batch of a result.
const BATCH_ROWS: usize = 65_536;

/// Runs a query of the user's, read-only and with the server's own search path.
pub async fn query(database: &Database, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let session = database.address.session().await?;
    session.run(QUESTION).await?;
    let answer = read_all(&session, sql).await?;
    end(session).await?;
    Ok(answer)
}

/// Begins what a question of the user's runs in: read-only and with the server's own search path, until it ends.
pub(super) const QUESTION: &str = "BEGIN READ ONLY; SET LOCAL search_path TO DEFAULT";

/// Ends a question; what a function of it set goes too.
pub(super) async fn end(session: Session) -> Result<()> {
    session.run("ROLLBACK").await?;
    session.release().await;
    Ok(())
}

/// All rows of a query.
pub(crate) async fn read_all(session: &Session, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let mut batches = Vec::new();
    let schema = read(session, sql, &mut |batch| {
        batches.push(batch);
        Ok(())
    })
    .await?;
    Ok((schema, batches))
}

/// Streams the rows of a query, batch by batch.
pub(crate) async fn read(
    session: &Session,
    sql: &str,
    sink: &mut (dyn FnMut(RecordBatch) -> Result<()> + Send),
) -> Result<SchemaRef> {
    let sql = sql.trim().trim_end_matches(';');
    let statement = session.prepare(sql).await.map_err(|e| server_error(e, "the query cannot be run"))?;
    let mut columns = Vec::with_capacity(statement.columns().len());
    for column in statement.columns() {
        let kind = known(column.type_()).ok_or_else(|| {
            Error::schema(format!(
                "column {} has type {}, which has no Arrow counterpart here; cast it in the query, for example {}::text",
                column.name(),
                column.type_().name(),
                column.name()
            ))
            .with("column", column.name())
        })?;
        columns.push((column.name().to_owned(), kind.with_typmod(column.type_modifier())));
    }
    if columns.is_empty() {
        return Err(Error::config("the statement returns no rows; expected a SELECT"));
    }
    let mut decoder = Decoder::new(&columns);
    let schema = decoder.schema();
    let failed = |e| server_error(e, "the query failed");
    let stream = session.copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT BINARY)")).await.map_err(failed)?;
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        let chunk: Bytes = chunk.map_err(failed)?;
        decoder.push(&chunk)?;
        if let Some(batch) = decoder.take_batch(BATCH_ROWS)? {
            sink(batch)?;
        }
    }
    if let Some(batch) = decoder.finish()? {
        sink(batch)?;
    }
    Ok(schema)
}

/// How a type of the server is read.
fn known(kind: &Type) -> Option<PgType> {
    PgType::from_oid(kind.oid()).or_else(|| match kind.kind() {
        TypeKind::Enum(_) => Some(PgType::AsText),
        TypeKind::Domain(base) => known(base),
        TypeKind::Array(element) => PgType::array_of(known(element)?, element.oid()),
        TypeKind::Simple if kind.name() == "citext" => Some(PgType::AsText),
        _ => None,
    })
}
