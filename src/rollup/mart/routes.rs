//! Which name and type of transport a route has in an hour.

use hashbrown::HashMap;

use crate::model::HOUR_MICROS;

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
    fn inferred_and_unknown_routes_have_no_version() {
        let mut versions = RouteVersions::default();
        versions.insert("R", RouteVersion { is_inferred: true, ..RouteVersion::default() });
        assert_eq!(versions.of_hour("R", 0), None);
        assert_eq!(versions.of_hour("S", 0), None);
    }
}
