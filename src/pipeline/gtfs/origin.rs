//! What a day's manifest says of the timetable in it: of which version of which feed it was made.

use std::cmp::Ordering;

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::feeds::gtfs::{Feed, Validity};
use crate::lake::ManifestFile;

/// How the origin of a timetable is told from that of other files.
const FORMAT: &str = "gtfs";
/// What this version makes of a feed; another one makes other bytes of it.
const RULES: u32 = 1;

/// Of which version a file of a day was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pipeline) struct GtfsOrigin {
    format: String,
    /// The feed's name, in a lake of several agencies.
    pub(in crate::pipeline) feed: Option<String>,
    pub(in crate::pipeline) feed_sha256: String,
    #[serde(deserialize_with = "stated")]
    pub(in crate::pipeline) feed_version: Option<String>,
    #[serde(deserialize_with = "stated")]
    pub(in crate::pipeline) valid_from: Option<NaiveDate>,
    #[serde(deserialize_with = "stated")]
    pub(in crate::pipeline) valid_to: Option<NaiveDate>,
    /// The agencies' zone; days of older versions do not name it.
    #[serde(default)]
    pub(in crate::pipeline) zone: Option<String>,
    service_date: NaiveDate,
    rules: u32,
}

/// A value that may be null and must be there: what a manifest does not say of a version is no reason to keep it.
fn stated<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Why a day stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Both versions claim the date, and the day's holds before the one that was given.
    Newer,
    /// The version that was given does not claim the date, and the day's does.
    Unclaimed,
}

impl GtfsOrigin {
    pub(super) fn of(feed: &Feed, name: Option<&str>, service_date: NaiveDate) -> Self {
        let Validity { version, from, to } = feed.validity.clone();
        Self {
            format: FORMAT.to_owned(),
            feed: name.map(str::to_owned),
            feed_sha256: feed.sha256.clone(),
            feed_version: version,
            valid_from: from,
            valid_to: to,
            zone: Some(feed.zone.name().to_owned()),
            service_date,
            rules: RULES,
        }
    }

    /// What a manifest says of a file, if that is part of a timetable.
    pub(in crate::pipeline) fn read(file: &ManifestFile) -> Option<Self> {
        let origin: Self = serde_json::from_value(file.origin.clone()?).ok()?;
        (origin.format == FORMAT).then_some(origin)
    }

    pub(super) fn to_json(&self) -> Value {
        serde_json::json!(self)
    }

    fn validity(&self) -> Validity {
        Validity { version: self.feed_version.clone(), from: self.valid_from, to: self.valid_to }
    }

    /// Why a day of this origin is not to be made of `other`; `None` when it is.
    pub(super) fn outranks(&self, other: &Self) -> Option<Why> {
        let (ours, others, date) = (self.validity(), other.validity(), self.service_date);
        if self.feed_sha256 == other.feed_sha256 || !ours.claims(date) {
            return None;
        }
        if !others.claims(date) {
            return Some(Why::Unclaimed);
        }
        (ours.rank(&others) == Ordering::Greater).then_some(Why::Newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(sha256: &str, version: &str, from: &str, to: &str) -> Value {
        serde_json::json!({
            "format": "gtfs", "feed": null, "feed_sha256": sha256, "feed_version": version, "valid_from": from,
            "valid_to": to, "service_date": "2024-05-06", "rules": 1,
        })
    }

    fn read(origin: Value) -> Option<GtfsOrigin> {
        let listed = serde_json::json!({"path": "routes.parquet", "origin": origin});
        GtfsOrigin::read(&serde_json::from_value(listed).unwrap())
    }

    #[test]
    fn a_day_stays_where_its_version_claims_the_date_and_the_other_is_older_or_does_not() {
        let spring = read(origin("a", "2", "2024-05-01", "2024-05-31")).unwrap();
        let all_year = read(origin("b", "9", "2024-01-01", "2024-12-31")).unwrap();
        let summer = read(origin("c", "3", "2024-06-01", "2024-08-31")).unwrap();
        let corrected = read(origin("d", "2", "2024-05-01", "2024-05-31")).unwrap();
        assert_eq!(spring.outranks(&all_year), Some(Why::Newer));
        assert_eq!(all_year.outranks(&spring), None);
        assert_eq!(all_year.outranks(&summer), Some(Why::Unclaimed));
        assert_eq!(summer.outranks(&all_year), None);
        assert_eq!((spring.outranks(&corrected), corrected.outranks(&spring)), (None, None));
        assert_eq!(spring.outranks(&spring), None);
    }

    #[test]
    fn an_origin_that_does_not_tell_its_version_or_is_of_another_format_says_nothing() {
        let whole = origin("a", "2", "2024-05-01", "2024-05-31");
        assert!(read(whole.clone()).is_some_and(|origin| origin.zone.is_none()));
        for name in ["feed_version", "valid_from", "valid_to", "feed_sha256", "service_date"] {
            let mut older = whole.clone();
            older.as_object_mut().unwrap().remove(name);
            assert_eq!(read(older), None, "{name}");
        }
        assert_eq!(read(serde_json::json!({"format": "gtfs-rt", "feed": null})), None);
        let mut other = whole;
        other["format"] = "tides".into();
        assert_eq!(read(other), None);
    }
}
