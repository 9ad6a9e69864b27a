//! The rows of a query, as they stand on the wire.

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::StreamExt;

use super::super::client::{Session, server_error};
use super::wire::{Field, HEADER, split};
use crate::control::Cancel;
use crate::error::{Error, Result};

/// An instant as SQL takes it.
pub(crate) fn literal(micros: i64) -> Result<String> {
    let time = DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| Error::config(format!("{micros} microseconds since 1970 are no time PostgreSQL can hold")))?;
    Ok(format!("'{}'::timestamptz", time.format("%Y-%m-%d %H:%M:%S%.6f+00")))
}

/// Streams the rows of a query, each in its fields.
pub(crate) async fn stream(
    session: &Session,
    sql: &str,
    cancel: &Cancel,
    row: &mut (dyn FnMut(&[Field<'_>]) -> Result<()> + Send),
) -> Result<()> {
    let failed = |e| server_error(e, "reading the history failed");
    let chunks = session.copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT BINARY)")).await.map_err(failed)?;
    let mut chunks = std::pin::pin!(chunks);
    let mut rows = Cut { pending: BytesMut::new(), is_open: false, count: 0 };
    while let Some(chunk) = chunks.next().await {
        rows.take(chunk.map_err(failed)?, cancel, row)?;
    }
    Ok(())
}

/// Cuts a COPY stream into rows. The server sends a row a message, so mostly nothing is left over or copied.
struct Cut {
    pending: BytesMut,
    is_open: bool,
    count: u64,
}

impl Cut {
    fn take(
        &mut self,
        chunk: Bytes,
        cancel: &Cancel,
        row: &mut (dyn FnMut(&[Field<'_>]) -> Result<()> + Send),
    ) -> Result<()> {
        let chunk = if self.pending.is_empty() {
            chunk
        } else {
            self.pending.extend_from_slice(&chunk);
            self.pending.split().freeze()
        };
        let mut at = 0;
        if !self.is_open && chunk.len() >= HEADER.len() {
            (self.is_open, at) = (true, HEADER.len());
        }
        let mut fields = Vec::with_capacity(16);
        while let Some(length) = split(&chunk[at..], &mut fields).filter(|_| self.is_open) {
            at += length;
            if !fields.is_empty() {
                row(&fields)?;
            }
            self.count += 1;
            if self.count.is_multiple_of(65_536) {
                cancel.check()?;
            }
        }
        self.pending.extend_from_slice(&chunk[at..]);
        Ok(())
    }
}
