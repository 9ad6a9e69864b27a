//! Parquet files of any place, named by path, folder, URL or glob: read by row group, with projection.
//!
//! Unlike a partition's parts they follow no layout and are neither hashed nor copied: a remote file is read in ranges,
//! of the projected columns alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelector,
};
use parquet::basic::Encoding;
use parquet::errors::Result as Decoded;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use super::address::absolute;
use super::failure::file_error;
use super::find::{REQUESTS, named};
use super::footer::{hinted, load_metadata};
use super::naming::{FolderValue, folder_values};
use super::open::Lake;
use super::pages::Pages;
use super::ranges::{Fetched, Remote, Room, read_footer};
use super::read::{PartReader, corrupt};
use super::tree::{At, Found};
use super::unite::{Completion, Piece, unite};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::load::check_columns;

/// Names of Parquet files, and how they are read.
#[derive(Clone, Debug)]
pub struct Places {
    /// Each a path, a folder, a URL, or a glob of either.
    pub names: Vec<String>,
    /// Reads the files of a table of another format (Delta Lake, Hudi, Iceberg) as they are.
    pub plain_files: bool,
    /// Makes columns of `key=value` folders.
    pub folder_columns: bool,
}

/// Files that are one table.
#[derive(Debug)]
pub struct ParquetTable {
    /// The files, in the order of the names and of the paths within each.
    pub files: Vec<ParquetFile>,
    /// The columns of all of them.
    pub schema: SchemaRef,
}

/// One Parquet file whose footer is read.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    /// Its path or URL, without secrets.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    place: Place,
    metadata: ArrowReaderMetadata,
    folders: Vec<FolderValue>,
    schema: SchemaRef,
    completion: Arc<Completion>,
}

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Remote(Box<Remote>),
}

/// The files behind names, as parts of one table: each has the columns of all, and those of its folders.
///
/// # Errors
/// As of [`parquet_files`]; `Schema` for columns that contradict each other.
pub async fn parquet_table(
    places: &Places,
    options: &BTreeMap<String, Secret>,
    cancel: &Cancel,
) -> Result<ParquetTable> {
    let mut files = parquet_files(places, options, cancel).await?;
    let pieces: Vec<_> = files
        .iter()
        .map(|file| Piece { name: &file.name, schema: file.metadata.schema(), folders: &file.folders })
        .collect();
    let (schema, completions) = unite(&pieces)?;
    for (file, completion) in files.iter_mut().zip(completions) {
        file.schema = completion.schema(file.metadata.schema());
        file.completion = Arc::new(completion);
    }
    Ok(ParquetTable { files, schema })
}

/// The files behind names, each by itself: what a folder holds by the rules of docs/sources.md. In the order of the names,
/// and of the paths within each.
///
/// # Errors
/// `NotFound` when a name stands for no file; `Data` for a file that is not Parquet; `Schema` for two columns of one name;
/// `Config` for a malformed name.
pub async fn parquet_files(
    places: &Places,
    options: &BTreeMap<String, Secret>,
    cancel: &Cancel,
) -> Result<Vec<ParquetFile>> {
    let (mut files, room) = (Vec::new(), Room::new());
    for name in &places.names {
        let found = named(name, options, places.plain_files, cancel).await?;
        if found.files.is_empty() {
            return Err(Error::not_found(format!(
                "{name} names no Parquet file (data is what ends in .parquet, or has no suffix and begins as Parquet does; \
                 names that begin with _ or . are left out)"
            ))
            .with("source", name));
        }
        let lake = found.lake.as_ref();
        let opened: Vec<_> = found
            .files
            .into_iter()
            .map(|found| ParquetFile::open(lake, found, places.folder_columns, &room, cancel))
            .collect();
        files.extend(futures::stream::iter(opened).buffered(REQUESTS).try_collect::<Vec<_>>().await?);
    }
    Ok(files)
}

