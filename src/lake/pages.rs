//! What a file tells of each page of a column: its rows and what lies between which bounds. No value is decoded.

use std::any::Any;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageReader};
use parquet::errors::Result as Decoded;
use parquet::file::metadata::page_index::PageIndexProvider;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::index_reader::{decode_column_index, decode_offset_index};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

/// With more pages each has so few rows that looking at it takes as long as reading it.
const MOST_PAGES: usize = 1024;

/// The pages of a column in one row group, in their order, as far as the file tells of them: by an index behind the data
/// (arrow-rs and Spark write one) or by the header of each page (pyarrow). What cannot be read, and what contradicts
/// itself, tells nothing; who reads the values meets the damage.
pub struct Pages {
    column: OnlyColumn,
    source: Source,
    /// How many may still be told of.
    left: usize,
}

enum Source {
    Index(VecDeque<PageExtremes>),
    Headers(Box<SerializedPageReader<File>>),
}

/// What the file tells of a page.
#[derive(Debug)]
pub struct PageExtremes {
    /// Its rows.
    pub rows: u64,
    /// The least value, an array of one; NULL where it is unknown.
    pub least: ArrayRef,
    /// The greatest value, likewise.
    pub greatest: ArrayRef,
    /// Whether it has no NULL.
    pub is_complete: bool,
}

impl Pages {
    /// The pages of a column of plain values; `None` for one in which a row is more or less than one value.
    pub(super) fn of(file: File, metadata: &ArrowReaderMetadata, row_group: usize, column: &str) -> Option<Self> {
        let schema = metadata.parquet_schema();
        let leaf = (0..schema.num_columns()).find(|leaf| schema.column(*leaf).path().parts() == [column])?;
        let group = metadata.metadata().row_groups().get(row_group)?;
        if schema.column(leaf).max_rep_level() > 0 {
            return None;
        }
        // As in decoding, damage is the file's fault and not the caller's.
        catch_unwind(AssertUnwindSafe(|| {
            let (column, chunk) = (OnlyColumn::of(metadata, leaf, column)?, group.column(leaf));
            let index = column.of_index(&file, chunk, u64::try_from(group.num_rows()).ok()?);
            let mut headers = Box::new(headers(file, chunk).ok()?);
            let source = match index {
                Some(pages) => are_as_told(&mut headers, &pages).ok()?.then_some(Source::Index(pages))?,
                None => Source::Headers(headers),
            };
            Some(Self { column, source, left: MOST_PAGES })
        }))
        .ok()?
    }
}

impl Iterator for Pages {
    type Item = PageExtremes;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match &mut self.source {
            Source::Index(pages) => pages.pop_front(),
            Source::Headers(pages) => {
                catch_unwind(AssertUnwindSafe(|| self.column.of_header(pages).ok().flatten())).ok()?
            }
        }
    }
}

/// The pages with their headers. Bodies are handed on as they lie in the file, since none is looked into.
fn headers(file: File, chunk: &ColumnChunkMetaData) -> Decoded<SerializedPageReader<File>> {
    let as_stored = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
    let properties = ReaderProperties::builder().set_read_page_statistics(true).build();
    let rows = usize::try_from(chunk.num_values())?;
    SerializedPageReader::new_with_properties(Arc::new(file), &as_stored, rows, None, properties.into())
}

/// Whether the headers say as many rows of each page as its index does: by the headers pages are passed over.
fn are_as_told(headers: &mut SerializedPageReader<File>, index: &VecDeque<PageExtremes>) -> Decoded<bool> {
    let mut told = index.iter().map(|page| page.rows);
    while let Some(page) = headers.peek_next_page()? {
        let rows = page.num_rows.or(page.num_levels).map(|rows| rows as u64);
        if !page.is_dict && rows != told.next() {
            return Ok(false);
        }
        headers.skip_next_page()?;
    }
    Ok(told.next().is_none())
}

/// Schemas of one column of a file, so that bounds of pages are understood as those of row groups are.
struct OnlyColumn {
    parquet: SchemaDescPtr,
    arrow: SchemaRef,
}

