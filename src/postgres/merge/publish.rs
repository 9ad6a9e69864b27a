//! From affected keys to written rows.

use super::super::client::Session;
use super::super::database::Database;
use super::super::history::wire::Lexicon;
use super::super::history::{Affected, Keeps, Planner, check_overlaps, sample, sheet, write};
use super::asked::{Ask, Asked, table_of};
use super::digests::{Effect, MARK, OWN_MARK};
use super::layout::Layout;
use super::rows::{Place, Rows};
use super::spec::Merged;
use super::target::Target;
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
        affected: &mut Affected<Place>,
        ask: Ask,
        new: Calendar,
        rows: Option<(&mut Rows, Layout, Columns)>,
        report: Merged,
    ) -> Result<(Merged, Effect)> {
        let report = Merged { table: self.target.place.table(), dry_run: self.is_dry, ..report };
        if affected.len() == 0 {
            return Ok((report, Effect::NONE));
        }
        let table = table_of(self.target);
        sheet::create(self.session, &table, affected).await?;
        let attributes = &self.target.attributes;
        let mut planner = Planner {
            session: self.session,
            cancel: &self.database.cancel,
            table: &table,
            keys: affected.len(),
            has_null: affected.has_null,
            keeps: Keeps::Exceptions(self.target.calendar()),
            calendar: new,
            rules: self.target.rules.derivation(),
            has_log: self.has_said,
            mark: self.has_marks.then_some(MARK),
            referenced: None,
            is_shown: self.is_dry,
            subject: Asked { ask, affected, attributes, rows, lexicon: Lexicon::default(), report },
        };
        let (sheet, tally) = planner.run().await?;
        let mut report = planner.subject.report;
        report.versions_inserted += tally.inserted;
        report.versions_updated += tally.updated;
        report.versions_deleted += tally.deleted;
        report.said_rows += tally.said;
        let mut effect = Effect {
            is_mirror: tally.unlike + tally.said == 0,
            rows: tally.inserted.cast_signed() - tally.deleted.cast_signed(),
            gone_marks: tally.gone_marks,
            ..Effect::NONE
        };
        if self.is_dry {
            report.sample = sample(self.session, &table).await?;
        } else if !sheet.is_empty() {
            effect.written = write(self.session, &table, &sheet, self.has_marks.then_some(OWN_MARK)).await?;
            check_overlaps(self.session, &table, affected.has_null).await?;
        }
        Ok((report, effect))
    }
}
