//! The recordings in the lake that may tell of a service date.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use super::Pipeline;
use crate::error::{Error, Result};
use crate::feeds::realtime::is_recording;
use crate::feeds::recorder::Period;
use crate::lake::Object;
use crate::model::Zone;

/// Hours after the end of a local day in which its last runs may still be reported.
const HOURS_PAST: f64 = 12.0;

/// How far the recordings of a day have come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedDay {
    /// The service date.
    pub dt: NaiveDate,
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
    /// How far the archives in the lake reach.
    pub recorded_until: Option<DateTime<Utc>>,
}

impl Pipeline {
    /// How far the recorder has uploaded what it recorded of a service date, up to some hours past its end.
    pub async fn recordings(&self, dt: NaiveDate, hours_past: Option<f64>) -> Result<RecordedDay> {
        let (from, until) = self.time_of(dt, hours_past.unwrap_or(HOURS_PAST))?;
        let found = self.archives_between(from, until + TimeDelta::days(1)).await?;
        let reach = found.iter().map(|(period, _)| period.end()).max();
        let of_day = || found.iter().filter(|(period, _)| period.start < until);
        Ok(RecordedDay {
            dt,
            from,
            until,
            complete: reach.is_some_and(|reach| reach >= until),
            archives: of_day().count() as u64,
            bytes: of_day().map(|(_, archive)| archive.size_bytes).sum(),
            recorded_until: reach,
        })
    }

    /// The archives of a service date, and of the time in which its last runs may still be reported.
    pub(super) async fn archives_of(&self, dt: NaiveDate) -> Result<Vec<Object>> {
        let (from, until) = self.time_of(dt, HOURS_PAST)?;
        let found = self.archives_between(from, until).await?;
        if found.is_empty() {
            let lake = self.lake()?;
            return Err(Error::not_found(format!(
                "the lake {} has no recordings of {dt} below recordings/; record the feeds with `metropulse collect`, or \
                 name recordings",
                lake.url()
            ))
            .with("dt", dt));
        }
        Ok(found.into_iter().map(|(_, archive)| archive).collect())
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

    /// The archives whose periods touch a time, in the order of time.
    async fn archives_between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<(Period, Object)>> {
        let lake = self.lake()?;
        let mut found = Vec::new();
        // A period that began on the day before may reach into this one.
        let first = from.date_naive().pred_opt().unwrap_or(from.date_naive());
        for day in first.iter_days().take_while(|day| *day <= until.date_naive()) {
            for (name, archive) in lake.files_below(&format!("recordings/{day}"), &self.cancel).await? {
                let period = Period::told_by(&name).filter(|_| is_recording(&name));
                if let Some(period) = period.filter(|period| period.start < until && period.end() > from) {
                    found.push((period, archive));
                }
            }
        }
        Ok(found)
    }
}
