//! The tables of TIDES 1.0: their fields in the standard's order, and what of a raw day each of them holds.

use crate::model::Dataset;

/// Every table of the standard.
pub const TABLE_NAMES: [&str; 11] = [
    "devices",
    "fare_transactions",
    "operators",
    "passenger_events",
    "station_activities",
    "stop_visits",
    "train_cars",
    "trips_performed",
    "vehicle_locations",
    "vehicle_train_cars",
    "vehicles",
];

/// A table whose facts a raw day holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Reports of vehicles.
    VehicleLocations,
    /// Trips that were made.
    TripsPerformed,
    /// Payments.
    FareTransactions,
    /// The fleet.
    Vehicles,
}

/// What a value is, in TIDES and in a raw day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// Text that is the same on both sides.
    Text,
    /// One of the standard's words, each with the raw day's.
    Words(&'static [(&'static str, &'static str)]),
    /// A calendar date.
    Date,
    /// An instant, written in the service zone.
    Instant,
    /// An instant here, `HH:MM:SS` of the service day's timetable in the raw day.
    Clock,
    /// A number within bounds.
    Number { least: f64, most: f64 },
    /// Metres a second here, kilometres an hour in the raw day.
    Speed,
    /// An amount with two decimals.
    Money,
    /// A whole number within bounds.
    Integer { least: i32, most: i32 },
    /// True or false.
    Boolean,
}

/// What is looked up for a row in other datasets of its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The planned run's direction.
    Direction,
    /// The planned run's shape.
    Shape,
    /// The planned run's block.
    Block,
    /// When the planned run ends.
    End,
    /// What was said last of how the run is to the schedule.
    Relationship,
    /// What runs on the route.
    TransportType,
    /// The performed trip that a report is of.
    Performed,
}

/// Where the value of a field comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The raw day itself.
    Day,
    /// Made of the day and the number of the row.
    Made,
    /// A column of the raw dataset.
    Column(&'static str),
    /// Other datasets of the raw day. It is not read back: no column of a raw dataset is for it.
    Joined(Joined),
    /// No raw day knows it.
    Nothing,
}

/// One field of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) from: From,
    /// Whether the standard asks for it in every row.
    pub(super) is_required: bool,
}

impl Field {
    const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// Whether a rule of the user may give its value.
    pub(super) fn may_be_filled(&self) -> bool {
        let is_known = match self.from {
            From::Day | From::Made => true,
            From::Column(_) | From::Joined(_) | From::Nothing => false,
        };
        self.is_required && !is_known
    }

    /// The column of the raw dataset.
    pub(super) fn column(&self) -> Option<&'static str> {
        match self.from {
            From::Column(column) => Some(column),
            From::Day | From::Made | From::Joined(_) | From::Nothing => None,
        }
    }
}

const fn field(name: &'static str, form: Form, from: From) -> Field {
    Field { name, form, from, is_required: false }
}

const fn column(name: &'static str, form: Form, column: &'static str) -> Field {
    field(name, form, From::Column(column))
}

const fn joined(name: &'static str, form: Form, joined: Joined) -> Field {
    field(name, form, From::Joined(joined))
}

/// A field that the standard has and no raw day knows.
const fn unknown(name: &'static str, form: Form) -> Field {
    field(name, form, From::Nothing)
}

const COUNT: Form = Form::Integer { least: 0, most: i32::MAX };
const POSITIVE: Form = Form::Integer { least: 1, most: i32::MAX };
const ANY: f64 = f64::INFINITY;
const STATUS: &[(&str, &str)] =
    &[("Incoming at", "INCOMING_AT"), ("Stopped at", "STOPPED_AT"), ("In transit to", "IN_TRANSIT_TO")];

const RELATIONSHIP: &[(&str, &str)] = &[
    ("Scheduled", "SCHEDULED"),
    ("Added", "ADDED"),
    ("Unscheduled", "UNSCHEDULED"),
    ("Canceled", "CANCELED"),
    ("Duplicated", "DUPLICATED"),
];
/// A raw day knows the kind of a route alone, not the many sorts of it that the standard tells apart.
const ROUTE_TYPE: &[(&str, &str)] = &[
    ("Tram / Streetcar / Light rail", "tram"),
    ("Subway / Metro", "metro"),
    ("Rail", "rail"),
    ("Bus", "bus"),
    ("Ferry", "ferry"),
    ("Cable tram", "cable_tram"),
    ("Aerial lift", "aerial_lift"),
    ("Funicular", "funicular"),
    ("Trolleybus", "trolleybus"),
    ("Monorail", "monorail"),
    ("Coach Service", "coach"),
    ("Air Service", "air"),
    ("Taxi Service", "taxi"),
];

