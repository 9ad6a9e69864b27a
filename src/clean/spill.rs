//! Fixed-size records sorted into partitions by hash, in memory and, beyond a bound, in a scratch file.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::error::{Error, Result};

/// The number of partitions; a record's is told by the highest bits of its first word.
pub(super) const PARTITIONS: usize = 256;
const PARTITION_SHIFT: u32 = 56;
const READ_RECORDS: usize = 16 * 1024;

/// Records of `stride` words.
#[derive(Debug)]
pub(super) struct Records {
    stride: usize,
    limit_words: usize,
    words: usize,
    partitions: Vec<Vec<u64>>,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Spilled {
    file: File,
    end: u64,
    /// Where each partition's runs lie: offset and words.
    runs: Vec<Vec<(u64, usize)>>,
}

impl Records {
    /// Keeps at most about `memory_bytes` in memory.
    pub(super) fn new(stride: usize, memory_bytes: u64) -> Self {
        // Vectors grow by doubling, so half of the bound is theirs to fill.
        let limit_words = usize::try_from(memory_bytes / 16).unwrap_or(usize::MAX);
        Self { stride, limit_words, words: 0, partitions: vec![Vec::new(); PARTITIONS], spilled: None }
    }

    /// Adds a record; its first word chooses the partition.
    #[inline]
    pub(super) fn push<const WORDS: usize>(&mut self, record: [u64; WORDS]) -> Result<()> {
        let partition = record.first().map_or(0, |word| (word >> PARTITION_SHIFT) as usize);
        if let Some(words) = self.partitions.get_mut(partition) {
            words.extend_from_slice(&record);
            self.words += WORDS;
        }
        if self.words > self.limit_words {
            return self.spill();
        }
        Ok(())
    }

    /// The number of records of a partition.
    pub(super) fn count(&self, partition: usize) -> usize {
        let kept = self.partitions.get(partition).map_or(0, Vec::len);
        let runs = self.spilled.as_ref().and_then(|s| s.runs.get(partition));
        (kept + runs.map_or(0, |runs| runs.iter().map(|(_, words)| words).sum())) / self.stride
    }

    /// Hands every record of a partition to `each`, in order of addition.
    pub(super) fn scan(&self, partition: usize, mut each: impl FnMut(&[u64]) -> bool) -> Result<bool> {
        if let Some(spilled) = &self.spilled
            && !spilled.scan(partition, self.stride, &mut each).map_err(failed)?
        {
            return Ok(false);
        }
        let words = self.partitions.get(partition).map_or(&[][..], Vec::as_slice);
        Ok(words.chunks_exact(self.stride).all(each))
    }

    #[cold]
    fn spill(&mut self) -> Result<()> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            empty => empty.insert(Spilled {
                file: tempfile::tempfile().map_err(failed)?,
                end: 0,
                runs: vec![Vec::new(); PARTITIONS],
            }),
        };
        spilled.append(&mut self.partitions).map_err(failed)?;
        self.words = 0;
        Ok(())
    }
}

impl Spilled {
    fn append(&mut self, partitions: &mut [Vec<u64>]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        let mut bytes = Vec::new();
        for (words, runs) in partitions.iter_mut().zip(&mut self.runs) {
            if words.is_empty() {
                continue;
            }
            bytes.clear();
            bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            self.file.write_all(&bytes)?;
            runs.push((self.end, words.len()));
            self.end += words.len() as u64 * 8;
            words.clear();
        }
        Ok(())
    }

    fn scan(&self, partition: usize, stride: usize, each: &mut impl FnMut(&[u64]) -> bool) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let mut words = Vec::new();
        for (offset, length) in self.runs.get(partition).map_or(&[][..], Vec::as_slice) {
            let (mut at, mut left) = (*offset, *length);
            while left > 0 {
                let now = left.min(READ_RECORDS * stride);
                bytes.resize(now * 8, 0);
                // By place, not by the file's own position: several threads read.
                self.file.read_exact_at(&mut bytes, at)?;
                at += bytes.len() as u64;
                words.clear();
                words.extend(bytes.chunks_exact(8).map(|b| {
                    let mut word = [0; 8];
                    word.copy_from_slice(b);
                    u64::from_ne_bytes(word)
                }));
                left -= now;
                if !words.chunks_exact(stride).all(&mut *each) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn failed(error: io::Error) -> Error {
    let folder = std::env::temp_dir();
    Error::storage(format!("scratch space in {} failed: {error}; free some or set TMPDIR", folder.display()))
        .because(error)
}
