//! Batches into the bytes of a Parquet file, column by column, on as many cores as its writer is given.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::outgoing::Pieces;
use crate::error::{Error, Result};
use crate::queue::Queue;

/// Rows of a row group.
pub(super) const ROW_GROUP_ROWS: usize = 512 * 1024;
/// A batch of fewer rows is encoded sooner than a thread begins.
const WORTH_THREADS_ROWS: usize = 4 * 1024;

/// A column of the row group that is being filled; `None` once it is closed.
type Column = Mutex<Option<ArrowColumnWriter>>;

/// Encodes one file. The bytes are the same on any number of cores.
pub(super) struct Encoder {
    path: String,
    file: SerializedFileWriter<Pieces>,
    groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    cores: usize,
}

impl Encoder {
    /// `path` is what messages call the file, `out` takes its bytes.
    pub(super) fn new(path: String, schema: &SchemaRef, settings: WriterProperties, out: Pieces) -> Result<Self> {
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(settings));
        let parts = writer.and_then(ArrowWriter::into_serialized_writer);
        let (file, groups) = parts.map_err(|e| encoding(&path, e))?;
        Ok(Self { path, file, groups, schema: schema.clone(), columns: Vec::new(), rows: 0, cores: 1 })
    }

    pub(super) fn use_cores(&mut self, cores: usize) {
        self.cores = cores;
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut first = 0;
        while first < batch.num_rows() {
            let rows = (batch.num_rows() - first).min(ROW_GROUP_ROWS - self.rows);
            self.encode(&batch.slice(first, rows))?;
            first += rows;
            if self.rows == ROW_GROUP_ROWS {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            let begun = self.groups.create_column_writers(self.file.flushed_row_groups().len());
            let begun = begun.map_err(|e| encoding(&self.path, e))?;
            self.columns = begun.into_iter().map(|column| Mutex::new(Some(column))).collect();
        }
        let mut leaves: Vec<ArrowLeafColumn> = Vec::with_capacity(self.columns.len());
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            leaves.extend(compute_leaves(field, column).map_err(|e| encoding(&self.path, e))?);
        }
        let cores = if batch.num_rows() < WORTH_THREADS_ROWS { 1 } else { self.cores };
        Queue::new(self.columns.len()).drain(cores, |number| {
            let (Some(column), Some(leaf)) = (self.columns.get(number), leaves.get(number)) else { return Ok(()) };
            let mut column = column.lock().unwrap_or_else(PoisonError::into_inner);
            let written = column.as_mut().map_or(Ok(()), |column| column.write(leaf));
            written.map_err(|e| encoding(&self.path, e))
        })?;
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Ends the row group, if one is begun.
    pub(super) fn end_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let close = |number: usize, closed: &mut Vec<(usize, ArrowColumnChunk)>| {
            let Some(column) = self.columns.get(number) else { return Ok(()) };
            let column = column.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(column) = column {
                closed.push((number, column.close().map_err(|e| encoding(&self.path, e))?));
            }
            Ok(())
        };
        let cores = if self.rows < WORTH_THREADS_ROWS { 1 } else { self.cores };
        let closed = Queue::new(self.columns.len()).drain_with(cores, Vec::new, close)?;
        let mut chunks: Vec<_> = closed.into_iter().flatten().collect();
        chunks.sort_by_key(|(number, _)| *number);
        let append = || {
            let mut group = self.file.next_row_group()?;
            chunks.into_iter().try_for_each(|(_, chunk)| chunk.append_to_row_group(&mut group))?;
            group.close()
        };
        append().map_err(|e| encoding(&self.path, e))?;
        self.columns.clear();
        self.rows = 0;
        Ok(())
    }

    /// What is held in memory until its row group is full.
    pub(super) fn memory_bytes(&self) -> usize {
        let of = |column: &Column| {
            column.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, ArrowColumnWriter::memory_size)
        };
        self.columns.iter().map(of).sum()
    }

    /// Writes the footer.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.end_group()?;
        self.file.finish().map_err(|e| encoding(&self.path, e))?;
        self.file.inner_mut().end_piece();
        Ok(())
    }

    /// Takes the encoded pieces that found no room on their way.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        self.file.inner_mut().take()
    }
}

pub(super) fn encoding(path: &str, error: ParquetError) -> Error {
    Error::internal(format!("{path} cannot be encoded: {error}")).with("file", path).because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::Int32Type;
    use parquet::basic::Compression;
    use tokio::sync::mpsc::channel;

    use super::*;

    fn settings() -> WriterProperties {
        let level = parquet::basic::ZstdLevel::try_new(1).unwrap();
        let builder = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        builder.set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build()
    }

    fn batch(first: i64, rows: i64) -> RecordBatch {
        let numbers = first..first + rows;
        let texts = numbers.clone().map(|n| (n % 7 != 0).then(|| format!("stop-{}", n % 3_000)));
        let words: DictionaryArray<Int32Type> = numbers.clone().map(|n| Some(["a", "b"][n as usize % 2])).collect();
        let columns: [(&str, ArrayRef, bool); 4] = [
            ("n", Arc::new(numbers.clone().collect::<Int64Array>()), true),
            ("text", Arc::new(texts.collect::<StringArray>()), true),
            ("word", Arc::new(words), true),
            ("x", Arc::new(numbers.map(|n| Some(n as f64 / 3.0)).collect::<Float64Array>()), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn the_bytes_are_those_that_parquets_own_writer_makes_on_any_number_of_cores() {
        let sizes = [0, 1, 5_000, 300_000, 300_000, 600_000];
        let schema = batch(0, 1).schema();
        let mut alone = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(settings())).unwrap();
        sizes.iter().for_each(|rows| alone.write(&batch(3, *rows)).unwrap());
        let alone = alone.into_inner().unwrap();
        for (cores, room) in [(1, 1), (2, 100), (5, 3)] {
            let (upload, mut taken) = channel(room);
            let mut ours = Encoder::new("x.parquet".into(), &schema, settings(), Pieces::of(upload)).unwrap();
            ours.use_cores(cores);
            sizes.iter().for_each(|rows| ours.write(&batch(3, *rows)).unwrap());
            assert_eq!(ours.file.flushed_row_groups().len(), 2);
            assert!(ours.memory_bytes() > 0);
            ours.finish().unwrap();
            assert_eq!(ours.memory_bytes(), 0);
            let pieces: Vec<Bytes> = std::iter::from_fn(|| taken.try_recv().ok()).chain(ours.take()).collect();
            assert!(pieces.concat() == alone, "{cores} cores");
        }
    }
}
