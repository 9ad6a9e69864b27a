//! The JSON form of a message, translated into that of Protocol Buffers, so that there is one reader. Names are those of the
//! standard, in either spelling (`tripId`, `trip_id`); numbers may be texts, as 64-bit ones are.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::message::UNTRANSLATED;
use super::words::{
    CAUSE, EFFECT, INCREMENTALITY, OCCUPANCY, SEVERITY, STOP_RELATIONSHIP, TRIP_RELATIONSHIP, VEHICLE_STOP_STATUS,
    Words,
};

/// What a field holds.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    /// A time, in seconds since the epoch; what some add behind a point is dropped.
    Seconds,
    Flag,
    Float,
    Double,
    Word(Words),
    Part(&'static [Field]),
    /// The entities of a message: one that cannot be read does not stop the others.
    Entities,
}

/// Number, name and form.
type Field = (u32, &'static str, Form);

use Form::{Double, Entities, Flag, Float, Number, Part, Seconds, Text, Word};

const MESSAGE: &[Field] = &[(1, "header", Part(HEADER)), (2, "entity", Entities)];
const HEADER: &[Field] =
    &[(1, "gtfs_realtime_version", Text), (2, "incrementality", Word(INCREMENTALITY)), (3, "timestamp", Seconds)];
const ENTITY: &[Field] = &[
    (1, "id", Text),
    (2, "is_deleted", Flag),
    (3, "trip_update", Part(TRIP_UPDATE)),
    (4, "vehicle", Part(REPORT)),
    (5, "alert", Part(ALERT)),
];
const TRIP: &[Field] = &[
    (1, "trip_id", Text),
    (2, "start_time", Text),
    (3, "start_date", Text),
    (4, "schedule_relationship", Word(TRIP_RELATIONSHIP)),
    (5, "route_id", Text),
    (6, "direction_id", Number),
];
const VEHICLE: &[Field] = &[(1, "id", Text), (2, "label", Text)];
const REPORT: &[Field] = &[
    (1, "trip", Part(TRIP)),
    (2, "position", Part(POSITION)),
    (3, "current_stop_sequence", Number),
    (4, "current_status", Word(VEHICLE_STOP_STATUS)),
    (5, "timestamp", Seconds),
    (7, "stop_id", Text),
    (8, "vehicle", Part(VEHICLE)),
    (9, "occupancy_status", Word(OCCUPANCY)),
];
const POSITION: &[Field] = &[
    (1, "latitude", Float),
    (2, "longitude", Float),
    (3, "bearing", Float),
    (4, "odometer", Double),
    (5, "speed", Float),
];
const TRIP_UPDATE: &[Field] = &[
    (1, "trip", Part(TRIP)),
    (2, "stop_time_update", Part(STOP)),
    (3, "vehicle", Part(VEHICLE)),
    (4, "timestamp", Seconds),
    (5, "delay", Number),
    (6, "trip_properties", Part(&[(1, "trip_id", Text), (2, "start_date", Text), (3, "start_time", Text)])),
];
const STOP: &[Field] = &[
    (1, "stop_sequence", Number),
    (2, "arrival", Part(EVENT)),
    (3, "departure", Part(EVENT)),
    (4, "stop_id", Text),
    (5, "schedule_relationship", Word(STOP_RELATIONSHIP)),
];
const EVENT: &[Field] = &[(1, "delay", Number), (2, "time", Seconds)];
const ALERT: &[Field] = &[
    (1, "active_period", Part(&[(1, "start", Seconds), (2, "end", Seconds)])),
    (5, "informed_entity", Part(SELECTOR)),
    (6, "cause", Word(CAUSE)),
    (7, "effect", Word(EFFECT)),
    (10, "header_text", Part(TRANSLATED)),
    (11, "description_text", Part(TRANSLATED)),
    (14, "severity_level", Word(SEVERITY)),
];
const SELECTOR: &[Field] = &[
    (1, "agency_id", Text),
    (2, "route_id", Text),
    (3, "route_type", Number),
    (4, "trip", Part(TRIP)),
    (5, "stop_id", Text),
    (6, "direction_id", Number),
];
const TRANSLATED: &[Field] = &[(1, "translation", Part(&[(1, "text", Text), (2, "language", Text)]))];

/// The bytes of a message given as JSON. It is translated as it is read: what is unknown takes no memory, however much it is.
pub(super) fn to_wire(json: &[u8]) -> Result<Vec<u8>, String> {
    let mut wire = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = Writer { place: Place::WHOLE, form: Part(MESSAGE), number: None, is_item: false, wire: &mut wire };
    message.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|e| match e.classify() {
        Category::Data => e.to_string(),
        Category::Syntax | Category::Eof | Category::Io => format!("it is no JSON: {e}"),
    })?;
    Ok(wire)
}

