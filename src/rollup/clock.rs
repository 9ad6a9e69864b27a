//! Cutting instants into hours of a zone's wall clock without asking the zone for every row.

use crate::model::{HOUR_MICROS, Zone};

/// 1840-01-01 and 2150-01-01: outside of them no zone of the database changes its offset.
const RULES_MICROS: (i64, i64) = (-4_102_444_800_000_000, 5_680_281_600_000_000);
/// No zone changes its offset twice within this time.
const STEP_MICROS: i64 = 6 * HOUR_MICROS;
/// How much more than asked for is covered, so that a slowly moving range is not rebuilt for every batch.
const SLACK_MICROS: i64 = 30 * 24 * HOUR_MICROS;

/// The hour lattice of one zone over the range of instants seen so far.
///
/// An hour bucket is an instant less its local minutes and seconds. It depends on the zone's offset only modulo one
/// hour, so in nearly every zone one number (the *residue*) serves all instants, across changes of the clock too.
#[derive(Clone, Debug)]
pub struct HourClock {
    zone: Zone,
    covered: Option<(i64, i64)>,
    /// Start (the first is `i64::MIN`) and residue in microseconds, neighbours differ.
    segments: Vec<(i64, i64)>,
}

impl HourClock {
    /// A clock of `zone` that covers nothing yet.
    pub fn new(zone: Zone) -> Self {
        Self { zone, covered: None, segments: Vec::new() }
    }

    /// Makes [`Self::bucket_micros`] valid for instants from `min` to `max`, both included.
    pub fn cover(&mut self, min: i64, max: i64) {
        let (from, to) = match self.covered {
            Some((from, to)) if from <= min && max <= to => return,
            Some((from, to)) => (from.min(min), to.max(max)),
            None => (min, max),
        };
        let range = (from.saturating_sub(SLACK_MICROS), to.saturating_add(SLACK_MICROS));
        self.segments = residues(self.zone, range.0, range.1);
        self.covered = Some(range);
    }

    /// The residues between two covered instants: one in most zones.
    pub(crate) fn segments(&self, min: i64, max: i64) -> &[(i64, i64)] {
        let first = self.segment(min);
        let last = self.segment(max);
        &self.segments[first..=last]
    }

    /// The residue at a covered instant.
    pub(crate) fn residue(&self, micros: i64) -> i64 {
        self.segments.get(self.segment(micros)).map_or(0, |s| s.1)
    }

    /// The start of the local clock hour that holds a covered instant.
    pub fn bucket_micros(&self, micros: i64) -> i64 {
        micros - (micros + self.residue(micros)).rem_euclid(HOUR_MICROS)
    }

    /// The first and the last bucket that instants from `min` to `max` can be in. None where the lattice moves between
    /// them, or at the ends of what microseconds can hold.
    pub(crate) fn buckets(&mut self, min: i64, max: i64) -> Option<(i64, i64)> {
        min.checked_sub(2 * HOUR_MICROS)?;
        max.checked_add(2 * HOUR_MICROS)?;
        if max < min {
            return None;
        }
        self.cover(min, max);
        (self.segments(min, max).len() == 1).then(|| (self.bucket_micros(min), self.bucket_micros(max)))
    }

    fn segment(&self, micros: i64) -> usize {
        self.segments.partition_point(|s| s.0 <= micros).saturating_sub(1)
    }
}

/// The offset modulo one hour, in microseconds.
fn residue_at(zone: Zone, micros: i64) -> i64 {
    let clamped = micros.clamp(RULES_MICROS.0, RULES_MICROS.1);
    (i64::from(zone.offset_seconds(clamped)) * 1_000_000).rem_euclid(HOUR_MICROS)
}

fn residues(zone: Zone, from: i64, to: i64) -> Vec<(i64, i64)> {
    let mut at = from.clamp(RULES_MICROS.0, RULES_MICROS.1);
    let end = to.clamp(RULES_MICROS.0, RULES_MICROS.1);
    let mut current = residue_at(zone, at);
    let mut segments = vec![(i64::MIN, current)];
    while at < end {
        let next = at + STEP_MICROS;
        let residue = residue_at(zone, next);
        if residue != current {
            segments.push((first_with(zone, residue, at, next), residue));
            current = residue;
        }
        at = next;
    }
    segments
}

/// The first microsecond of `(before, at]` from which the residue is `residue`.
fn first_with(zone: Zone, residue: i64, mut before: i64, mut at: i64) -> i64 {
    while at - before > 1 {
        let middle = before + (at - before) / 2;
        if residue_at(zone, middle) == residue { at = middle } else { before = middle }
    }
    at
}

#[cfg(test)]
mod tests {
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn most_zones_need_one_residue_for_a_year() {
        let mut clock = HourClock::new(Zone(chrono_tz::America::Chicago));
        let year = 365 * 24 * HOUR_MICROS;
        clock.cover(1_700_000_000_000_000, 1_700_000_000_000_000 + year);
        assert_eq!(clock.segments.len(), 1);
        let mut clock = HourClock::new(Zone(chrono_tz::Australia::Lord_Howe));
        clock.cover(1_700_000_000_000_000, 1_700_000_000_000_000 + year);
        assert!(clock.segments.len() >= 3, "Lord Howe moves its clocks by half an hour");
    }

    #[test]
    fn buckets_between_two_instants_are_known_where_the_lattice_rests() {
        let hour = HOUR_MICROS;
        let mut clock = HourClock::new(Zone(chrono_tz::Asia::Kolkata));
        assert_eq!(clock.buckets(hour, 3 * hour), Some((hour / 2, 5 * hour / 2)));
        assert_eq!(clock.buckets(hour, hour), Some((hour / 2, hour / 2)));
        assert_eq!(clock.buckets(hour, 0), None);
        assert_eq!(clock.buckets(i64::MIN, 0), None);
        let mut moving = HourClock::new(Zone(chrono_tz::Australia::Lord_Howe));
        let year = 365 * 24 * hour;
        assert_eq!(moving.buckets(1_700_000_000_000_000, 1_700_000_000_000_000 + year), None);
    }

    #[test]
    fn absurd_ranges_end_soon() {
        let mut clock = HourClock::new(Zone(chrono_tz::Europe::Moscow));
        clock.cover(i64::MIN / 2, i64::MAX / 2);
        assert_eq!(clock.bucket_micros(1_714_554_000_000_000), 1_714_554_000_000_000);
    }

    proptest! {
        #[test]
        fn agrees_with_the_zone_itself(
            zone in 0..TZ_VARIANTS.len(),
            first in 86_400_000_000_i64..4_291_747_199_000_000,
            steps in proptest::collection::vec(-400_i64 * 24 * HOUR_MICROS..400 * 24 * HOUR_MICROS, 1..40),
        ) {
            let zone = Zone(TZ_VARIANTS[zone]);
            let mut clock = HourClock::new(zone);
            clock.cover(first, first);
            for step in steps {
                let instant = first + step;
                clock.cover(instant, instant);
                prop_assert_eq!(clock.bucket_micros(instant), zone.hour_bucket_micros(instant));
            }
        }
    }
}
