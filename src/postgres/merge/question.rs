//! What a merge asks of a table's history.

use super::super::client::{Session, get};
use super::asked::Ask;
use super::layout::Layout;
use super::spec::{Effective, MergeSpec};
use super::target::Target;
use crate::error::Result;
use crate::history::{Calendar, Columns};

/// What a merge asks for.
pub(super) struct Question {
    /// The columns that the rows state.
    pub(super) stated: Columns,
    pub(super) ask: Ask,
    /// How the history will read.
    pub(super) new: Calendar,
    /// Whether every key has to be looked at.
    pub(super) all: bool,
    /// Whether the log holds anything.
    pub(super) has_said: bool,
}

impl Question {
    /// What is asked for, how the history will read, and which keys have to be looked at.
    pub(super) async fn of(session: &Session, spec: &MergeSpec, target: &Target, layout: &Layout) -> Result<Self> {
        let said = format!("SELECT EXISTS (SELECT FROM {})", target.place.log());
        let has_said = get(&session.row(&said, &[]).await?, 0)?;
        let stated = layout.columns_stated();
        let derives_like = target.old_rules.as_ref().is_none_or(|old| old.derives_like(&target.rules));
        let changes_rules = !derives_like || target.followed.concerns_all_keys();
        let Effective::At(at) = spec.effective else {
            let new = Calendar::Feed(target.rules.all());
            return Ok(Self { stated, ask: Ask::Feed, new, all: changes_rules, has_said });
        };
        let mut loads = target.loads.clone();
        let place = loads.partition_point(|(day, _)| *day < at);
        let old = loads.get(place).filter(|(day, _)| *day == at).map(|(_, stated)| stated.clone());
        match old {
            Some(_) => loads[place].1 = stated.clone(),
            None => loads.insert(place, (at, stated.clone())),
        }
        let next = loads.get(place + 1).map(|(day, _)| *day);
        // A column that the load stated and no longer states: what shows it now may go.
        let states_less = old.is_some_and(|old| !old.is_within(&stated));
        let (ask, all) = (Ask::Snapshot { at, next }, changes_rules || states_less);
        Ok(Self { stated, ask, new: Calendar::snapshots(loads), all, has_said })
    }

    /// Whether the snapshot is the newest one and says everything, so that the open versions are what it is held against.
    pub(super) fn suits_digests(&self, target: &Target, at: i64) -> bool {
        let is_newest = target.loads.last().is_some_and(|(day, _)| *day <= at);
        is_newest && self.stated == target.rules.all() && !self.all && !self.has_said
    }
}
