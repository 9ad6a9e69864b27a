//! Step 4 from the lake: the mart's rows straight from the raw files, by the rules of the warehouse.
//!
//! All days of the lake are judged, because any of them may hold events of any service date and because the newest day
//! of a trip or payment wins. Names come from the route versions of the warehouse, or, where there is none, from the
//! lake's own snapshots of routes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{Days, NaiveDate};

use super::Pipeline;
use super::day::Day;
use super::dimensions::collapse;
use super::input::{Judged, on_thread};
use super::mart::versions;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::history::{Census, Columns, Presence, Rules, Run, Snapshot, assign, derive, guard};
use crate::model::{Absent, Dataset, Dimension, Fact, FactKind, HOUR_MICROS, Zone};
use crate::rollup::HourClock;
use crate::rollup::mart::{Claims, HourlyMart, RouteVersion, RouteVersions, partial};
use crate::warehouse::MartSource;

/// The mart's rows of service dates, as the lake has them.
pub(super) struct LakeMart {
    zone: Zone,
    routes: RouteVersions,
    days: Vec<Surveyed>,
    /// Of the datasets of which the newest day of a key counts.
    claims: BTreeMap<Dataset, Claims>,
    cancel: Cancel,
}

/// One raw day, judged. Its number counts down to the newest, 0.
struct Surveyed {
    number: u32,
    facts: Vec<Arc<Judged>>,
    touched: BTreeSet<NaiveDate>,
}

/// Finished dates with their rows.
pub(super) type Dates = Vec<(NaiveDate, RecordBatch)>;

impl Pipeline {
    /// Judges the lake's days. With a warehouse its mart lock is held by `source`, and its routes are used.
    pub(super) async fn lake_mart(&self, source: Option<&MartSource>) -> Result<LakeMart> {
        let days = self.lake()?.days().await?;
        let mut mart = LakeMart {
            zone: Zone(self.settings.zone()?),
            routes: self.mart_routes(source, &days).await?,
            days: Vec::new(),
            claims: BTreeMap::new(),
            cancel: self.cancel.clone(),
        };
        let in_mart = Fact::ALL.into_iter().filter(|fact| fact.kind.is_in_mart());
        let in_mart: Vec<Dataset> = in_mart.map(|fact| fact.dataset).collect();
        for (number, dt) in (0..).zip(days.into_iter().rev()) {
            let mut day = Day::new(dt);
            if !day.open_if_any(self, &in_mart).await? {
                continue;
            }
            let facts = day.all_judged(self, &in_mart).await?;
            mart = on_thread(move || {
                let mut day = Surveyed { number, facts, touched: BTreeSet::new() };
                mart.survey(&mut day)?;
                mart.days.push(day);
                Ok(mart)
            })
            .await?;
        }
        Ok(mart)
    }

    /// The versions of routes: the warehouse's where it knows any, else those of the lake's days.
    pub(super) async fn mart_routes(&self, source: Option<&MartSource>, days: &[NaiveDate]) -> Result<RouteVersions> {
        let known = match source {
            Some(source) => {
                let routes = source.routes().await?;
                // Reading the lake takes long, and the lock is all that is needed from here on.
                source.end_snapshot().await?;
                routes
            }
            None => Vec::new(),
        };
        if known.iter().any(|r| r.valid_from_micros.is_some()) {
            return Ok(versions(&known));
        }
        self.lake_routes(days).await
    }

