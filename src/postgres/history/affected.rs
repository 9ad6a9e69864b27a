//! The keys whose history is worked out anew.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::copy_in::CHUNK_BYTES;
use super::wire::{Field, HEADER, put_field};
use crate::error::{Error, Result};

/// The keys whose history has to be worked out anew, numbered from 0, and where to find what is said of each.
pub(crate) struct Affected<P> {
    /// By key, where its statements end in `statements`.
    ends: Vec<u32>,
    statements: Vec<P>,
    /// Rows of number and key.
    chunks: Vec<Bytes>,
    open: BytesMut,
    /// Whether a part of a key is NULL.
    pub(crate) has_null: bool,
}

impl<P> Default for Affected<P> {
    fn default() -> Self {
        Self { ends: Vec::new(), statements: Vec::new(), chunks: Vec::new(), open: BytesMut::new(), has_null: false }
    }
}

impl<P: Copy> Affected<P> {
    /// Adds a key.
    pub(crate) fn push(&mut self, key: &[Field<'_>], statements: &[P]) -> Result<()> {
        let number = i32::try_from(self.ends.len()).map_err(|_| Error::data("the snapshot changes too many keys"))?;
        if self.open.is_empty() && self.chunks.is_empty() {
            self.open.put_slice(HEADER);
        }
        self.open.put_i16(1 + key.len() as i16);
        put_field(&mut self.open, Some(&number.to_be_bytes()));
        for field in key {
            self.has_null |= field.is_none();
            put_field(&mut self.open, *field);
        }
        if self.open.len() > CHUNK_BYTES {
            self.chunks.push(self.open.split().freeze());
        }
        self.statements.extend_from_slice(statements);
        self.ends.push(self.statements.len() as u32);
        Ok(())
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where to find what is said of a key.
    pub(crate) fn statements(&self, number: usize) -> &[P] {
        let end = |number: usize| self.ends.get(number).copied().unwrap_or_default() as usize;
        let start = if number == 0 { 0 } else { end(number - 1) };
        &self.statements[start..end(number)]
    }

    /// The rows of number and key, as one COPY stream.
    pub(super) fn take_chunks(&mut self) -> Vec<Bytes> {
        self.open.put_i16(-1);
        self.chunks.push(self.open.split().freeze());
        std::mem::take(&mut self.chunks)
    }
}
