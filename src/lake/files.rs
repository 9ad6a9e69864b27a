//! Parquet files of any place, named by path, folder, URL or glob: read by row group, with projection.
//!
//! Unlike a partition's parts they follow no layout and are neither hashed nor copied: a remote file is read in ranges,
//! of the projected columns alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, SchemaRef};
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::WriterProperties;

use super::failure::file_error;
use super::open::{Lake, refuse_slashless, stoppable};
use super::ranges::{Remote, read_footer};
use super::read::{PartReader, corrupt, hinted, load_metadata};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};

pub(super) const GLOB: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// One Parquet file whose footer is read.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    /// Its path or URL, without secrets.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    place: Place,
    metadata: ArrowReaderMetadata,
}

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Remote(Remote),
}

/// The files behind names: each a path, a folder (all `*.parquet` below it), a URL or a glob of either. In the order
/// of the names, and of the paths within each.
///
/// # Errors
/// `NotFound` when a name stands for no file; `Data` for a file that is not Parquet; `Config` for a malformed name.
pub async fn parquet_files(
    names: &[String],
    options: &BTreeMap<String, Secret>,
    cancel: &Cancel,
) -> Result<Vec<ParquetFile>> {
    let mut files = Vec::new();
    for name in names {
        let before = files.len();
        refuse_slashless("source", name)?;
        match local_name(name) {
            Some(path) => local(path, cancel, &mut files)?,
            None => remote(name, options, cancel, &mut files).await?,
        }
        if files.len() == before {
            return Err(Error::not_found(format!("{name} names no Parquet file")).with("source", name));
        }
    }
    Ok(files)
}

/// The path on this machine that a name stands for; `None` for a URL of an object store.
pub(super) fn local_name(name: &str) -> Option<&str> {
    match name.split_once("://") {
        Some(("file", path)) => Some(path),
        Some(_) => None,
        None => Some(name),
    }
}

pub(super) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

fn local(name: &str, cancel: &Cancel, files: &mut Vec<ParquetFile>) -> Result<()> {
    let path = FilePath::new(name);
    let mut paths = Vec::new();
    if path.is_dir() {
        let inner = format!("{}/**/*.parquet", Pattern::escape(name.trim_end_matches('/')));
        expand(&inner, &mut paths)?;
    } else if is_glob(name) && !path.exists() {
        expand(name, &mut paths)?;
    } else {
        paths.push(path.to_path_buf());
    }
    for path in paths {
        cancel.check()?;
        files.push(ParquetFile::local(path)?);
    }
    Ok(())
}

