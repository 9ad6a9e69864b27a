//! Parquet files outside the layout of a lake: paths, folders, globs and URLs, as a caller names them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use tempfile::TempPath;
use url::Url;

use super::failure::file_error;
use super::fetch::check_format;
use super::open::{Lake, stoppable};
use super::read::{PartReader, int96_hint, open_metadata, read_groups};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};

const SUFFIX: &str = ".parquet";
const GLOB: [char; 3] = ['*', '?', '['];
/// A wildcard stays within its folder; `**` crosses folders. Hidden names are matched only by name.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A Parquet file that can be read from this machine. Clones share a spooled copy, which goes with the last of them.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    /// How messages call it: the path or URL.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    file: PathBuf,
    metadata: ArrowReaderMetadata,
    _spooled: Option<Arc<TempPath>>,
}

impl ParquetFile {
    /// The schema of its batches.
    pub fn schema(&self) -> SchemaRef {
        self.metadata.schema().clone()
    }

    /// Rows by the footer.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The number of row groups: the unit by which several threads may share a file.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The number, from 1, of the first row of a row group.
    pub fn first_row(&self, row_group: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        1 + groups.iter().take(row_group).map(|g| g.num_rows().unsigned_abs()).sum::<u64>()
    }

    /// Streams some row groups, all columns or the named ones. Each reader has a file handle of its own, so several
    /// may run side by side.
    pub fn read(&self, groups: Range<usize>, columns: Option<&[&str]>, batch_rows: usize) -> Result<PartReader> {
        let schema = self.metadata.schema();
        let mask = columns.map_or_else(ProjectionMask::all, |columns| {
            let roots = (0..schema.fields().len()).filter(|i| columns.contains(&schema.field(*i).name().as_str()));
            ProjectionMask::roots(self.metadata.parquet_schema(), roots)
        });
        read_groups(&self.file, &self.name, &self.metadata, groups, mask, batch_rows)
    }

    fn open(name: String, file: PathBuf, spooled: Option<TempPath>) -> Result<Self> {
        check_format(&file, &name)?;
        let size_bytes = std::fs::metadata(&file).map_err(|e| file_error(e, "reading", &name))?.len();
        let metadata = open_metadata(&file, &name, int96_hint)?;
        Ok(Self { name, size_bytes, file, metadata, _spooled: spooled.map(Arc::new) })
    }
}

/// Opens every file that `sources` name, in their order and each once; what one source names is sorted by name.
///
/// A source is a file, a folder (its `*.parquet`, hidden ones left out), or a glob (`*`, `?`, `[..]`, `**` across
/// folders), as a path, a `file://` URL, or the URL of an object store that `options` give access to. Remote files are
/// spooled into `spool` (the system's folder when unset).
///
/// # Errors
/// `NotFound` when a source names nothing; `Data` when a file is no whole Parquet file; `Config` for a URL of an unknown
/// kind; `Storage` as the store says.
pub async fn open_files(
    sources: &[String],
    options: &BTreeMap<String, Secret>,
    spool: Option<&FilePath>,
    cancel: &Cancel,
) -> Result<Vec<ParquetFile>> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for source in sources {
        if let Some(path) = local_path(source)? {
            for file in local_files(source, &path)? {
                let name = file.display().to_string();
                if seen.insert(name.clone()) {
                    files.push(ParquetFile::open(name, file, None)?);
                }
            }
            continue;
        }
        let (lake, paths) = remote_files(source, options, cancel).await?;
        for path in paths {
            let name = format!("{}/{path}", lake.url());
            if seen.insert(name.clone()) {
                let (temp, _) = lake.spool(&path, spool, cancel).await?;
                files.push(ParquetFile::open(name, temp.to_path_buf(), Some(temp))?);
            }
        }
    }
    Ok(files)
}

fn nothing(source: &str) -> Error {
    Error::not_found(format!("{source} names no Parquet file")).with("source", source)
}

fn is_glob(text: &str) -> bool {
    text.contains(GLOB)
}

/// The path of a local source; `None` for a URL of an object store.
fn local_path(source: &str) -> Result<Option<PathBuf>> {
    if source.is_empty() {
        return Err(Error::config("the source is empty, expected a path, a URL or a glob"));
    }
    if !source.contains("://") {
        return Ok(Some(PathBuf::from(source)));
    }
    let Some(path) = source.strip_prefix("file://") else { return Ok(None) };
    if is_glob(path) {
        return Ok(Some(PathBuf::from(path)));
    }
    let url = Url::parse(source).map_err(|e| Error::config(format!("the source is no URL: {e}")))?;
    url.to_file_path().map(Some).map_err(|()| Error::config("a file:// source needs an absolute path"))
}

