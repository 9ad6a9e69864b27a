//! What one day does to the log of each affected key.

use bytes::BytesMut;

use super::values::canonical;
use crate::error::Result;
use crate::history::{Instant, Run, Snapshot, Value, Values, assign, forget};
use crate::model::Kind;
use crate::postgres::history::wire::{Field, put_field};
use crate::postgres::history::{Affected, Subject};

/// A day that is loaded, or (without a snapshot) taken out.
pub(super) struct Day<'a> {
    /// Of the values of a version.
    pub(super) kinds: Vec<Kind>,
    pub(super) snapshot: Option<&'a Snapshot>,
    pub(super) affected: &'a Affected<u32>,
    pub(super) at: Instant,
    /// The loaded days beside it.
    pub(super) earlier: Option<Instant>,
    pub(super) later: Option<Instant>,
}

impl Subject for Day<'_> {
    fn begin_key(&mut self) {}

    fn values(&mut self, fields: &[Field<'_>]) -> Result<Values> {
        self.kinds.iter().zip(fields).map(|(kind, field)| canonical(*kind, *field)).collect()
    }

    fn put(&self, out: &mut BytesMut, _: usize, value: &Value) {
        put_field(out, value.as_ref().map(|text| text.as_bytes()));
    }

    fn change(&mut self, key: usize, runs: &mut Vec<Run>) -> Result<Option<Values>> {
        let Some(snapshot) = self.snapshot else {
            // A day taken out says what the loaded day before it said.
            forget(runs, self.at, self.earlier, self.later);
            return Ok(None);
        };
        let mut statement = self.affected.statements(key).first().map(|place| snapshot.statement(*place));
        if let Some(statement) = statement.as_mut().filter(|statement| !statement.values.is_empty()) {
            // A derived flag is a value of versions that no snapshot states.
            let mut values = std::mem::take(&mut statement.values).into_vec();
            values.resize(self.kinds.len(), None);
            statement.values = values.into();
        }
        assign(runs, self.at, self.later, statement);
        Ok(None)
    }
}