impl ParquetFile {
    async fn open(
        lake: Option<&Lake>,
        found: Found,
        folder_columns: bool,
        room: &Room,
        cancel: &Cancel,
    ) -> Result<Self> {
        cancel.check()?;
        let name = match (&found.at, lake) {
            (At::Remote(location), Some(lake)) => lake.name_of(location),
            (At::Remote(location), None) => location.to_string(),
            (At::Local(path), _) => path.display().to_string(),
        };
        let (place, size_bytes, metadata) = match (found.at, lake) {
            (At::Local(path), _) => {
                let file = File::open(&path).map_err(|e| file_error(e, "reading", &name))?;
                let size_bytes = file.metadata().map_err(|e| file_error(e, "reading", &name))?.len();
                not_empty(&name, size_bytes)?;
                let load = || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
                (Place::Local(path), size_bytes, load_metadata(&name, load)?)
            }
            (At::Remote(location), Some(lake)) => {
                let size_bytes = found.size_bytes;
                not_empty(&name, size_bytes)?;
                let mut remote =
                    Remote::new(lake.clone(), lake.store()?, location, size_bytes, name.clone(), cancel.clone());
                let footer = read_footer(&mut remote, room).await?;
                let load = || ArrowReaderMetadata::try_new(footer.clone(), ArrowReaderOptions::new());
                (Place::Remote(Box::new(remote)), size_bytes, load_metadata(&name, load)?)
            }
            (At::Remote(_), None) => return Err(Error::internal("a remote file was found without a store")),
        };
        let metadata = fast(metadata);
        check_columns(&name, metadata.schema())?;
        let folders = if folder_columns { folder_values(&found.below) } else { Vec::new() };
        let schema = Arc::clone(metadata.schema());
        Ok(Self { name, size_bytes, place, metadata, folders, schema, completion: Arc::default() })
    }

    /// Its path or URL as any process on a machine that sees it finds it.
    ///
    /// # Errors
    /// `Storage` or `NotFound` where this process has no folder to work in.
    pub fn address(&self) -> Result<String> {
        match &self.place {
            Place::Local(path) => absolute(path),
            Place::Remote(_) => Ok(self.name.clone()),
        }
    }

