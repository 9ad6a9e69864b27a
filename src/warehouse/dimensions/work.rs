//! One load of a dimension under its locks.

use chrono::NaiveDate;

use super::Shape;
use crate::model::{Absent, Dimension};
use crate::postgres::Session;
use crate::postgres::history::Table;
use crate::warehouse::context::Warehouse;
use crate::warehouse::ledger;

/// One load under its locks.
pub(super) struct Work<'a> {
    pub(super) warehouse: &'a Warehouse,
    pub(super) session: &'a Session,
    pub(super) shape: Shape,
    pub(super) table: Table,
    pub(super) dt: NaiveDate,
    pub(super) absent: Absent,
    pub(super) dry_run: bool,
    /// A day whose facts leave in the same transaction: they need no new keys.
    pub(super) leaving: Option<NaiveDate>,
}

/// The loaded days of a dimension before and after this load.
pub(super) struct Days {
    pub(super) old: Vec<NaiveDate>,
    pub(super) new: Vec<NaiveDate>,
}

impl Days {
    /// The loaded day before.
    pub(super) fn earlier(&self, dt: NaiveDate) -> Option<NaiveDate> {
        self.new.iter().copied().rfind(|&day| day < dt)
    }

    /// The loaded day after.
    pub(super) fn later(&self, dt: NaiveDate) -> Option<NaiveDate> {
        self.new.iter().copied().find(|&day| day > dt)
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(
        warehouse: &'a Warehouse,
        session: &'a Session,
        dimension: Dimension,
        dt: NaiveDate,
        dry_run: bool,
        leaving: Option<NaiveDate>,
    ) -> Self {
        let shape = Shape { dimension };
        let absent = warehouse.settings.absent(dimension.dataset);
        let table = shape.table(warehouse.zone, &ledger::load_id(dt));
        Self { warehouse, session, shape, table, dt, absent, dry_run, leaving }
    }
}
