//! Replaces a day: files first, the manifest last.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use chrono::NaiveDate;
use parquet::file::properties::WriterProperties;

use super::file_writer::{FileWriter, SealedFile, base_properties, properties};
use super::folder::Folder;
use super::manifest::{MANIFEST, Manifest, ManifestFile, data_path, is_rejected, rejected_path};
use super::naming::{FileName, below_day, file_name};
use super::open::Lake;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::Dataset;

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
    folder: Folder,
    dt: NaiveDate,
    files: BTreeMap<String, ManifestFile>,
    /// Rows that whoever made the day could not use, for the quarantine.
    rejected: BTreeMap<String, ManifestFile>,
}

impl Lake {
    /// Begins to replace a day: its manifest, if any, goes first.
    pub async fn write(&self, dt: NaiveDate, cancel: &Cancel) -> Result<PartitionWriter> {
        let folder = Folder::of(self, cancel)?;
        let (files, rejected) = (BTreeMap::new(), BTreeMap::new());
        let writer = PartitionWriter { lake: self.clone(), folder, dt, files, rejected };
        writer.unseal().await?;
        Ok(writer)
    }

    /// Begins to replace some datasets of a day; what it has of the others stays, and so does its manifest until
    /// [`PartitionWriter::replace`].
    pub async fn amend(&self, dt: NaiveDate, cancel: &Cancel) -> Result<PartitionWriter> {
        let folder = Folder::of(self, cancel)?;
        let day = Self::day(dt);
        let listing = self.list(dt).await?;
        let (files, rejected) = match listing.manifest {
            Some(manifest) => (manifest.files, manifest.rejected),
            None => (listing.parts.values().map(|part| ManifestFile::found(&day, part)).collect(), Vec::new()),
        };
        let by_path = |files: Vec<ManifestFile>| files.into_iter().map(|file| (file.path.clone(), file)).collect();
        let (files, rejected) = (by_path(files), by_path(rejected));
        Ok(PartitionWriter { lake: self.clone(), folder, dt, files, rejected })
    }
}

impl Lake {
    /// The files of a complete day and those of its rejected rows, as its manifest lists them; `None` for a day without a
    /// manifest or with a file that is not there in its size.
    pub async fn sealed_files(&self, dt: NaiveDate) -> Result<Option<(Vec<ManifestFile>, Vec<ManifestFile>)>> {
        if self.is_folder() && self.store().is_err() {
            return Ok(None); // a lake that is still to be made
        }
        let day = Self::day(dt);
        let listing = self.list(dt).await?;
        let is_there = |file: &ManifestFile| {
            let part = listing.parts.get(&format!("{day}/{}", file.path));
            !matches!(file_name(&file.path), FileName::Data(_))
                || part.is_some_and(|p| Some(p.size_bytes) == file.bytes)
        };
        let whole = listing.manifest.filter(|manifest| manifest.files.iter().all(is_there));
        Ok(whole.map(|manifest| (manifest.files, manifest.rejected)))
    }
}

impl PartitionWriter {
    /// Begins `<dataset>.parquet`, or `<dataset>/<part>.parquet` when a part is named.
    pub fn begin(&self, dataset: Dataset, part: Option<&str>, schema: &SchemaRef) -> Result<FileWriter> {
        let below = data_path(dataset, part);
        if !matches!(file_name(&below), FileName::Data(_)) {
            return Err(Error::config(format!("part name {part:?} is hidden or nested, expected a plain file name")));
        }
        self.begin_file(below, schema, properties(dataset)?)
    }

    /// Begins `_rejected.parquet`, or `_rejected.<part>.parquet`: rows that could not be used, for the quarantine.
    pub fn begin_rejected(&self, part: Option<&str>, schema: &SchemaRef) -> Result<FileWriter> {
        let below = rejected_path(part);
        let settings = base_properties(&below)?.build();
        self.begin_file(below, schema, settings)
    }

    fn begin_file(&self, below: String, schema: &SchemaRef, settings: WriterProperties) -> Result<FileWriter> {
        let path = format!("{}/{below}", Lake::day(self.dt));
        FileWriter::new(self.folder.begin(&path)?, below, schema, settings)
    }

    /// The files that the day has so far.
    pub fn files(&self) -> impl Iterator<Item = &ManifestFile> {
        self.files.values()
    }

    /// Replaces what the day has of `datasets` by sealed files and completes the day. Says false, and writes nothing, when
    /// they are the very files that it has.
    ///
    /// # Errors
    /// `Storage` as the store says; the day is without a manifest then, and not complete.
    pub async fn replace(self, datasets: &[Dataset], sealed: Vec<SealedFile>) -> Result<bool> {
        let is_ours = |path: &str| matches!(file_name(path), FileName::Data(dataset) if datasets.contains(&dataset));
        self.replace_files(is_ours, sealed).await
    }

    /// The same for the files that `is_ours` knows by their path below the day.
    pub async fn replace_files(mut self, is_ours: impl Fn(&str) -> bool, sealed: Vec<SealedFile>) -> Result<bool> {
        let before: Vec<_> = self.files.values().chain(self.rejected.values()).filter(|f| is_ours(&f.path)).collect();
        let is_complete = self.folder.size(&self.manifest_path()).await?.is_some();
        if is_complete && before.len() == sealed.len() && sealed.iter().all(|sealed| before.contains(&&sealed.file)) {
            return Ok(false);
        }
        self.unseal().await?;
        self.files.retain(|path, _| !is_ours(path));
        for stale in self.rejected.keys().filter(|path| is_ours(path)) {
            self.folder.remove(&format!("{}/{stale}", Lake::day(self.dt))).await?;
        }
        self.rejected.retain(|path, _| !is_ours(path));
        for file in sealed {
            self.add(file.publish().await?);
        }
        self.finish().await?;
        Ok(true)
    }

    fn manifest_path(&self) -> String {
        format!("{}/{MANIFEST}", Lake::day(self.dt))
    }

    /// Takes the manifest away: the day is not complete from here on.
    async fn unseal(&self) -> Result<()> {
        self.folder.remove(&self.manifest_path()).await
    }

    /// Takes in a finished file.
    pub fn add(&mut self, file: ManifestFile) {
        let files = if is_rejected(&file.path) { &mut self.rejected } else { &mut self.files };
        files.insert(file.path.clone(), file);
    }

    /// Seals the day: writes the manifest, then removes data files of an earlier version that are no longer part
    /// of it.
    pub async fn finish(self) -> Result<Written> {
        let day = Lake::day(self.dt);
        let files: Vec<_> = self.files.values().cloned().collect();
        let json = Manifest::new(files.clone(), self.rejected.values().cloned().collect()).to_json()?;
        self.folder.put(&self.manifest_path(), json).await?;
        let listing = self.lake.list(self.dt).await?;
        for stale in listing.parts.keys() {
            if !self.files.contains_key(below_day(&day, stale)) {
                self.folder.remove(stale).await?;
            }
        }
        let sum = |of: fn(&ManifestFile) -> Option<u64>| files.iter().filter_map(of).sum();
        Ok(Written { rows: sum(|f| f.rows), bytes: sum(|f| f.bytes), files })
    }
}
