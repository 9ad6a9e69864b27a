//! Replaces a day: files first, the manifest last.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::fetch::hex;
use super::manifest::{MANIFEST, Manifest, ManifestFile};
use super::open::{Lake, stoppable};
use super::partition::{FileName, file_name};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Kind};

const ROW_GROUP_ROWS: usize = 512 * 1024;
/// Encoded bytes are handed on in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

/// What a written day consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files, as the manifest lists them.
    pub files: Vec<ManifestFile>,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes one day. Until [`Self::finish`] the day has no manifest, so that nobody takes it for complete.
#[derive(Debug)]
pub struct PartitionWriter {
    lake: Lake,
    store: Arc<dyn ObjectStore>,
    dt: NaiveDate,
    cancel: Cancel,
    files: BTreeMap<String, ManifestFile>,
}

/// Writes one file of a day. A file that is not finished leaves nothing behind.
pub struct FileWriter {
    path: String,
    below: String,
    lake: Lake,
    cancel: Cancel,
    encoder: ArrowWriter<Vec<u8>>,
    upload: Option<BufWriter>,
    digest: Sha256,
    rows: u64,
    bytes: u64,
}

impl Lake {
    /// Begins to replace a day: its manifest, if any, goes first.
    pub async fn write(&self, dt: NaiveDate, cancel: &Cancel) -> Result<PartitionWriter> {
        let store = self.writable()?;
        let writer = PartitionWriter { lake: self.clone(), store, dt, cancel: cancel.clone(), files: BTreeMap::new() };
        writer.remove(&format!("{}/{MANIFEST}", Self::day(dt))).await?;
        Ok(writer)
    }
}

impl PartitionWriter {
    /// Begins `<dataset>.parquet`, or `<dataset>/<part>.parquet` when a part is named.
    pub fn begin(&self, dataset: Dataset, part: Option<&str>, schema: &SchemaRef) -> Result<FileWriter> {
        let below = part.map_or_else(|| format!("{dataset}.parquet"), |part| format!("{dataset}/{part}.parquet"));
        if !matches!(file_name(&below), FileName::Data(_)) {
            return Err(Error::config(format!("part name {part:?} is hidden or nested, expected a plain file name")));
        }
        let path = format!("{}/{below}", Lake::day(self.dt));
        let location = self.lake.location(&path)?;
        let encoder = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties(dataset)?))
            .map_err(|e| encoding(&path, e))?;
        Ok(FileWriter {
            path,
            below,
            lake: self.lake.clone(),
            cancel: self.cancel.clone(),
            encoder,
            upload: Some(BufWriter::new(self.store.clone(), location)),
            digest: Sha256::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Takes in a finished file.
    pub fn add(&mut self, file: ManifestFile) {
        self.files.insert(file.path.clone(), file);
    }

    /// Seals the day: writes the manifest, then removes data files of an earlier version that are no longer part
    /// of it.
    pub async fn finish(self) -> Result<Written> {
        let day = Lake::day(self.dt);
        let files: Vec<_> = self.files.values().cloned().collect();
        let path = format!("{day}/{MANIFEST}");
        let location = self.lake.location(&path)?;
        let json = Manifest::new(files.clone()).to_json()?;
        stoppable(&self.cancel, self.store.put(&location, json.into()))
            .await?
            .map_err(|e| self.lake.failed(e, "writing", &path))?;
        let listing = self.lake.list(self.dt).await?;
        for stale in listing.parts.keys() {
            let below = stale.strip_prefix(&day).and_then(|p| p.strip_prefix('/')).unwrap_or(stale);
            if !self.files.contains_key(below) {
                self.remove(stale).await?;
            }
        }
        let sum = |of: fn(&ManifestFile) -> Option<u64>| files.iter().filter_map(of).sum();
        Ok(Written { rows: sum(|f| f.rows), bytes: sum(|f| f.bytes), files })
    }

    async fn remove(&self, path: &str) -> Result<()> {
        let location: Path = self.lake.location(path)?;
        match stoppable(&self.cancel, self.store.delete(&location)).await? {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.lake.failed(e, "removing", path)),
        }
    }
}

impl FileWriter {
    /// Encodes a batch and hands finished pages on to the store.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.cancel.check()?;
        self.encoder.write(batch).map_err(|e| encoding(&self.path, e))?;
        self.rows += batch.num_rows() as u64;
        if self.encoder.inner().len() >= PIECE_BYTES {
            let piece = std::mem::take(self.encoder.inner_mut());
            self.upload(piece).await?;
        }
        Ok(())
    }

    /// Writes the footer and makes the file visible under its name.
    pub async fn finish(mut self) -> Result<ManifestFile> {
        self.encoder.finish().map_err(|e| encoding(&self.path, e))?;
        let piece = std::mem::take(self.encoder.inner_mut());
        self.upload(piece).await?;
        let Some(mut upload) = self.upload.take() else {
            return Err(Error::internal("a file was finished twice").with("file", &self.path));
        };
        stoppable(&self.cancel, upload.shutdown()).await?.map_err(|e| {
            let inner = e.downcast::<StoreError>();
            self.lost(inner.unwrap_or_else(|e| StoreError::Generic { store: "lake", source: e.into() }))
        })?;
        let digest = std::mem::take(&mut self.digest);
        Ok(ManifestFile {
            path: std::mem::take(&mut self.below),
            rows: Some(self.rows),
            bytes: Some(self.bytes),
            sha256: Some(hex(&digest.finalize())),
        })
    }

    async fn upload(&mut self, piece: Vec<u8>) -> Result<()> {
        self.digest.update(&piece);
        self.bytes += piece.len() as u64;
        let Some(upload) = self.upload.as_mut() else { return Ok(()) };
        let put = stoppable(&self.cancel, upload.put(piece.into())).await?;
        put.map_err(|e| self.lost(e))
    }

    fn lost(&self, error: StoreError) -> Error {
        self.lake.failed(error, "writing", &self.path)
    }
}

impl Drop for FileWriter {
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

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Dictionary pages only for text that repeats: they cost time and gain nothing on measurements and unique ids.
fn properties(dataset: Dataset) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(|e| encoding(dataset.name(), e))?;
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    for column in dataset.columns() {
        let repeats = match column.kind {
            Kind::Code => true,
            Kind::Text | Kind::Boolean => column.name != dataset.key(),
            Kind::Instant | Kind::Date | Kind::Money | Kind::Float | Kind::Integer | Kind::Json => false,
        };
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column.name), repeats);
    }
    Ok(builder.build())
}

fn encoding(path: &str, error: ParquetError) -> Error {
    Error::internal(format!("{path} cannot be encoded: {error}")).with("file", path).because(error)
}
