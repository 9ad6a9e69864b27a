//! `calendar.txt` and `calendar_dates.txt`: which service runs on which date.

use chrono::{Datelike, NaiveDate};
use hashbrown::{HashMap, HashSet};

use super::archive::Archive;
use super::reject::{Bad, Tally};
use super::row::{Row, Source};
use super::rows::read;
use super::value;
use super::words::{Word, Words};
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Reason};

pub(super) const CALENDAR: Source = Source {
    file: "calendar.txt",
    dataset: Dataset::ScheduledTrips,
    columns: &[
        "service_id",
        "start_date",
        "end_date",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ],
    required: 10,
    keeps_all: false,
};
const START: usize = 1;
const END: usize = 2;
const MONDAY: usize = 3;

pub(super) const CALENDAR_DATES: Source = Source {
    file: "calendar_dates.txt",
    dataset: Dataset::ScheduledTrips,
    columns: &["service_id", "date", "exception_type"],
    required: 3,
    keeps_all: false,
};
const SERVICE: usize = 0;
const DATE: usize = 1;
const EXCEPTION: usize = 2;

/// The services of a feed.
#[derive(Debug)]
pub(super) struct Calendar {
    services: Words,
    weeks: HashMap<Word, Week>,
    exceptions: HashMap<(Word, NaiveDate), bool>,
    /// The services of weeks that do not end before they begin, and of exceptions.
    named: HashSet<Word>,
    /// The first and the last date that is named.
    pub(super) span: Option<(NaiveDate, NaiveDate)>,
}

#[derive(Clone, Copy, Debug)]
struct Week {
    start: NaiveDate,
    end: NaiveDate,
    /// Monday first.
    days: [bool; 7],
}

impl Calendar {
    pub(super) fn read(archive: &Archive, source: &str, tally: &mut Tally, cancel: &Cancel) -> Result<Self> {
        let mut calendar = Self {
            services: Words::new(),
            weeks: HashMap::new(),
            exceptions: HashMap::new(),
            named: HashSet::new(),
            span: None,
        };
        if !archive.has(CALENDAR.file) && !archive.has(CALENDAR_DATES.file) {
            return Err(Error::schema(format!(
                "{source} lacks both calendar.txt and calendar_dates.txt, expected one of them"
            ))
            .with("source", source)
            .with("file", CALENDAR.file));
        }
        if archive.has(CALENDAR.file) {
            let mut each = |row: &Row<'_>, tally: &mut Tally| calendar.week(row, tally);
            archive.read(CALENDAR.file, |input| read(&CALENDAR, input, tally, cancel, &mut each))?;
        }
        if archive.has(CALENDAR_DATES.file) {
            let mut each = |row: &Row<'_>, tally: &mut Tally| calendar.exception(row, tally);
            archive.read(CALENDAR_DATES.file, |input| read(&CALENDAR_DATES, input, tally, cancel, &mut each))?;
        }
        Ok(calendar)
    }

    fn week(&mut self, row: &Row<'_>, tally: &mut Tally) -> std::result::Result<(), Bad> {
        let service = self.service_of(row)?;
        let (Some(start), Some(end)) = (value::date(row.get(START))?, value::date(row.get(END))?) else {
            return Err(Bad::unreadable());
        };
        let mut days = [false; 7];
        for (day, runs) in days.iter_mut().enumerate() {
            *runs = match row.get(MONDAY + day) {
                b"1" => true,
                b"0" | b"" => false,
                _ => return Err(Bad::unreadable()),
            };
        }
        if self.weeks.insert(service, Week { start, end, days }).is_some() {
            tally.duplicate(&CALENDAR);
        }
        if start <= end {
            self.named.insert(service);
            self.widen(start, end);
        }
        Ok(())
    }

    fn exception(&mut self, row: &Row<'_>, tally: &mut Tally) -> std::result::Result<(), Bad> {
        let service = self.service_of(row)?;
        let Some(date) = value::date(row.get(DATE))? else { return Err(Bad::unreadable()) };
        let runs = match row.get(EXCEPTION) {
            b"1" => true,
            b"2" => false,
            _ => return Err(Bad::unreadable()),
        };
        self.named.insert(service);
        if self.exceptions.insert((service, date), runs).is_some() {
            tally.duplicate(&CALENDAR_DATES);
        }
        if runs {
            self.widen(date, date);
        }
        Ok(())
    }

    fn service_of(&mut self, row: &Row<'_>) -> std::result::Result<Word, Bad> {
        match self.services.word(row.get(SERVICE)) {
            Some(Word::NONE) => Err(Bad::new(Reason::NoKey)),
            Some(service) => Ok(service),
            None => Err(Bad::unreadable()),
        }
    }

    fn widen(&mut self, start: NaiveDate, end: NaiveDate) {
        let (first, last) = self.span.unwrap_or((start, end));
        self.span = Some((first.min(start), last.max(end)));
    }

    /// A service to which any of the files gives a date.
    pub(super) fn find(&self, service: &[u8]) -> Option<Word> {
        self.services.find(service).filter(|found| self.named.contains(found))
    }

    /// Whether any service runs on a date.
    pub(super) fn runs_any(&self, date: NaiveDate) -> bool {
        let is_added = |((_, day), runs): (&(Word, NaiveDate), &bool)| *day == date && *runs;
        self.weeks.keys().any(|service| self.runs(*service, date)) || self.exceptions.iter().any(is_added)
    }

    /// Whether a service runs on a date: what the exceptions say, else the week.
    pub(super) fn runs(&self, service: Word, date: NaiveDate) -> bool {
        if let Some(runs) = self.exceptions.get(&(service, date)) {
            return *runs;
        }
        let day = date.weekday().num_days_from_monday() as usize;
        self.weeks
            .get(&service)
            .is_some_and(|week| (week.start..=week.end).contains(&date) && week.days.get(day).copied().unwrap_or(false))
    }
}
