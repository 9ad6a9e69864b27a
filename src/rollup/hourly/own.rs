//! Hours whose rows no other rollup has: what is counted there needs no values of another.

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::rollup::clock::HourClock;
use crate::rollup::columns;

/// Ranges of hour buckets, both ends included, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnHours(Vec<(i64, i64)>);

impl OwnHours {
    pub fn new(mut ranges: Vec<(i64, i64)>) -> Self {
        ranges.sort_unstable();
        Self(ranges)
    }

    pub fn contain(&self, hour: i64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= hour);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| hour <= *last)
    }
}

/// For each pair of a least and a greatest instant the first and the last hour bucket between them; None where one is
/// unknown. A clock looks far around its first instant, so that many calls had better share one.
///
/// # Errors
/// `Schema` for a column that is no timestamp; `Data` for instants beyond the range of microseconds.
pub fn hours_between(
    clock: &mut HourClock,
    name: &str,
    least: &ArrayRef,
    greatest: &ArrayRef,
) -> Result<Vec<Option<(i64, i64)>>> {
    let (least, greatest) = (columns::micros(name, least)?, columns::micros(name, greatest)?);
    Ok(least.iter().zip(&greatest).map(|(least, greatest)| clock.buckets(least?, greatest?)).collect())
}
