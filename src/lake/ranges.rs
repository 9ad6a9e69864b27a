//! Reads a remote Parquet file in ranges, a few large requests for each column chunk.

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use super::open::{Lake, stoppable};
use crate::control::Cancel;
use crate::error::{Error, Result};

/// Bytes of one request, unless the column chunk ends before.
const WINDOW_BYTES: u64 = 8 << 20;
/// What a page header may take at most without asking again.
const HEADER_BYTES: u64 = 64 << 10;
/// The first guess at a footer.
const FOOTER_BYTES: u64 = 256 << 10;

/// A file in an object store.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    lake: Lake,
    store: Arc<dyn ObjectStore>,
    location: Path,
    size_bytes: u64,
    name: String,
    cancel: Cancel,
}

impl Remote {
    pub(super) fn new(
        lake: Lake,
        store: Arc<dyn ObjectStore>,
        location: Path,
        size_bytes: u64,
        name: String,
        cancel: Cancel,
    ) -> Self {
        Self { lake, store, location, size_bytes, name, cancel }
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let got = stoppable(&self.cancel, self.store.get_range(&self.location, range)).await?;
        got.map_err(|e| self.lake.failed(e, "reading", &self.name))
    }

    /// Its bytes for one decoder, which reads these column chunks.
    pub(super) fn chunks(&self, chunks: Vec<(u64, u64)>) -> RemoteChunks {
        RemoteChunks { remote: self.clone(), runtime: Handle::try_current().ok(), chunks, windows: Mutex::default() }
    }
}

/// Reads the footer, with a second request only if it is very large.
pub(super) async fn read_footer(remote: &Remote) -> Result<Arc<ParquetMetaData>> {
    let damaged = |e: ParquetError| {
        let what = format!("{} has a footer that cannot be read: {e}; write the file again", remote.name);
        Error::data(what).with("file", &remote.name).because(e)
    };
    let mut reader = ParquetMetaDataReader::new();
    let mut from = remote.size_bytes.saturating_sub(FOOTER_BYTES);
    loop {
        let tail = remote.fetch(from..remote.size_bytes).await?;
        match reader.try_parse_sized(&tail, remote.size_bytes) {
            Ok(()) => return reader.finish().map(Arc::new).map_err(damaged),
            Err(ParquetError::NeedMoreData(needed)) if from > 0 => {
                from = remote.size_bytes.saturating_sub((needed as u64).max(2 * (remote.size_bytes - from)));
            }
            Err(e) => return Err(damaged(e)),
        }
    }
}

/// The bytes of some column chunks, fetched ahead in windows: one a chunk is kept.
pub(super) struct RemoteChunks {
    remote: Remote,
    runtime: Option<Handle>,
    /// Start and length.
    chunks: Vec<(u64, u64)>,
    /// Of each chunk that was read from: start and bytes of the window.
    windows: Mutex<Vec<(usize, u64, Bytes)>>,
}

impl RemoteChunks {
    /// At least `least` bytes from `start` on, unless the file ends before.
    fn window(&self, start: u64, least: u64) -> Result<Bytes> {
        let chunk = self.chunks.iter().position(|(from, length)| (*from..from + length).contains(&start));
        let end = chunk.map_or(self.remote.size_bytes, |c| self.chunks[c].0 + self.chunks[c].1);
        let end = end.max(start + least).min(self.remote.size_bytes);
        let key = chunk.unwrap_or(usize::MAX);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = windows.iter().position(|(chunk, ..)| *chunk == key);
        if let Some((_, from, bytes)) = known.map(|at| &windows[at]) {
            let until = from + bytes.len() as u64;
            if *from <= start && (start + least <= until || until >= end) {
                return Ok(bytes.slice((start - from).min(bytes.len() as u64) as usize..));
            }
        }
        let until = (start + least.max(WINDOW_BYTES)).min(end);
        let runtime =
            self.runtime.as_ref().ok_or_else(|| Error::internal("a remote file is read without a runtime"))?;
        let bytes = runtime.block_on(self.remote.fetch(start..until))?;
        let window = (key, start, bytes.clone());
        match known {
            Some(at) => windows[at] = window,
            None => windows.push(window),
        }
        Ok(bytes)
    }
}

fn lost(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl Length for RemoteChunks {
    fn len(&self) -> u64 {
        self.remote.size_bytes
    }
}

impl ChunkReader for RemoteChunks {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Box::new(self.window(start, HEADER_BYTES).map_err(lost)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.window(start, length as u64).map_err(lost)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the file's end")));
        }
        Ok(bytes.slice(..length))
    }
}
