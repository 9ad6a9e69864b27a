//! Parquet or Arrow into any table of PostgreSQL.

use std::time::Instant;

use super::Pipeline;
use super::outcome::Outcome;
use super::report::Report;
use super::source::Source;
use crate::error::Result;
use crate::postgres::CopyTable;

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
        let address = self.warehouse()?.address.clone();
        let mut report = Report::new("copy_parquet", None);
        let (feed, origins, rows) = self.feed(source, options.connections, &mut report).await?;
        self.progress.begin(&format!("copy {table}"), rows);
        let CopyOptions { create, truncate, connections } = options;
        let run_id = self.run_id.clone();
        let lock_deadline_seconds = self.settings.lock_deadline_seconds;
        let table = table.to_owned();
        let copy = CopyTable { table, origins, feed, create, truncate, connections, run_id, lock_deadline_seconds };
        let copied = copy.run(&address, &self.cancel, &self.progress).await?;
        report.rows = copied.rows;
        report.outcome = Outcome::Copied {
            table: copied.table,
            created: copied.created,
            frozen: copied.frozen,
            connections: copied.connections,
            one_connection_because: copied.one_connection_because,
        };
        Ok(report.took(started))
    }
}
