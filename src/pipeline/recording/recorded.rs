//! The recordings in the lake that may tell of a service date.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::feeds::realtime::is_recording;
use crate::feeds::recorder::Period;
use crate::lake::Object;
use crate::model::Zone;
use crate::pipeline::{Pipeline, feed_name};

/// Hours after the end of a local day in which its last runs may still be reported.
const HOURS_PAST: f64 = 12.0;

/// How far the recordings of a day have come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedDay {
    /// The service date.
    pub dt: NaiveDate,
    /// The name of the feed in a lake of several agencies.
    pub feed: Option<String>,
    /// The first instant of which recordings are asked for.
    pub from: DateTime<Utc>,
    /// The instant up to which they are.
    pub until: DateTime<Utc>,
    /// Whether recordings that reach that far have been uploaded, and so all before them.
    pub complete: bool,
    /// The archives of this time.
    pub archives: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How far the archives of the feed reach.
    pub recorded_until: Option<DateTime<Utc>>,
}

impl Pipeline {
    /// How far the recorder has uploaded what it recorded of a service date, up to some hours past its end.
    pub async fn recordings(&self, dt: NaiveDate, feed: Option<&str>, hours_past: Option<f64>) -> Result<RecordedDay> {
        feed_name::check(feed)?;
        let (from, until) = self.time_of(dt, hours_past.unwrap_or(HOURS_PAST))?;
        let mut found = self.archives_between(from, until + TimeDelta::days(1)).await?;
        found.retain(|archive| archive.is_of(feed));
        let reach = found.iter().map(|archive| archive.period.end()).max();
        let of_day = || found.iter().filter(|archive| archive.period.start < until);
        Ok(RecordedDay {
            dt,
            feed: feed.map(str::to_owned),
            from,
            until,
            complete: reach.is_some_and(|reach| reach >= until),
            archives: of_day().count() as u64,
            bytes: of_day().map(|archive| archive.object.size_bytes).sum(),
            recorded_until: reach,
        })
    }

    /// The feed's archives of a service date, and of the time in which its last runs may still be reported.
    pub(in crate::pipeline) async fn archives_of(&self, dt: NaiveDate, feed: Option<&str>) -> Result<Vec<Object>> {
        let (from, until) = self.time_of(dt, HOURS_PAST)?;
        let (own, others): (Vec<_>, Vec<_>) =
            self.archives_between(from, until).await?.into_iter().partition(|archive| archive.is_of(feed));
        if own.is_empty() {
            return Err(nothing_recorded(self.lake()?.url(), dt, feed, &others));
        }
        Ok(own.into_iter().map(|archive| archive.object).collect())
    }

    fn time_of(&self, dt: NaiveDate, hours_past: f64) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
        let zone = Zone(self.settings.zone()?);
        let start = |day| DateTime::from_timestamp_micros(zone.day_start_micros(day)).unwrap_or_default();
        let past = TimeDelta::try_seconds((hours_past * 3600.0) as i64)
            .filter(|past| past.abs() <= TimeDelta::days(7))
            .ok_or_else(|| Error::config(format!("hours past the day are {hours_past}, expected a week at most")))?;
        let next = dt.checked_add_days(Days::new(1)).unwrap_or(dt);
        Ok((start(dt), start(next) + past))
    }

    /// The archives of all feeds whose periods touch a time; those of each feed in the order of time.
    async fn archives_between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Archive>> {
        let lake = self.lake()?;
        let mut found = Vec::new();
        // A period that began on the day before may reach into this one.
        let first = from.date_naive().pred_opt().unwrap_or(from.date_naive());
        for day in first.iter_days().take_while(|day| *day <= until.date_naive()) {
            for (place, object) in lake.files_below(&format!("recordings/{day}"), &self.cancel).await? {
                let (feed, name) =
                    place.rsplit_once('/').map_or((None, place.as_str()), |(feed, name)| (Some(feed), name));
                let period = Period::told_by(name).filter(|_| is_recording(name));
                if let Some(period) = period.filter(|period| period.start < until && period.end() > from) {
                    found.push(Archive { feed: feed.map(str::to_owned), period, object });
                }
            }
        }
        Ok(found)
    }
}

/// An archive that a recorder brought into the lake.
struct Archive {
    /// The name of its feed, which is the folder that it lies in.
    feed: Option<String>,
    period: Period,
    object: Object,
}

impl Archive {
    fn is_of(&self, feed: Option<&str>) -> bool {
        self.feed.as_deref() == feed
    }
}

fn nothing_recorded(lake: &str, dt: NaiveDate, feed: Option<&str>, others: &[Archive]) -> Error {
    let (of, option) =
        feed.map_or_else(Default::default, |name| (format!(" of feed {name}"), format!(" --feed {name}")));
    let told = |feed: &Option<String>| match feed {
        Some(name) => format!("feed {name}"),
        None => "a feed without a name".to_owned(),
    };
    let others: BTreeSet<_> = others.iter().map(|archive| told(&archive.feed)).collect();
    let besides = if others.is_empty() {
        String::new()
    } else {
        format!(", but some of {}", others.into_iter().collect::<Vec<_>>().join(", "))
    };
    Error::not_found(format!(
        "the lake {lake} has no recordings of {dt}{of} below recordings/{besides}; record the feed with `metropulse \
         collect{option}`, or name recordings"
    ))
    .with("dt", dt)
}
