//! Vehicles: five places a route, each held by one vehicle after another.

use super::draw::{Key, Topic};
use super::route::Route;

/// Vehicles in service on a route.
pub(super) const PLACES: usize = 5;

/// 2020-01-01, when the first vehicles that are replaced begin their service.
const FIRST_DAY: i64 = 18_262;

/// How long a vehicle holds its place.
const SERVICE_DAYS: i64 = 1_000;

/// The last vehicle of a place stays: its number has two digits, so that ids of many routes cannot meet.
const LAST_GENERATION: i64 = 19;

/// How long a retired vehicle stays in the extract.
const RETIRED_DAYS: i64 = 30;

const VENDORS: [&str; 5] = ["LiAZ", "MAN", "Solaris", "Škoda", "Stadler"];

/// A vehicle on one day.
#[derive(Clone, Debug)]
pub(super) struct Vehicle {
    pub id: String,
    /// Index of its route.
    pub route: usize,
    /// Which of its route's places it holds.
    pub place: usize,
    pub transport: &'static str,
    pub capacity: i32,
    pub vendor: &'static str,
    pub commissioned_day: i64,
    pub decommissioned_day: Option<i64>,
    /// Drives today: not retired, not broken down, its route not suspended.
    pub drives: bool,
}

/// Every vehicle that the day's extract names, by route and place.
pub(super) fn fleet(seed: u64, day: i64, routes: &[Route]) -> Vec<Vehicle> {
    let mut fleet = Vec::with_capacity(routes.len() * PLACES);
    for (index, route) in routes.iter().enumerate() {
        for place in 0..PLACES {
            let key = Key::new(seed, Topic::Vehicle).with((index * PLACES + place) as u64);
            // The places of a route do not change their vehicles on the same day.
            let age = day - FIRST_DAY + key.below(0, SERVICE_DAYS as u64) as i64;
            let generation = age.div_euclid(SERVICE_DAYS).clamp(0, LAST_GENERATION);
            let begins = |generation: i64| day - age + generation * SERVICE_DAYS;
            if generation > 0 && day - begins(generation) < RETIRED_DAYS {
                let retired = Vehicle {
                    decommissioned_day: Some(begins(generation)),
                    drives: false,
                    ..vehicle(key, index, route, place, generation - 1, begins)
                };
                fleet.push(retired);
            }
            let broken = Key::new(seed, Topic::Breakdown).with(day as u64).with(fleet.len() as u64).chance(0, 0.02);
            let current = vehicle(key, index, route, place, generation, begins);
            fleet.push(Vehicle { drives: route.runs && !broken, ..current });
        }
    }
    fleet
}

fn vehicle(
    place_key: Key,
    index: usize,
    route: &Route,
    place: usize,
    generation: i64,
    begins: impl Fn(i64) -> i64,
) -> Vehicle {
    let key = place_key.with(generation as u64);
    let seats = match route.transport {
        "metro" => 900,
        "tram" => 180,
        _ => 85,
    };
    let before = if generation == 0 { key.below(1, 2_000) as i64 } else { 0 };
    Vehicle {
        id: format!("V{}{:02}", route.id, place as i64 + PLACES as i64 * generation),
        route: index,
        place,
        transport: route.transport,
        capacity: seats + 5 * key.below(2, 8) as i32,
        vendor: key.pick(3, &VENDORS),
        commissioned_day: begins(generation) - before,
        decommissioned_day: None,
        drives: true,
    }
}
