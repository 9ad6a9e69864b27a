//! Which keys a snapshot says something new of: the table is streamed past the digests of the snapshot.

use std::collections::HashSet;

use super::super::client::Session;
use super::super::history::wire::{Column, Field, columns_bytes, split};
use super::super::history::{Affected, literal, stream};
use super::ddl::list;
use super::digest::{Digest, Digester};
use super::digests::open_keys;
use super::intake::{Intake, key_text};
use super::place::quote;
use super::rows::Place;
use super::stored::Stored;
use super::target::Target;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::history::{Columns, KEYS_NAMED};

/// The keys of the loaded day before, held against the snapshot.
#[derive(Debug, Default)]
pub(super) struct Vanished {
    pub(super) previous: u64,
    pub(super) count: u64,
    pub(super) names: Vec<String>,
}

impl Vanished {
    fn see(&mut self, is_gone: bool, keys: &[Column], fields: &[Field<'_>]) {
        self.previous += 1;
        if is_gone {
            self.see_gone(keys, fields);
        }
    }

    fn see_gone(&mut self, keys: &[Column], fields: &[Field<'_>]) {
        self.count += 1;
        if self.names.len() < KEYS_NAMED {
            self.names.push(key_text(keys, fields));
        }
    }
}

/// Holds a snapshot, or a feed, against the stored history.
pub(super) struct Diff<'a> {
    pub(super) session: &'a Session,
    pub(super) cancel: &'a Cancel,
    pub(super) target: &'a Target,
    pub(super) intake: &'a mut Intake,
    /// The columns that the snapshot states, as bits.
    pub(super) stated: Columns,
    pub(super) has_said: bool,
    pub(super) affected: Affected<Place>,
    pub(super) vanished: Vanished,
}

impl Diff<'_> {
    /// The keys of which a full snapshot says something new; with `all`, every key.
    pub(super) async fn snapshot(&mut self, at: i64, all: bool) -> Result<()> {
        let at = literal(at)?;
        let stated = list(self.intake.layout.stated(), "");
        let keys = list(&self.target.keys, "");
        let key_count = self.target.keys.len();
        let (names, said_mask) = (&self.target.rules.names, columns_bytes(&self.stated));
        let digester = self.intake.digester.clone();
        let columns = self.intake.layout.columns.clone();
        let mut said_keys = HashSet::new();
        let mut done = HashSet::new();
        if self.has_said {
            let sql = format!(
                "SELECT said_from <= {at} AND (said_to IS NULL OR said_to > {at}), stated, {keys}, {stated} FROM {}",
                self.target.place.log()
            );
            let (session, cancel) = (self.session, self.cancel);
            let mut scratch = Vec::new();
            stream(session, &sql, cancel, &mut |fields| {
                let (key, values) = fields[2..].split_at(key_count);
                let identity = digester.digest(&columns[..key_count], key, &mut scratch);
                said_keys.insert(identity);
                if fields[0] == Some(&[1]) {
                    let known = (fields[1] == Some(&said_mask))
                        .then(|| digester.digest(&columns[key_count..], values, &mut scratch));
                    done.extend(all.then_some(identity));
                    self.meet(identity, key, known.filter(|_| !all))?;
                }
                Ok(())
            })
            .await?;
        }
        let (from, to) = (quote(&names.valid_from), quote(&names.valid_to));
        let sql = format!(
            "SELECT {keys}, {stated} FROM {} WHERE {from} <= {at} AND ({to} IS NULL OR {to} > {at})",
            self.target.place.table()
        );
        let (session, cancel) = (self.session, self.cancel);
        let mut scratch = Vec::new();
        stream(session, &sql, cancel, &mut |fields| {
            let (key, values) = fields.split_at(key_count);
            let identity = digester.digest(&columns[..key_count], key, &mut scratch);
            if !said_keys.is_empty() && said_keys.contains(&identity) {
                return Ok(());
            }
            let known = digester.digest(&columns[key_count..], values, &mut scratch);
            done.extend(all.then_some(identity));
            self.meet(identity, key, Some(known).filter(|_| !all))
        })
        .await?;
        self.add_unmatched()?;
        if all { self.add_others(&done).await } else { Ok(()) }
    }

