//! Encoded rows, kept until it is known which of them matter: in memory up to a bound, beyond it in a temporary file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use bytes::Bytes;

use crate::error::{Error, Result};

/// Where a row begins: the number of its block and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) at: u32,
}

#[derive(Debug)]
enum Block {
    Memory(Bytes),
    Spilled { at: u64, length: usize },
}

/// Blocks of encoded rows.
#[derive(Debug)]
pub(super) struct Rows {
    blocks: Vec<Block>,
    memory_bytes: usize,
    memory_limit: usize,
    file: Option<File>,
    file_bytes: u64,
    /// The spilled block read last.
    recent: Option<(u32, Bytes)>,
}

impl Rows {
    /// No rows; at most `memory_limit` bytes of those to come stay in memory.
    pub(super) fn new(memory_limit: usize) -> Self {
        Self { blocks: Vec::new(), memory_bytes: 0, memory_limit, file: None, file_bytes: 0, recent: None }
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.memory_limit);
    }

    /// The number of the block that comes next.
    pub(super) fn next_number(&self) -> Result<u32> {
        u32::try_from(self.blocks.len()).map_err(|_| Error::data("the snapshot has too many rows"))
    }

    /// Keeps a block and gives its number.
    pub(super) fn push(&mut self, block: Bytes) -> Result<u32> {
        let number = self.next_number()?;
        if self.memory_bytes + block.len() <= self.memory_limit {
            self.memory_bytes += block.len();
            self.blocks.push(Block::Memory(block));
            return Ok(number);
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile().map_err(spill_failed)?,
        };
        file.seek(SeekFrom::Start(self.file_bytes)).and_then(|_| file.write_all(&block)).map_err(spill_failed)?;
        self.file = Some(file);
        self.blocks.push(Block::Spilled { at: self.file_bytes, length: block.len() });
        self.file_bytes += block.len() as u64;
        Ok(number)
    }

    /// The bytes from a row's first one on. Rows asked for in the order of their places are read once.
    pub(super) fn from(&mut self, place: Place) -> Result<Bytes> {
        let gone = || Error::internal("a kept row is gone");
        let block = match self.blocks.get(place.block as usize).ok_or_else(gone)? {
            Block::Memory(bytes) => bytes.clone(),
            Block::Spilled { at, length } => match &self.recent {
                Some((number, bytes)) if *number == place.block => bytes.clone(),
                _ => {
                    let mut bytes = vec![0; *length];
                    let file = self.file.as_mut().ok_or_else(gone)?;
                    file.seek(SeekFrom::Start(*at)).and_then(|_| file.read_exact(&mut bytes)).map_err(spill_failed)?;
                    let bytes = Bytes::from(bytes);
                    self.recent = Some((place.block, bytes.clone()));
                    bytes
                }
            },
        };
        Ok(block.slice(place.at as usize..))
    }
}

fn spill_failed(cause: std::io::Error) -> Error {
    Error::storage(format!("the temporary file for a snapshot's rows cannot be used: {cause}")).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_memory_and_from_the_file() {
        let mut rows = Rows::new(10);
        for block in ["0123456789", "abcdef", "ABC"] {
            rows.push(Bytes::from(block)).unwrap();
        }
        let mut at = |block, at| rows.from(Place { block, at }).unwrap();
        assert_eq!((at(0, 3), at(2, 0), at(1, 4)), ("3456789".into(), "ABC".into(), "ef".into()));
    }
}
