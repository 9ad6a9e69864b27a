//! Rows that a caller names: Parquet files, or an Arrow stream of another library.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use super::Pipeline;
use super::report::Report;
use crate::error::{Error, Result};
use crate::lake::{ParquetFile, parquet_files};
use crate::load::{Feed, Origin, Unit};

/// How messages call a stream.
const STREAM: &str = "the Arrow stream";

/// Rows decoded at once.
const BATCH_ROWS: usize = 16_384;

/// Where rows come from.
pub enum Source {
    /// Paths, folders, globs or URLs of Parquet files.
    Paths(Vec<String>),
    /// A stream, read once.
    Stream(Box<dyn RecordBatchReader + Send>),
}

/// The rows of files, in units of row groups.
pub(super) struct FileRows {
    files: Vec<ParquetFile>,
    units: Vec<(usize, usize)>,
}

impl FileRows {
    pub(super) fn new(files: Vec<ParquetFile>) -> Self {
        let all = files.iter().enumerate();
        let units = all.flat_map(|(file, f)| (0..f.row_groups()).map(move |group| (file, group))).collect();
        Self { files, units }
    }

    pub(super) fn origins(&self) -> Vec<Origin> {
        self.files.iter().map(|f| Origin { name: f.name.clone(), schema: f.schema().clone() }).collect()
    }
}

impl Feed for FileRows {
    fn schema(&self) -> SchemaRef {
        self.files.first().map_or_else(|| SchemaRef::new(Schema::empty()), |file| file.schema().clone())
    }

    fn units(&self) -> usize {
        self.units.len()
    }

    fn read(&self, unit: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let (file, group) = self.units[unit];
        let file = &self.files[file];
        let names: Vec<&str> = file.schema().fields().iter().map(|field| field.name().as_str()).collect();
        for batch in file.read(group, &names, BATCH_ROWS)? {
            sink(batch?).map_err(|e| e.with("file", &file.name))?;
        }
        Ok(())
    }

    fn origin(&self, unit: Unit) -> Option<(SchemaRef, u64)> {
        let (file, group) = self.units[unit];
        let file = &self.files[file];
        Some((file.schema().clone(), file.first_row(group) - 1))
    }

    fn name(&self, unit: Unit) -> Option<&str> {
        Some(&self.files[self.units[unit].0].name)
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
        Origin { name: STREAM.into(), schema: self.schema.clone() }
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
    /// Opens a source for at most `readers` threads: its rows, where they come from, and how many there are (0: unknown).
    pub(super) async fn open(
        &self,
        source: Source,
        readers: usize,
        report: &mut Report,
    ) -> Result<(Arc<dyn Feed>, Vec<Origin>, u64)> {
        match source {
            Source::Paths(paths) => {
                let files = parquet_files(&paths, &self.settings.lake_options, &self.cancel).await?;
                report.files = files.len() as u64;
                report.bytes = files.iter().map(|f| f.size_bytes).sum();
                let rows = files.iter().map(ParquetFile::total_rows).sum();
                let feed = FileRows::new(files);
                let origins = feed.origins();
                Ok((Arc::new(feed), origins, rows))
            }
            Source::Stream(reader) => {
                let feed = StreamRows::new(reader, readers);
                let origins = vec![feed.origin()];
                Ok((Arc::new(feed), origins, 0))
            }
        }
    }
}
