//! History for any table: full snapshots and change feeds merged into a type 2 dimension.
//!
//! ```text
//! rows ─ Intake ─ Diff (against digests, or the table) ─► affected keys ─► the room beside, `postgres::history`
//! ```
//!
//! Only keys of which the rows say something new are worked out; the others cost one comparison of digests. Of a large table
//! the digests are kept beside it (`<table>_digests`), so that the next full snapshot need not read the table. The log of what
//! every load said, which corrections, late rows and rewinds need, is kept only for the keys whose versions do not tell it
//! by themselves (`<table>_said`); the loads and the rules stand in `<table>_loads`. A first load therefore writes the table
//! and nothing else, straight by COPY.
//!
//! Everything happens in one transaction under an advisory lock of the table. It works in any database: no table of the
//! product's own schema is read or written.
#![allow(clippy::wildcard_enum_match_arm, reason = "questions that need no more")]

mod adapt;
mod adopt;
mod asked;
mod awaited;
mod ddl;
mod diff;
mod digest;
mod digests;
mod first;
mod follow;
mod intake;
mod layout;
mod parts;
mod past;
mod place;
mod publish;
mod question;
mod renamed;
mod rows;
mod rules;
mod spec;
mod stored;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{Session, get, is_refusal};
use super::database::Database;
use super::history::wire::columns_literal;
use super::history::{Affected, literal, stream};
use super::lock::hold_table;
use crate::error::{Error, Result};
use crate::history::{Calendar, Census, Columns, guard};
use crate::load::Feed;
use crate::model::Absent;
use adapt::Fit;
use asked::Ask;
use awaited::Awaited;
use diff::{Diff, Vanished};
use digests::{Digests, Effect};
use intake::{Coming, Intake};
use layout::Layout;
use past::{Past, write_rules};
use place::{Place, quote};
use publish::Work;
use question::Question;
use renamed::Renamed;
use rows::Place as RowPlace;
use target::Target;

pub use spec::{Adopted, Deleted, Effective, MergeSpec, Merged, Names, RewindSpec};

/// A feed is held against the whole table only if it is not much smaller.
const FEED_SHARE: u64 = 20;

/// Merges a snapshot, or changes, into a table with history.
///
/// # Errors
/// [`Error::Config`] for a call that contradicts itself or the table's rules, [`Error::Schema`] for columns and types,
/// [`Error::Data`] for rows that contradict each other, lack a key, or let too many keys vanish.
pub async fn merge(database: &Database, spec: &MergeSpec, feed: Arc<dyn Feed>) -> Result<Merged> {
    let session = lock_table(database, &spec.table).await?;
    let merged = Merge { database, session: &session, spec }.run(feed).await;
    finish(&session, merged).await
}

/// Forgets every load, or every change, after an instant, exactly.
///
/// # Errors
/// [`Error::NotFound`] for a table that was never merged into.
pub async fn rewind(database: &Database, spec: &RewindSpec) -> Result<Merged> {
    let session = lock_table(database, &spec.table).await?;
    let merged = rewind_locked(database, &session, spec).await;
    finish(&session, merged).await
}

async fn lock_table(database: &Database, table: &str) -> Result<Session> {
    let session = database.address.session().await?;
    let place = Place::find(&session, table).await?;
    hold_table(&session, &place.table(), database.settings.lock_deadline_seconds).await?;
    session.run("BEGIN").await?;
    Ok(session)
}

