//! Makes a part readable as a local file whose size, digest and row count are known.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures::StreamExt;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use sha2::{Digest, Sha256};
use tempfile::TempPath;

use super::failure::file_error;
use super::find::MAGIC;
use super::footer::open_metadata;
use super::manifest::MANIFEST;
use super::open::{Lake, stoppable};
use super::part::Part;
use super::spooled::Spooled;
use super::unite::Completion;
use crate::control::Cancel;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::model::Dataset;

const CHUNK_BYTES: usize = 1 << 20;

/// A part that can be read from this machine. Clones share a spooled file, which goes with the last of them.
#[derive(Clone, Debug)]
pub struct LocalPart {
    /// The path below the lake: `dt=2024-05-01/trips.parquet`.
    pub path: String,
    /// What it holds.
    pub dataset: Dataset,
    /// The file itself: in the lake folder, or spooled.
    pub file: PathBuf,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// What the object store said of the bytes that were read.
    pub etag: Option<String>,
    /// What it was made of, by the manifest.
    pub origin: Option<serde_json::Value>,
    /// Rows by the footer.
    pub rows: u64,
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) completion: Arc<Completion>,
    modified: Option<SystemTime>,
    spooled: Option<Arc<TempPath>>,
}

impl Lake {
    /// Makes a part readable: a file of a lake folder is hashed in place, a remote one is spooled to a temporary
    /// file in `spool` (the system's folder when unset).
    ///
    /// # Errors
    /// `Data` when the file is empty, cut short or no Parquet file, or differs from the manifest; `Conflict` when it
    /// changes while it is hashed; `Storage` and `NotFound` as the store says.
    pub async fn fetch(&self, part: &Part, spool: Option<&FilePath>, cancel: &Cancel) -> Result<LocalPart> {
        let location = self.location(&part.path)?;
        let (file, spooled, known) = match self.local_file(&location)? {
            Some(file) => (file, None, None),
            None => {
                let (temp, known) = self.spool(part, spool, cancel).await?;
                (temp.to_path_buf(), Some(Arc::new(temp)), Some(known))
            }
        };
        let (part, cancel) = (part.clone(), cancel.clone());
        let work = move || inspect(&part, file, spooled, known, &cancel);
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("hashing a part broke off").because(e))?
    }

    async fn spool(&self, part: &Part, spool: Option<&FilePath>, cancel: &Cancel) -> Result<(TempPath, Bytes)> {
        let mut spooled = Spooled::begin(spool, ".parquet")?;
        let lost = |e| self.failed(e, "reading", &part.path);
        let store = self.store()?;
        let location = self.location(&part.path)?;
        let object = stoppable(cancel, store.get(&location)).await?.map_err(lost)?;
        let (expected, etag) = (object.meta.size, object.meta.e_tag.clone());
        let mut stream = object.into_stream();
        let mut digest = Sha256::new();
        let mut size = 0;
        while let Some(chunk) = stoppable(cancel, stream.next()).await? {
            let chunk = chunk.map_err(lost)?;
            digest.update(&chunk);
            size += chunk.len() as u64;
            spooled.write(&chunk)?;
        }
        let temp = spooled.end()?;
        if size != expected {
            return Err(Error::storage(format!("{} broke off after {size} of {expected} bytes", part.path))
                .with("file", &part.path));
        }
        Ok((temp, Bytes { size, sha256: hex(&digest.finalize()), etag }))
    }
}

/// What is known of the bytes of a file.
struct Bytes {
    size: u64,
    sha256: String,
    etag: Option<String>,
}

