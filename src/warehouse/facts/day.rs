//! One raw day of a fact: what is loaded, and what the load did.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;

use crate::history::Misses;
use crate::load::{Line, Rows};
use crate::model::Fact;
use crate::warehouse::copied::shared;
use crate::warehouse::telemetry::Elsewhere;

/// One raw day of one fact, judged and ready to load.
pub struct FactLoad {
    /// Which fact.
    pub fact: Fact,
    /// The raw day.
    pub dt: NaiveDate,
    /// What each file brings; rows that an other day supersedes are taken off here.
    pub lines: Vec<Line>,
    /// The rows that stay within the day.
    pub rows: Arc<dyn Rows>,
    /// Where the rows go that the warehouse does not keep.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// What a fact load did.
#[derive(Debug)]
pub struct FactLoaded {
    /// The ledger lines as published.
    pub lines: Vec<Line>,
    /// As-of misses by dimension table.
    pub misses: BTreeMap<&'static str, Misses>,
    /// Rows of other days that left or came back.
    pub moved_rows: u64,
    /// Service dates that the mart must build again.
    pub dirty_dates: Vec<NaiveDate>,
}

/// What all rows of a raw day have in common where they do not bring it: those of one file do not say which it is.
pub(super) fn shared_by_facts(dt: NaiveDate) -> Vec<(&'static str, String)> {
    let mut columns = shared(dt);
    columns.push(("file_no", "0".to_owned()));
    columns
}
