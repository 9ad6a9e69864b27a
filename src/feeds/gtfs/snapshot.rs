//! `routes.txt`, `stops.txt` and `shapes.txt`: what a version of a feed says of every day alike.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, RecordBatch, StringBuilder, new_null_array};
use hashbrown::HashMap;

use super::agency::Agencies;
use super::archive::Archive;
use super::columns::{batch, optional};
use super::reject::{Bad, Tally};
use super::row::{Row, Source};
use super::rows::read;
use super::value::{self, Unreadable};
use crate::clean::wrong_place;
use crate::control::Cancel;
use crate::error::Result;
use crate::feeds::Ids;
use crate::model::{Dataset, Reason};

pub(super) const ROUTES: Source = Source {
    file: "routes.txt",
    dataset: Dataset::Routes,
    columns: &["route_id", "route_type", "route_short_name", "route_long_name", "agency_id"],
    required: 2,
    keeps_all: true,
};
const ROUTE: usize = 0;
const TYPE: usize = 1;
const SHORT: usize = 2;
const LONG: usize = 3;
const AGENCY: usize = 4;
/// The columns that have a place of their own in a raw day.
const OWN_PLACE: [&str; 4] = ["route_id", "route_type", "route_short_name", "route_long_name"];

pub(super) const STOPS: Source = Source {
    file: "stops.txt",
    dataset: Dataset::Stops,
    columns: &["stop_id", "stop_name", "stop_lat", "stop_lon"],
    required: 1,
    keeps_all: false,
};

struct Route {
    id: String,
    name: Option<String>,
    transport_type: Option<&'static str>,
    others: String,
}

/// The routes, as the raw dataset has them; of two with one id the later.
pub(super) fn routes(
    archive: &Archive,
    agencies: &Agencies,
    ids: &Ids,
    tally: &mut Tally,
    cancel: &Cancel,
) -> Result<RecordBatch> {
    let mut routes = Keyed::default();
    let mut each = |row: &Row<'_>, tally: &mut Tally| {
        let route = route(row, agencies, ids)?;
        if routes.put(route.id.clone(), route) {
            tally.duplicate(&ROUTES);
        }
        Ok(())
    };
    archive.read(ROUTES.file, |input| read(&ROUTES, input, tally, cancel, &mut each))?;
    let schema = Dataset::Routes.schema();
    let rows = routes.values.len();
    let (mut id, mut name) = (StringBuilder::new(), StringBuilder::new());
    let (mut transport_type, mut others) = (StringBuilder::new(), StringBuilder::new());
    for route in &routes.values {
        id.append_value(ids.of(&route.id));
        name.append_option(route.name.as_deref());
        transport_type.append_option(route.transport_type);
        others.append_value(&route.others);
    }
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "route_id" => Arc::new(id.finish()) as ArrayRef,
        "name" => Arc::new(name.finish()),
        "transport_type" => Arc::new(transport_type.finish()),
        "schema_json" => Arc::new(others.finish()),
        _ => new_null_array(field.data_type(), rows),
    });
    batch(&schema, columns.collect())
}

fn route(row: &Row<'_>, agencies: &Agencies, ids: &Ids) -> std::result::Result<Route, Bad> {
    let id = text(row.get(ROUTE))?;
    if id.is_empty() {
        return Err(Bad::new(Reason::NoKey));
    }
    let (short, long) = (text(row.get(SHORT))?, text(row.get(LONG))?);
    let name = match (short.is_empty(), long.is_empty()) {
        (true, true) => None,
        (false, true) => Some(short.to_owned()),
        (true, false) => Some(long.to_owned()),
        (false, false) => Some(format!("{short}: {long}")),
    };
    let mut others = serde_json::Map::new();
    for (column, value) in row.all().filter(|(column, _)| !OWN_PLACE.contains(column)) {
        let value = text(value)?;
        let value = if column == "agency_id" { ids.of(value) } else { value.into() };
        others.insert(column.to_owned(), value.into_owned().into());
    }
    if let Some(agency) = agencies.name(text(row.get(AGENCY))?) {
        others.insert("agency_name".into(), agency.into());
    }
    Ok(Route {
        id: id.to_owned(),
        name,
        transport_type: value::integer(row.get(TYPE))?.map(transport_type),
        others: serde_json::Value::Object(others).to_string(),
    })
}

