//! Stops on the map and paths along them.

use std::f64::consts::PI;

use super::draw::{Key, Topic};

/// The middle of the city.
const CENTRE: (f64, f64) = (55.75, 37.61);

/// Half the city's height and width in degrees.
const EXTENT: (f64, f64) = (0.09, 0.16);

/// Metres of a degree of latitude, and of longitude at the city's latitude.
const METRES: (f64, f64) = (111_200.0, 62_700.0);

const STREETS: [&str; 16] = [
    "Station",
    "Market",
    "River",
    "Park",
    "University",
    "Stadium",
    "Museum",
    "Garden",
    "Harbour",
    "Library",
    "Theatre",
    "Hospital",
    "Mill",
    "Bridge",
    "Castle",
    "Airport",
];
const PLACES: [&str; 8] = ["Square", "Street", "Avenue", "Gate", "Hill", "Lane", "Embankment", "Boulevard"];

/// A stop.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub id: String,
    pub name: String,
    pub lat: f64,
    pub lon: f64,
}

/// All stops of the city, `S1` first.
pub(super) fn stops(seed: u64, count: usize) -> Vec<Stop> {
    (0..count)
        .map(|index| {
            let key = Key::new(seed, Topic::Stop).with(index as u64);
            // The sum of two draws: denser in the middle.
            let offset = |n| key.unit(n) + key.unit(n + 1) - 1.0;
            Stop {
                id: format!("S{}", index + 1),
                name: format!("{} {} {}", key.pick(4, &STREETS), key.pick(5, &PLACES), index + 1),
                lat: round7(CENTRE.0 + EXTENT.0 * offset(0)),
                lon: round7(CENTRE.1 + EXTENT.1 * offset(2)),
            }
        })
        .collect()
}

/// Rounds degrees to seven decimals, about a centimetre.
#[inline]
pub(super) fn round7(degrees: f64) -> f64 {
    (degrees * 1e7).round() / 1e7
}

/// The stops of a route in order, with what lies between them.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Indexes of stops.
    pub stops: Vec<usize>,
    pub lat: Vec<f64>,
    pub lon: Vec<f64>,
    /// Metres from each stop to the following one.
    pub metres: Vec<f64>,
    /// Degrees from north, from each stop to the following one.
    pub heading: Vec<f64>,
}

impl Path {
    /// A line across the city: of many stops drawn at random those nearest to a straight line, in its direction.
    /// `variant` 0 to 2 leaves out two of the same three stops each time: a detour.
    pub fn new(key: Key, variant: u64, all: &[Stop]) -> Self {
        let wanted = (8 + key.below(0, 7) as usize).min(all.len().saturating_sub(2)).max(2);
        let angle = key.between(1, 0.0, PI);
        let (sin, cos) = angle.sin_cos();
        let shift = key.between(2, -2_500.0, 2_500.0);
        let mut near: Vec<(f64, f64, usize)> = (0..6 * wanted as u64)
            .map(|n| {
                let index = key.below(10 + n, all.len() as u64) as usize;
                let (y, x) = ((all[index].lat - CENTRE.0) * METRES.0, (all[index].lon - CENTRE.1) * METRES.1);
                ((cos * y - sin * x - shift).abs(), sin * y + cos * x, index)
            })
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        near.dedup_by_key(|stop| stop.2);
        near.truncate(wanted + 2);
        near.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
        let mut stops: Vec<usize> = near.into_iter().map(|stop| stop.2).collect();
        if stops.len() > 5 {
            let first = 1 + key.below(3, stops.len() as u64 - 4) as usize;
            let kept = first + variant as usize % 3;
            let mut at = 0;
            stops.retain(|_| {
                at += 1;
                !(first..first + 3).contains(&(at - 1)) || at - 1 == kept
            });
        }
        Self::along(stops, all)
    }

    fn along(stops: Vec<usize>, all: &[Stop]) -> Self {
        let (lat, lon): (Vec<_>, Vec<_>) = stops.iter().map(|&s| (all[s].lat, all[s].lon)).unzip();
        let (metres, heading) = (1..stops.len())
            .map(|at| {
                let (north, east) = ((lat[at] - lat[at - 1]) * METRES.0, (lon[at] - lon[at - 1]) * METRES.1);
                let degrees = east.atan2(north).to_degrees().rem_euclid(360.0);
                // Streets are no beeline.
                (1.2 * north.hypot(east).max(150.0), (degrees * 10.0).round() / 10.0 % 360.0)
            })
            .unzip();
        Self { stops, lat, lon, metres, heading }
    }

    /// Metres between two places of the path.
    pub fn distance(&self, a: usize, b: usize) -> f64 {
        self.metres[a.min(b)..a.max(b)].iter().sum()
    }

    /// The path as the raw files state it.
    pub fn json(&self, all: &[Stop]) -> String {
        let ids: Vec<_> = self.stops.iter().map(|&s| format!("\"{}\"", all[s].id)).collect();
        format!("{{\"stops\": [{}]}}", ids.join(", "))
    }
}
