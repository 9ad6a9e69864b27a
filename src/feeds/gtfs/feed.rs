//! A feed opened and read: its version and calendar first, its timetable for the days that are asked for.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use chrono_tz::Tz;

use super::agency::{self, Agencies, Info};
use super::archive::Archive;
use super::calendar::{self, Calendar};
use super::reject::Tally;
use super::stop_times::{Calls, STOP_TIMES};
use super::trips::{self, Trips};
use super::validity::Validity;
use super::{shapes, snapshot};
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::feeds::Ids;

/// The files that are read; all others are named and left out.
const READ: [&str; 10] = [
    agency::AGENCY.file,
    agency::FEED_INFO.file,
    calendar::CALENDAR.file,
    calendar::CALENDAR_DATES.file,
    trips::TRIPS.file,
    trips::FREQUENCIES.file,
    STOP_TIMES.file,
    snapshot::ROUTES.file,
    snapshot::STOPS.file,
    shapes::SHAPES.file,
];

/// As far as a feed's dates are looked through.
const MOST_DATES: usize = 3_660;

/// How a feed is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions<'a> {
    /// The folder within the archive, when several hold a feed.
    pub folder: Option<&'a str>,
    /// The name that is set before every id, with a colon.
    pub prefix: Option<&'a str>,
    /// Where a zip within a zip is unpacked; the system's temporary folder when unset.
    pub spool: Option<&'a Path>,
}

/// A feed whose calendar is known and whose timetable is still to be read.
#[derive(Debug)]
pub struct Feed {
    /// The source, for messages.
    pub source: String,
    /// The digest of its bytes.
    pub sha256: String,
    /// Its version, and the dates for which it holds.
    pub validity: Validity,
    /// The zone of its agencies.
    pub zone: Tz,
    /// Files of the archive that are not read.
    pub unread_files: Vec<String>,
    pub(super) archive: Archive,
    pub(super) agencies: Agencies,
    pub(super) calendar: Calendar,
    pub(super) ids: Ids,
    /// What was counted while it was opened.
    opened: Tally,
}

/// The timetable of a feed for some days.
#[derive(Debug)]
pub struct Schedule {
    pub(super) feed: Arc<Feed>,
    pub(super) trips: Trips,
    pub(super) calls: Calls,
    pub(super) routes: RecordBatch,
    pub(super) stops: RecordBatch,
    pub(super) shapes: Vec<RecordBatch>,
    /// Counts by file, and bad rows.
    pub tally: Tally,
}

impl Feed {
    /// Opens a zip or a folder of this machine and reads what is small: agencies, version, calendar.
    ///
    /// # Errors
    /// `Schema` for a missing file or column, `Data` for what is no zip, is cut short or contradicts itself, `Config`
    /// where several feeds are in it and none is chosen.
    pub fn open(path: &Path, source: &str, options: OpenOptions<'_>, cancel: &Cancel) -> Result<Self> {
        let archive = Archive::open(path, source, options.folder, options.spool)?;
        let mut opened = Tally::default();
        let told = |e: Error| e.with("source", source);
        let agencies = Agencies::read(&archive, source, &mut opened, cancel).map_err(told)?;
        let info = Info::read(&archive, &mut opened, cancel).map_err(told)?;
        let calendar = Calendar::read(&archive, source, &mut opened, cancel).map_err(told)?;
        let span = calendar.span;
        Ok(Self {
            source: source.to_owned(),
            sha256: archive.sha256()?,
            validity: Validity {
                version: info.version,
                from: info.start.or(span.map(|(first, _)| first)),
                to: info.end.or(span.map(|(_, last)| last)),
            },
            zone: agencies.zone,
            unread_files: archive.unread(&READ),
            ids: Ids::new(options.prefix),
            archive,
            agencies,
            calendar,
            opened,
        })
    }

    /// Whether the feed claims a date and has a service that runs on it.
    pub fn runs_on(&self, date: NaiveDate) -> bool {
        self.validity.claims(date) && self.calendar.runs_any(date)
    }

    /// The dates that the feed claims, of ten years at most.
    pub fn claimed_dates(&self) -> impl Iterator<Item = NaiveDate> {
        let (first, last) = self.calendar.span.unzip();
        let last = self.validity.to.or(last);
        let first = self.validity.from.or(first).or(last);
        let dates = first.into_iter().flat_map(|first| first.iter_days().take(MOST_DATES));
        dates.take_while(move |date| last.is_none_or(|last| *date <= last))
    }

