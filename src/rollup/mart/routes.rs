//! Which name and type of transport a route has in an hour.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::model::HOUR_MICROS;
use crate::rollup::columns;

/// One version of a route, valid in `[valid_from, valid_to)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteVersion {
    /// First instant of the version, microseconds since the epoch.
    pub valid_from: i64,
    /// First instant after it; `None` while it is open.
    pub valid_to: Option<i64>,
    /// The route's name.
    pub name: Option<String>,
    /// The type of transport.
    pub transport_type: Option<String>,
    /// A member that only facts know: it has neither attributes nor an interval.
    pub is_inferred: bool,
}

/// The versions of every route.
#[derive(Clone, Debug, Default)]
pub struct RouteVersions(HashMap<String, Vec<RouteVersion>>);

impl RouteVersions {
    /// Adds a version, in any order.
    pub fn insert(&mut self, route_id: impl Into<String>, version: RouteVersion) {
        if version.is_inferred {
            return;
        }
        let versions = self.0.entry(route_id.into()).or_default();
        let at = versions.partition_point(|v| v.valid_from <= version.valid_from);
        versions.insert(at, version);
    }

    /// The version that names a route in the hour that starts at `hour`: the one valid at the hour's start, else the
    /// first that begins within the hour, else the latest that began before it, else the first one.
    pub fn of_hour(&self, route_id: &str, hour: i64) -> Option<&RouteVersion> {
        let versions = self.0.get(route_id)?;
        let begun = versions.partition_point(|v| v.valid_from <= hour);
        let latest = begun.checked_sub(1).and_then(|i| versions.get(i));
        if latest.is_some_and(|v| v.valid_to.is_none_or(|to| to > hour)) {
            return latest;
        }
        let within = versions.get(begun).filter(|v| v.valid_from < hour + HOUR_MICROS);
        within.or(latest).or(versions.first())
    }
}

impl RouteVersions {
    /// All versions as a table, for another machine: `route_id`, `valid_from` and `valid_to` in microseconds since the
    /// epoch, `name`, `transport_type`.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let mut routes: Vec<(&String, &RouteVersion)> =
            self.0.iter().flat_map(|(route, versions)| versions.iter().map(move |version| (route, version))).collect();
        routes.sort_unstable_by_key(|(route, version)| (*route, version.valid_from));
        let text = |of: fn(&RouteVersion) -> &Option<String>| -> ArrayRef {
            Arc::new(routes.iter().map(|(_, version)| of(version).as_deref()).collect::<StringArray>())
        };
        let columns: [(&str, ArrayRef); 5] = [
            ("route_id", Arc::new(StringArray::from_iter_values(routes.iter().map(|(route, _)| route.as_str())))),
            ("valid_from", Arc::new(Int64Array::from_iter_values(routes.iter().map(|(_, v)| v.valid_from)))),
            ("valid_to", Arc::new(routes.iter().map(|(_, v)| v.valid_to).collect::<Int64Array>())),
            ("name", text(|version| &version.name)),
            ("transport_type", text(|version| &version.transport_type)),
        ];
        RecordBatch::try_from_iter(columns).map_err(|e| Error::internal("versions of routes do not fit").because(e))
    }

    /// Adds the versions of a table as [`Self::to_batch`] makes it.
    pub fn add_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let text = |name: &str| -> Result<StringArray> {
            let column = columns::text(batch, name)?;
            let plain = cast(column, &DataType::Utf8).map_err(|e| Error::internal("text is no text").because(e))?;
            Ok(plain.as_string::<i32>().clone())
        };
        let instant = |name: &str| columns::primitive::<Int64Type>(batch, name, &DataType::Int64);
        let (routes, names, types) = (text("route_id")?, text("name")?, text("transport_type")?);
        let (from, to) = (instant("valid_from")?, instant("valid_to")?);
        let value = |texts: &StringArray, row| texts.is_valid(row).then(|| texts.value(row).to_owned());
        for row in 0..batch.num_rows() {
            let version = RouteVersion {
                valid_from: from.value(row),
                valid_to: to.is_valid(row).then(|| to.value(row)),
                name: value(&names, row),
                transport_type: value(&types, row),
                is_inferred: false,
            };
            self.insert(routes.value(row), version);
        }
        Ok(())
    }
}

impl<K: Into<String>> FromIterator<(K, RouteVersion)> for RouteVersions {
    fn from_iter<I: IntoIterator<Item = (K, RouteVersion)>>(versions: I) -> Self {
        let mut all = Self::default();
        for (route_id, version) in versions {
            all.insert(route_id, version);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = HOUR_MICROS;

    fn version(from: i64, to: Option<i64>, name: &str) -> (&'static str, RouteVersion) {
        let name = Some(name.to_owned());
        ("R", RouteVersion { valid_from: from, valid_to: to, name, ..RouteVersion::default() })
    }

    fn name(versions: &RouteVersions, hour: i64) -> Option<String> {
        versions.of_hour("R", hour).and_then(|v| v.name.clone())
    }

    #[test]
    fn the_version_at_the_start_wins_over_one_that_begins_within() {
        let versions: RouteVersions =
            [version(H / 2, None, "new"), version(-H, Some(H / 2), "old")].into_iter().collect();
        assert_eq!(name(&versions, 0).as_deref(), Some("old"));
        assert_eq!(name(&versions, H).as_deref(), Some("new"));
    }

    #[test]
    fn a_gap_is_bridged_by_the_next_within_the_hour_then_by_the_one_before() {
        let versions: RouteVersions =
            [version(0, Some(2 * H), "a"), version(4 * H + 5, None, "b")].into_iter().collect();
        assert_eq!(name(&versions, 2 * H).as_deref(), Some("a"), "closed at the hour's start, nothing begins");
        assert_eq!(name(&versions, 3 * H).as_deref(), Some("a"));
        assert_eq!(name(&versions, 4 * H).as_deref(), Some("b"), "begins within the hour");
        assert_eq!(name(&versions, -5 * H).as_deref(), Some("a"), "before the first");
    }

    #[test]
    fn versions_come_back_from_their_table() {
        let versions: RouteVersions =
            [version(i64::MIN, Some(H), "old"), version(H, None, "new")].into_iter().collect();
        let mut again = RouteVersions::default();
        again.add_batch(&versions.to_batch().unwrap()).unwrap();
        assert_eq!(again.0, versions.0);
    }

    #[test]
    fn inferred_and_unknown_routes_have_no_version() {
        let mut versions = RouteVersions::default();
        versions.insert("R", RouteVersion { is_inferred: true, ..RouteVersion::default() });
        assert_eq!(versions.of_hour("R", 0), None);
        assert_eq!(versions.of_hour("S", 0), None);
    }
}