async fn rewind_locked(database: &Database, session: &Session, spec: &RewindSpec) -> Result<Merged> {
    let mut past = Past::find(session, &spec.table).await?;
    past.follow(session, &BTreeMap::new()).await?;
    let target = Target::for_rewind(past, database.zone)?;
    let (place, followed) = (&target.place, &target.followed);
    let to = literal(spec.to)?;
    let kept: Vec<_> = target.loads.iter().filter(|(at, _)| *at <= spec.to).cloned().collect();
    // An overwritten column shows what a later load said also where no interval changes.
    let all = !target.rules.overwritten.is_empty() && target.loads.iter().any(|(_, s)| *s != target.rules.all());
    let all = all || followed.concerns_all_keys();
    let (from, end) = (quote(&target.rules.names.valid_from), quote(&target.rules.names.valid_to));
    let keys = ddl::list(&target.keys, "");
    let touched = format!(
        "SELECT {keys} FROM {} WHERE {from} > {to} OR {end} > {to} \
         UNION SELECT {keys} FROM {} WHERE said_from > {to} OR said_to > {to}",
        place.table(),
        place.log()
    );
    let mut affected = Affected::default();
    let sql = if all { diff::all_keys(&target) } else { touched };
    stream(session, &sql, &database.cancel, &mut |key| affected.push(key, &[])).await?;
    let new = if target.rules.is_feed { target.calendar() } else { Calendar::snapshots(kept) };
    let work = Work { database, session, target: &target, has_said: true, is_dry: spec.dry_run, has_marks: false };
    let report = Merged { retired_columns: followed.retired.clone(), ..Merged::default() };
    let (mut report, _) = work.publish(&mut affected, Ask::Rewind { to: spec.to }, new, None, report).await?;
    let mut gone = 0;
    if !spec.dry_run {
        if followed.has_new_rules {
            write_rules(session, place, &target.rules).await?;
        }
        gone = session.execute(&format!("DELETE FROM {} WHERE effective > {to}", place.loads()), &[]).await?;
    }
    report.is_unchanged = gone == 0 && !followed.has_new_rules && report.versions_written() + report.said_rows == 0;
    Ok(report)
}

/// Commits what went well and was meant, rolls back the rest.
async fn finish(session: &Session, merged: Result<Merged>) -> Result<Merged> {
    match merged {
        Ok(report) if !report.dry_run && !report.empty_snapshot => {
            session.commit().await?;
            Ok(report)
        }
        other => {
            // Best effort: closing the session rolls back as well.
            let _ = session.run("ROLLBACK").await;
            other
        }
    }
}

struct Merge<'a> {
    database: &'a Database,
    session: &'a Session,
    spec: &'a MergeSpec,
}

