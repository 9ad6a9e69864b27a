//! What the manifest of a day, and with it the ledger, keeps of the recordings that files were made of.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::outcome::{Damaged, IngestedRealtime, Positions};
use crate::feeds::realtime::{AlertCounts, UpdateCounts};

/// How the origin of files from recordings is told from that of others.
pub(super) const FORMAT: &str = "gtfs-rt";
/// The counts that say of recordings that something was wrong with them.
const ODDITIES: [&str; 5] = [
    "recordings_empty",
    "recordings_without_time",
    "recordings_in_the_future",
    "recordings_unreadable",
    "entities_unreadable",
];
/// Each file of a day has an origin, so that it is kept short: so many damaged recordings, characters of a text, and dates.
const MOST_DAMAGED: usize = 20;
const MOST_CHARACTERS: usize = 200;
const MOST_DATES: usize = 31;

/// The origin of the files of one call.
pub(super) fn origin(told: &IngestedRealtime, feed: Option<&str>) -> Value {
    let positions =
        Positions { other_days: most(&told.vehicle_positions.other_days), ..told.vehicle_positions.clone() };
    let updates = UpdateCounts { other_days: most(&told.trip_updates.other_days), ..told.trip_updates.clone() };
    let alerts = AlertCounts { other_days: most(&told.alerts.other_days), ..told.alerts.clone() };
    json!({
        "format": FORMAT,
        "feed": feed,
        "recordings": told.recordings,
        "recordings_empty": told.recordings_empty,
        "recordings_without_time": told.recordings_without_time,
        "recordings_in_the_future": told.recordings_in_the_future,
        "recordings_unreadable": told.recordings_unreadable,
        "entities_unreadable": told.entities_unreadable,
        "entities_deleted": told.entities_deleted,
        "damaged": damaged(&told.damaged),
        "vehicle_positions": positions,
        "trip_updates": updates,
        "alerts": alerts,
        "schedule": told.schedule,
    })
}

/// The first damaged recordings by name, so that the order in which they were read makes no other origin.
fn damaged(all: &[Damaged]) -> Vec<Damaged> {
    let mut named: Vec<(&str, &str)> = all.iter().map(|one| (in_its_folder(&one.file), one.why.as_str())).collect();
    named.sort_unstable();
    named.truncate(MOST_DAMAGED);
    named.into_iter().map(|(file, why)| Damaged { file: short(file), why: short(why) }).collect()
}

/// The end of a path: a name and what it lies in, be that a folder or an archive.
fn in_its_folder(path: &str) -> &str {
    let slash = path.rmatch_indices('/').nth(1);
    slash.map_or(path, |(at, _)| &path[at + 1..])
}

fn short(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).collect()
}

/// The dates with the most rows.
fn most(by_date: &BTreeMap<NaiveDate, u64>) -> BTreeMap<NaiveDate, u64> {
    let mut dates: Vec<_> = by_date.iter().map(|(date, rows)| (*rows, *date)).collect();
    dates.sort_unstable_by(|one, other| other.cmp(one));
    dates.into_iter().take(MOST_DATES).map(|(rows, date)| (date, rows)).collect()
}

/// What was odd about the recordings that a day's files were made of, each call counted once.
pub(in crate::pipeline) fn oddities(origins: &[Value]) -> BTreeMap<&'static str, u64> {
    let mut found = BTreeMap::new();
    for origin in origins.iter().filter(|origin| is_of_recordings(origin)) {
        for name in ODDITIES {
            let count = origin.get(name).and_then(Value::as_u64).unwrap_or(0);
            if count > 0 {
                *found.entry(name).or_default() += count;
            }
        }
    }
    found
}

pub(super) fn is_of_recordings(origin: &Value) -> bool {
    origin.get("format").and_then(Value::as_str) == Some(FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_stays_short_whatever_was_found() {
        let damaged = |n: usize| Damaged { file: format!("/far/away/{n:03}.tar/x.pb"), why: "é".repeat(1_000) };
        let day = |n: u64| NaiveDate::default() + chrono::TimeDelta::days(n.cast_signed());
        let positions = Positions { other_days: (0..1_000).map(|n| (day(n), n)).collect(), ..Positions::default() };
        let mut told = IngestedRealtime {
            damaged: (0..100).rev().map(damaged).collect(),
            vehicle_positions: positions,
            ..IngestedRealtime::default()
        };
        let made = origin(&told, Some("tram"));
        assert!(made.to_string().len() < 20_000);
        assert_eq!(made["damaged"].as_array().map(Vec::len), Some(MOST_DAMAGED));
        assert_eq!(made["damaged"][0]["file"], "000.tar/x.pb");
        let days = made["vehicle_positions"]["other_days"].as_object().unwrap();
        assert_eq!((days.len(), days.keys().next_back()), (MOST_DATES, Some(&day(999).to_string())));
        told.damaged.reverse();
        assert_eq!(origin(&told, Some("tram")), made);
    }

    #[test]
    fn oddities_are_those_of_recordings_and_only_what_is_not_zero() {
        let origins = [
            json!({"format": "gtfs-rt", "recordings_unreadable": 2, "recordings_empty": 0}),
            json!({"format": "gtfs-rt", "recordings_unreadable": 1, "entities_unreadable": "many"}),
            json!({"format": "gtfs", "recordings_unreadable": 5}),
            json!(7),
        ];
        assert_eq!(oddities(&origins), BTreeMap::from([("recordings_unreadable", 3)]));
    }
}
