//! The rhythm of a day, and the runs that a vehicle makes in it.
//!
//! Times are milliseconds since the service day's origin, twelve hours before local noon.

use chrono::{Datelike, NaiveDate, Weekday};

use super::draw::Key;
use super::fleet::{PLACES, Vehicle};
use super::route::Route;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// The last hour in which a vehicle may still be under way.
pub(super) const LAST_HOUR: i64 = 28;

/// Demand by hour, 1 at a usual peak; the hours from 24 on belong to the night after.
const WEEKDAY: [f64; 28] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.15, 0.45, 1.0, 1.3, 0.9, 0.55, 0.5, 0.55, 0.55, 0.55, 0.65, 0.85, 1.2, 1.3, 0.9, 0.6,
    0.4, 0.25, 0.15, 0.08, 0.05, 0.02, 0.0,
];
const WEEKEND: [f64; 28] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.8, 0.8, 0.75, 0.7, 0.7, 0.65, 0.55, 0.45, 0.4,
    0.35, 0.3, 0.15, 0.08, 0.02, 0.0,
];

/// Hours in service of each place: up to two shifts.
type Shifts = [[(f64, f64); 2]; PLACES];

const NONE: (f64, f64) = (0.0, 0.0);
const WEEKDAY_SHIFTS: Shifts = [
    [(5.5, 25.0), NONE],
    [(5.5, 25.0), NONE],
    [(6.0, 23.0), NONE],
    [(6.5, 10.5), (15.5, 20.5)],
    [(6.5, 10.5), (15.5, 20.5)],
];
const SATURDAY_SHIFTS: Shifts =
    [[(6.0, 25.0), NONE], [(6.0, 25.0), NONE], [(8.0, 22.0), NONE], [(10.0, 19.0), NONE], [NONE, NONE]];
const SUNDAY_SHIFTS: Shifts =
    [[(6.5, 24.5), NONE], [(7.0, 24.0), NONE], [(9.0, 21.0), NONE], [NONE, NONE], [NONE, NONE]];

/// What kind of day it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    demand: &'static [f64; 28],
    shifts: &'static Shifts,
    /// Riders in relation to a mean day.
    pub volume: f64,
}

impl Rhythm {
    pub fn of(date: NaiveDate) -> Self {
        let (demand, shifts, volume) = match date.weekday() {
            Weekday::Sat => (&WEEKEND, &SATURDAY_SHIFTS, 0.8),
            Weekday::Sun => (&WEEKEND, &SUNDAY_SHIFTS, 0.65),
            Weekday::Fri => (&WEEKDAY, &WEEKDAY_SHIFTS, 1.15),
            Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu => (&WEEKDAY, &WEEKDAY_SHIFTS, 1.1),
        };
        Self { demand, shifts, volume }
    }

    /// The demand at a time.
    pub fn demand(&self, ms: i64) -> f64 {
        usize::try_from(ms / HOUR_MS).ok().and_then(|hour| self.demand.get(hour)).copied().unwrap_or(0.0)
    }
}

/// A vehicle at a stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Place in the route's path.
    pub at: usize,
    pub arrive_ms: i64,
    pub depart_ms: i64,
}

/// From one end of the path to the other. The first call includes the wait at the terminal.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub calls: Vec<Call>,
}

/// The runs of one vehicle on one day, made one after another.
#[derive(Clone, Debug)]
pub(super) struct Runs<'a> {
    route: &'a Route,
    rhythm: Rhythm,
    key: Key,
    shifts: [(i64, i64); 2],
    shift: usize,
    clock_ms: i64,
    made: u64,
}

impl<'a> Runs<'a> {
    /// `key`: the vehicle's own, on this day.
    pub fn new(vehicle: &Vehicle, route: &'a Route, rhythm: Rhythm, key: Key) -> Self {
        let late = vehicle.place as i64 * route.headway_ms;
        let shifts = rhythm.shifts[vehicle.place].map(|(from, to)| {
            let (from, to) = ((from * HOUR_MS as f64) as i64, (to * HOUR_MS as f64) as i64);
            if vehicle.drives { ((from + late).min(to), to) } else { (0, 0) }
        });
        Self { route, rhythm, key, shifts, shift: 0, clock_ms: shifts[0].0, made: 0 }
    }

    /// Makes the following run; false when the day is over.
    pub fn next(&mut self, run: &mut Run) -> bool {
        while self.clock_ms >= self.shifts[self.shift].1 {
            if self.shift + 1 == self.shifts.len() {
                return false;
            }
            self.shift += 1;
            self.clock_ms = self.clock_ms.max(self.shifts[self.shift].0);
        }
        let path = &self.route.path;
        let key = self.key.with(self.made);
        let forward = self.made.is_multiple_of(2);
        let last = path.stops.len() - 1;
        run.calls.clear();
        for step in 0..=last {
            let at = if forward { step } else { last - step };
            let arrive_ms = self.clock_ms;
            let wait_ms = match step {
                0 => key.between(0, 180_000.0, 480_000.0) as i64,
                _ if step == last => 0,
                _ => key.between(2 * step as u64, 15_000.0, 40_000.0) as i64,
            };
            let depart_ms = arrive_ms + wait_ms;
            run.calls.push(Call { at, arrive_ms, depart_ms });
            self.clock_ms = depart_ms;
            if step < last {
                let metres = path.metres[if forward { at } else { at - 1 }];
                let kmh = self.cruise(depart_ms) * key.between(2 * step as u64 + 1, 0.85, 1.15);
                self.clock_ms += (metres / kmh * 3_600.0) as i64;
            }
        }
        self.made += 1;
        true
    }

    /// Kilometres an hour between stops: the more demand, the slower, but not on rails of one's own.
    fn cruise(&self, ms: i64) -> f64 {
        let (free, loss) = match self.route.transport {
            "metro" => (52.0, 0.08),
            "tram" => (29.0, 0.2),
            _ => (33.0, 0.32),
        };
        free * (1.0 - loss * self.rhythm.demand(ms))
    }
}
