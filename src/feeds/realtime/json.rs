//! The JSON form of a message, translated into that of Protocol Buffers, so that there is one reader. Names are those of the
//! standard, in either spelling (`tripId`, `trip_id`); numbers may be texts, as 64-bit ones are.

use serde_json::Value;

use super::words::{
    CAUSE, EFFECT, INCREMENTALITY, OCCUPANCY, SEVERITY, STOP_RELATIONSHIP, TRIP_RELATIONSHIP, VEHICLE_STOP_STATUS,
    Words,
};

/// The deepest message of the standard has six levels.
const DEEPEST: usize = 16;

/// What a field holds.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Flag,
    Float,
    Double,
    Word(Words),
    Part(&'static [Field]),
}

/// Number, name and form.
type Field = (u32, &'static str, Form);

use Form::{Double, Flag, Float, Number, Part, Text, Word};

const MESSAGE: &[Field] = &[(1, "header", Part(HEADER)), (2, "entity", Part(ENTITY))];
const HEADER: &[Field] =
    &[(1, "gtfs_realtime_version", Text), (2, "incrementality", Word(INCREMENTALITY)), (3, "timestamp", Number)];
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
    (5, "timestamp", Number),
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
    (4, "timestamp", Number),
    (5, "delay", Number),
];
const STOP: &[Field] = &[
    (1, "stop_sequence", Number),
    (2, "arrival", Part(EVENT)),
    (3, "departure", Part(EVENT)),
    (4, "stop_id", Text),
    (5, "schedule_relationship", Word(STOP_RELATIONSHIP)),
];
const EVENT: &[Field] = &[(1, "delay", Number), (2, "time", Number)];
const ALERT: &[Field] = &[
    (1, "active_period", Part(&[(1, "start", Number), (2, "end", Number)])),
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

/// The bytes of a message given as JSON.
pub(super) fn to_wire(json: &[u8]) -> Result<Vec<u8>, String> {
    let value: Value = serde_json::from_slice(json).map_err(|e| format!("it is no JSON: {e}"))?;
    let mut wire = Vec::with_capacity(json.len() / 2);
    message(MESSAGE, &value, "", &mut wire, DEEPEST)?;
    Ok(wire)
}

fn message(fields: &[Field], value: &Value, path: &str, wire: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    let object = value.as_object().ok_or_else(|| format!("{} is no object", shown(path)))?;
    let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
    for (name, value) in object {
        let spelt = snake(name);
        let Some((number, _, form)) = fields.iter().find(|(_, known, _)| *known == spelt) else { continue };
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    field(*number, *form, item, &path, wire, depth)?;
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                field(*number, *form, value, &path, wire, depth)?;
            }
        }
    }
    Ok(())
}

fn field(number: u32, form: Form, value: &Value, path: &str, wire: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    let wrong = |expected: &str| format!("{path} is {}, expected {expected}", brief(value));
    match form {
        Form::Text => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(wrong("a text")),
            };
            bytes(number, text.as_bytes(), wire);
        }
        Form::Number => varint_field(number, integer(value).ok_or_else(|| wrong("a whole number"))? as u64, wire),
        Form::Flag => varint_field(number, u64::from(value.as_bool().ok_or_else(|| wrong("true or false"))?), wire),
        Form::Float => {
            tag(number, 5, wire);
            wire.extend_from_slice(&(float(value).ok_or_else(|| wrong("a number"))? as f32).to_le_bytes());
        }
        Form::Double => {
            tag(number, 1, wire);
            wire.extend_from_slice(&float(value).ok_or_else(|| wrong("a number"))?.to_le_bytes());
        }
        Form::Word(words) => {
            let named = value.as_str().and_then(|name| words.iter().find(|(_, known)| *known == name));
            match named.map(|(number, _)| *number as i64).or_else(|| integer(value)) {
                Some(value) => varint_field(number, value as u64, wire),
                // A newer word than ours is an unknown value, as its number would be.
                None if value.is_string() => {}
                None => return Err(wrong("a word of the standard")),
            }
        }
        Form::Part(fields) => {
            let mut part = Vec::new();
            message(fields, value, path, &mut part, depth)?;
            bytes(number, &part, wire);
        }
    }
    Ok(())
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
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

fn shown(path: &str) -> &str {
    if path.is_empty() { "it" } else { path }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { format!("{}…", text.chars().take(40).collect::<String>()) }
}

fn tag(number: u32, kind: u32, wire: &mut Vec<u8>) {
    varint(u64::from(number << 3 | kind), wire);
}

fn varint_field(number: u32, value: u64, wire: &mut Vec<u8>) {
    tag(number, 0, wire);
    varint(value, wire);
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
