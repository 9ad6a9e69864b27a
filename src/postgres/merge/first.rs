//! The first snapshot of a table: every key is new and its log plain, so the rows go straight into the table.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::copy_in::{CHUNK_BYTES, copy_bytes, hand_over};
use super::super::history::wire::{HEADER, instant_bytes, put_field, split};
use super::Merge;
use super::adapt::Fit;
use super::ddl::list;
use super::diff::Vanished;
use super::intake::Intake;
use super::layout::Layout;
use super::place::quote;
use super::spec::Merged;
use super::target::Target;
use crate::error::{Error, Result};
use crate::history::Instant;
use crate::load::Feed;
use crate::model::Absent;

impl Merge<'_> {
    /// Loads the first snapshot: encoded, collapsed and sent in one pass, then indexed.
    pub(super) async fn first_load(
        &self,
        target: &Target,
        layout: Layout,
        feed: Arc<dyn Feed>,
        fit: Fit,
        at: Instant,
        mut report: Merged,
    ) -> Result<Merged> {
        let stated = layout.columns_stated();
        let table = target.place.table();
        let statement = statement(target, &layout);
        let mut writer = Writer::new(target, layout.columns.len(), at);
        let (threads, cancel, progress) =
            (self.database.settings.threads(), self.database.cancel.clone(), self.database.progress.clone());
        let mut intake = Intake::new(layout, 0);
        let intake = copy_bytes(self.session, &statement, &table, move |sender| {
            let mut forward = |block: &Bytes, places: &[u32]| {
                writer.add(block, places)?;
                if writer.out.len() >= CHUNK_BYTES { hand_over(sender, writer.out.split().freeze()) } else { Ok(()) }
            };
            intake.read(&*feed, &fit, threads, &cancel, &progress, Some(&mut forward))?;
            writer.out.put_i16(-1);
            hand_over(sender, writer.out.split().freeze())?;
            Ok(intake)
        })
        .await?;
        report.rows_read = intake.row_count;
        report.rows_duplicate = intake.duplicate_count;
        report.keys_read = intake.entries.len() as u64;
        report.keys_new = report.keys_read;
        report.versions_inserted = report.keys_read;
        report.empty_snapshot = report.rows_read == 0 && target.rules.absent == Absent::Ignore;
        if report.empty_snapshot {
            return Ok(report);
        }
        self.guard(target, &Vanished::default(), report.rows_read)?;
        if target.is_created {
            target.add_guards(self.session).await?;
            let sql = "SELECT setval(pg_get_serial_sequence($1, $2), greatest($3::int8, 1), $3::int8 > 0)";
            self.session.row(sql, &[&table, &target.surrogate, &report.keys_read.cast_signed()]).await?;
        }
        self.remember(target, &stated, report.rows_read, false).await?;
        Ok(report)
    }
}

/// Only a table that this transaction made may be frozen, and only there the surrogate keys are ours to give.
fn statement(target: &Target, layout: &Layout) -> String {
    let names = &target.rules.names;
    let mut columns = Vec::new();
    columns.extend(target.is_created.then(|| quote(&target.surrogate)));
    columns.push(list(&layout.columns, ""));
    columns.push(quote(&names.valid_from));
    columns.extend(names.current.as_ref().filter(|_| target.sets_current).map(|name| quote(name)));
    let freeze = if target.is_created { ", FREEZE" } else { "" };
    format!("COPY {} ({}) FROM STDIN (FORMAT BINARY{freeze})", target.place.table(), columns.join(", "))
}

/// Makes rows of the table out of rows of the snapshot.
struct Writer {
    out: BytesMut,
    columns: i16,
    /// The next surrogate key, where they are ours to give.
    surrogate: Option<i64>,
    /// What stands behind the snapshot's fields.
    tail: Bytes,
}

impl Writer {
    fn new(target: &Target, width: usize, at: Instant) -> Self {
        let mut tail = BytesMut::new();
        put_field(&mut tail, Some(&instant_bytes(at)));
        let sets_current = target.sets_current;
        if sets_current {
            put_field(&mut tail, Some(&[1]));
        }
        let mut out = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        out.put_slice(HEADER);
        let columns = width + 1 + usize::from(target.is_created) + usize::from(sets_current);
        Self { out, columns: columns as i16, surrogate: target.is_created.then_some(1), tail: tail.freeze() }
    }

    fn add(&mut self, block: &Bytes, places: &[u32]) -> Result<()> {
        let mut fields = Vec::new();
        for &at in places {
            let row = &block[at as usize..];
            let length = split(row, &mut fields).ok_or_else(|| Error::internal("an encoded row is torn"))?;
            self.out.put_i16(self.columns);
            if let Some(number) = &mut self.surrogate {
                put_field(&mut self.out, Some(&number.to_be_bytes()));
                *number += 1;
            }
            // The count of fields is ours, the fields are the snapshot's.
            self.out.put_slice(&row[2..length]);
            self.out.put_slice(&self.tail);
        }
        Ok(())
    }
}