/// Words that a raw day has in the standard's own spelling.
macro_rules! same {
    ($($word:literal),* $(,)?) => { &[$(($word, $word)),*] };
}

const FARE_ACTION: &[(&str, &str)] = same![
    "Unknown action type",
    "Purchase",
    "Enter",
    "Exit",
    "Transfer entrance",
    "Transfer exit",
    "Add",
    "New",
    "Capture",
    "Extend",
    "Combine",
    "Void",
    "Activate",
    "Adjust",
    "Other",
];
const FARE_MEDIA: &[(&str, &str)] = same![
    "Cash or coins",
    "Smart card or ticket",
    "Magnetic-stripe card or ticket",
    "Bank card",
    "Mobile NFC",
    "Optical scan",
    "Button pressed by driver or operator to indicate a boarding or alighting passenger.",
    "Other type",
];

const VEHICLE_LOCATIONS: &[Field] = &[
    field("location_ping_id", Form::Text, From::Made).required(),
    field("service_date", Form::Date, From::Day),
    column("event_timestamp", Form::Instant, "event_ts").required(),
    joined("trip_id_performed", Form::Text, Joined::Performed),
    column("trip_id_scheduled", Form::Text, "trip_id"),
    unknown("trip_stop_sequence", POSITIVE),
    column("scheduled_stop_sequence", COUNT, "current_stop_sequence"),
    column("vehicle_id", Form::Text, "vehicle_id").required(),
    unknown("device_id", Form::Text),
    unknown("pattern_id", Form::Text),
    column("stop_id", Form::Text, "stop_id"),
    column("current_status", Form::Words(STATUS), "current_status"),
    column("latitude", Form::Number { least: -90.0, most: 90.0 }, "lat"),
    column("longitude", Form::Number { least: -180.0, most: 180.0 }, "lon"),
    unknown("gps_quality", Form::Text),
    column("heading", Form::Number { least: 0.0, most: 360.0 }, "heading"),
    column("speed", Form::Speed, "speed"),
    column("odometer", Form::Number { least: 0.0, most: ANY }, "odometer_m"),
    unknown("schedule_deviation", Form::Integer { least: i32::MIN, most: i32::MAX }),
    unknown("headway_deviation", Form::Integer { least: i32::MIN, most: i32::MAX }),
    unknown("trip_type", Form::Text),
    unknown("schedule_relationship", Form::Text),
];

const TRIPS_PERFORMED: &[Field] = &[
    field("service_date", Form::Date, From::Day).required(),
    column("trip_id_performed", Form::Text, "trip_id").required(),
    column("vehicle_id", Form::Text, "vehicle_id").required(),
    column("trip_id_scheduled", Form::Text, "scheduled_trip_id"),
    column("route_id", Form::Text, "route_id"),
    joined("route_type", Form::Words(ROUTE_TYPE), Joined::TransportType),
    unknown("ntd_mode", Form::Text),
    unknown("route_type_agency", Form::Text),
    joined("shape_id", Form::Text, Joined::Shape),
    unknown("pattern_id", Form::Text),
    joined("direction_id", Form::Integer { least: 0, most: 1 }, Joined::Direction),
    unknown("operator_id", Form::Text),
    joined("block_id", Form::Text, Joined::Block),
    column("trip_start_stop_id", Form::Text, "start_stop_id"),
    column("trip_end_stop_id", Form::Text, "end_stop_id"),
    column("schedule_trip_start", Form::Clock, "scheduled_start_time"),
    joined("schedule_trip_end", Form::Instant, Joined::End),
    column("actual_trip_start", Form::Instant, "start_ts"),
    column("actual_trip_end", Form::Instant, "end_ts"),
    unknown("trip_type", Form::Text),
    joined("schedule_relationship", Form::Words(RELATIONSHIP), Joined::Relationship),
];

