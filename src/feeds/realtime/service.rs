//! To which service date a report belongs.

use super::message::Trip;
use super::schedule::{Run, Schedule, days};
use crate::model::Zone;

/// The day that is written, the schedule around it, and the zone.
pub(super) struct Service {
    pub(super) day: i32,
    pub(super) schedule: Schedule,
    zone: Zone,
    /// The local day that was asked for last: its number, first instant and the one after its last.
    local: (i32, i64, i64),
}

impl Service {
    pub(super) fn new(day: i32, schedule: Schedule, zone: Zone) -> Self {
        Self { day, schedule, zone, local: (0, 0, 0) }
    }

    /// The service date: the report's own, else that of the scheduled run nearest in time, else the local date.
    #[inline]
    pub(super) fn day(&mut self, trip: &Trip<'_>, start_date: Option<i32>, at_micros: Option<i64>) -> Option<i32> {
        if start_date.is_some() {
            return start_date;
        }
        let at = at_micros?;
        let scheduled = (!trip.id.is_empty()).then(|| self.schedule.run(trip, None, at_micros)).flatten();
        scheduled.map(|run| run.day).or_else(|| Some(self.local_day(at)))
    }

    /// The run of the day that is written which a report names.
    #[inline]
    pub(super) fn run(&self, trip: &Trip<'_>, at_micros: Option<i64>) -> Option<&Run> {
        if self.schedule.is_empty() || trip.id.is_empty() {
            return None;
        }
        self.schedule.run(trip, Some(self.day), at_micros)
    }

    /// The local date of an instant.
    pub(super) fn local_day(&mut self, at: i64) -> i32 {
        let (day, start, end) = self.local;
        if (start..end).contains(&at) {
            return day;
        }
        let date = self.zone.local_date(at);
        let day = days(date);
        let next = date.succ_opt().map_or(i64::MAX, |next| self.zone.day_start_micros(next));
        let start = self.zone.day_start_micros(date);
        // Where clocks go back over midnight a date is left and comes again: such a day is asked anew each time.
        if start <= at && at < next && self.zone.local_date(next - 1) == date && self.zone.local_date(start) == date {
            self.local = (day, start, next);
        }
        day
    }
}
