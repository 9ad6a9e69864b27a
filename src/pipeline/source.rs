//! Rows that a caller names: Parquet files, or an Arrow stream of another library.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::Pipeline;
use super::report::Report;
use crate::error::{Error, Result};
use crate::lake::{ParquetFile, ParquetTable, Places, TableReader, parquet_table};
use crate::load::{Feed, Origin, Unit, check_columns};

/// How messages call a stream.
pub(super) const STREAM: &str = "the Arrow stream";

/// Rows decoded at once.
const BATCH_ROWS: usize = 16_384;

/// Where rows come from.
pub enum Source {
    /// Parquet files.
    Files(Places),
    /// A stream, read once.
    Stream(Box<dyn RecordBatchReader + Send>),
}

/// A source that keeps what every source must.
pub(super) enum Opened {
    Files(ParquetTable),
    Stream(Box<dyn RecordBatchReader + Send>),
}

/// The rows of files, in units of row groups.
pub(super) struct FileRows(TableReader);

impl FileRows {
    pub(super) fn origins(&self) -> Vec<Origin> {
        let origin = |f: &ParquetFile| Origin { name: f.name.clone(), schema: f.schema().clone(), lacks: f.lacks() };
        self.0.files().iter().map(origin).collect()
    }
}

impl Feed for FileRows {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn units(&self) -> usize {
        self.0.units()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let (file, _) = self.0.unit(unit);
        for batch in self.0.read(unit, BATCH_ROWS)? {
            sink(batch?).map_err(|e| e.with("file", &file.name))?;
        }
        Ok(())
    }

    fn origin(&self, unit: Unit) -> Option<(SchemaRef, u64)> {
        let (file, group) = self.0.unit(unit);
        Some((file.schema().clone(), file.first_row(group) - 1))
    }

    fn name(&self, unit: Unit) -> Option<&str> {
        Some(&self.0.unit(unit).0.name)
    }
}

/// The rows of a stream: each unit takes the next batch until there is none, so as many may run as there are units.
pub(super) struct StreamRows {
    schema: SchemaRef,
    units: usize,
    reader: Mutex<Box<dyn RecordBatchReader + Send>>,
}

impl StreamRows {
    pub(super) fn new(reader: Box<dyn RecordBatchReader + Send>, units: usize) -> Self {
        Self { schema: reader.schema(), units: units.max(1), reader: Mutex::new(reader) }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin { name: STREAM.into(), schema: self.schema.clone(), lacks: Vec::new() }
    }
}

impl Feed for StreamRows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn units(&self) -> usize {
        self.units
    }

    fn read(&self, _unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        loop {
            let batch = self.reader.lock().unwrap_or_else(PoisonError::into_inner).next();
            match batch {
                None => return Ok(()),
                Some(Ok(batch)) => sink(batch)?,
                Some(Err(e)) => return Err(broken(e)),
            }
        }
    }

    fn name(&self, _unit: Unit) -> Option<&str> {
        // Several units take batches in turn: then nobody knows which rows of the stream a unit had.
        (self.units == 1).then_some(STREAM)
    }
}

/// The error of a stream whose producer fails on the way.
pub(super) fn broken(error: ArrowError) -> Error {
    Error::data(format!("the Arrow stream broke off: {error}")).because(error)
}

impl Pipeline {
    /// Opens a source: the one way to the rows of files and streams, whatever is done with them.
    pub(super) async fn open(&self, source: Source) -> Result<Opened> {
        match source {
            Source::Files(places) => {
                Ok(Opened::Files(parquet_table(&places, &self.settings.lake_options, &self.cancel).await?))
            }
            Source::Stream(stream) => {
                check_columns(STREAM, &stream.schema())?;
                Ok(Opened::Stream(stream))
            }
        }
    }

    /// Opens a source for at most `readers` threads: its rows, where they come from, and how many there are (0: unknown).
    pub(super) async fn feed(
        &self,
        source: Source,
        readers: usize,
        report: &mut Report,
    ) -> Result<(Arc<dyn Feed>, Vec<Origin>, u64)> {
        match self.open(source).await? {
            Opened::Files(table) => {
                report.files = table.files.len() as u64;
                report.bytes = table.files.iter().map(|f| f.size_bytes).sum();
                let rows = table.files.iter().map(ParquetFile::total_rows).sum();
                let feed = FileRows(TableReader::new(table, None, None));
                let origins = feed.origins();
                Ok((Arc::new(feed), origins, rows))
            }
            Opened::Stream(stream) => {
                let feed = StreamRows::new(stream, readers);
                let origins = vec![feed.origin()];
                Ok((Arc::new(feed), origins, 0))
            }
        }
    }
}
