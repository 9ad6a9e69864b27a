//! Alerts: each content that an alert had, with the polls that showed it first and last.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use chrono::NaiveDate;
use hashbrown::HashMap;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::LARGEST_ALERT_BYTES;
use super::columns::{batch, instants};
use super::message::{Trip, time};
use super::recording::{Poll, micros};
use super::schedule::date;
use super::service::Service;
use super::wire::{Fields, Malformed, Value};
use super::words::{CAUSE, EFFECT, SEVERITY, TRIP_RELATIONSHIP, word};
use crate::digest::hex;
use crate::error::Result;
use crate::feeds::Ids;
use crate::model::Dataset;

/// The digits of a content's digest that are kept: two contents of one alert do not meet in 128 bits.
const CONTENT_DIGITS: usize = 32;

type Outcome<T> = std::result::Result<T, Malformed>;

/// What an alert says.
#[derive(Clone, Debug, Default)]
struct Content {
    cause: Option<u64>,
    effect: Option<u64>,
    severity: Option<u64>,
    periods: Vec<(Option<u64>, Option<u64>)>,
    header: Vec<(String, String)>,
    description: Vec<(String, String)>,
    entities: Vec<Json>,
}

/// A content as its row has it, and no more of it: there may be many.
#[derive(Debug)]
struct Shown {
    id: String,
    digest: String,
    cause: Option<&'static str>,
    effect: Option<&'static str>,
    severity: Option<&'static str>,
    active: (Option<i64>, Option<i64>),
    header: Option<String>,
    description: Option<String>,
    entities: String,
    first_micros: i64,
    last_micros: i64,
}

/// Counts of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlertCounts {
    /// Alerts read, each poll anew.
    pub alerts: u64,
    /// Those of polls of other days, which are not written.
    pub other_days: BTreeMap<NaiveDate, u64>,
    /// Those of polls without a time.
    pub without_day: u64,
}

/// The alerts of one day.
#[derive(Default)]
pub(super) struct Alerts {
    pub(super) counts: AlertCounts,
    known: HashMap<(Box<[u8]>, [u8; 32]), usize>,
    all: Vec<Shown>,
}

impl Alerts {
    /// Takes an alert in; its day is the local date of the poll.
    pub(super) fn take(
        &mut self,
        id: &[u8],
        bytes: &[u8],
        poll: &Poll,
        service: &mut Service,
        ids: &Ids,
    ) -> Outcome<()> {
        self.counts.alerts += 1;
        let Some(at) = poll.header_micros.or(poll.received_micros) else {
            self.counts.without_day += 1;
            return Ok(());
        };
        let day = service.local_day(at);
        if day != service.day {
            *self.counts.other_days.entry(date(day)).or_default() += 1;
            return Ok(());
        }
        if bytes.len() > LARGEST_ALERT_BYTES {
            return Err(Malformed::TooMany);
        }
        let content = Content::read(bytes, ids)?;
        let digest: [u8; 32] = Sha256::digest(content.canonical().as_bytes()).into();
        let next = self.all.len();
        let index = *self.known.entry((id.into(), digest)).or_insert(next);
        match self.all.get_mut(index) {
            Some(shown) => {
                shown.first_micros = shown.first_micros.min(at);
                shown.last_micros = shown.last_micros.max(at);
            }
            None => {
                self.all.push(content.shown(ids.of(&lossy(id)).into_owned(), hex(&digest[..CONTENT_DIGITS / 2]), at))
            }
        }
        Ok(())
    }

    /// The contents in the order in which they were first shown.
    pub(super) fn batch(&self) -> Result<RecordBatch> {
        let text =
            |of: fn(&Shown) -> Option<&str>| -> ArrayRef { Arc::new(self.all.iter().map(of).collect::<StringArray>()) };
        let instant = |of: fn(&Shown) -> Option<i64>| instants(self.all.iter().map(of));
        let columns = vec![
            text(|shown| Some(&shown.id)),
            text(|shown| Some(&shown.digest)),
            text(|shown| shown.cause),
            text(|shown| shown.effect),
            text(|shown| shown.severity),
            instant(|shown| shown.active.0),
            instant(|shown| shown.active.1),
            text(|shown| shown.header.as_deref()),
            text(|shown| shown.description.as_deref()),
            text(|shown| Some(&shown.entities)),
            instant(|shown| Some(shown.first_micros)),
            instant(|shown| Some(shown.last_micros)),
        ];
        batch(Dataset::Alerts.schema(), columns)
    }
}

