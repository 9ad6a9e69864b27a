//! Routes and how they change: fares, names, types of transport, detours, suspensions.

use super::draw::{Key, Topic};
use super::geography::{Path, Stop};

/// Days between two draws of a route's state; a draw may repeat the state before.
const FARE_DAYS: i64 = 42;
const NAME_DAYS: i64 = 150;
const TRANSPORT_DAYS: i64 = 75;
const DETOUR_DAYS: i64 = 90;
const SUSPENSION_DAYS: i64 = 60;

/// Steps above the basic fare, in kopecks.
const FARE_STEPS: [i64; 4] = [0, 200, 500, -300];

/// 2019-12-31, the last day on which an original route opened.
const OPENED_BEFORE_DAY: i64 = 18_262;

const DISTRICTS: [&str; 20] = [
    "Northfield",
    "Riverside",
    "Old Town",
    "Harbour",
    "Lakeside",
    "Hillcrest",
    "Westgate",
    "Eastwood",
    "Southbank",
    "Central Station",
    "University",
    "Airport",
    "Botanic Garden",
    "Stadium",
    "Mill Quarter",
    "Castle",
    "Museum Island",
    "Oakwood",
    "Bridge End",
    "Market Place",
];

/// A route on one day.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub id: String,
    pub name: String,
    pub transport: &'static str,
    pub fare_cents: i64,
    pub path: Path,
    /// False while it is suspended: then the day's snapshot does not name it.
    pub runs: bool,
    /// Days since 1970-01-01.
    pub active_from_day: i64,
    /// Its share of the riders, around 1.
    pub popularity: f64,
    /// Between two vehicles at the beginning of service.
    pub headway_ms: i64,
}

impl Route {
    pub fn on(seed: u64, index: usize, day: i64, stops: &[Stop]) -> Self {
        let part = |topic| Key::new(seed, topic).with(index as u64);
        let key = part(Topic::Route);
        let detour = part(Topic::Detour).in_force(day, DETOUR_DAYS).below(0, 6);
        let step = part(Topic::Fare).in_force(day, FARE_DAYS).pick(0, &FARE_STEPS);
        let from = key.below(0, 20) as usize;
        let renamed = part(Topic::Name).in_force(day, NAME_DAYS).below(0, 3) as usize;
        let to = (from + 1 + key.below(1, 15) as usize + renamed) % DISTRICTS.len();
        Self {
            id: format!("R{index:03}"),
            name: format!("Line {}: {} – {}", index + 1, DISTRICTS[from], DISTRICTS[to]),
            transport: transport(key, part(Topic::Transport).in_force(day, TRANSPORT_DAYS)),
            fare_cents: 3_000 + 100 * key.below(2, 31) as i64 + step,
            path: Path::new(key.with(1), detour.saturating_sub(3), stops),
            // One route always runs: an extract without any route would be refused as broken.
            runs: index == 0 || !suspended(part(Topic::Suspension), day),
            active_from_day: OPENED_BEFORE_DAY - key.below(3, 3_650) as i64,
            popularity: key.between(4, 0.4, 1.6),
            headway_ms: 60_000 * (4 + key.below(5, 9) as i64),
        }
    }
}

fn transport(route: Key, state: Key) -> &'static str {
    match route.below(6, 20) {
        0..3 => "metro",
        // Now and then rails are repaired and buses run instead, or a bus line gets its rails.
        3..8 if state.chance(0, 0.15) => "bus",
        3..8 => "tram",
        _ if state.chance(0, 0.08) => "tram",
        _ => "bus",
    }
}

fn suspended(key: Key, day: i64) -> bool {
    let window = key.with(day.div_euclid(SUSPENSION_DAYS) as u64);
    let days = 2 + window.below(0, 5) as i64;
    let first = window.below(1, (SUSPENSION_DAYS - days) as u64) as i64;
    window.chance(2, 0.3) && (first..first + days).contains(&day.rem_euclid(SUSPENSION_DAYS))
}
