//! The raw datasets of a day: the seven that any producer delivers, and those that an agency's own feeds bring.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::column::Column;
use super::declared::declared;
use super::raw;
use crate::error::{Error, Result};

/// What two rows of one raw day with one key are to each other, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Statements of one dimension member, which must not contradict each other.
    OneStatement,
    /// Reports of one event, of which the last wins.
    LastWins,
    /// Reports of one event, of which the one with the latest `time` wins, of several of that time the last.
    LatestWins {
        /// The columns that they share.
        key: &'static [&'static str],
        /// A column and the one of the key that counts in its place only where it is NULL.
        unless: (&'static str, &'static str),
        /// When each was made; NULL is the earliest.
        time: &'static str,
    },
    /// Observations that share their key and are kept, and counted.
    BothStay {
        /// The columns that they share.
        key: &'static [&'static str],
    },
}

/// What a dataset asks of latitude and longitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// A row without both is no use.
    Required,
    /// Both or neither.
    BothOrNeither,
}

declared! {
    /// A raw dataset of one day.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Dataset {
        /// Routes with name, type of transport, fare and path.
        Routes,
        /// Stops with coordinates.
        Stops,
        /// Riders.
        Users,
        /// Vehicles of the fleet.
        Vehicles,
        /// Rides from stop to stop.
        Trips,
        /// Payments for trips.
        Payments,
        /// Vehicle telemetry.
        VehiclePositions,
        /// Runs that a timetable plans for the day.
        ScheduledTrips,
        /// The calls of these runs.
        ScheduledStopTimes,
        /// The paths of runs.
        Shapes,
        /// What was last predicted for each run and stop.
        TripUpdates,
        /// Notices to riders.
        Alerts,
        /// Declared nowhere: a test sees by it where the compiler stops.
        #[cfg(feature = "fictitious-dataset")]
        Fictitious,
    }
}

impl Dataset {
    /// The datasets that become facts.
    pub const FACTS: [Self; 7] = [
        Self::Trips,
        Self::Payments,
        Self::VehiclePositions,
        Self::ScheduledTrips,
        Self::ScheduledStopTimes,
        Self::TripUpdates,
        Self::Alerts,
    ];

    /// The name in the lake: `trips` for `trips.parquet`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Stops => "stops",
            Self::Users => "users",
            Self::Vehicles => "vehicles",
            Self::Trips => "trips",
            Self::Payments => "payments",
            Self::VehiclePositions => "vehicle_positions",
            Self::ScheduledTrips => "scheduled_trips",
            Self::ScheduledStopTimes => "scheduled_stop_times",
            Self::Shapes => "shapes",
            Self::TripUpdates => "trip_updates",
            Self::Alerts => "alerts",
        }
    }

    /// The columns metropulse knows, in staging order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Routes => raw::ROUTES,
            Self::Stops => raw::STOPS,
            Self::Users => raw::USERS,
            Self::Vehicles => raw::VEHICLES,
            Self::Trips => raw::TRIPS,
            Self::Payments => raw::PAYMENTS,
            Self::VehiclePositions => raw::VEHICLE_POSITIONS,
            Self::ScheduledTrips => raw::SCHEDULED_TRIPS,
            Self::ScheduledStopTimes => raw::SCHEDULED_STOP_TIMES,
            Self::Shapes => raw::SHAPES,
            Self::TripUpdates => raw::TRIP_UPDATES,
            Self::Alerts => raw::ALERTS,
        }
    }

    /// The columns without which a row has no key (of a position: the vehicle).
    pub const fn key_columns(self) -> &'static [&'static str] {
        match self {
            Self::Routes => &["route_id"],
            Self::Stops => &["stop_id"],
            Self::Users => &["user_id"],
            Self::Vehicles | Self::VehiclePositions => &["vehicle_id"],
            Self::Trips | Self::TripUpdates => &["trip_id"],
            Self::Payments => &["payment_id"],
            Self::ScheduledTrips => &["trip_id", "start_time"],
            Self::ScheduledStopTimes => &["trip_id", "start_time", "stop_sequence"],
            Self::Shapes => &["shape_id"],
            Self::Alerts => &["alert_id", "content"],
        }
    }

    /// The first column of the key: all of it, where it is one.
    pub const fn key(self) -> &'static str {
        self.key_columns()[0]
    }

    /// The row's own event time, for facts that have one; the others are of their raw day.
    pub const fn event_time(self) -> Option<&'static str> {
        match self {
            Self::Trips | Self::ScheduledTrips => Some("start_ts"),
            Self::Payments => Some("paid_at"),
            Self::VehiclePositions => Some("event_ts"),
            Self::Routes
            | Self::Stops
            | Self::Users
            | Self::Vehicles
            | Self::ScheduledStopTimes
            | Self::Shapes
            | Self::TripUpdates
            | Self::Alerts => None,
        }
    }

    /// What two rows of one key are to each other.
    pub const fn repetition(self) -> Repetition {
        match self {
            Self::Routes | Self::Stops | Self::Users | Self::Vehicles | Self::Shapes => Repetition::OneStatement,
            Self::Trips | Self::Payments | Self::ScheduledTrips | Self::ScheduledStopTimes | Self::Alerts => {
                Repetition::LastWins
            }
            Self::TripUpdates => Repetition::LatestWins {
                key: &["trip_id", "start_time", "stop_sequence", "stop_id"],
                unless: ("stop_sequence", "stop_id"),
                time: "updated_at",
            },
            Self::VehiclePositions => Repetition::BothStay { key: &["vehicle_id", "event_ts"] },
        }
    }

    /// What the coordinates of a row must be, for datasets that have some.
    pub const fn coordinates(self) -> Option<Coordinates> {
        match self {
            Self::Stops => Some(Coordinates::BothOrNeither),
            Self::VehiclePositions => Some(Coordinates::Required),
            Self::Routes
            | Self::Users
            | Self::Vehicles
            | Self::Trips
            | Self::Payments
            | Self::ScheduledTrips
            | Self::ScheduledStopTimes
            | Self::Shapes
            | Self::TripUpdates
            | Self::Alerts => None,
        }
    }

    /// The staging table, with its schema.
    pub const fn staging_table(self) -> &'static str {
        match self {
            Self::Routes => "staging.routes_raw",
            Self::Stops => "staging.stops_raw",
            Self::Users => "staging.users_raw",
            Self::Vehicles => "staging.vehicles_raw",
            Self::Trips => "staging.trips_raw",
            Self::Payments => "staging.payments_raw",
            Self::VehiclePositions => "staging.vehicle_positions_raw",
            Self::ScheduledTrips => "staging.scheduled_trips_raw",
            Self::ScheduledStopTimes => "staging.scheduled_stop_times_raw",
            Self::Shapes => "staging.shapes_raw",
            Self::TripUpdates => "staging.trip_updates_raw",
            Self::Alerts => "staging.alerts_raw",
        }
    }

    /// The position of a column in [`Self::columns`].
    pub fn index(self, column: &str) -> Option<usize> {
        self.columns().iter().position(|c| c.name == column)
    }

    /// The Arrow schema of cleaned batches: every known column, nullable, in order.
    pub fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns().iter().map(|c| Field::new(c.name, c.kind.arrow(), true)).collect::<Vec<_>>(),
        ))
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dataset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|d| d.name()).collect();
            Error::config(format!("dataset is {name:?}, expected one of {}", known.join(", ")))
        })
    }
}