/// The type of transport by `route_type`, extended types included.
pub(super) fn transport_type(route_type: i32) -> &'static str {
    match route_type {
        0 | 900..=999 => "tram",
        1 | 400..=499 => "metro",
        2 | 100..=199 => "rail",
        3 | 700..=799 => "bus",
        4 | 1000..=1099 | 1200..=1299 => "ferry",
        5 => "cable_tram",
        6 | 1300..=1399 => "aerial_lift",
        7 | 1400..=1499 => "funicular",
        11 | 800..=899 => "trolleybus",
        12 => "monorail",
        200..=299 => "coach",
        1100..=1199 => "air",
        1500..=1599 => "taxi",
        _ => "other",
    }
}

struct Stop {
    id: String,
    name: Option<String>,
    place: Option<(f64, f64)>,
}

/// The stops, stations and entrances included; of two with one id the later.
pub(super) fn stops(archive: &Archive, ids: &Ids, tally: &mut Tally, cancel: &Cancel) -> Result<RecordBatch> {
    let mut stops = Keyed::default();
    let mut each = |row: &Row<'_>, tally: &mut Tally| {
        let stop = stop(row)?;
        if stops.put(stop.id.clone(), stop) {
            tally.duplicate(&STOPS);
        }
        Ok(())
    };
    archive.read(STOPS.file, |input| read(&STOPS, input, tally, cancel, &mut each))?;
    let schema = Dataset::Stops.schema();
    let rows = stops.values.len();
    let (mut id, mut name) = (StringBuilder::new(), StringBuilder::new());
    let (mut lat, mut lon) = (Float64Builder::new(), Float64Builder::new());
    for stop in &stops.values {
        id.append_value(ids.of(&stop.id));
        name.append_option(stop.name.as_deref());
        lat.append_option(stop.place.map(|place| place.0));
        lon.append_option(stop.place.map(|place| place.1));
    }
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "stop_id" => Arc::new(id.finish()) as ArrayRef,
        "name" => Arc::new(name.finish()),
        "lat" => Arc::new(lat.finish()),
        "lon" => Arc::new(lon.finish()),
        _ => new_null_array(field.data_type(), rows),
    });
    batch(&schema, columns.collect())
}

fn stop(row: &Row<'_>) -> std::result::Result<Stop, Bad> {
    let id = text(row.get(0))?;
    if id.is_empty() {
        return Err(Bad::new(Reason::NoKey));
    }
    let place = match (value::number(row.get(2))?, value::number(row.get(3))?) {
        (None, None) => None,
        (Some(lat), Some(lon)) if !wrong_place(lat, lon) => Some((lat, lon)),
        _ => return Err(Bad::new(Reason::Coordinates)),
    };
    Ok(Stop { id: id.to_owned(), name: optional(text(row.get(1))?).map(str::to_owned), place })
}

/// A value as text that can be kept.
fn text(value: &[u8]) -> std::result::Result<&str, Unreadable> {
    std::str::from_utf8(value).ok().filter(|text| !text.contains('\0')).ok_or(Unreadable)
}

/// Values by key in the order of the keys' first appearance.
struct Keyed<T> {
    places: HashMap<String, usize>,
    values: Vec<T>,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), values: Vec::new() }
    }
}

impl<T> Keyed<T> {
    /// Whether the key was there, whose value this one replaces.
    fn put(&mut self, key: String, value: T) -> bool {
        if let Some(known) = self.places.get(&key).and_then(|place| self.values.get_mut(*place)) {
            *known = value;
            return true;
        }
        self.places.insert(key, self.values.len());
        self.values.push(value);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::transport_type;

    #[test]
    fn extended_route_types_have_their_kind() {
        let plain = [0, 1, 2, 3, 4, 5, 6, 7, 11, 12].map(transport_type);
        let named = [
            "tram",
            "metro",
            "rail",
            "bus",
            "ferry",
            "cable_tram",
            "aerial_lift",
            "funicular",
            "trolleybus",
            "monorail",
        ];
        assert_eq!(plain, named);
        let extended = [109, 204, 401, 702, 800, 906, 1000, 1100, 1200, 1302, 1400, 1501].map(transport_type);
        let named = [
            "rail",
            "coach",
            "metro",
            "bus",
            "trolleybus",
            "tram",
            "ferry",
            "air",
            "ferry",
            "aerial_lift",
            "funicular",
            "taxi",
        ];
        assert_eq!(extended, named);
        assert_eq!([8, 13, 99, 300, 600, 1600, 1700].map(transport_type), ["other"; 7]);
    }
}