    /// The same from the digests of the table: the rows that are left say something new. Only to name the keys that
    /// vanished is the table read.
    pub(super) async fn snapshot_of_stored(&mut self, stored: &Stored) -> Result<()> {
        self.vanished.previous = stored.len() as u64;
        if stored.unseen() > 0 {
            let (digester, columns) = (self.intake.digester.clone(), self.target.keys.clone());
            let (session, cancel) = (self.session, self.cancel);
            let mut scratch = Vec::new();
            stream(session, &open_keys(self.target), cancel, &mut |key| {
                if stored.is_unseen(digester.digest(&columns, key, &mut scratch)) {
                    self.vanished.see_gone(&columns, key);
                    self.affected.push(key, &[])?;
                }
                Ok(())
            })
            .await?;
        }
        if self.vanished.count != stored.unseen() as u64 {
            let digests = self.target.place.digests();
            return Err(Error::internal(format!(
                "the digests beside the table name other keys than the table; drop {digests} and merge again"
            ))
            .with("table", digests));
        }
        self.add_unmatched()
    }

    /// A key that is observed at the snapshot's instant, with what is known of it unless that is to be looked at anyway.
    fn meet(&mut self, identity: Digest, key: &[Field<'_>], known: Option<Digest>) -> Result<()> {
        let found = self.intake.find(identity);
        self.vanished.see(found.is_none(), &self.target.keys, key);
        let Some(position) = found else { return self.affected.push(key, &[]) };
        let entry = &mut self.intake.entries[position];
        entry.is_matched = true;
        let place = entry.place;
        if known == Some(entry.says) { Ok(()) } else { self.affected.push(key, &[place]) }
    }

    /// Keys of the snapshot that nothing is known of at its instant.
    fn add_unmatched(&mut self) -> Result<()> {
        let mut fields = Vec::new();
        for position in 0..self.intake.entries.len() {
            let entry = self.intake.entries[position];
            if entry.is_matched {
                continue;
            }
            let row = self.intake.rows.from(entry.place)?;
            split(&row, &mut fields).ok_or_else(|| Error::internal("a kept row is torn"))?;
            self.affected.push(&fields[..self.intake.layout.key_count], &[entry.place])?;
            fields = Vec::new();
        }
        Ok(())
    }

    /// Every other key that has a history.
    async fn add_others(&mut self, done: &HashSet<Digest>) -> Result<()> {
        let sql = all_keys(self.target);
        let digester = self.intake.digester.clone();
        let columns = self.target.keys.clone();
        let mut scratch = Vec::new();
        let (session, cancel) = (self.session, self.cancel);
        stream(session, &sql, cancel, &mut |key| {
            let identity = digester.digest(&columns, key, &mut scratch);
            if done.contains(&identity) || self.intake.find(identity).is_some() {
                return Ok(());
            }
            self.affected.push(key, &[])
        })
        .await
    }

    /// The keys that a snapshot misses of those observed at an instant.
    pub(super) async fn vanished_since(&mut self, at: i64) -> Result<()> {
        let at = literal(at)?;
        let keys = list(&self.target.keys, "");
        let names = &self.target.rules.names;
        let (from, to) = (quote(&names.valid_from), quote(&names.valid_to));
        let digester: Digester = self.intake.digester.clone();
        let columns = self.target.keys.clone();
        let said = format!(
            " UNION SELECT {keys} FROM {} WHERE said_from <= {at} AND (said_to IS NULL OR said_to > {at})",
            self.target.place.log()
        );
        let sql = format!(
            "SELECT {keys} FROM {table} WHERE {from} <= {at} AND ({to} IS NULL OR {to} > {at}){said}",
            table = self.target.place.table(),
            said = if self.has_said { said.as_str() } else { "" },
        );
        self.vanished = Vanished::default();
        let mut scratch = Vec::new();
        let (session, cancel) = (self.session, self.cancel);
        stream(session, &sql, cancel, &mut |key| {
            let identity = digester.digest(&columns, key, &mut scratch);
            self.vanished.see(!self.intake.has(identity), &columns, key);
            Ok(())
        })
        .await
    }

    /// The keys of which a change feed says something new. Without `compares` every key that it names.
    pub(super) async fn feed(&mut self, compares: bool, all: bool) -> Result<()> {
        if compares && !all {
            self.match_feed().await?;
        }
        let key_count = self.target.keys.len();
        let columns = self.target.keys.clone();
        let (mut scratch, mut fields) = (Vec::new(), Vec::new());
        let mut open: Vec<(Digest, Place)> = Vec::new();
        for position in 0..self.intake.entries.len() {
            let entry = self.intake.entries[position];
            if !entry.is_matched {
                let row = self.intake.rows.from(entry.place)?;
                split(&row, &mut fields).ok_or_else(|| Error::internal("a kept row is torn"))?;
                open.push((self.intake.digester.digest(&columns, &fields[..key_count], &mut scratch), entry.place));
                fields = Vec::new();
            }
        }
        open.sort_unstable();
        for group in open.chunk_by(|left, right| left.0 == right.0) {
            let places: Vec<Place> = group.iter().map(|(_, place)| *place).collect();
            let row = self.intake.rows.from(places[0])?;
            split(&row, &mut fields).ok_or_else(|| Error::internal("a kept row is torn"))?;
            self.affected.push(&fields[..key_count], &places)?;
            fields = Vec::new();
        }
        if all {
            let done: HashSet<Digest> = open.iter().map(|(digest, _)| *digest).collect();
            self.add_others(&done).await?;
        }
        Ok(())
    }

    /// Marks the statements that are known already.
    async fn match_feed(&mut self) -> Result<()> {
        let names = &self.target.rules.names;
        let keys = list(&self.target.keys, "");
        let stated = list(self.intake.layout.stated(), "");
        let (said_mask, is_all) = (columns_bytes(&self.stated), self.stated == self.target.rules.all());
        let layout = self.intake.layout.clone();
        let digester = self.intake.digester.clone();
        let (mut said_keys, mut scratch) = (HashSet::new(), Vec::new());
        let (session, cancel) = (self.session, self.cancel);
        let mark = |intake: &mut Intake, fields: &[Field<'_>], scratch: &mut Vec<u8>| {
            let identity = digester.digest(&layout.columns[..layout.identity_count], fields, scratch);
            let says = digester.digest(layout.stated(), &fields[layout.identity_count..], scratch);
            if let Some(position) = intake.find(identity) {
                intake.entries[position].is_matched = intake.entries[position].says == says;
            }
        };
        if self.has_said {
            let sql = format!("SELECT stated, {keys}, said_from, {stated} FROM {}", self.target.place.log());
            let key_digester = self.intake.digester.clone();
            stream(session, &sql, cancel, &mut |fields| {
                let key = &fields[1..=layout.key_count];
                said_keys.insert(key_digester.digest(&layout.columns[..layout.key_count], key, &mut scratch));
                if fields[0] == Some(&said_mask) {
                    mark(self.intake, &fields[1..], &mut scratch);
                }
                Ok(())
            })
            .await?;
        }
        if !is_all {
            return Ok(());
        }
        let sql = format!("SELECT {keys}, {}, {stated} FROM {}", quote(&names.valid_from), self.target.place.table());
        let key_digester = self.intake.digester.clone();
        stream(session, &sql, cancel, &mut |fields| {
            let key = &fields[..layout.key_count];
            if said_keys.is_empty()
                || !said_keys.contains(&key_digester.digest(&layout.columns[..layout.key_count], key, &mut scratch))
            {
                mark(self.intake, fields, &mut scratch);
            }
            Ok(())
        })
        .await
    }
}

/// A query for every key that has a history.
pub(super) fn all_keys(target: &Target) -> String {
    let keys = list(&target.keys, "");
    format!("SELECT {keys} FROM {} UNION SELECT {keys} FROM {}", target.place.table(), target.place.log())
}