    /// The versions of routes, by the same rules as in the warehouse.
    async fn lake_routes(&self, days: &[NaiveDate]) -> Result<RouteVersions> {
        let zone = Zone(self.settings.zone()?);
        let mut history = RouteHistory::default();
        for &dt in days {
            let mut day = Day::new(dt);
            if !day.open_if_any(self, &[Dataset::Routes]).await? || day.identities(Dataset::Routes).is_empty() {
                continue;
            }
            let judged = day.judged(self, Dataset::Routes).await?;
            let cancel = self.cancel.clone();
            let snapshot = on_thread(move || collapse(&Dimension::ROUTE, &judged, &cancel)).await?;
            let absent = self.settings.absent(Dataset::Routes);
            history
                .check(&snapshot, absent, self.settings.allow_vanishing)
                .map_err(|e| e.with("dataset", Dataset::Routes).with("dt", dt))?;
            history.load(zone.day_start_micros(dt), snapshot);
        }
        history.versions(self.settings.absent(Dataset::Routes))
    }
}

impl LakeMart {
    /// The dates that any day touches, in order.
    pub(super) fn touched(&self) -> Vec<NaiveDate> {
        let all: BTreeSet<NaiveDate> = self.days.iter().flat_map(|day| day.touched.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// The rows of the dates of one window.
    pub(super) fn rows(&mut self, window: &[NaiveDate]) -> Result<Dates> {
        let (Some(first), Some(last)) = (window.first(), window.last()) else { return Ok(Vec::new()) };
        let range = *first..*last + Days::new(1);
        let mut mart = HourlyMart::new(self.zone, self.routes.clone());
        let mut clock = HourClock::new(self.zone);
        let days = std::mem::take(&mut self.days);
        for day in days.iter().filter(|day| day.touched.range(range.clone()).next().is_some()) {
            for judged in &day.facts {
                let cancel = self.cancel.clone();
                judged.each(&cancel, &mut |_, kept, _| {
                    let kept = self.claimed(day.number, judged.dataset, kept)?;
                    let kept = within(&kept, judged.dataset, &self.micros(&range))?;
                    match Fact::of(judged.dataset).map(|fact| fact.kind) {
                        Some(FactKind::Trip) => mart.add_trips(&partial::trips(&kept, &mut clock)?),
                        Some(FactKind::Payment) => mart.add_payments(&partial::payments(&kept, &mut clock)?),
                        Some(FactKind::VehiclePosition) => mart.add_positions(&partial::positions(&kept, &mut clock)?),
                        Some(FactKind::ScheduledTrip) => {
                            mart.add_scheduled_trips(&partial::scheduled_trips(&kept, &mut clock)?)
                        }
                        Some(FactKind::ScheduledStopTime | FactKind::TripUpdate | FactKind::Alert) | None => Ok(()),
                    }
                })?;
            }
        }
        self.days = days;
        let mut rows = mart.finish(range)?;
        rows.retain(|(date, _)| window.contains(date));
        Ok(rows)
    }

    /// Instants that may belong to a range of dates: an hour more on either side, as a zone may jump across midnight.
    fn micros(&self, range: &Range<NaiveDate>) -> Range<i64> {
        self.zone.day_start_micros(range.start) - HOUR_MICROS..self.zone.day_start_micros(range.end) + HOUR_MICROS
    }

    /// Claims the business keys of a day, which must come newest first, and finds the dates it touches.
    fn survey(&mut self, day: &mut Surveyed) -> Result<()> {
        let mut clock = HourClock::new(self.zone);
        let mut hours = hashbrown::HashSet::new();
        for judged in &day.facts {
            let cancel = self.cancel.clone();
            judged.each(&cancel, &mut |_, kept, _| {
                let kept = self.claimed(day.number, judged.dataset, kept)?;
                let times = times(&kept, judged.dataset)?.as_primitive::<TimestampMicrosecondType>().values().clone();
                if let (Some(min), Some(max)) = (times.iter().min(), times.iter().max()) {
                    clock.cover(*min, *max);
                }
                let mut last = None;
                for time in &times {
                    let hour = clock.bucket_micros(*time);
                    if last != Some(hour) {
                        hours.insert(hour);
                        last = Some(hour);
                    }
                }
                Ok(())
            })?;
        }
        day.touched = hours.into_iter().map(|hour| self.zone.local_date(hour)).collect();
        Ok(())
    }

    /// The rows that no newer day has.
    fn claimed(&mut self, day: u32, dataset: Dataset, kept: &RecordBatch) -> Result<RecordBatch> {
        if Fact::of(dataset).is_none_or(|fact| fact.registry.is_none()) {
            return Ok(kept.clone());
        }
        let mask = self.claims.entry(dataset).or_default().claim(dataset.key(), kept.column(0), day)?;
        filtered(kept, &mask)
    }
}

fn times(batch: &RecordBatch, dataset: Dataset) -> Result<&ArrayRef> {
    let column = dataset.event_time().and_then(|name| batch.column_by_name(name));
    column.ok_or_else(|| Error::internal(format!("a batch of {dataset} has no event time")))
}

fn within(batch: &RecordBatch, dataset: Dataset, range: &Range<i64>) -> Result<RecordBatch> {
    let times = times(batch, dataset)?.as_primitive::<TimestampMicrosecondType>();
    let mask: BooleanArray = times.values().iter().map(|time| Some(range.contains(time))).collect();
    filtered(batch, &mask)
}

fn filtered(batch: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
    if mask.true_count() == mask.len() {
        return Ok(batch.clone());
    }
    filter_record_batch(batch, mask).map_err(|e| Error::internal("rows cannot be filtered").because(e))
}

/// What the lake's snapshots said of each route, day by day.
#[derive(Default)]
struct RouteHistory {
    days: Vec<i64>,
    runs: BTreeMap<String, Vec<Run>>,
    previous: Option<Snapshot>,
}

impl RouteHistory {
    /// Refuses a snapshot from which too many routes vanished.
    fn check(&self, snapshot: &Snapshot, absent: Absent, allow_vanishing: bool) -> Result<()> {
        let previous = self.previous.iter().flat_map(Snapshot::iter);
        let keys: Vec<&str> =
            previous.filter(|(_, said)| said.kind == Presence::Observed).map(|(key, _)| key).collect();
        let vanished: Vec<&str> = keys.iter().copied().filter(|key| !snapshot.names(key)).collect();
        let census = Census {
            previous_keys: keys.len() as u64,
            vanished: vanished.len() as u64,
            vanished_keys: &vanished,
            snapshot_rows: snapshot.rows(),
        };
        guard(&census, absent, allow_vanishing)
    }

    /// Adds the snapshot of the day that starts at an instant, later than all before it.
    fn load(&mut self, start: i64, snapshot: Snapshot) {
        for key in snapshot.keys() {
            if !self.runs.contains_key(key) {
                self.runs.insert(key.to_owned(), Vec::new());
            }
        }
        for (key, runs) in &mut self.runs {
            assign(runs, start, None, snapshot.get(key));
        }
        self.days.push(start);
        self.previous = Some(snapshot);
    }

    /// Names and types over time. What else the dimension tracks changes no answer, so it is left out.
    fn versions(&self, absent: Absent) -> Result<RouteVersions> {
        let columns = Dimension::ROUTE.columns();
        let place = |name: &str| columns.iter().position(|c| c.name == name);
        let (Some(name), Some(kind)) = (place("name"), place("transport_type")) else {
            return Err(Error::internal("routes have no name or type of transport"));
        };
        let rules = Rules {
            columns: columns.len(),
            absent,
            tracked: [name, kind].into_iter().collect(),
            overwritten: Columns::default(),
            active: None,
            type2: true,
        };
        let mut versions = RouteVersions::default();
        for (key, runs) in &self.runs {
            for version in derive(runs, &self.days, &rules)? {
                let text = |column: usize| version.values[column].as_deref().map(str::to_owned);
                let valid_from = version.from.unwrap_or(i64::MIN);
                versions.insert(
                    key.as_str(),
                    RouteVersion {
                        valid_from,
                        valid_to: version.to,
                        name: text(name),
                        transport_type: text(kind),
                        is_inferred: false,
                    },
                );
            }
        }
        Ok(versions)
    }
}
