//! Files that are brought into the lake as they are, and those that were.

use std::fs::File;
use std::io::Read;
use std::path::Path as FilePath;

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::failure::file_error;
use super::objects::Object;
use super::open::{Lake, stoppable};
use super::outgoing::Upload;
use super::tree::Tree;
use crate::control::Cancel;
use crate::digest::hex;
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
        let mut upload = Upload::begin(self, &store, path.to_owned(), cancel)?;
        let failed = |e| file_error(e, "reading", file.display());
        let mut input = File::open(file).map_err(failed)?;
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            input.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            upload.put(piece).await?;
        }
        let stored = upload.seal().await?;
        let (bytes, sha256) = stored.sum();
        stored.publish().await?;
        let lost = |e| self.failed(e, "verifying", path);
        let mut stream = stoppable(cancel, store.get(&location)).await?.map_err(lost)?.into_stream();
        let mut copied = Sha256::new();
        while let Some(chunk) = stoppable(cancel, stream.next()).await? {
            copied.update(&chunk.map_err(lost)?);
        }
        if hex(&copied.finalize()) != sha256 {
            return Err(Error::storage(format!("the copy {path} differs from {}, upload it again", file.display()))
                .with("file", path));
        }
        Ok(bytes)
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
