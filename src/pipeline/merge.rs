//! Snapshots and changes into any table with history.

use std::time::Instant;

use super::Pipeline;
use super::outcome::Outcome;
use super::report::Report;
use super::source::Source;
use crate::error::Result;
use crate::postgres::{self, MergeSpec, Merged, RewindSpec};

impl Pipeline {
    /// Merges the rows of a source into a table with history of the warehouse's database. The table need not be one of
    /// ours.
    pub async fn merge_snapshot(&self, source: Source, spec: &MergeSpec) -> Result<Report> {
        let started = Instant::now();
        let mut report = Report::new("merge_snapshot", None);
        let (feed, ..) = self.feed(source, self.settings.threads(), &mut report).await?;
        let merged = postgres::merge(self.warehouse()?, spec, feed).await?;
        fill(&mut report, merged);
        Ok(report.took(started))
    }

    /// Forgets what was merged into a table after an instant, exactly.
    pub async fn rewind_snapshot(&self, spec: &RewindSpec) -> Result<Report> {
        let started = Instant::now();
        let mut report = Report::new("rewind_snapshot", None);
        let merged = postgres::rewind(self.warehouse()?, spec).await?;
        fill(&mut report, merged);
        Ok(report.took(started))
    }
}

fn fill(report: &mut Report, merged: Merged) {
    report.rows = if merged.dry_run { 0 } else { merged.versions_written() };
    report.unchanged = merged.is_unchanged;
    report.outcome = Outcome::Merged(Box::new(merged));
}
