//! Writes one Parquet file.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::encoder::{Encoder, ROW_GROUP_ROWS, encoding};
use super::manifest::ManifestFile;
use super::outgoing::{Stored, Upload};
use crate::error::Result;
use crate::model::{Dataset, Kind};

/// Writes one file. A file that is not finished leaves nothing behind.
pub struct FileWriter {
    below: String,
    encoder: Encoder,
    upload: Upload,
    rows: u64,
}

impl FileWriter {
    /// A file called `below` in its day.
    pub(super) fn new(upload: Upload, below: String, schema: &SchemaRef, settings: WriterProperties) -> Result<Self> {
        let encoder = Encoder::new(upload.path().to_owned(), schema, settings, upload.pieces())?;
        Ok(Self { below, encoder, upload, rows: 0 })
    }

    /// A file outside of any day, called `below` in its folder.
    pub(super) fn plain(upload: Upload, below: &str, schema: &SchemaRef) -> Result<Self> {
        let settings = base_properties(below)?.build();
        Self::new(upload, below.to_owned(), schema, settings)
    }

    /// Encodes columns side by side on so many cores, where whoever makes the batches leaves any free.
    pub fn on_cores(mut self, cores: usize) -> Self {
        self.encoder.use_cores(cores);
        self
    }

    /// Encodes a batch and hands finished pages on to the store.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.upload.check()?;
        self.encoder.write(batch)?;
        self.rows += batch.num_rows() as u64;
        self.hand_on().await
    }

    /// What is held in memory until its row group is full.
    pub fn memory_bytes(&self) -> usize {
        self.encoder.memory_bytes()
    }

    /// Ends the row group, so that nothing of it is held any more.
    pub async fn flush(&mut self) -> Result<()> {
        self.encoder.end_group()?;
        self.hand_on().await
    }

    async fn hand_on(&mut self) -> Result<()> {
        for piece in self.encoder.take() {
            self.upload.put(piece).await?;
        }
        Ok(())
    }

    /// Writes the footer and makes the file visible under its name.
    pub async fn finish(self) -> Result<ManifestFile> {
        self.seal(None).await?.publish().await
    }

    /// Writes the footer, so that size and digest are known. `origin` is what the manifest shall say that it was made of.
    pub async fn seal(mut self, origin: Option<&serde_json::Value>) -> Result<SealedFile> {
        self.encoder.finish()?;
        self.hand_on().await?;
        drop(self.encoder);
        let stored = self.upload.seal().await?;
        let (bytes, sha256) = stored.sum();
        let (rows, bytes, sha256) = (Some(self.rows), Some(bytes), Some(sha256));
        let file = ManifestFile { path: self.below, rows, bytes, sha256, origin: origin.cloned() };
        Ok(SealedFile { file, stored })
    }
}

/// A file that is whole and not visible yet.
#[derive(Debug)]
pub struct SealedFile {
    /// What the manifest says of it.
    pub file: ManifestFile,
    stored: Stored,
}

impl SealedFile {
    /// Makes it visible under its name.
    pub async fn publish(self) -> Result<ManifestFile> {
        self.stored.publish().await.map(|()| self.file)
    }
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.upload.path())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Dictionary pages only for text that repeats: they cost time and gain nothing on measurements and unique ids. Codes stand
/// all over their file, so that the smallest and the largest of a page, for which each value is compared, tell nobody where.
pub(super) fn properties(dataset: Dataset) -> Result<WriterProperties> {
    let mut builder = base_properties(dataset.name())?;
    for column in dataset.columns() {
        let repeats = match column.kind {
            Kind::Code => true,
            Kind::Text | Kind::Boolean => column.name != dataset.key(),
            Kind::Instant | Kind::Date | Kind::Money | Kind::Float | Kind::Integer | Kind::Json => false,
        };
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column.name), repeats);
        if column.kind.is_code() {
            builder = builder.set_column_statistics_enabled(ColumnPath::from(column.name), EnabledStatistics::None);
        }
    }
    Ok(builder.build())
}

/// What all files have in common.
pub(super) fn base_properties(path: &str) -> Result<WriterPropertiesBuilder> {
    let level = ZstdLevel::try_new(1).map_err(|e| encoding(path, e))?;
    let builder = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    Ok(builder.set_max_row_group_row_count(Some(ROW_GROUP_ROWS)))
}
