//! Files that are brought into the lake as they are, and those that were.

use std::fs::File;
use std::io::Read;
use std::path::Path as FilePath;

use bytes::Bytes;
use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::failure::file_error;
use super::objects::Object;
use super::open::{Lake, stoppable};
use super::tree::Tree;
use crate::control::Cancel;
use crate::error::{Error, Result};

const PIECE_BYTES: usize = 1 << 20;

impl Lake {
    /// Copies a file to a path below the lake and reads the copy back: once it returns, the lake holds these very bytes (of
    /// a folder, synced to disk).
    ///
    /// # Errors
    /// `Storage` as the store says, and when the copy differs.
    pub async fn upload(&self, file: &FilePath, path: &str, cancel: &Cancel) -> Result<u64> {
        let store = self.durable()?;
        let location = self.location(path)?;
        let mut upload = BufWriter::new(store.clone(), location.clone());
        let (digest, bytes) = match self.send(file, &mut upload, path, cancel).await {
            Ok(sent) => sent,
            Err(e) => {
                // Parts of an upload that was not completed would be kept, and billed, by the store; what failed is the news.
                let _ = upload.abort().await;
                return Err(e);
            }
        };
        let lost = |e| self.failed(e, "verifying", path);
        let mut stream = stoppable(cancel, store.get(&location)).await?.map_err(lost)?.into_stream();
        let mut copied = Sha256::new();
        while let Some(chunk) = stoppable(cancel, stream.next()).await? {
            copied.update(&chunk.map_err(lost)?);
        }
        if copied.finalize().as_slice() != digest {
            return Err(Error::storage(format!("the copy {path} differs from {}, upload it again", file.display()))
                .with("file", path));
        }
        Ok(bytes)
    }

    async fn send(
        &self,
        file: &FilePath,
        upload: &mut BufWriter,
        path: &str,
        cancel: &Cancel,
    ) -> Result<(Vec<u8>, u64)> {
        let failed = |e| file_error(e, "reading", file.display());
        let mut input = File::open(file).map_err(failed)?;
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            input.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            digest.update(&piece);
            bytes += piece.len() as u64;
            let put = stoppable(cancel, upload.put(Bytes::from(piece))).await?;
            put.map_err(|e| self.failed(e, "writing", path))?;
        }
        stoppable(cancel, upload.shutdown()).await?.map_err(|e| {
            let inner = e.downcast::<object_store::Error>();
            let inner = inner.unwrap_or_else(|e| object_store::Error::Generic { store: "lake", source: e.into() });
            self.failed(inner, "writing", path)
        })?;
        Ok((digest.finalize().to_vec(), bytes))
    }

    /// The files below a folder of the lake, with their names within it, in their order; none where the folder is not there.
    ///
    /// # Errors
    /// `Storage` as the store says.
    pub async fn files_below(&self, folder: &str, cancel: &Cancel) -> Result<Vec<(String, Object)>> {
        let store = match self.store() {
            Err(Error::NotFound(_)) => return Ok(Vec::new()), // a lake that is still to be made
            store => store?,
        };
        let place: Path = self.location(folder)?;
        let tree = Tree::remote(self, &place, cancel).await?;
        Ok(tree.files.into_iter().map(|(below, found)| (below, Object::listed(self, &store, found))).collect())
    }
}
