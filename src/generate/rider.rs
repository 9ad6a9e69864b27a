//! Riders: they join, move, change their language, and some fall silent for a while.

use chrono::NaiveDate;

use super::draw::{Key, Topic};

/// Days between two draws of a rider's state.
const CITY_DAYS: i64 = 400;
const LANGUAGE_DAYS: i64 = 900;
const ACTIVITY_DAYS: i64 = 240;

/// 2024-01-01: from here on riders join, a two-thousandth of the city a day.
const GROWTH_FROM_DAY: i64 = 19_723;
const GROWTH_A_DAY: f64 = 0.0005;

/// 2019-12-31, the last day on which an original rider joined.
const JOINED_BEFORE_DAY: i64 = 18_262;

const CITIES: [&str; 8] = ["Moscow", "Moscow", "Moscow", "Moscow", "Khimki", "Mytishchi", "Odintsovo", "Balashikha"];
const LANGUAGES: [&str; 8] = ["ru", "ru", "ru", "ru", "ru", "en", "en", "tt"];

/// A rider on one day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rider {
    pub created_micros: i64,
    pub city: &'static str,
    pub language: &'static str,
    pub gender: Option<&'static str>,
    pub birth_day: i32,
    pub is_active: bool,
}

/// All riders of the city on one day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Riders {
    seed: u64,
    day: i64,
    originals: u64,
    pub count: u64,
}

impl Riders {
    pub fn new(seed: u64, originals: u64, day: i64) -> Self {
        let grown = (day - GROWTH_FROM_DAY).max(0) as f64 * GROWTH_A_DAY * originals as f64;
        Self { seed, day, originals, count: originals + grown as u64 }
    }

    pub fn id(index: u64) -> String {
        format!("U{index:06}")
    }

    fn part(&self, topic: Topic, index: u64) -> Key {
        Key::new(self.seed, topic).with(index)
    }

    pub fn is_active(&self, index: u64) -> bool {
        !self.part(Topic::Activity, index).in_force(self.day, ACTIVITY_DAYS).chance(0, 0.06)
    }

    /// Whether the day's extract names a rider who does not ride that day.
    pub fn in_extract(&self, index: u64) -> bool {
        self.part(Topic::Extract, index).chance(self.day as u64, 0.7)
    }

    pub fn get(&self, index: u64) -> Rider {
        let key = self.part(Topic::User, index);
        let joined_day = if index < self.originals {
            JOINED_BEFORE_DAY - key.below(0, 1_800) as i64
        } else {
            GROWTH_FROM_DAY + ((index - self.originals) as f64 / (GROWTH_A_DAY * self.originals as f64)) as i64
        };
        Rider {
            created_micros: joined_day * 86_400_000_000 + key.below(1, 86_400_000) as i64 * 1_000,
            city: self.part(Topic::City, index).in_force(self.day, CITY_DAYS).pick(0, &CITIES),
            language: self.part(Topic::Language, index).in_force(self.day, LANGUAGE_DAYS).pick(0, &LANGUAGES),
            gender: key.pick(2, &[Some("f"), Some("m"), Some("f"), Some("m"), None]),
            // 1940 to 2012
            birth_day: -10_957 + key.below(3, 26_000) as i32,
            is_active: self.is_active(index),
        }
    }

    /// Draws an active rider.
    pub fn draw(&self, key: Key) -> u64 {
        let first = key.below(0, self.count);
        (0..self.count).map(|step| (first + step) % self.count).find(|&index| self.is_active(index)).unwrap_or(first)
    }
}

/// Days since 1970-01-01.
pub(super) fn day_number(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}