    /// The schema as batches will have it: text that repeats is a dictionary, other text a view, INT96 counts
    /// microseconds; all else has the file's own types. What the table has beyond the file comes last.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of the schema that neither the file nor its folders have: they are NULL.
    pub fn lacks(&self) -> Vec<String> {
        self.completion.lacks()
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

    /// The least and the greatest value of a column in each row group; NULL where the footer does not tell.
    ///
    /// # Errors
    /// `Data` for a footer that cannot be read.
    pub fn extremes(&self, column: &str) -> Result<(ArrayRef, ArrayRef)> {
        let (groups, failed) = (self.metadata.metadata().row_groups(), |e| corrupt(&self.name, None, &e));
        let told = self.statistics(column)?;
        let least = told.row_group_mins(groups).map_err(failed)?;
        Ok((least, told.row_group_maxes(groups).map_err(failed)?))
    }

    /// Whether the footer says, by row group, that a column has no NULL there.
    ///
    /// # Errors
    /// `Data` for a footer that cannot be read.
    pub fn is_complete(&self, column: &str) -> Result<Vec<bool>> {
        let told = self.statistics(column)?.with_missing_null_counts_as_zero(false);
        let nulls = told.row_group_null_counts(self.metadata.metadata().row_groups());
        Ok(nulls.map_err(|e| corrupt(&self.name, None, &e))?.iter().map(|nulls| nulls == Some(0)).collect())
    }

    fn statistics<'a>(&'a self, column: &'a str) -> Result<StatisticsConverter<'a>> {
        StatisticsConverter::try_new(column, self.metadata.schema(), self.metadata.parquet_schema())
            .map_err(|e| corrupt(&self.name, None, &e))
    }

    /// Whether a folder states a column of this name.
    pub fn has_folder(&self, column: &str) -> bool {
        self.folders.iter().any(|folder| folder.column == column)
    }

    /// What is told of the pages of a column in a row group. `None` for a remote file, of which that would have to be
    /// fetched, and for a column of nested values.
    pub fn pages(&self, row_group: usize, column: &str) -> Option<Pages> {
        match &self.place {
            Place::Local(path) => Pages::of(File::open(path).ok()?, &self.metadata, row_group, column),
            Place::Remote(_) => None,
        }
    }

    /// Streams the named columns of a row group. Every reader is on its own, so threads may have one each; it blocks,
    /// and for a remote file must not be called from a thread that drives the async runtime.
    pub fn read(&self, row_group: usize, columns: &[&str], batch_rows: usize) -> Result<PartReader> {
        self.read_fetched(row_group, 0..self.rows(row_group), columns, batch_rows, Fetched::new())
    }

    /// The same of some of its rows, counted from 0, with what was fetched of it.
    pub(super) fn read_fetched(
        &self,
        row_group: usize,
        rows: Range<u64>,
        columns: &[&str],
        batch_rows: usize,
        fetched: Fetched,
    ) -> Result<PartReader> {
        let mask = self.mask(columns);
        let built = match &self.place {
            Place::Local(path) => {
                // Clones of one handle share its position, so threads must not share a handle.
                let file = File::open(path).map_err(|e| file_error(e, "reading", &self.name))?;
                self.decoder(file, row_group, &rows, mask, batch_rows)
            }
            Place::Remote(remote) => {
                let chunks = remote.chunks(self.chunks(row_group, &mask), fetched);
                self.decoder(chunks, row_group, &rows, mask, batch_rows)
            }
        };
        let inner = built.map_err(|e| corrupt(&self.name, Some(row_group), &e))?;
        let first_row = self.first_row(row_group) + rows.start;
        let reader = PartReader::new(inner, &self.name, vec![(row_group, rows.end - rows.start)]);
        Ok(reader.completed(&self.completion, columns, first_row))
    }

    fn decoder(
        &self,
        bytes: impl ChunkReader + 'static,
        row_group: usize,
        rows: &Range<u64>,
        mask: ProjectionMask,
        batch_rows: usize,
    ) -> Decoded<ParquetRecordBatchReader> {
        let decoder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, self.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![row_group])
            .with_batch_size(batch_rows);
        if *rows == (0..self.rows(row_group)) {
            return decoder.build();
        }
        // Of the last ones one more is asked for: a column that has more than the others shows by that.
        let beyond = u64::from(rows.end == self.rows(row_group));
        let (before, some) = (usize::try_from(rows.start)?, usize::try_from(rows.end - rows.start + beyond)?);
        decoder.with_row_selection(vec![RowSelector::skip(before), RowSelector::select(some)].into()).build()
    }

    /// Fetches the named columns of a row group, if that spares time later: how many bytes, and the work.
    pub(super) fn fetch(
        &self,
        row_group: usize,
        columns: &[&str],
    ) -> Option<(u64, impl Future<Output = Result<Fetched>> + Send + 'static)> {
        match &self.place {
            Place::Local(_) => None,
            Place::Remote(remote) => remote.fetch_ahead(self.chunks(row_group, &self.mask(columns))),
        }
    }

    fn mask(&self, columns: &[&str]) -> ProjectionMask {
        let schema = self.metadata.schema();
        let roots = (0..schema.fields().len()).filter(|i| columns.contains(&schema.field(*i).name().as_str()));
        ProjectionMask::roots(self.metadata.parquet_schema(), roots)
    }

    /// Start and length of the column chunks that a mask lets through.
    fn chunks(&self, row_group: usize, mask: &ProjectionMask) -> Vec<(u64, u64)> {
        let chunks = self.metadata.metadata().row_groups().get(row_group).map(|g| g.columns()).unwrap_or_default();
        let leaves = chunks.iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        leaves.map(|(_, chunk)| chunk.byte_range()).collect()
    }
}

fn not_empty(name: &str, size_bytes: u64) -> Result<()> {
    if size_bytes > 0 {
        return Ok(());
    }
    Err(Error::data(format!("{name} is empty (0 bytes), expected a Parquet file; write it again or take it away"))
        .with("file", name))
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