impl OnlyColumn {
    fn of(metadata: &ArrowReaderMetadata, leaf: usize, column: &str) -> Option<Self> {
        let field = metadata.schema().field_with_name(column).ok()?;
        let root = metadata.parquet_schema().get_column_root_ptr(leaf);
        let alone = Type::group_type_builder("page").with_fields(vec![root]).build().ok()?;
        let parquet = Arc::new(SchemaDescriptor::new(Arc::new(alone)));
        Some(Self { parquet, arrow: Arc::new(Schema::new(vec![field.clone()])) })
    }

    fn told(&self) -> Decoded<StatisticsConverter<'_>> {
        let told = StatisticsConverter::try_new(self.arrow.field(0).name(), &self.arrow, &self.parquet)?;
        Ok(told.with_missing_null_counts_as_zero(false))
    }

    /// The pages by the index of their chunk; None where there is none, or one that contradicts itself.
    fn of_index(&self, file: &File, chunk: &ColumnChunkMetaData, rows: u64) -> Option<VecDeque<PageExtremes>> {
        let bytes = |range: Range<u64>| {
            let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
            (range.end <= file.metadata().ok()?.len()).then_some(())?;
            file.get_bytes(range.start, length).ok()
        };
        let (columns, offsets) = (bytes(chunk.column_index_range()?)?, bytes(chunk.offset_index_range()?)?);
        let index = OnlyIndex {
            columns: decode_column_index(&columns, chunk.column_type()).ok()?,
            offsets: decode_offset_index(&offsets).ok()?,
        };
        let starts = index.offsets.page_locations().iter().map(|page| u64::try_from(page.first_row_index).ok());
        let starts: Vec<u64> = starts.chain([Some(rows)]).collect::<Option<_>>()?;
        let told = self.told().ok()?;
        let least = told.data_page_mins(&index, &[0]).ok()?;
        let greatest = told.data_page_maxes(&index, &[0]).ok()?;
        let nulls = told.data_page_null_counts(&index, &[0]).ok()?;
        let pages = starts.len() - 1;
        let is_whole = starts.first() == Some(&0) && [least.len(), greatest.len(), nulls.len()] == [pages; 3];
        (is_whole && pages <= MOST_PAGES).then_some(())?;
        let page = |at: usize| {
            Some(PageExtremes {
                rows: starts[at + 1].checked_sub(starts[at])?,
                least: least.slice(at, 1),
                greatest: greatest.slice(at, 1),
                is_complete: is_zero(&nulls, at),
            })
        };
        (0..pages).map(page).collect()
    }

    /// The next page by its header; None after the last one, and where the header tells nothing.
    fn of_header(&self, pages: &mut SerializedPageReader<File>) -> Decoded<Option<PageExtremes>> {
        let (rows, statistics) = loop {
            match pages.get_next_page()? {
                None => return Ok(None),
                Some(Page::DictionaryPage { .. }) => {}
                Some(
                    Page::DataPage { num_values, statistics, .. } | Page::DataPageV2 { num_values, statistics, .. },
                ) => {
                    break (u64::from(num_values), statistics);
                }
            }
        };
        let Some(statistics) = statistics else { return Ok(None) };
        // As if the page were a row group.
        let chunk = ColumnChunkMetaData::builder(self.parquet.column(0)).set_statistics(statistics).build()?;
        let group = RowGroupMetaData::builder(Arc::clone(&self.parquet)).add_column_metadata(chunk).build()?;
        let told = self.told()?;
        Ok(Some(PageExtremes {
            rows,
            least: told.row_group_mins([&group])?,
            greatest: told.row_group_maxes([&group])?,
            is_complete: is_zero(&told.row_group_null_counts([&group])?, 0),
        }))
    }
}

fn is_zero(counts: &UInt64Array, at: usize) -> bool {
    counts.is_valid(at) && counts.value(at) == 0
}

/// The index of one chunk, as if a file had no other.
#[derive(Debug)]
struct OnlyIndex {
    columns: ColumnIndexMetaData,
    offsets: OffsetIndexMetaData,
}

impl PageIndexProvider for OnlyIndex {
    fn has_offset_indexes(&self) -> bool {
        true
    }

    fn has_column_indexes(&self) -> bool {
        true
    }

    fn column_index(&self, _row_group: usize, _column: usize) -> Option<&ColumnIndexMetaData> {
        Some(&self.columns)
    }

    fn offset_index(&self, _row_group: usize, _column: usize) -> Option<&OffsetIndexMetaData> {
        Some(&self.offsets)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