fn local_files(source: &str, path: &FilePath) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    if path.is_dir() {
        let failed = |e| file_error(e, "listing", path.display());
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_visible(&name) && entry.is_file() {
                found.push(entry);
            }
        }
    } else if is_glob(source) {
        let wrong = |e| Error::config(format!("{source} is no glob: {e}"));
        for entry in glob::glob_with(&path.to_string_lossy(), MATCHING).map_err(wrong)? {
            let entry = entry.map_err(|e| file_error(e.into(), "listing", source))?;
            if entry.is_file() {
                found.push(entry);
            }
        }
    }
    found.sort();
    if found.is_empty() { Err(nothing(source)) } else { Ok(found) }
}

fn is_visible(name: &str) -> bool {
    name.ends_with(SUFFIX) && !name.starts_with(['.', '_'])
}

/// The store of a URL, opened at the folder before the first wildcard, and the paths below it that the URL names.
async fn remote_files(
    source: &str,
    options: &BTreeMap<String, Secret>,
    cancel: &Cancel,
) -> Result<(Lake, Vec<String>)> {
    let plain_end = source.find(GLOB).unwrap_or(source.trim_end_matches('/').len());
    let cut = source[..plain_end].rfind('/').unwrap_or(0);
    // `s3://bucket` has no slash after its authority: the bucket itself is the folder.
    let (folder, rest) =
        if source[..cut].ends_with('/') { (source, "") } else { (&source[..cut], source[cut + 1..].trim_matches('/')) };
    let lake = Lake::open(folder, options)?;
    let store = lake.store()?;
    if rest.is_empty() {
        return list(source, lake, &store, "", None, cancel).await;
    }
    if is_glob(rest) {
        let pattern = Pattern::new(rest).map_err(|e| Error::config(format!("{source} is no glob: {e}")))?;
        return list(source, lake, &store, "", Some(pattern), cancel).await;
    }
    let location = lake.location(rest)?;
    match stoppable(cancel, store.head(&location)).await? {
        Ok(_) => Ok((lake, vec![rest.to_owned()])),
        Err(StoreError::NotFound { .. }) => list(source, lake, &store, rest, None, cancel).await,
        Err(e) => Err(lake.failed(e, "reading", source)),
    }
}

async fn list(
    source: &str,
    lake: Lake,
    store: &Arc<dyn ObjectStore>,
    folder: &str,
    pattern: Option<Pattern>,
    cancel: &Cancel,
) -> Result<(Lake, Vec<String>)> {
    let prefix = if folder.is_empty() { lake.root.clone() } else { lake.location(folder)? };
    let listed = stoppable(cancel, store.list(Some(&prefix)).try_collect::<Vec<_>>()).await?;
    let mut found = Vec::new();
    for object in listed.map_err(|e| lake.failed(e, "listing", source))? {
        let below = |from| {
            let parts = object.location.prefix_match(from)?;
            Some(parts.map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
        };
        let Some(path) = below(&lake.root) else { continue };
        let wanted = match &pattern {
            Some(pattern) => pattern.matches_with(&path, MATCHING),
            None => below(&prefix).is_some_and(|name| !name.contains('/') && is_visible(&name)),
        };
        if wanted {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() { Err(nothing(source)) } else { Ok((lake, found)) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use arrow::array::{Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn put(file: &FilePath, rows: i64) {
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut writer = ArrowWriter::try_new(fs::File::create(file).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn open(sources: &[String]) -> Result<Vec<ParquetFile>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(open_files(sources, &BTreeMap::new(), None, &Cancel::default()))
    }

    #[test]
    fn files_folders_globs_and_urls_name_files_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (name, rows) in [("b.parquet", 2), ("a.parquet", 1), ("_hidden.parquet", 9), ("in/c.parquet", 3)] {
            put(&folder.path().join(name), rows);
        }
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        let rows = |sources: &[String]| open(sources).unwrap().iter().map(ParquetFile::rows).collect::<Vec<_>>();
        assert_eq!(rows(&[at("")]), [1, 2]);
        assert_eq!(rows(&[at("b.parquet"), at("*.parquet")]), [2, 9, 1]);
        assert_eq!(rows(&[at("**/[ac].parquet")]), [1, 3]);
        assert_eq!(rows(&[format!("file://{}", at("in"))]), [3]);
    }

    #[test]
    fn a_source_that_names_nothing_or_no_parquet_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        for source in [at("none.parquet"), at("*.parquet"), at("")] {
            assert_eq!(open(&[source]).unwrap_err().kind(), "not_found");
        }
        assert!(open(&[at("notes.txt")]).unwrap_err().to_string().contains("is not a Parquet file"));
        assert_eq!(open(&["ftp://host/x.parquet".into()]).unwrap_err().kind(), "config");
    }
}
