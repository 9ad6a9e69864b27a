//! A file on its way to a store: bytes in pieces, visible when it is whole.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use object_store::buffered::BufWriter;
use object_store::{Error as StoreError, ObjectStore};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::open::{Lake, stoppable};
use crate::control::Cancel;
use crate::digest::hex;
use crate::error::{Error, Result};

/// Bytes are summed and stored in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that may wait for it.
const WAITING: usize = 4;

/// A file that is being written. A task of its own sums and stores its bytes, beside whoever makes them. One that is not
/// published leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    path: String,
    cancel: Cancel,
    pieces: Sender<Bytes>,
    storing: JoinHandle<Result<Stored>>,
}

impl Upload {
    /// Begins a file at a path below the lake. Within the runtime only, as its task runs there.
    pub(super) fn begin(lake: &Lake, store: &Arc<dyn ObjectStore>, path: String, cancel: &Cancel) -> Result<Self> {
        let upload = Some(BufWriter::new(Arc::clone(store), lake.location(&path)?));
        let (lake, cancel) = (lake.clone(), cancel.clone());
        let stored =
            Stored { path: path.clone(), lake, cancel: cancel.clone(), upload, digest: Sha256::new(), bytes: 0 };
        let (pieces, inbox) = channel(WAITING);
        Ok(Self { path, cancel, pieces, storing: tokio::spawn(stored.take_in(inbox)) })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where an encoder writes.
    pub(super) fn pieces(&self) -> Pieces {
        Pieces::of(self.pieces.clone())
    }

    pub(super) fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The store's, which may be about bytes that were put before.
    pub async fn put(&mut self, bytes: impl Into<Bytes>) -> Result<()> {
        let mut rest = bytes.into();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            if self.pieces.send(piece).await.is_err() {
                // Whoever stores them has ended before its time, and says why.
                return stored(&mut self.storing).await.map(drop);
            }
        }
        Ok(())
    }

    /// Ends the file, once all that was put has been taken in; whoever had its `Pieces` has let go of them.
    ///
    /// # Errors
    /// The store's.
    pub async fn seal(self) -> Result<Stored> {
        let Self { pieces, mut storing, .. } = self;
        drop(pieces);
        stored(&mut storing).await
    }
}

async fn stored(storing: &mut JoinHandle<Result<Stored>>) -> Result<Stored> {
    storing.await.map_err(|e| Error::internal("storing a file broke off").because(e))?
}

/// Cuts what is written into pieces. They go on at once where there is room, so that one is summed while the next is made;
/// the others wait until they are put.
pub(super) struct Pieces {
    next: Vec<u8>,
    waiting: VecDeque<Bytes>,
    upload: Sender<Bytes>,
}

impl Pieces {
    pub(super) fn of(upload: Sender<Bytes>) -> Self {
        Self { next: Vec::new(), waiting: VecDeque::new(), upload }
    }

    /// Takes the pieces that found no room.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.waiting)
    }

    /// Ends the piece that is being filled.
    pub(super) fn end_piece(&mut self) {
        if !self.next.is_empty() {
            self.waiting.push_back(std::mem::take(&mut self.next).into());
        }
        while let Some(piece) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(piece) | TrySendError::Closed(piece)) = self.upload.try_send(piece) {
                self.waiting.push_front(piece);
                return;
            }
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.next.capacity() == 0 {
            self.next.reserve_exact(PIECE_BYTES);
        }
        let (taken, _) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.next.len()));
        self.next.extend_from_slice(taken);
        if self.next.len() == PIECE_BYTES {
            self.end_piece();
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file whose bytes are on their way, and not visible under its name before [`Self::publish`].
pub struct Stored {
    path: String,
    lake: Lake,
    cancel: Cancel,
    upload: Option<BufWriter>,
    digest: Sha256,
    bytes: u64,
}

impl Stored {
    async fn take_in(mut self, mut pieces: Receiver<Bytes>) -> Result<Self> {
        while let Some(piece) = pieces.recv().await {
            self.digest.update(&piece);
            self.bytes += piece.len() as u64;
            let Some(upload) = self.upload.as_mut() else { return Err(self.finished_twice()) };
            stoppable(&self.cancel, upload.put(piece)).await?.map_err(|e| self.lost(e))?;
        }
        Ok(self)
    }

    /// Its size, and its SHA-256 in hexadecimal digits.
    pub fn sum(&self) -> (u64, String) {
        (self.bytes, hex(&self.digest.clone().finalize()))
    }

    /// Makes the file visible under its name.
    ///
    /// # Errors
    /// The store's.
    pub async fn publish(mut self) -> Result<()> {
        let Some(mut upload) = self.upload.take() else { return Err(self.finished_twice()) };
        stoppable(&self.cancel, upload.shutdown()).await?.map_err(|e| {
            let inner = e.downcast::<StoreError>();
            self.lost(inner.unwrap_or_else(|e| StoreError::Generic { store: "lake", source: e.into() }))
        })
    }

    fn finished_twice(&self) -> Error {
        Error::internal("a file was finished twice").with("file", &self.path)
    }

    fn lost(&self, error: StoreError) -> Error {
        self.lake.failed(error, "writing", &self.path)
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        // Parts of an upload that was not completed would be kept, and billed, by the store.
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // Nobody is left to hear of a failure; the store's own clean-up rule is the next line of defence.
                let _ = upload.abort().await;
            });
        }
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("path", &self.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
