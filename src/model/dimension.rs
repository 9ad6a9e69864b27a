//! The dimensions built from raw snapshots, and how each keeps its history.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::dataset::{Column, Dataset};
use super::fact::Member;

/// What the absence of a key from a full snapshot means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// The key's open version ends at the snapshot's instant.
    Close,
    /// Nothing: a day's file may name only who ran that day.
    Ignore,
    /// The snapshot is refused.
    Error,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "close",
            Self::Ignore => "ignore",
            Self::Error => "error",
        })
    }
}

/// One dimension and the columns that keep (or do not keep) history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Where its snapshots come from.
    pub dataset: Dataset,
    /// The table.
    pub table: &'static str,
    /// The surrogate key.
    pub surrogate: &'static str,
    /// A change opens a new version (type 2).
    pub tracked: &'static [&'static str],
    /// Shows the newest value in every version (type 1).
    pub overwritten: &'static [&'static str],
    /// The columns that hold a version's interval; `None` for a type 1 dimension.
    pub interval: Option<(&'static str, &'static str)>,
}

impl Dimension {
    /// Routes: type 2; `active_flag` is tracked too and derived from the two bounds.
    pub const ROUTE: Self = Self {
        dataset: Dataset::Routes,
        table: "dwh.dim_route",
        surrogate: "route_sk",
        tracked: &["name", "transport_type", "base_fare", "schema_json"],
        overwritten: &[],
        interval: Some(("valid_from", "valid_to")),
    };
    /// Riders: type 2 for city, language and activity.
    pub const USER: Self = Self {
        dataset: Dataset::Users,
        table: "dwh.dim_user",
        surrogate: "user_sk",
        tracked: &["city", "lang", "is_active"],
        overwritten: &["gender", "birthdate", "created_at"],
        interval: Some(("effective_from", "effective_to")),
    };
    /// Vehicles: type 1.
    pub const VEHICLE: Self = Self {
        dataset: Dataset::Vehicles,
        table: "dwh.dim_vehicle",
        surrogate: "vehicle_sk",
        tracked: &[],
        overwritten: &["route_id", "transport_type", "capacity", "vendor", "commissioned_at", "decommissioned_at"],
        interval: None,
    };
    /// Stops: type 1.
    pub const STOP: Self = Self {
        dataset: Dataset::Stops,
        table: "dwh.dim_stop",
        surrogate: "stop_sk",
        tracked: &[],
        overwritten: &["name", "lat", "lon", "city"],
        interval: None,
    };

    /// The dimensions that raw snapshots feed, in the order in which they are locked and loaded.
    pub const ALL: [Self; 4] = [Self::ROUTE, Self::STOP, Self::USER, Self::VEHICLE];

    /// The declared columns, in the order in which statements keep them: all of the dataset but the key.
    pub fn columns(&self) -> &'static [Column] {
        // The key comes first in every dimension's dataset.
        &self.dataset.columns()[1..]
    }

    /// The kind of member this dimension holds.
    pub const fn member(&self) -> Member {
        match self.dataset {
            Dataset::Routes => Member::Route,
            Dataset::Stops => Member::Stop,
            Dataset::Users => Member::User,
            _ => Member::Vehicle,
        }
    }
}