impl Content {
    /// The row of it, as first shown at an instant.
    fn shown(self, id: String, digest: String, at: i64) -> Shown {
        Shown {
            id,
            digest,
            cause: word(CAUSE, self.cause),
            effect: word(EFFECT, self.effect),
            severity: word(SEVERITY, self.severity),
            active: self.active(),
            header: first_text(&self.header),
            description: first_text(&self.description),
            entities: Json::Array(self.entities).to_string(),
            first_micros: at,
            last_micros: at,
        }
    }

    fn read(bytes: &[u8], ids: &Ids) -> Outcome<Self> {
        let (mut content, mut fields) = (Self::default(), Fields::new(bytes));
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(part)) => content.periods.push(period(part)?),
                (5, Value::Bytes(part)) => content.entities.push(selector(part, ids)?),
                (6, Value::Varint(number)) => content.cause = Some(number),
                (7, Value::Varint(number)) => content.effect = Some(number),
                (10, Value::Bytes(part)) => translations(part, &mut content.header)?,
                (11, Value::Bytes(part)) => translations(part, &mut content.description)?,
                (14, Value::Varint(number)) => content.severity = Some(number),
                _ => {}
            }
        }
        Ok(content)
    }

    /// All that is said, in one form whatever the message's.
    fn canonical(&self) -> String {
        let said = (self.cause, self.effect, self.severity);
        json!([said, self.periods, self.header, self.description, self.entities]).to_string()
    }

    /// From the first period's beginning to the last one's end; a period without one is open there.
    fn active(&self) -> (Option<i64>, Option<i64>) {
        let from = self.periods.iter().map(|(from, _)| from.map(micros)).min().flatten();
        let is_open = self.periods.iter().any(|(_, to)| to.is_none());
        let to = self.periods.iter().filter_map(|(_, to)| to.map(micros)).max().filter(|_| !is_open);
        (from, to)
    }
}

/// The text without a language, else the first.
fn first_text(texts: &[(String, String)]) -> Option<String> {
    let plain = texts.iter().find(|(_, language)| language.is_empty()).or_else(|| texts.first());
    plain.map(|(text, _)| text.clone())
}

fn period(bytes: &[u8]) -> Outcome<(Option<u64>, Option<u64>)> {
    let (mut period, mut fields) = ((None, None), Fields::new(bytes));
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Varint(seconds)) => period.0 = time(seconds),
            (2, Value::Varint(seconds)) => period.1 = time(seconds),
            _ => {}
        }
    }
    Ok(period)
}

fn translations(bytes: &[u8], texts: &mut Vec<(String, String)>) -> Outcome<()> {
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        let (1, Value::Bytes(part)) = field else { continue };
        let (mut text, mut language, mut inner) = (String::new(), String::new(), Fields::new(part));
        while let Some(field) = inner.next()? {
            match field {
                (1, Value::Bytes(part)) => text = lossy(part),
                (2, Value::Bytes(part)) => language = lossy(part),
                _ => {}
            }
        }
        texts.push((text, language));
    }
    Ok(())
}

/// Whom an alert is about, under the standard's names.
fn selector(bytes: &[u8], ids: &Ids) -> Outcome<Json> {
    let (mut named, mut fields) = (Map::new(), Fields::new(bytes));
    let id = |text: &[u8]| json!(ids.of(&lossy(text)));
    while let Some(field) = fields.next()? {
        let (name, value) = match field {
            (1, Value::Bytes(text)) => ("agency_id", id(text)),
            (2, Value::Bytes(text)) => ("route_id", id(text)),
            (3, Value::Varint(number)) => ("route_type", json!(number as u32 as i32)),
            (4, Value::Bytes(part)) => ("trip", trip(part, ids)?),
            (5, Value::Bytes(text)) => ("stop_id", id(text)),
            (6, Value::Varint(number)) => ("direction_id", json!(number as u32)),
            _ => continue,
        };
        named.insert(name.to_owned(), value);
    }
    Ok(Json::Object(named))
}

fn trip(bytes: &[u8], ids: &Ids) -> Outcome<Json> {
    let mut trip = Trip::default();
    trip.read(bytes)?;
    let mut named = Map::new();
    let plain = Ids::default();
    let texts = [
        ("trip_id", trip.id, ids),
        ("start_time", trip.start_time, &plain),
        ("start_date", trip.start_date, &plain),
        ("route_id", trip.route_id, ids),
    ];
    for (name, text, ids) in texts.into_iter().filter(|(_, text, _)| !text.is_empty()) {
        named.insert(name.to_owned(), json!(ids.of(&lossy(text))));
    }
    if let Some(direction) = trip.direction_id {
        named.insert("direction_id".to_owned(), json!(direction));
    }
    if let Some(relationship) = word(TRIP_RELATIONSHIP, trip.relationship) {
        named.insert("schedule_relationship".to_owned(), json!(relationship));
    }
    Ok(Json::Object(named))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
