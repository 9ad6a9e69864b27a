//! Which keys a load says something new of: the log is streamed past the snapshot, which stays where it is.

use std::collections::{BTreeSet, HashSet};

use chrono::NaiveDate;

use super::values::canonical;
use super::work::{Days, Work};
use crate::error::{Error, Result};
use crate::history::{Census, KEYS_NAMED, Run, Snapshot, Statement, Values, guard};
use crate::model::Kind;
use crate::postgres::history::wire::{Field, columns};
use crate::postgres::history::{Affected, stream};

/// The keys found so far.
pub(super) struct Found<'a> {
    /// Without one the day is taken out.
    snapshot: Option<&'a Snapshot>,
    /// With each key, the place of its statement.
    pub(super) affected: Affected<u32>,
    /// The keys that are affected whatever is said of them.
    touched: HashSet<String>,
    /// By place in the snapshot, whether the key was met.
    is_met: Vec<bool>,
}

impl<'a> Found<'a> {
    pub(super) fn new(snapshot: Option<&'a Snapshot>) -> Self {
        let is_met = vec![false; snapshot.map_or(0, Snapshot::len)];
        Self { snapshot, affected: Affected::default(), touched: HashSet::new(), is_met }
    }

    /// The place of a key that is met now.
    fn meet(&mut self, key: &str) -> Option<u32> {
        let place = self.snapshot?.place(key)?;
        self.is_met[place as usize] = true;
        Some(place)
    }

    fn push(&mut self, key: &str, place: Option<u32>) -> Result<()> {
        self.affected.push(&[Some(key.as_bytes())], place.as_slice())
    }
}

impl Work<'_> {
    /// The keys that the load touches by being there or not: all where absence means something else than before, those
    /// whose flag may flip where another day is loaded.
    pub(super) async fn find_touched(&self, found: &mut Found<'_>, days: &Days, all: bool) -> Result<()> {
        let may_flip = self.shape.may_flip().filter(|_| days.old != days.new);
        let Some(condition) = all.then(|| "true".to_owned()).or(may_flip) else { return Ok(()) };
        self.keys_of_log("SELECT DISTINCT", &condition, &mut |key| {
            found.touched.insert(key.to_owned());
            let place = found.meet(key);
            found.push(key, place)
        })
        .await
    }

    /// The keys of which the snapshot says something else than the log does on its day.
    pub(super) async fn find_restated(&self, found: &mut Found<'_>, snapshot: &Snapshot) -> Result<()> {
        let kinds: Vec<Kind> = self.shape.declared().iter().map(|column| column.kind).collect();
        let sql = format!(
            "SELECT {}, m.is_mention, m.stated{} FROM {} m WHERE {}",
            self.table.key_list("m."),
            self.table.logged().map(|item| format!(", {}", item.read)).collect::<String>(),
            self.table.log.name,
            holds_on(self.dt),
        );
        stream(self.session, &sql, &self.warehouse.cancel, &mut |fields| {
            let key = text(fields[0])?;
            if found.touched.contains(key) {
                return Ok(());
            }
            let place = found.meet(key);
            match place {
                Some(place) if logged(&kinds, &fields[1..])?.says(&snapshot.statement(place)) => Ok(()),
                _ => found.push(key, place),
            }
        })
        .await?;
        for (place, key) in (0_u32..).zip(snapshot.keys()) {
            if !found.is_met[place as usize] {
                found.push(key, Some(place))?;
            }
        }
        Ok(())
    }

    /// The keys of which something changes when the day goes: every boundary of a run is a loaded day.
    pub(super) async fn find_leaving(&self, found: &mut Found<'_>) -> Result<()> {
        let dt = self.dt;
        let condition = format!("m.from_dt = '{dt}' OR m.to_dt = '{dt}'");
        self.keys_of_log("SELECT DISTINCT", &condition, &mut |key| {
            if found.touched.contains(key) { Ok(()) } else { found.push(key, None) }
        })
        .await
    }

    /// Refuses a snapshot that lacks too many of the keys of the loaded day before.
    pub(super) async fn guard(&self, snapshot: &Snapshot, days: &Days) -> Result<()> {
        let (mut previous_keys, mut vanished, mut names) = (0, 0, BTreeSet::new());
        if let (Some(earlier), false) = (days.earlier(self.dt), self.absent.is_ignored()) {
            let condition = format!("NOT m.is_mention AND {}", holds_on(earlier));
            // At most one run of a key holds on a day.
            self.keys_of_log("SELECT", &condition, &mut |key| {
                previous_keys += 1;
                if snapshot.place(key).is_none() {
                    vanished += 1;
                    names.insert(key.to_owned());
                    // The least ones are named, in their order.
                    if names.len() > KEYS_NAMED {
                        names.pop_last();
                    }
                }
                Ok(())
            })
            .await?;
        }
        let vanished_keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let census = Census { previous_keys, vanished, vanished_keys: &vanished_keys, snapshot_rows: snapshot.rows() };
        guard(&census, self.absent, self.warehouse.settings.allow_vanishing)
            .map_err(|e| e.with("table", self.shape.dimension.table).with("dt", self.dt))
    }

    /// The keys of the rows `m` of this kind in the log; those that may have several need a `SELECT DISTINCT`.
    async fn keys_of_log(
        &self,
        select: &str,
        condition: &str,
        take: &mut (dyn FnMut(&str) -> Result<()> + Send),
    ) -> Result<()> {
        let (key, log) = (self.table.key_list("m."), &self.table.log.name);
        let sql = format!("{select} {key} FROM {log} m WHERE {condition}");
        stream(self.session, &sql, &self.warehouse.cancel, &mut |fields| take(text(fields[0])?)).await
    }
}

/// Whether a run `m` of the log holds on a day.
fn holds_on(day: NaiveDate) -> String {
    format!("m.from_dt <= '{day}' AND (m.to_dt IS NULL OR m.to_dt > '{day}')")
}

/// What a row of the log says: whether it is a mention, the stated columns, and the values.
fn logged(kinds: &[Kind], fields: &[Field<'_>]) -> Result<Run> {
    let statement = if fields[0] == Some(&[1]) {
        Statement::mentioned()
    } else {
        let values = kinds.iter().zip(&fields[2..]).map(|(kind, field)| canonical(*kind, *field));
        Statement::observed(columns(fields[1])?, values.collect::<Result<Values>>()?)
    };
    Ok(Run::new(0, None, statement))
}

fn text(field: Field<'_>) -> Result<&str> {
    let text = field.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.ok_or_else(|| Error::internal("a key of the log is no text"))
}
