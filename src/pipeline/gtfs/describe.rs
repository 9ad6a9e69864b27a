//! An agency's feed as it presents itself, before a day is made of it.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, Utc, Weekday};
use serde::{Deserialize, Serialize};

use super::outcome::FeedReport;
use crate::config::Secret;
use crate::error::Result;
use crate::feeds::gtfs::Feed;
use crate::feeds::realtime::{Found, is_recording, told_at};
use crate::lake::objects;
use crate::model::{Zone, epoch_micros};
use crate::pipeline::Pipeline;
use crate::pipeline::input::on_thread;
use crate::pipeline::realtime::messages::{self, each_message};

/// What is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribeGtfs {
    /// A zip or a folder, as path or URL.
    pub source: String,
    /// Recordings of the agency's GTFS-Realtime feeds.
    pub recordings: Vec<String>,
    /// Options of their object store; those of the lake when unset.
    pub source_options: Option<BTreeMap<String, Secret>>,
}

/// What a feed says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct GtfsDescription {
    /// Its version, its dates and its zone.
    #[serde(flatten)]
    pub feed: FeedReport,
    /// The recordings that say anything, by local date.
    pub recorded: BTreeMap<NaiveDate, u64>,
    /// A date to begin with.
    pub first_day: NaiveDate,
    /// Why with that one.
    pub first_day_is: FirstDay,
}

/// What makes a date a good one to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstDay {
    /// The first date with recordings that the feed claims.
    Recorded,
    /// Today, on which a service of the feed runs.
    Today,
    /// The first working day of the feed on which a service runs.
    Weekday,
    /// The first date of the feed, of which no working day has a service.
    Beginning,
}

impl Pipeline {
    /// Reads what a feed says of itself, and on which of its dates there is most to see.
    ///
    /// # Errors
    /// `Schema` and `Data` for a feed that cannot be read, `NotFound` for recordings that are not there.
    pub async fn describe_gtfs(&self, asked: DescribeGtfs) -> Result<GtfsDescription> {
        let options = asked.source_options.as_ref().unwrap_or(&self.settings.lake_options);
        let (_copy, feed) = self.open_feed(&asked.source, options, None, None).await?;
        let recorded = self.recorded_dates(&asked.recordings, options, Zone(feed.zone)).await?;
        let today = Utc::now().with_timezone(&feed.zone).date_naive();
        let (first_day, first_day_is) = first_day(&feed, &recorded, today);
        Ok(GtfsDescription { feed: FeedReport::of(&feed), recorded, first_day, first_day_is })
    }

    /// How many recordings there are of each local date, by the time of their making.
    async fn recorded_dates(
        &self,
        sources: &[String],
        options: &BTreeMap<String, Secret>,
        zone: Zone,
    ) -> Result<BTreeMap<NaiveDate, u64>> {
        let mut dates = BTreeMap::new();
        let found = objects(sources, options, is_recording, &self.cancel).await?;
        self.progress.begin("look at recordings", found.len() as u64);
        let now_micros = epoch_micros(Utc::now());
        for object in found {
            let body = messages::fetch(&object, self.settings.spool.as_deref(), &self.cancel).await?;
            let cancel = self.cancel.clone();
            dates = on_thread(move || {
                let mut each = |name: &str, found: Found<'_>| {
                    cancel.check()?;
                    let at = found.ok().and_then(|bytes| told_at(name, bytes));
                    if let Some(at) = at.filter(|at| *at <= now_micros) {
                        *dates.entry(zone.local_date(at)).or_default() += 1;
                    }
                    Ok(())
                };
                each_message(&object.name, body, &mut each)?;
                Ok(dates)
            })
            .await?;
            self.progress.add(1);
        }
        Ok(dates)
    }
}

fn first_day(feed: &Feed, recorded: &BTreeMap<NaiveDate, u64>, today: NaiveDate) -> (NaiveDate, FirstDay) {
    if let Some(date) = recorded.keys().find(|date| feed.validity.claims(**date)) {
        return (*date, FirstDay::Recorded);
    }
    if feed.runs_on(today) {
        return (today, FirstDay::Today);
    }
    let is_working_day = |date: &NaiveDate| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    match feed.claimed_dates().filter(is_working_day).find(|date| feed.runs_on(*date)) {
        Some(date) => (date, FirstDay::Weekday),
        None => (feed.claimed_dates().next().unwrap_or(today), FirstDay::Beginning),
    }
}
