//! The seven raw datasets: columns by name, their kinds, and which must be there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

use super::declared::declared;
use crate::error::{Error, Result};

/// What a column means, whatever physical type its writer chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text, kept as it came.
    Text,
    /// UTF-8 text that repeats much (keys of telemetry): dictionary-encoded in memory.
    Code,
    /// An instant in UTC, microseconds.
    Instant,
    /// A calendar date.
    Date,
    /// Currency units with two decimals.
    Money,
    /// A double: coordinates, speed, heading, distance.
    Float,
    /// A 32-bit integer.
    Integer,
    /// True or false.
    Boolean,
    /// JSON in canonical text.
    Json,
}

impl Kind {
    /// The Arrow type of a cleaned column of this kind.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::Code => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Money => DataType::Decimal128(12, 2),
            Self::Float => DataType::Float64,
            Self::Integer => DataType::Int32,
            Self::Boolean => DataType::Boolean,
        }
    }

    /// Whether it is text, however encoded.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Text | Self::Code => true,
            Self::Instant | Self::Date | Self::Money | Self::Float | Self::Integer | Self::Boolean | Self::Json => {
                false
            }
        }
    }

    /// Whether few values stand in many rows, by declaration: codes of telemetry.
    pub const fn is_code(self) -> bool {
        match self {
            Self::Code => true,
            Self::Text
            | Self::Instant
            | Self::Date
            | Self::Money
            | Self::Float
            | Self::Integer
            | Self::Boolean
            | Self::Json => false,
        }
    }

    /// The PostgreSQL type of the column in staging and the warehouse.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Text | Self::Code => "text",
            Self::Instant => "timestamptz",
            Self::Date => "date",
            Self::Money => "numeric(12,2)",
            Self::Float => "float8",
            Self::Integer => "int4",
            Self::Boolean => "bool",
            Self::Json => "jsonb",
        }
    }
}

/// One column of a raw dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the file, in staging and, where it is taken over, in the dimension.
    pub name: &'static str,
    /// What it means.
    pub kind: Kind,
    /// Whether a file without it is a schema error.
    pub required: bool,
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false }
}

const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: true }
}

/// What two rows of one raw day with one key are to each other, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Statements of one dimension member, which must not contradict each other.
    OneStatement,
    /// Reports of one event, of which the last wins.
    LastWins,
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
        /// Declared nowhere: a test sees by it where the compiler stops.
        #[cfg(feature = "fictitious-dataset")]
        Fictitious,
    }
}

const ROUTES: &[Column] = &[
    required("route_id", Kind::Text),
    optional("name", Kind::Text),
    optional("transport_type", Kind::Text),
    optional("base_fare", Kind::Money),
    optional("schema_json", Kind::Json),
    optional("active_from", Kind::Instant),
    optional("active_to", Kind::Instant),
];

const STOPS: &[Column] = &[
    required("stop_id", Kind::Text),
    optional("name", Kind::Text),
    optional("lat", Kind::Float),
    optional("lon", Kind::Float),
    optional("city", Kind::Text),
];

const USERS: &[Column] = &[
    required("user_id", Kind::Text),
    optional("created_at", Kind::Instant),
    optional("city", Kind::Text),
    optional("lang", Kind::Text),
    optional("gender", Kind::Text),
    optional("birthdate", Kind::Date),
    optional("is_active", Kind::Boolean),
];

const VEHICLES: &[Column] = &[
    required("vehicle_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("transport_type", Kind::Text),
    optional("capacity", Kind::Integer),
    optional("vendor", Kind::Text),
    optional("commissioned_at", Kind::Instant),
    optional("decommissioned_at", Kind::Instant),
];

const TRIPS: &[Column] = &[
    required("trip_id", Kind::Text),
    optional("user_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("vehicle_id", Kind::Text),
    required("start_ts", Kind::Instant),
    optional("end_ts", Kind::Instant),
    optional("start_stop_id", Kind::Text),
    optional("end_stop_id", Kind::Text),
    optional("distance_m", Kind::Float),
    optional("fare", Kind::Money),
    optional("status", Kind::Text),
];

const PAYMENTS: &[Column] = &[
    required("payment_id", Kind::Text),
    optional("user_id", Kind::Text),
    optional("route_id", Kind::Text),
    optional("trip_id", Kind::Text),
    optional("amount", Kind::Money),
    optional("currency", Kind::Text),
    optional("status", Kind::Text),
    optional("payment_method", Kind::Text),
    required("paid_at", Kind::Instant),
];

const VEHICLE_POSITIONS: &[Column] = &[
    required("event_ts", Kind::Instant),
    required("vehicle_id", Kind::Code),
    optional("route_id", Kind::Code),
    optional("lat", Kind::Float),
    optional("lon", Kind::Float),
    optional("speed", Kind::Float),
    optional("heading", Kind::Float),
    optional("provider_ts", Kind::Instant),
];

impl Dataset {
    /// The datasets that become facts.
    pub const FACTS: [Self; 3] = [Self::Trips, Self::Payments, Self::VehiclePositions];

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
        }
    }

    /// The columns metropulse knows, in staging order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Routes => ROUTES,
            Self::Stops => STOPS,
            Self::Users => USERS,
            Self::Vehicles => VEHICLES,
            Self::Trips => TRIPS,
            Self::Payments => PAYMENTS,
            Self::VehiclePositions => VEHICLE_POSITIONS,
        }
    }

    /// The row's own key (of a position: the vehicle).
    pub const fn key(self) -> &'static str {
        match self {
            Self::Routes => "route_id",
            Self::Stops => "stop_id",
            Self::Users => "user_id",
            Self::Vehicles | Self::VehiclePositions => "vehicle_id",
            Self::Trips => "trip_id",
            Self::Payments => "payment_id",
        }
    }

    /// The row's own event time, for facts.
    pub const fn event_time(self) -> Option<&'static str> {
        match self {
            Self::Trips => Some("start_ts"),
            Self::Payments => Some("paid_at"),
            Self::VehiclePositions => Some("event_ts"),
            Self::Routes | Self::Stops | Self::Users | Self::Vehicles => None,
        }
    }

    /// What two rows of one key are to each other.
    pub const fn repetition(self) -> Repetition {
        match self {
            Self::Routes | Self::Stops | Self::Users | Self::Vehicles => Repetition::OneStatement,
            Self::Trips | Self::Payments => Repetition::LastWins,
            Self::VehiclePositions => Repetition::BothStay { key: &["vehicle_id", "event_ts"] },
        }
    }

    /// What the coordinates of a row must be, for datasets that have some.
    pub const fn coordinates(self) -> Option<Coordinates> {
        match self {
            Self::Stops => Some(Coordinates::BothOrNeither),
            Self::VehiclePositions => Some(Coordinates::Required),
            Self::Routes | Self::Users | Self::Vehicles | Self::Trips | Self::Payments => None,
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