/// Hashes (unless that is done) and opens a file, and holds it against the manifest.
fn inspect(
    part: &Part,
    file: PathBuf,
    spooled: Option<Arc<TempPath>>,
    known: Option<Bytes>,
    cancel: &Cancel,
) -> Result<LocalPart> {
    let failed = |e| file_error(e, "reading", &part.path);
    let before = state(&file).map_err(failed)?;
    check_format(&file, part)?;
    let Bytes { size: size_bytes, sha256, etag } = match known {
        Some(known) => known,
        None => hash(&file, part, cancel)?,
    };
    if let Some(expected) = part.manifest_sha256.as_ref().filter(|expected| **expected != sha256) {
        let day = part.path.split('/').next().unwrap_or_default();
        return Err(Error::data(format!(
            "{} has SHA-256 {sha256}, {day}/{MANIFEST} says {expected}; write the partition again",
            part.path
        ))
        .with("file", &part.path));
    }
    let metadata = open_metadata(&file, part)?;
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows())
        .map_err(|_| Error::data(format!("{} states a negative number of rows", part.path)).with("file", &part.path))?;
    if let Some(expected) = part.manifest_rows.filter(|expected| *expected != rows) {
        return Err(Error::data(format!("{} has {rows} rows, the manifest says {expected}", part.path))
            .with("file", &part.path));
    }
    let completion = Completion::of_folders(&part.path, metadata.schema(), &part.folders)?;
    let modified = spooled.is_none().then_some(before.1);
    let local = LocalPart {
        path: part.path.clone(),
        dataset: part.dataset,
        file,
        size_bytes,
        sha256,
        etag,
        origin: part.origin.clone(),
        rows,
        metadata,
        completion: Arc::new(completion),
        modified,
        spooled,
    };
    local.verify_unchanged()?;
    Ok(local)
}

fn state(file: &FilePath) -> std::io::Result<(u64, SystemTime)> {
    let metadata = std::fs::metadata(file)?;
    Ok((metadata.len(), metadata.modified()?))
}

fn hash(file: &FilePath, part: &Part, cancel: &Cancel) -> Result<Bytes> {
    let failed = |e| file_error(e, "reading", &part.path);
    let mut input = File::open(file).map_err(failed)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut digest = Sha256::new();
    let mut size = 0;
    loop {
        cancel.check()?;
        let read = input.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            return Ok(Bytes { size, sha256: hex(&digest.finalize()), etag: None });
        }
        digest.update(&chunk[..read]);
        size += read as u64;
    }
}

/// Says early and plainly what is wrong with a file that is no whole Parquet file.
fn check_format(file: &FilePath, part: &Part) -> Result<()> {
    let failed = |e| file_error(e, "reading", &part.path);
    let bad = |what: String| Error::data(format!("{} {what}", part.path)).with("file", &part.path);
    let mut input = File::open(file).map_err(failed)?;
    let size = input.metadata().map_err(failed)?.len();
    if size == 0 {
        return Err(bad("is empty (0 bytes), expected a Parquet file; write it again or take it away".into()));
    }
    let mut ends = [[0; 4]; 2];
    if size >= 12 {
        input.read_exact(&mut ends[0]).map_err(failed)?;
        input.seek(SeekFrom::End(-4)).map_err(failed)?;
        input.read_exact(&mut ends[1]).map_err(failed)?;
    }
    if &ends[0] != MAGIC && &ends[0] != b"PARE" {
        return Err(bad(format!("is not a Parquet file ({size} bytes, without the mark PAR1 at its start)")));
    }
    if &ends[1] != MAGIC {
        return Err(bad(format!("is cut short ({size} bytes, without the mark PAR1 at its end); write it again")));
    }
    Ok(())
}

impl LocalPart {
    /// An error if a file read in place is no longer what was hashed.
    pub fn verify_unchanged(&self) -> Result<()> {
        let Some(modified) = self.modified else { return Ok(()) };
        let now = state(&self.file).map_err(|e| file_error(e, "reading", &self.path))?;
        if now == (self.size_bytes, modified) {
            return Ok(());
        }
        Err(Error::conflict(format!("{} changed while it was being read; run again", self.path))
            .with("file", &self.path))
    }

    /// Whether the file is a copy of a remote one.
    pub fn is_spooled(&self) -> bool {
        self.spooled.is_some()
    }
}
