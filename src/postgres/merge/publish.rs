//! From affected keys to written rows.

use super::super::client::Session;
use super::super::database::Database;
use super::affected::Affected;
use super::digests::Effect;
use super::layout::Layout;
use super::planning::{Ask, Planner};
use super::rows::Rows;
use super::sheet::Sheet;
use super::spec::Merged;
use super::target::Target;
use super::wire::Lexicon;
use super::{apply, sheet};
use crate::error::Result;
use crate::history::{Calendar, Columns};

/// What it takes from affected keys to written rows.
pub(super) struct Work<'a> {
    pub(super) database: &'a Database,
    pub(super) session: &'a Session,
    pub(super) target: &'a Target,
    pub(super) has_said: bool,
    pub(super) is_dry: bool,
    /// Whether the marks of the rows that come and go are asked for.
    pub(super) has_marks: bool,
}

impl Work<'_> {
    /// Works the affected keys out and writes what changes; a dry run shows it.
    pub(super) async fn publish(
        &self,
        affected: &mut Affected,
        ask: Ask,
        new: Calendar,
        rows: Option<(&mut Rows, Layout, Columns)>,
        report: Merged,
    ) -> Result<(Merged, Effect)> {
        let report = Merged { table: self.target.place.table(), dry_run: self.is_dry, ..report };
        if affected.len() == 0 {
            return Ok((report, Effect::NONE));
        }
        sheet::create(self.session, self.target).await?;
        sheet::send_affected(self.session, affected).await?;
        let mut planner = Planner {
            session: self.session,
            cancel: &self.database.cancel,
            target: self.target,
            ask,
            old: self.target.calendar(),
            new,
            rules: self.target.rules.derivation(),
            affected,
            rows,
            has_said: self.has_said,
            is_dry: self.is_dry,
            has_marks: self.has_marks,
            effect: Effect::NONE,
            report,
            sheet: Sheet::new(self.target.attributes.len()),
            lexicon: Lexicon::default(),
        };
        planner.run().await?;
        let Planner { sheet, mut report, mut effect, .. } = planner;
        if self.is_dry {
            report.sample = apply::sample(self.session, self.target).await?;
        } else if report.versions_written() + report.said_rows > 0 {
            effect.written = apply::apply(self.session, self.target, affected.has_null, &sheet, self.has_marks).await?;
        }
        effect.rows = report.versions_inserted.cast_signed() - report.versions_deleted.cast_signed();
        effect.is_mirror &= report.said_rows == 0;
        Ok((report, effect))
    }
}