/// Where a value stands, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    above: Option<&'a Self>,
}

impl Place<'_> {
    const WHOLE: Self = Self { name: "it", above: None };
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.above {
            Some(above) if above.above.is_some() => write!(f, "{above}.{}", self.name),
            Some(_) | None => f.write_str(self.name),
        }
    }
}

/// Writes one value of JSON as a field, or as a message of its own without a number.
struct Writer<'a> {
    place: Place<'a>,
    form: Form,
    number: Option<u32>,
    /// Whether it stands in a list.
    is_item: bool,
    wire: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form.expected())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<(), E> {
        match self.form {
            Flag => self.varint(u64::from(flag)),
            Text | Number | Seconds | Float | Double | Word(_) | Part(_) | Entities => {
                Err(self.mismatch(&flag.to_string()))
            }
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        let whole = i64::try_from(number).ok();
        self.number(whole, number as f64, &number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.number(Some(number), number as f64, &number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        let is_whole = number.fract() == 0.0 || matches!(self.form, Seconds);
        let whole = (is_whole && number.abs() < 9e15).then_some(number as i64);
        self.number(whole, number, &serde_json::json!(number).to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.form {
            Text => self.bytes(text.as_bytes()),
            Word(words) => match words.iter().find(|(_, known)| *known == text) {
                Some((number, _)) => self.varint(*number),
                // A newer word than ours is an unknown value, as its number would be.
                None => text.trim().parse::<i64>().map_or(Ok(()), |number| self.varint(number as u64)),
            },
            Number | Seconds => match text.trim().parse::<i64>() {
                Ok(number) => self.varint(number as u64),
                Err(_) => Err(self.mismatch(&quoted(text))),
            },
            Float | Double => match text.trim().parse() {
                Ok(number) => self.float(number),
                Err(_) => Err(self.mismatch(&quoted(text))),
            },
            Flag | Part(_) | Entities => Err(self.mismatch(&quoted(text))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.is_item || self.number.is_none() {
            return Err(self.mismatch("a list"));
        }
        let Self { place, form, number, is_item: _, wire } = self;
        if let Entities = form {
            return entities(items, place, number, wire);
        }
        while items.next_element_seed(Writer { place, form, number, is_item: true, wire: &mut *wire })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        let fields = match self.form {
            Part(fields) => fields,
            Entities => ENTITY,
            Text | Number | Seconds | Flag | Float | Double | Word(_) => return Err(self.mismatch("an object")),
        };
        let Some(number) = self.number else { return object(fields, members, &self.place, self.wire) };
        let mut part = Vec::new();
        object(fields, members, &self.place, &mut part)?;
        bytes(number, &part, self.wire);
        Ok(())
    }
}

impl Writer<'_> {
    fn number<E: de::Error>(self, whole: Option<i64>, number: f64, written: &str) -> Result<(), E> {
        match (self.form, whole) {
            (Text, _) => self.bytes(written.as_bytes()),
            (Number | Seconds | Word(_), Some(whole)) => self.varint(whole as u64),
            (Float | Double, _) => self.float(number),
            (Number | Seconds | Word(_) | Flag | Part(_) | Entities, _) => Err(self.mismatch(written)),
        }
    }

    fn varint<E: de::Error>(self, value: u64) -> Result<(), E> {
        let number = self.field()?;
        tag(number, 0, self.wire);
        varint(value, self.wire);
        Ok(())
    }

    fn float<E: de::Error>(self, value: f64) -> Result<(), E> {
        let number = self.field()?;
        if let Double = self.form {
            tag(number, 1, self.wire);
            self.wire.extend_from_slice(&value.to_le_bytes());
        } else {
            tag(number, 5, self.wire);
            self.wire.extend_from_slice(&(value as f32).to_le_bytes());
        }
        Ok(())
    }

    fn bytes<E: de::Error>(self, value: &[u8]) -> Result<(), E> {
        bytes(self.field()?, value, self.wire);
        Ok(())
    }

    fn field<E: de::Error>(&self) -> Result<u32, E> {
        self.number.ok_or_else(|| self.mismatch("a value"))
    }

    fn mismatch<E: de::Error>(&self, found: &str) -> E {
        E::custom(format_args!("{} is {found}, expected {}", self.place, self.form.expected()))
    }
}

impl Form {
    const fn expected(self) -> &'static str {
        match self {
            Text => "a text",
            Number | Seconds => "a whole number",
            Flag => "true or false",
            Float | Double => "a number",
            Word(_) => "a word of the standard",
            Part(_) | Entities => "an object",
        }
    }
}

/// Writes each entity that can be read, and for another one its mark. Where none can be read, the first says why.
fn entities<'de, A: SeqAccess<'de>>(
    mut items: A,
    place: Place<'_>,
    number: Option<u32>,
    wire: &mut Vec<u8>,
) -> Result<(), A::Error> {
    let (mut is_any_read, mut first_wrong) = (false, None);
    while let Some(item) = items.next_element::<&RawValue>()? {
        let begin = wire.len();
        let writer = Writer { place, form: Part(ENTITY), number, is_item: true, wire: &mut *wire };
        match writer.deserialize(&mut serde_json::Deserializer::from_str(item.get())) {
            Ok(()) => is_any_read = true,
            Err(e) => {
                wire.truncate(begin);
                let mut mark = Vec::new();
                bytes(UNTRANSLATED, &[], &mut mark);
                bytes(number.unwrap_or_default(), &mark, wire);
                first_wrong.get_or_insert(e);
            }
        }
    }
    match first_wrong {
        Some(e) if !is_any_read => {
            let text = e.to_string();
            // The place is counted from the entity's beginning.
            Err(de::Error::custom(text.split(" at line ").next().unwrap_or(&text)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Writes the members that are fields, and passes over all others.
fn object<'de, A: MapAccess<'de>>(
    fields: &[Field],
    mut members: A,
    above: &Place<'_>,
    wire: &mut Vec<u8>,
) -> Result<(), A::Error> {
    while let Some(name) = members.next_key::<String>()? {
        let spelt = snake(&name);
        match fields.iter().find(|(_, known, _)| *known == spelt) {
            Some((number, _, form)) => {
                let place = Place { name: &name, above: Some(above) };
                let number = Some(*number);
                members.next_value_seed(Writer { place, form: *form, number, is_item: false, wire: &mut *wire })?;
            }
            None => {
                let IgnoredAny = members.next_value()?;
            }
        }
    }
    Ok(())
}

/// `tripId` as `trip_id`.
fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A text as JSON writes it, its beginning if it is long.
fn quoted(text: &str) -> String {
    let beginning: String = text.chars().take(40).collect();
    let dots = if beginning.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", serde_json::Value::from(beginning))
}

fn tag(number: u32, kind: u32, wire: &mut Vec<u8>) {
    varint(u64::from(number << 3 | kind), wire);
}

fn bytes(number: u32, value: &[u8], wire: &mut Vec<u8>) {
    tag(number, 2, wire);
    varint(value.len() as u64, wire);
    wire.extend_from_slice(value);
}

fn varint(mut value: u64, wire: &mut Vec<u8>) {
    while value >= 0x80 {
        wire.push(value as u8 | 0x80);
        value >>= 7;
    }
    wire.push(value as u8);
}