    /// Reads the timetable of the trips that run on any of `days`; what other days need is passed over.
    pub fn read(self: &Arc<Self>, days: &[NaiveDate], cancel: &Cancel, progress: &Progress) -> Result<Arc<Schedule>> {
        let told = |e: Error| e.with("source", &self.source);
        let (snapshots, timetable) = std::thread::scope(|scope| {
            let snapshots = scope.spawn(|| self.snapshots(cancel));
            let timetable = self.timetable(days, cancel, progress);
            let snapshots = snapshots.join();
            (snapshots.unwrap_or_else(|_| Err(Error::internal("a reading thread broke off"))), timetable)
        });
        let (trips, calls, of_timetable) = timetable.map_err(told)?;
        let (routes, stops, shapes, of_snapshots) = snapshots.map_err(told)?;
        let mut tally = self.opened.clone();
        tally.merge(of_timetable);
        tally.merge(of_snapshots);
        tally.rejects.sort_by(|a, b| (a.file, a.line).cmp(&(b.file, b.line)));
        Ok(Arc::new(Schedule { feed: Arc::clone(self), trips, calls, routes, stops, shapes, tally }))
    }

    fn snapshots(&self, cancel: &Cancel) -> Result<(RecordBatch, RecordBatch, Vec<RecordBatch>, Tally)> {
        let mut tally = Tally::default();
        let routes = snapshot::routes(&self.archive, &self.agencies, &self.ids, &mut tally, cancel)?;
        let stops = snapshot::stops(&self.archive, &self.ids, &mut tally, cancel)?;
        let shapes = shapes::shapes(&self.archive, &self.ids, &mut tally, cancel)?;
        Ok((routes, stops, shapes, tally))
    }

    fn timetable(&self, days: &[NaiveDate], cancel: &Cancel, progress: &Progress) -> Result<(Trips, Calls, Tally)> {
        let mut tally = Tally::default();
        let trips = Trips::read(&self.archive, &self.calendar, days, &mut tally, cancel)?;
        let calls = Calls::read(&self.archive, &trips, &mut tally, cancel, progress)?;
        Ok((trips, calls, tally))
    }
}

/// The number of the version that holds on a date: of those that claim it the one whose validity begins latest, then the
/// higher version. One source alone is taken at its caller's word.
///
/// # Errors
/// `NotFound` when none of several claims the date; `Config` when two that differ claim it alike.
pub fn version_for(feeds: &[Arc<Feed>], date: NaiveDate) -> Result<usize> {
    if feeds.len() == 1 {
        return Ok(0);
    }
    let rank = |a: &Feed, b: &Feed| a.validity.rank(&b.validity);
    let claims = |feed: &Feed| feed.validity.claims(date);
    let claiming: Vec<(usize, &Arc<Feed>)> = feeds.iter().enumerate().filter(|(_, feed)| claims(feed)).collect();
    let best = claiming.iter().copied().max_by(|(_, a), (_, b)| rank(a, b));
    let Some((number, best)) = best else { return Err(unclaimed(feeds, date)) };
    let rival = claiming.iter().find(|(_, f)| rank(f, best) == Ordering::Equal && f.sha256 != best.sha256);
    match rival {
        None => Ok(number),
        Some((_, rival)) => Err(Error::config(format!(
            "{} and {} both claim {date}, begin on the same date and have the same feed_version {}; give the one that holds",
            rival.source,
            best.source,
            best.validity.version.as_deref().unwrap_or("(none)")
        ))
        .with("dt", date)),
    }
}

fn unclaimed(feeds: &[Arc<Feed>], date: NaiveDate) -> Error {
    let shown = |date: Option<NaiveDate>| date.map_or_else(|| "open".to_owned(), |date| date.to_string());
    let claims = feeds.iter().map(|f| format!("{} ({} to {})", f.source, shown(f.validity.from), shown(f.validity.to)));
    Error::not_found(format!("no version of the feed claims {date}: {}", claims.collect::<Vec<_>>().join(", ")))
        .with("dt", date)
        .retryable(false)
}