impl Merge<'_> {
    async fn run(&self, feed: Arc<dyn Feed>) -> Result<Merged> {
        let mut past = Past::find(self.session, &self.spec.table).await?;
        past.follow(self.session, &self.spec.renamed).await?;
        let feed = Renamed::over(feed, past.former_names(&self.spec.renamed));
        let schema = feed.schema();
        let spec = self.spec.with_names_for(past.place.name());
        if spec.adopt {
            past.adopt(self.session, &spec, &schema, self.database.zone).await?;
        }
        past.adopt_columns(self.session, &spec, &schema).await?;
        let mut target = Target::for_merge(past, &spec, &schema, self.database.zone)?;
        target.prepare(self.session).await?;
        let layout = Layout::of(&target, self.spec, &schema);
        let fit = Fit {
            columns: layout.columns.clone(),
            time: self.spec.time_column().cloned(),
            deleted: self.spec.deleted.clone(),
            zone: self.database.zone,
        };
        let report = Merged {
            table: target.place.table(),
            created: target.is_created,
            dry_run: self.spec.dry_run,
            added_columns: target.added.clone(),
            adopted_columns: target.followed.adopted.clone(),
            renamed_columns: target.followed.renamed.clone(),
            adopted: target.followed.history.clone(),
            retired_columns: target.followed.retired.clone(),
            unknown_columns: target.unknown(self.spec, &schema),
            missing_columns: target.missing(&schema),
            changed_rules: target.old_rules.iter().flat_map(|old| target.rules.changes_since(old)).collect(),
            ..Merged::default()
        };
        self.database.progress.begin(&format!("merge into {}", target.place.table()), 0);
        match self.spec.effective {
            Effective::At(at) if target.loads.is_empty() && !self.spec.dry_run => {
                self.first_load(&target, layout, feed, fit, at, report).await
            }
            _ => {
                let question = Question::of(self.session, self.spec, &target, &layout).await?;
                let digests = match question.ask {
                    Ask::Snapshot { at, .. } if question.suits_digests(&target, at) => {
                        Digests::find(self.session, &target, at).await?
                    }
                    _ => None,
                };
                let intake = self.read(layout, feed, fit, digests.as_ref()).await?;
                self.merge(&target, question, intake, digests, report).await
            }
        }
    }

    /// Reads the rows while the digests are looked at.
    async fn read(
        &self,
        layout: Layout,
        feed: Arc<dyn Feed>,
        fit: Fit,
        digests: Option<&Digests<'_>>,
    ) -> Result<Intake> {
        let database = self.database;
        let (threads, cancel, progress) =
            (database.settings.threads(), database.cancel.clone(), database.progress.clone());
        let mut intake = Intake::new(layout, database.settings.memory_bytes as usize / 2);
        let (give_stored, stored) = Awaited::new();
        let (give_trust, is_trusted) = Awaited::new();
        if let Some(digests) = digests {
            intake.expect(digests.digester(), digests.is_promising().then_some(Coming { stored, is_trusted }));
        }
        let read = tokio::task::spawn_blocking(move || {
            intake.read(&*feed, &fit, threads, &cancel, &progress, None)?;
            Ok(intake)
        });
        let read = async { read.await.map_err(|e| Error::internal("reading ended early").because(e))? };
        let look = async {
            match digests {
                Some(digests) => digests.load_and_check(give_stored, give_trust).await,
                None => Ok(()),
            }
        };
        Ok(tokio::try_join!(read, look)?.0)
    }

    async fn merge(
        &self,
        target: &Target,
        question: Question,
        mut intake: Intake,
        digests: Option<Digests<'_>>,
        mut report: Merged,
    ) -> Result<Merged> {
        report.rows_read = intake.row_count;
        report.rows_duplicate = intake.duplicate_count;
        report.keys_read = intake.key_count();
        report.empty_snapshot = intake.row_count == 0 && target.rules.absent == Absent::Ignore;
        if report.empty_snapshot {
            report.is_unchanged = true;
            return Ok(report);
        }
        // Too few keys for new ones: then nothing has to be found out for them either.
        let digests =
            digests.filter(|_| intake.stored.is_some() || report.keys_read >= self.database.settings.digest_keys);
        let (mut affected, vanished) = self.differ(target, &question, &mut intake).await?;
        if let (Ask::Snapshot { .. }, true) = (question.ask, affected.len() > 0 || report.rows_read == 0) {
            self.guard(target, &vanished, report.rows_read)?;
        }
        let work = Work {
            database: self.database,
            session: self.session,
            target,
            has_said: question.has_said,
            is_dry: self.spec.dry_run,
            has_marks: digests.is_some(),
        };
        let layout = intake.layout.clone();
        let rows = Some((&mut intake.rows, layout, question.stated.clone()));
        let is_quiet = affected.len() == 0;
        let (mut report, effect) = work.publish(&mut affected, question.ask, question.new, rows, report).await?;
        let is_noted =
            !self.spec.dry_run && self.remember(target, &question.stated, report.rows_read, is_quiet).await?;
        report.is_unchanged = !is_noted && report.versions_written() + report.said_rows == 0;
        if let Some(digests) = digests.filter(|_| !self.spec.dry_run && !report.is_unchanged) {
            report.digests_not_kept = self.keep(&digests, &intake, effect).await?;
        }
        Ok(report)
    }

    /// Keeps the digests, or says why not: a trigger, a constraint, whatever somebody did to their table must not stop a
    /// merge.
    async fn keep(&self, digests: &Digests<'_>, intake: &Intake, effect: Effect) -> Result<Option<String>> {
        self.session.run("SAVEPOINT digests").await?;
        match digests.keep(intake, effect).await {
            Ok(()) => self.session.run("RELEASE SAVEPOINT digests").await.map(|()| None),
            Err(e) if is_refusal(&e) => {
                self.session.run("ROLLBACK TO SAVEPOINT digests").await?;
                Ok(Some(e.to_string()))
            }
            Err(e) => Err(e),
        }
    }

    /// The keys that the rows say something new of, and those that they miss.
    async fn differ(
        &self,
        target: &Target,
        question: &Question,
        intake: &mut Intake,
    ) -> Result<(Affected<RowPlace>, Vanished)> {
        let has_rows = intake.row_count > 0;
        let compares = question.ask == Ask::Feed && self.is_worth_comparing(target, intake).await?;
        // Read-only from here on; the rest of the intake is not.
        let stored = intake.stored.take();
        let mut diff = Diff {
            session: self.session,
            cancel: &self.database.cancel,
            target,
            intake,
            stated: question.stated.clone(),
            has_said: question.has_said,
            affected: Affected::default(),
            vanished: Vanished::default(),
        };
        if let Ask::Snapshot { at, .. } = question.ask {
            match &stored {
                Some(stored) => diff.snapshot_of_stored(stored).await?,
                None => diff.snapshot(at, question.all).await?,
            }
            diff.intake.stored = stored;
            let is_loaded = target.loads.iter().any(|(day, _)| *day == at);
            let earlier = target.loads.iter().rev().map(|(day, _)| *day).find(|day| *day < at);
            match earlier {
                _ if diff.affected.len() == 0 && has_rows => {}
                Some(earlier) if is_loaded => diff.vanished_since(earlier).await?,
                None => diff.vanished = Vanished::default(),
                Some(_) => {}
            }
        } else {
            diff.feed(compares, question.all).await?;
        }
        Ok((diff.affected, diff.vanished))
    }

    async fn is_worth_comparing(&self, target: &Target, intake: &Intake) -> Result<bool> {
        let sql = "SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = to_regclass($1)";
        let rows: i64 = get(&self.session.row(sql, &[&target.place.table()]).await?, 0)?;
        Ok(intake.entries.len() as u64 * FEED_SHARE > rows.unsigned_abs())
    }

    fn guard(&self, target: &Target, vanished: &Vanished, rows: u64) -> Result<()> {
        let names: Vec<&str> = vanished.names.iter().map(String::as_str).collect();
        let census = Census {
            previous_keys: vanished.previous,
            vanished: vanished.count,
            vanished_keys: &names,
            snapshot_rows: rows,
        };
        guard(&census, target.rules.absent, self.spec.allow_vanishing)
            .map_err(|e| e.with("table", target.place.table()))
    }

    /// Notes the load and the rules, and tells whether it did; a load that is known writes nothing.
    async fn remember(&self, target: &Target, stated: &Columns, rows: u64, is_quiet: bool) -> Result<bool> {
        let loads = target.place.loads();
        let has_new_rules = target.followed.has_new_rules || target.old_rules.as_ref() != Some(&target.rules);
        if has_new_rules {
            write_rules(self.session, &target.place, &target.rules).await?;
        }
        let Effective::At(at) = self.spec.effective else { return Ok(has_new_rules) };
        if is_quiet && target.loads.iter().any(|(day, said)| *day == at && said == stated) {
            return Ok(has_new_rules);
        }
        let sql = format!(
            "INSERT INTO {loads} (effective, stated, row_count) VALUES ({}, {}, $1) ON CONFLICT (effective) \
             DO UPDATE SET stated = excluded.stated, row_count = excluded.row_count, loaded_at = excluded.loaded_at",
            literal(at)?,
            columns_literal(stated)
        );
        self.session.execute(&sql, &[&rows.cast_signed()]).await?;
        Ok(true)
    }
}
