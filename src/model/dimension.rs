//! The dimensions built from raw snapshots, and how each keeps its history.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::column::Column;
use super::dataset::Dataset;
use super::member::Member;

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

impl Absent {
    /// Whether absence means nothing.
    pub const fn is_ignored(self) -> bool {
        match self {
            Self::Ignore => true,
            Self::Close | Self::Error => false,
        }
    }
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
    /// What it holds.
    pub member: Member,
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
    /// What a key's absence from a day's file means, unless a deployment says otherwise.
    pub absent: Absent,
}

/// Table, surrogate key and interval are the member's own.
const fn dimension(
    dataset: Dataset,
    member: Member,
    tracked: &'static [&'static str],
    overwritten: &'static [&'static str],
    absent: Absent,
) -> Dimension {
    let (table, surrogate, interval) = (member.table(), member.surrogate(), member.interval());
    Dimension { dataset, member, table, surrogate, tracked, overwritten, interval, absent }
}

impl Dimension {
    /// Routes: type 2; `active_flag` is tracked too and derived from the two bounds.
    pub const ROUTE: Self = dimension(
        Dataset::Routes,
        Member::Route,
        &["name", "transport_type", "base_fare", "schema_json"],
        &[],
        Absent::Close,
    );
    /// Riders: type 2 for city, language and activity.
    pub const USER: Self = dimension(
        Dataset::Users,
        Member::User,
        &["city", "lang", "is_active"],
        &["gender", "birthdate", "created_at"],
        Absent::Ignore,
    );
    /// Vehicles: type 1.
    pub const VEHICLE: Self = dimension(
        Dataset::Vehicles,
        Member::Vehicle,
        &[],
        &["route_id", "transport_type", "capacity", "vendor", "commissioned_at", "decommissioned_at"],
        Absent::Ignore,
    );
    /// Stops: type 1.
    pub const STOP: Self =
        dimension(Dataset::Stops, Member::Stop, &[], &["name", "lat", "lon", "city"], Absent::Ignore);

    /// Paths of runs: type 2; a day's file may name only the paths that are run that day.
    pub const SHAPE: Self = dimension(Dataset::Shapes, Member::Shape, &["points"], &[], Absent::Ignore);

    /// The dimensions that raw snapshots feed, in the order in which they are locked and loaded.
    pub const ALL: [Self; 5] = [Self::ROUTE, Self::STOP, Self::USER, Self::VEHICLE, Self::SHAPE];

    /// The declared columns, in the order in which statements keep them: all of the dataset but the key.
    pub fn columns(&self) -> &'static [Column] {
        // The key comes first in every dimension's dataset.
        &self.dataset.columns()[1..]
    }

    /// The dimension that a dataset's snapshots feed.
    pub const fn of(dataset: Dataset) -> Option<Self> {
        match dataset {
            Dataset::Routes => Some(Self::ROUTE),
            Dataset::Stops => Some(Self::STOP),
            Dataset::Users => Some(Self::USER),
            Dataset::Vehicles => Some(Self::VEHICLE),
            Dataset::Shapes => Some(Self::SHAPE),
            Dataset::Trips
            | Dataset::Payments
            | Dataset::VehiclePositions
            | Dataset::ScheduledTrips
            | Dataset::ScheduledStopTimes
            | Dataset::TripUpdates
            | Dataset::Alerts => None,
        }
    }
}
