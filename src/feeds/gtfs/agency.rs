//! `agency.txt` and `feed_info.txt`: who runs the service, in which zone, and which version of the feed this is.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::archive::Archive;
use super::reject::{Bad, Reject, Tally};
use super::row::{Row, Source};
use super::rows::read;
use super::value;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::model::{Dataset, Zone};

pub(super) const AGENCY: Source = Source {
    file: "agency.txt",
    dataset: Dataset::Routes,
    columns: &["agency_name", "agency_timezone", "agency_id"],
    required: 2,
    keeps_all: false,
};
const NAME: usize = 0;
const ZONE: usize = 1;
const ID: usize = 2;

pub(super) const FEED_INFO: Source = Source {
    file: "feed_info.txt",
    dataset: Dataset::Routes,
    columns: &["feed_version", "feed_start_date", "feed_end_date"],
    required: 0,
    keeps_all: false,
};

/// Names by id, and the zone that all share.
#[derive(Debug)]
pub(super) struct Agencies {
    pub(super) zone: Tz,
    names: BTreeMap<String, String>,
}

impl Agencies {
    pub(super) fn read(archive: &Archive, source: &str, tally: &mut Tally, cancel: &Cancel) -> Result<Self> {
        let (mut names, mut zones) = (BTreeMap::new(), BTreeMap::<String, String>::new());
        let mut each = |row: &Row<'_>, tally: &mut Tally| {
            let [name, zone, id] = [NAME, ZONE, ID].map(|column| std::str::from_utf8(row.get(column)).ok());
            let (Some(name), Some(zone), Some(id)) = (name, zone, id) else { return Err(Bad::unreadable()) };
            let called = if name.is_empty() { id } else { name };
            // An agency without one has that of the others.
            if !zone.is_empty() {
                zones.entry(zone.to_owned()).or_insert_with(|| called.to_owned());
            }
            if names.insert(id.to_owned(), name.to_owned()).is_some() {
                tally.duplicate(&AGENCY);
            }
            Ok(())
        };
        archive.read(AGENCY.file, |input| read(&AGENCY, input, tally, cancel, &mut each))?;
        let bad = tally.rejects.iter().find(|reject| reject.file == AGENCY.file);
        let zone = only_zone(source, &zones, bad)?;
        Ok(Self { zone, names })
    }

    /// The name of a route's agency; without an id, of the only one there is.
    pub(super) fn name(&self, id: &str) -> Option<&str> {
        let by_id = self.names.get(id).or_else(|| {
            let mut all = self.names.values();
            if id.is_empty() { all.next().filter(|_| all.next().is_none()) } else { None }
        });
        by_id.map(String::as_str).filter(|name| !name.is_empty())
    }
}

fn only_zone(source: &str, zones: &BTreeMap<String, String>, bad: Option<&Reject>) -> Result<Tz> {
    let failed = |e: Error| e.with("source", source).with("file", AGENCY.file).with("column", "agency_timezone");
    let Some((name, _)) = zones.first_key_value() else {
        let unread = bad.map_or_else(String::new, |bad| {
            format!("; line {} cannot be read, expected UTF-8 and a value for each column", bad.line)
        });
        return Err(failed(Error::data(format!(
            "agency.txt of {source} names no agency with its agency_timezone, expected at least one{unread}"
        ))));
    };
    let mut others = zones.keys().skip(1).map(|zone| zone.parse::<Tz>());
    match name.parse::<Tz>() {
        Ok(zone) if others.all(|other| other.is_ok_and(|other| Zone(zone).agrees_with(Zone(other)))) => Ok(zone),
        Err(_) if zones.len() == 1 => Err(failed(Error::data(format!(
            "agency_timezone in agency.txt of {source} is {name:?}, expected an IANA name"
        )))),
        Ok(_) | Err(_) => {
            let named = zones.iter().map(|(zone, agency)| format!("{zone} ({agency})")).collect::<Vec<_>>().join(", ");
            Err(failed(Error::data(format!(
                "agencies of {source} have different zones: {named}; a feed has one, split it by agency"
            ))))
        }
    }
}

/// What `feed_info.txt` says of its feed.
#[derive(Clone, Debug, Default)]
pub(super) struct Info {
    pub(super) version: Option<String>,
    pub(super) start: Option<NaiveDate>,
    pub(super) end: Option<NaiveDate>,
}

impl Info {
    pub(super) fn read(archive: &Archive, tally: &mut Tally, cancel: &Cancel) -> Result<Self> {
        let mut info = Self::default();
        if !archive.has(FEED_INFO.file) {
            return Ok(info);
        }
        let mut each = |row: &Row<'_>, _: &mut Tally| {
            let version = std::str::from_utf8(row.get(0)).map_err(|_| Bad::unreadable())?;
            let (start, end) = (value::date(row.get(1))?, value::date(row.get(2))?);
            info = Self { version: Some(version.to_owned()).filter(|text| !text.is_empty()), start, end };
            Ok(())
        };
        archive.read(FEED_INFO.file, |input| read(&FEED_INFO, input, tally, cancel, &mut each))?;
        Ok(info)
    }
}
