//! The schedule that reports are held against: to which service date a report belongs, and to which run of it.

use chrono::NaiveDate;
use hashbrown::HashMap;

use super::message::Trip;

/// As far from a run as a report without a date may lie: nobody records a week before or after.
const FARTHEST_MICROS: i64 = 7 * 86_400 * 1_000_000;

/// One scheduled run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its service date, in days since the epoch.
    pub day: i32,
    /// `HH:MM:SS` of its first departure on that date.
    pub start_time: String,
    /// First departure, in microseconds since the epoch.
    pub start_micros: i64,
    /// Last arrival, in microseconds since the epoch.
    pub end_micros: i64,
}

/// The scheduled runs of the days around the one that is written.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    runs: HashMap<String, Vec<Run>>,
}

impl Schedule {
    /// Takes a run in.
    pub fn add(&mut self, trip_id: &str, run: Run) {
        self.runs.entry_ref(trip_id).or_default().push(run);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run that a report names: of its date and start time, as far as it gives them, the one nearest in time. Without a
    /// date a run weeks away is not meant, but a time that is wrong.
    pub(super) fn run(&self, trip: &Trip<'_>, day: Option<i32>, at_micros: Option<i64>) -> Option<&Run> {
        let runs = self.runs.get(std::str::from_utf8(trip.id).ok()?)?;
        let start_time = start_time(trip.start_time);
        runs.iter()
            .filter(|run| day.is_none_or(|day| run.day == day))
            .filter(|run| start_time.as_ref().is_none_or(|time| *time == run.start_time))
            .filter(|run| day.is_some() || at_micros.is_none_or(|at| run.distance(at) <= FARTHEST_MICROS))
            .min_by_key(|run| (at_micros.map_or(0, |at| run.distance(at)), run.start_micros))
    }
}

impl Run {
    /// How far an instant lies from the time in which the run is under way.
    fn distance(&self, at: i64) -> i64 {
        self.start_micros.saturating_sub(at).max(at.saturating_sub(self.end_micros)).max(0)
    }
}

/// `HH:MM:SS` of a report, padded as ours is; a text that is no time stays as it is.
pub(super) fn start_time(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let padded = match text.split_once(':') {
        Some((hours, _)) if hours.len() == 1 => format!("0{text}"),
        _ => text.to_owned(),
    };
    (!padded.is_empty()).then_some(padded)
}

/// Days since the epoch of a date `YYYYMMDD`.
pub(super) fn start_date(text: &[u8]) -> Option<i32> {
    if text.len() != 8 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0_u32, |n, digit| n * 10 + u32::from(digit - b'0'));
    let (year, month, day) = (number(&text[..4]), number(&text[4..6]), number(&text[6..]));
    NaiveDate::from_ymd_opt(year as i32, month, day).map(days)
}

/// Days since the epoch.
pub fn days(date: NaiveDate) -> i32 {
    date.signed_duration_since(NaiveDate::default()).num_days() as i32
}

/// The date of a count of days since the epoch.
pub fn date(days: i32) -> NaiveDate {
    NaiveDate::default() + chrono::TimeDelta::days(i64::from(days))
}
