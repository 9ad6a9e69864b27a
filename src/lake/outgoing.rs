//! A file on its way to a store: bytes in pieces, visible when it is whole.

use std::sync::Arc;

use object_store::buffered::BufWriter;
use object_store::{Error as StoreError, ObjectStore};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::open::{Lake, stoppable};
use crate::control::Cancel;
use crate::digest::hex;
use crate::error::{Error, Result};

/// A file that is being written. One that is not published leaves nothing behind.
pub struct Upload {
    path: String,
    lake: Lake,
    cancel: Cancel,
    upload: Option<BufWriter>,
    digest: Sha256,
    bytes: u64,
}

impl Upload {
    /// Begins a file at a path below the lake.
    pub(super) fn begin(lake: &Lake, store: &Arc<dyn ObjectStore>, path: String, cancel: &Cancel) -> Result<Self> {
        let location = lake.location(&path)?;
        let upload = Some(BufWriter::new(Arc::clone(store), location));
        Ok(Self { path, lake: lake.clone(), cancel: cancel.clone(), upload, digest: Sha256::new(), bytes: 0 })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Adds bytes.
    pub async fn put(&mut self, piece: Vec<u8>) -> Result<()> {
        self.digest.update(&piece);
        self.bytes += piece.len() as u64;
        let Some(upload) = self.upload.as_mut() else { return Ok(()) };
        let put = stoppable(&self.cancel, upload.put(piece.into())).await?;
        put.map_err(|e| self.lost(e))
    }

    /// The size of what was put, and its SHA-256 in hexadecimal digits.
    pub fn sum(&self) -> (u64, String) {
        (self.bytes, hex(&self.digest.clone().finalize()))
    }

    /// Makes the file visible under its name.
    pub async fn publish(mut self) -> Result<()> {
        let Some(mut upload) = self.upload.take() else {
            return Err(Error::internal("a file was finished twice").with("file", &self.path));
        };
        stoppable(&self.cancel, upload.shutdown()).await?.map_err(|e| {
            let inner = e.downcast::<StoreError>();
            self.lost(inner.unwrap_or_else(|e| StoreError::Generic { store: "lake", source: e.into() }))
        })
    }

    fn lost(&self, error: StoreError) -> Error {
        self.lake.failed(error, "writing", &self.path)
    }
}

impl Drop for Upload {
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

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
