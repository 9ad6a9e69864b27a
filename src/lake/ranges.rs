//! Reads a remote Parquet file in ranges, a few large requests for each column chunk.

use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// Bytes of small files that one opening keeps.
const KEPT_BYTES: u64 = 64 << 20;
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
    /// Where its bytes are fetched; decoders run on threads of their own.
    runtime: Option<Handle>,
    /// All of a small file, if there was room to keep it.
    whole: Option<Bytes>,
}

/// Column chunks that were fetched before they were asked for: start and bytes of each.
pub(super) type Fetched = Vec<(u64, Bytes)>;

/// Bytes of small files that came with their footers and may still be kept.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<AtomicU64>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(KEPT_BYTES)))
    }

    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
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
        let runtime = Handle::try_current().ok();
        Self { lake, store, location, size_bytes, name, cancel, runtime, whole: None }
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let got = stoppable(&self.cancel, self.store.get_range(&self.location, range)).await?;
        got.map_err(|e| self.lake.failed(e, "reading", &self.name))
    }

    /// Fetches column chunks at once, unless they are large or here already: how many bytes, and the work.
    pub(super) fn fetch_ahead(
        &self,
        chunks: Vec<(u64, u64)>,
    ) -> Option<(u64, impl Future<Output = Result<Fetched>> + Send + 'static)> {
        let bytes = chunks.iter().map(|(_, length)| length).sum();
        if self.whole.is_some() || chunks.is_empty() || bytes > WINDOW_BYTES {
            return None;
        }
        let remote = self.clone();
        let work = async move {
            let ranges: Vec<Range<u64>> = chunks.iter().map(|(start, length)| *start..start + length).collect();
            let got = stoppable(&remote.cancel, remote.store.get_ranges(&remote.location, &ranges)).await?;
            let got = got.map_err(|e| remote.lake.failed(e, "reading", &remote.name))?;
            Ok(ranges.into_iter().map(|range| range.start).zip(got).collect())
        };
        Some((bytes, work))
    }

    /// Its bytes for one decoder, which reads these column chunks; some may be here already.
    pub(super) fn chunks(&self, chunks: Vec<(u64, u64)>, fetched: Fetched) -> RemoteChunks {
        let mut windows = Vec::new();
        for (index, (start, length)) in chunks.iter().enumerate() {
            let ours = || fetched.iter().find(|(from, _)| from == start).map(|(_, bytes)| bytes.clone());
            let part = |whole: &Bytes| {
                let end = usize::try_from(start + length).ok().filter(|end| *end <= whole.len())?;
                Some(whole.slice(*start as usize..end))
            };
            if let Some(bytes) = self.whole.as_ref().and_then(part).or_else(ours) {
                windows.push((index, *start, bytes));
            }
        }
        RemoteChunks { remote: self.clone(), chunks, windows: Mutex::new(windows) }
    }
}

/// Reads the footer, with a second request only if it is very large. A small file is kept as a whole while there is room.
pub(super) async fn read_footer(remote: &mut Remote, room: &Room) -> Result<Arc<ParquetMetaData>> {
    let name = remote.name.clone();
    let damaged = |e: ParquetError| {
        let what = format!("{name} has a footer that cannot be read: {e}; write the file again");
        Error::data(what).with("file", &name).because(e)
    };
    let mut reader = ParquetMetaDataReader::new();
    let mut from = remote.size_bytes.saturating_sub(FOOTER_BYTES);
    loop {
        let tail = remote.fetch(from..remote.size_bytes).await?;
        match reader.try_parse_sized(&tail, remote.size_bytes) {
            Ok(()) => {
                let footer = reader.finish().map(Arc::new).map_err(damaged)?;
                remote.whole = (from == 0 && room.take(remote.size_bytes)).then_some(tail);
                return Ok(footer);
            }
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
    /// Start and length.
    chunks: Vec<(u64, u64)>,
    /// Of each chunk that was read from: start and bytes of the window.
    windows: Mutex<Vec<(usize, u64, Bytes)>>,
}

impl RemoteChunks {
    /// At least `least` bytes from `start` on, unless the file ends before. A chunk's last header may be shorter than headers
    /// can be: of it the chunk's end is enough.
    fn window(&self, start: u64, least: u64, is_header: bool) -> Result<Bytes> {
        let chunk = self.chunks.iter().position(|(from, length)| (*from..from + length).contains(&start));
        let chunk_end = chunk.map_or(self.remote.size_bytes, |c| self.chunks[c].0 + self.chunks[c].1);
        let end = chunk_end.max(start + least).min(self.remote.size_bytes);
        let enough = if is_header { chunk_end.min(start + least) } else { end.min(start + least) };
        let key = chunk.unwrap_or(usize::MAX);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = windows.iter().position(|(chunk, ..)| *chunk == key);
        if let Some((_, from, bytes)) = known.map(|at| &windows[at]) {
            let until = from + bytes.len() as u64;
            if *from <= start && enough <= until {
                return Ok(bytes.slice((start - from).min(bytes.len() as u64) as usize..));
            }
        }
        let until = (start + least.max(WINDOW_BYTES)).min(end);
        let runtime =
            self.remote.runtime.as_ref().ok_or_else(|| Error::internal("a remote file is read without a runtime"))?;
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
        Ok(Box::new(self.window(start, HEADER_BYTES, true).map_err(lost)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.window(start, length as u64, false).map_err(lost)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the file's end")));
        }
        Ok(bytes.slice(..length))
    }
}