const FARE_TRANSACTIONS: &[Field] = &[
    column("transaction_id", Form::Text, "payment_id").required(),
    field("service_date", Form::Date, From::Day).required(),
    column("event_timestamp", Form::Instant, "paid_at").required(),
    unknown("location_ping_id", Form::Text),
    column("amount", Form::Money, "amount").required(),
    column("currency_type", Form::Text, "currency"),
    unknown("fare_action", Form::Words(FARE_ACTION)).required(),
    column("trip_id_performed", Form::Text, "trip_id"),
    unknown("trip_id_scheduled", Form::Text),
    unknown("pattern_id", Form::Text),
    unknown("trip_stop_sequence", POSITIVE),
    unknown("scheduled_stop_sequence", COUNT),
    unknown("vehicle_id", Form::Text),
    unknown("device_id", Form::Text),
    unknown("fare_id", Form::Text),
    unknown("stop_id", Form::Text),
    unknown("num_riders", COUNT),
    column("fare_media_id", Form::Words(FARE_MEDIA), "payment_method"),
    unknown("rider_category", Form::Text),
    unknown("fare_product", Form::Text),
    unknown("fare_period", Form::Text),
    unknown("fare_capped", Form::Boolean).required(),
    unknown("token_id", Form::Text),
    unknown("balance", Form::Money),
];

const VEHICLES: &[Field] = &[
    column("vehicle_id", Form::Text, "vehicle_id").required(),
    column("vehicle_start", Form::Instant, "commissioned_at"),
    column("vehicle_end", Form::Instant, "decommissioned_at"),
    unknown("model_name", Form::Text),
    unknown("facility_name", Form::Text),
    unknown("capacity_seated", COUNT),
    unknown("capacity_wheelchair", COUNT),
    unknown("capacity_bike", COUNT),
    unknown("bike_rack", Form::Boolean),
    unknown("capacity_standing", COUNT),
];

impl Table {
    /// The tables, in the order in which a package lists them.
    pub const ALL: [Self; 4] = [Self::VehicleLocations, Self::TripsPerformed, Self::FareTransactions, Self::Vehicles];

    /// The standard's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VehicleLocations => "vehicle_locations",
            Self::TripsPerformed => "trips_performed",
            Self::FareTransactions => "fare_transactions",
            Self::Vehicles => "vehicles",
        }
    }

    /// The raw dataset with its facts.
    pub const fn dataset(self) -> Dataset {
        match self {
            Self::VehicleLocations => Dataset::VehiclePositions,
            Self::TripsPerformed => Dataset::Trips,
            Self::FareTransactions => Dataset::Payments,
            Self::Vehicles => Dataset::Vehicles,
        }
    }

    /// The column of the dataset that names the planned trip: a performed one has an id of its own.
    pub(super) const fn planned_trip(self) -> &'static str {
        match self {
            Self::TripsPerformed => "scheduled_trip_id",
            Self::VehicleLocations | Self::FareTransactions | Self::Vehicles => "trip_id",
        }
    }

    pub(super) const fn fields(self) -> &'static [Field] {
        match self {
            Self::VehicleLocations => VEHICLE_LOCATIONS,
            Self::TripsPerformed => TRIPS_PERFORMED,
            Self::FareTransactions => FARE_TRANSACTIONS,
            Self::Vehicles => VEHICLES,
        }
    }

    /// Whether its rows are of a service date; the fleet is of all of them.
    pub const fn is_of_days(self) -> bool {
        match self {
            Self::VehicleLocations | Self::TripsPerformed | Self::FareTransactions => true,
            Self::Vehicles => false,
        }
    }
}

/// Why a table of the standard that is none of [`Table`] is not exported.
pub fn why_not(name: &str) -> &'static str {
    match name {
        "stop_visits" => "raw days hold predictions of calls, not the calls that were made",
        "passenger_events" | "station_activities" => "raw days count no passengers",
        "devices" => "raw days name no devices",
        "operators" => "raw days name no operators",
        "train_cars" | "vehicle_train_cars" => "raw days know no cars of trains",
        _ => "no table of TIDES 1.0",
    }
}