pub(super) fn expand(pattern: &str, paths: &mut Vec<PathBuf>) -> Result<()> {
    let found = glob::glob_with(pattern, GLOB).map_err(|e| bad_glob(pattern, &e))?;
    for path in found {
        let path =
            path.map_err(|e| file_error(std::io::Error::new(e.error().kind(), e.to_string()), "listing", pattern))?;
        if path.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

pub(super) fn bad_glob(pattern: &str, cause: &glob::PatternError) -> Error {
    Error::config(format!("{pattern} is no glob: {cause}")).with("source", pattern)
}

async fn remote(
    name: &str,
    options: &BTreeMap<String, Secret>,
    cancel: &Cancel,
    files: &mut Vec<ParquetFile>,
) -> Result<()> {
    // The part before the first segment with a wildcard is a place; the rest is matched below it.
    let wild = name.find(['*', '?', '[']).map(|at| name[..at].rfind('/').map_or(0, |slash| slash + 1));
    let (place, pattern) = name.split_at(wild.unwrap_or(name.len()));
    let lake = Lake::open(place.trim_end_matches('/'), options)?;
    let store = lake.store()?;
    let mut found: Vec<(Path, u64)> = Vec::new();
    if pattern.is_empty() && !lake.root.is_root() {
        match store.head(&lake.root).await {
            Ok(object) => found.push((object.location, object.size)),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(lake.failed(e, "reading", name)),
        }
    }
    if found.is_empty() {
        let pattern = if pattern.is_empty() { "**/*.parquet" } else { pattern };
        let pattern = Pattern::new(pattern).map_err(|e| bad_glob(name, &e))?;
        let listed = store.list(Some(&lake.root)).try_collect::<Vec<_>>().await;
        for object in listed.map_err(|e| lake.failed(e, "listing", name))? {
            let below = object
                .location
                .prefix_match(&lake.root)
                .map(|parts| parts.map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().join("/"));
            if below.is_some_and(|below| pattern.matches_with(&below, GLOB)) {
                found.push((object.location, object.size));
            }
        }
        found.sort();
    }
    for (location, size_bytes) in found {
        files.push(ParquetFile::remote(&lake, &store, location, size_bytes, cancel).await?);
    }
    Ok(())
}

/// Writes batches of one schema, metadata included, into a file: the whole of it or nothing.
pub fn write_parquet_file(path: &FilePath, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let failed = |e: std::io::Error| file_error(e, "writing", path.display());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    let mut unfinished = tempfile::Builder::new();
    #[cfg(unix)]
    unfinished.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask, as any new file
    let unfinished = unfinished.tempfile_in(folder).map_err(failed)?;
    encode(unfinished.as_file(), &path.display().to_string(), schema, batches)?;
    unfinished.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Like [`write_parquet_file`] at a path or a URL; missing folders are made. Returns the name without secrets.
pub async fn write_parquet(
    name: &str,
    options: &BTreeMap<String, Secret>,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    cancel: &Cancel,
) -> Result<String> {
    if let Some(path) = local_output(name)? {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| file_error(e, "making the folder", folder.display()))?;
        }
        return write_parquet_file(&path, schema, batches).map(|()| path.display().to_string());
    }
    let lake = Lake::open(name, options)?;
    let shown = lake.url().to_owned();
    if lake.root.is_root() {
        return Err(Error::config(format!("{shown} names no file, expected a URL such as s3://bucket/rollup.parquet")));
    }
    let mut bytes = Vec::new();
    encode(&mut bytes, &shown, schema, batches)?;
    let store = lake.store()?;
    let put = stoppable(cancel, store.put(&lake.root, bytes.into())).await?;
    put.map_err(|e| lake.failed(e, "writing", &shown)).map(|_| shown)
}

/// The file of this machine that an output names, links followed; `None` for a URL of an object store.
fn local_output(name: &str) -> Result<Option<PathBuf>> {
    let Some(path) = local_name(name) else { return Ok(None) };
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let is_other = std::fs::metadata(&path).is_ok_and(|found| !found.is_file());
    if path.file_name().is_none() || name.ends_with('/') || is_other {
        return Err(Error::config(format!(
            "the output {name:?} is no file that can be replaced, expected a name such as out.parquet"
        )));
    }
    Ok(Some(path))
}

fn encode(out: impl std::io::Write + Send, name: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let bad = |e: parquet::errors::ParquetError| {
        Error::data(format!("{name} cannot be written: {e}")).with("file", name).because(e)
    };
    let settings = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(settings)).map_err(bad)?;
    for batch in batches {
        writer.write(batch).map_err(bad)?;
    }
    writer.close().map_err(bad).map(|_| ())
}

