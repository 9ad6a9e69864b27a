//! Parquet or Arrow into any table of PostgreSQL.

use std::sync::Arc;
use std::time::Instant;

use super::Pipeline;
use super::report::Report;
use super::source::{FileRows, Source, StreamRows};
use crate::error::Result;
use crate::lake::{ParquetFile, open_files};
use crate::postgres::{CopyTable, Feed};

/// How a copy treats its table.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Makes the table after the first file when it is not there.
    pub create: bool,
    /// Empties the table in the same transaction.
    pub truncate: bool,
    /// Connections at most.
    pub connections: usize,
}

impl Pipeline {
    /// Copies the rows of a source into a table of the warehouse's database. The table need not be one of ours, and
    /// nothing else is touched; what several connections promise stands at [`CopyTable`].
    pub async fn copy_parquet(&self, source: Source, table: &str, options: CopyOptions) -> Result<Report> {
        let started = Instant::now();
        let address = self.warehouse()?.address().clone();
        let mut report = Report::new("copy_parquet", None);
        let (feed, origins, rows): (Arc<dyn Feed>, _, _) = match source {
            Source::Paths(paths) => {
                let settings = &self.settings;
                let files = open_files(&paths, &settings.lake_options, settings.spool.as_deref(), &self.cancel).await?;
                report.files = files.len() as u64;
                report.bytes = files.iter().map(|f| f.size_bytes).sum();
                let rows = files.iter().map(ParquetFile::rows).sum();
                let feed = FileRows::new(files);
                let origins = feed.origins();
                (Arc::new(feed), origins, rows)
            }
            Source::Stream(reader) => {
                let feed = StreamRows::new(reader, options.connections);
                let origins = vec![feed.origin()];
                (Arc::new(feed), origins, 0)
            }
        };
        self.progress.begin(&format!("copy {table}"), rows);
        let CopyOptions { create, truncate, connections } = options;
        let run_id = self.run_id.clone();
        let copy = CopyTable { table: table.to_owned(), origins, feed, create, truncate, connections, run_id };
        let copied = copy.run(&address, &self.cancel, &self.progress).await?;
        report.rows = copied.rows;
        report.detail("table", copied.table);
        report.detail("created", copied.created);
        report.detail("frozen", copied.frozen);
        report.detail("connections", copied.connections);
        if let Some(why) = copied.one_connection_because {
            report.detail("one_connection_because", why);
        }
        Ok(report.took(started))
    }
}