impl ParquetFile {
    fn local(path: PathBuf) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(&path).map_err(|e| file_error(e, "reading", &name))?;
        let size_bytes = file.metadata().map_err(|e| file_error(e, "reading", &name))?.len();
        let metadata = load_metadata(&name, || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))?;
        Ok(Self { name, size_bytes, place: Place::Local(path), metadata: fast(metadata) })
    }

    async fn remote(
        lake: &Lake,
        store: &Arc<dyn ObjectStore>,
        location: Path,
        size_bytes: u64,
        cancel: &Cancel,
    ) -> Result<Self> {
        let below = location.prefix_match(&lake.root).map(|p| p.map(|p| p.as_ref().to_owned()).collect::<Vec<_>>());
        let name = below
            .filter(|b| !b.is_empty())
            .map_or_else(|| lake.url().to_owned(), |below| format!("{}/{}", lake.url(), below.join("/")));
        let remote = Remote::new(lake.clone(), Arc::clone(store), location, size_bytes, name.clone(), cancel.clone());
        let footer = read_footer(&remote).await?;
        let load = || ArrowReaderMetadata::try_new(footer.clone(), ArrowReaderOptions::new());
        let metadata = fast(load_metadata(&name, load)?);
        Ok(Self { name, size_bytes, place: Place::Remote(remote), metadata })
    }

    /// The schema as batches will have it: text that repeats is a dictionary, other text a view, INT96 counts
    /// microseconds; all else has the file's own types.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The number of row groups, by which threads share a file.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Rows of all row groups.
    pub fn total_rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The number, from 1, of the first row of a row group.
    pub fn first_row(&self, row_group: usize) -> u64 {
        1 + (0..row_group).map(|group| self.rows(group)).sum::<u64>()
    }

    /// Rows of a row group.
    pub fn rows(&self, row_group: usize) -> u64 {
        self.metadata.metadata().row_groups().get(row_group).map_or(0, |g| g.num_rows().unsigned_abs())
    }

    /// Streams the named columns of a row group. Every reader is on its own, so threads may have one each; it blocks,
    /// and for a remote file must not be called from a thread that drives the async runtime.
    pub fn read(&self, row_group: usize, columns: &[&str], batch_rows: usize) -> Result<PartReader> {
        let schema = self.metadata.schema();
        let roots = (0..schema.fields().len()).filter(|i| columns.contains(&schema.field(*i).name().as_str()));
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let metadata = self.metadata.clone();
        let built = match &self.place {
            Place::Local(path) => {
                // Clones of one handle share its position, so threads must not share a handle.
                let file = File::open(path).map_err(|e| file_error(e, "reading", &self.name))?;
                ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                    .with_projection(mask)
                    .with_row_groups(vec![row_group])
                    .with_batch_size(batch_rows)
                    .build()
            }
            Place::Remote(remote) => {
                let chunks = self.metadata.metadata().row_groups().get(row_group).map(|g| g.columns());
                let ranges = chunks.unwrap_or_default().iter().map(ColumnChunkMetaData::byte_range);
                ParquetRecordBatchReaderBuilder::new_with_metadata(remote.chunks(ranges.collect()), metadata)
                    .with_projection(mask)
                    .with_row_groups(vec![row_group])
                    .with_batch_size(batch_rows)
                    .build()
            }
        };
        let inner = built.map_err(|e| corrupt(&self.name, Some(row_group), &e))?;
        Ok(PartReader::new(inner, &self.name, vec![(row_group, self.rows(row_group))]))
    }
}

/// The footer under the hints of [`text_hint`].
fn fast(plain: ArrowReaderMetadata) -> ArrowReaderMetadata {
    hinted(&plain, |field| text_hint(&plain, field)).unwrap_or(plain)
}

/// Text whose every value is a number into a dictionary comes as one, other text as a view.
fn text_hint(plain: &ArrowReaderMetadata, field: &Field) -> Option<DataType> {
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let mut chunks = plain
        .metadata()
        .row_groups()
        .iter()
        .flat_map(|g| g.columns())
        .filter(|chunk| chunk.column_path().parts() == [field.name().as_str()]);
    match field.data_type() {
        text if is_text(text) || matches!(text, DataType::Dictionary(_, value) if is_text(value)) => {
            let text = if chunks.all(is_dictionary) {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            } else {
                DataType::Utf8View
            };
            Some(text)
        }
        _ => None,
    }
}

/// Whether all values of a chunk are numbers into its dictionary.
fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    if chunk.dictionary_page_offset().is_none() {
        return chunk.num_values() == 0;
    }
    match chunk.page_encoding_stats_mask() {
        Some(pages) => pages.is_only(Encoding::PLAIN_DICTIONARY) || pages.is_only(Encoding::RLE_DICTIONARY),
        // The writer does not say. A plain text takes four bytes for its length alone.
        None => chunk.uncompressed_size() < 4 * chunk.num_values(),
    }
}
