//! The facts built from raw events: which columns refer to which members, and which are taken over.

use super::dataset::Dataset;
use super::member::Member;

/// A reference from a fact to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The raw column that holds the business key.
    pub raw: &'static str,
    /// The fact's column that holds the surrogate key.
    pub surrogate: &'static str,
    /// What it refers to.
    pub member: Member,
}

const fn to(member: Member, raw: &'static str, surrogate: &'static str) -> Reference {
    Reference { raw, surrogate, member }
}

/// Which fact: for code that treats each in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// Rides.
    Trip,
    /// Payments, which may refer to a ride.
    Payment,
    /// Telemetry.
    VehiclePosition,
    /// Planned runs.
    ScheduledTrip,
    /// Planned calls of runs.
    ScheduledStopTime,
    /// What was last predicted for a run and stop.
    TripUpdate,
    /// Notices to riders.
    Alert,
    /// Declared nowhere: a test sees by it where the compiler stops.
    #[cfg(feature = "fictitious-dataset")]
    Fictitious,
}

impl FactKind {
    /// Whether the mart counts anything of it.
    pub const fn is_in_mart(self) -> bool {
        match self {
            Self::Trip | Self::Payment | Self::VehiclePosition | Self::ScheduledTrip => true,
            Self::ScheduledStopTime | Self::TripUpdate | Self::Alert => false,
        }
    }

    /// Whether its rows may be kept in ClickHouse (see [`Positions`](super::Positions)).
    pub const fn is_telemetry(self) -> bool {
        match self {
            Self::VehiclePosition => true,
            Self::Trip
            | Self::Payment
            | Self::ScheduledTrip
            | Self::ScheduledStopTime
            | Self::TripUpdate
            | Self::Alert => false,
        }
    }
}

/// Columns of a fact that are worked out from its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
    /// None.
    Nothing,
    /// `duration_sec`: whole seconds from start to end, cut off.
    Duration,
    /// `trip_sk`: the trip that `trip_id` names, looked up in the registry of trips.
    Trip,
    /// `event_date_sk` and `event_time_sk`: date and time of day in the service zone.
    DateAndTime,
}

/// One fact table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which fact it is.
    pub kind: FactKind,
    /// Where its rows come from.
    pub dataset: Dataset,
    /// The table.
    pub table: &'static str,
    /// Its surrogate key, which is also the name of its sequence in schema `dwh`.
    pub surrogate: &'static str,
    /// The time by which versions are chosen; without one it is the start of the raw day.
    pub time: Option<&'static str>,
    /// What it refers to.
    pub references: &'static [Reference],
    /// Raw columns taken over: (raw name, name in the fact).
    pub taken: &'static [(&'static str, &'static str)],
    /// What is worked out from its row.
    pub computed: Computed,
    /// For facts with a business key of their own: the table of its keys and the one of rows that lost.
    pub registry: Option<Registry>,
}

/// Where a fact's business keys and superseded rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registry {
    /// The business key.
    pub key: &'static str,
    /// Business key, surrogate key and the raw day whose row is in the fact table.
    pub keys: &'static str,
    /// Rows that lost to a newer raw day.
    pub superseded: &'static str,
}

impl Fact {
    /// Rides.
    pub const TRIP: Self = Self {
        kind: FactKind::Trip,
        dataset: Dataset::Trips,
        table: "dwh.fact_trip",
        surrogate: "trip_sk",
        time: Some("start_ts"),
        references: &[
            to(Member::User, "user_id", "user_sk"),
            to(Member::Route, "route_id", "route_sk"),
            to(Member::Vehicle, "vehicle_id", "vehicle_sk"),
            to(Member::Stop, "start_stop_id", "start_stop_sk"),
            to(Member::Stop, "end_stop_id", "end_stop_sk"),
        ],
        taken: &[
            ("trip_id", "trip_id"),
            ("start_ts", "start_ts"),
            ("end_ts", "end_ts"),
            ("distance_m", "distance_m"),
            ("fare", "fare_amount"),
            ("status", "status"),
            ("scheduled_trip_id", "scheduled_trip_id"),
            ("scheduled_start_time", "scheduled_start_time"),
        ],
        computed: Computed::Duration,
        registry: Some(Registry { key: "trip_id", keys: "dwh.trip_key", superseded: "dwh.superseded_trip" }),
    };
    /// Payments.
    pub const PAYMENT: Self = Self {
        kind: FactKind::Payment,
        dataset: Dataset::Payments,
        table: "dwh.fact_payment",
        surrogate: "payment_sk",
        time: Some("paid_at"),
        references: &[
            to(Member::User, "user_id", "user_sk"),
            to(Member::Route, "route_id", "route_sk"),
            to(Member::PaymentMethod, "payment_method", "payment_method_sk"),
        ],
        taken: &[
            ("payment_id", "payment_id"),
            ("amount", "amount"),
            ("currency", "currency"),
            ("status", "status"),
            ("paid_at", "paid_at"),
            ("trip_id", "trip_id"),
        ],
        computed: Computed::Trip,
        registry: Some(Registry { key: "payment_id", keys: "dwh.payment_key", superseded: "dwh.superseded_payment" }),
    };
    /// Telemetry.
    pub const VEHICLE_POSITION: Self = Self {
        kind: FactKind::VehiclePosition,
        dataset: Dataset::VehiclePositions,
        table: "dwh.fact_vehicle_position",
        surrogate: "position_sk",
        time: Some("event_ts"),
        references: &[to(Member::Vehicle, "vehicle_id", "vehicle_sk"), to(Member::Route, "route_id", "route_sk")],
        taken: &[
            ("event_ts", "event_ts"),
            ("lat", "lat"),
            ("lon", "lon"),
            ("speed", "speed"),
            ("heading", "heading"),
            ("provider_ts", "provider_ts"),
            ("trip_id", "trip_id"),
            ("start_date", "start_date"),
            ("direction_id", "direction_id"),
            ("stop_id", "stop_id"),
            ("current_stop_sequence", "current_stop_sequence"),
            ("current_status", "current_status"),
            ("occupancy_status", "occupancy_status"),
            ("odometer_m", "odometer_m"),
            ("vehicle_label", "vehicle_label"),
            ("received_at", "received_at"),
        ],
        computed: Computed::DateAndTime,
        registry: None,
    };

    /// Planned runs.
    pub const SCHEDULED_TRIP: Self = Self {
        kind: FactKind::ScheduledTrip,
        dataset: Dataset::ScheduledTrips,
        table: "dwh.fact_scheduled_trip",
        surrogate: "scheduled_trip_sk",
        time: Some("start_ts"),
        references: &[to(Member::Route, "route_id", "route_sk"), to(Member::Shape, "shape_id", "shape_sk")],
        taken: &[
            ("trip_id", "trip_id"),
            ("start_time", "start_time"),
            ("service_id", "service_id"),
            ("direction_id", "direction_id"),
            ("block_id", "block_id"),
            ("headsign", "headsign"),
            ("start_ts", "start_ts"),
            ("end_ts", "end_ts"),
            ("exact_times", "exact_times"),
        ],
        computed: Computed::Nothing,
        registry: None,
    };
    /// Planned calls.
    pub const SCHEDULED_STOP_TIME: Self = Self {
        kind: FactKind::ScheduledStopTime,
        dataset: Dataset::ScheduledStopTimes,
        table: "dwh.fact_scheduled_stop_time",
        surrogate: "scheduled_stop_time_sk",
        time: None,
        references: &[to(Member::Stop, "stop_id", "stop_sk")],
        taken: &[
            ("trip_id", "trip_id"),
            ("start_time", "start_time"),
            ("stop_sequence", "stop_sequence"),
            ("arrival_ts", "arrival_ts"),
            ("departure_ts", "departure_ts"),
            ("timepoint", "timepoint"),
            ("pickup_type", "pickup_type"),
            ("drop_off_type", "drop_off_type"),
            ("shape_dist", "shape_dist"),
        ],
        computed: Computed::Nothing,
        registry: None,
    };
    /// Predictions.
    pub const TRIP_UPDATE: Self = Self {
        kind: FactKind::TripUpdate,
        dataset: Dataset::TripUpdates,
        table: "dwh.fact_trip_update",
        surrogate: "trip_update_sk",
        time: None,
        references: &[
            to(Member::Route, "route_id", "route_sk"),
            to(Member::Vehicle, "vehicle_id", "vehicle_sk"),
            to(Member::Stop, "stop_id", "stop_sk"),
        ],
        taken: &[
            ("trip_id", "trip_id"),
            ("start_time", "start_time"),
            ("stop_sequence", "stop_sequence"),
            ("schedule_relationship", "schedule_relationship"),
            ("stop_schedule_relationship", "stop_schedule_relationship"),
            ("arrival_ts", "arrival_ts"),
            ("arrival_delay_sec", "arrival_delay_sec"),
            ("departure_ts", "departure_ts"),
            ("departure_delay_sec", "departure_delay_sec"),
            ("updated_at", "updated_at"),
        ],
        computed: Computed::Nothing,
        registry: None,
    };
    /// Notices to riders.
    pub const ALERT: Self = Self {
        kind: FactKind::Alert,
        dataset: Dataset::Alerts,
        table: "dwh.fact_alert",
        surrogate: "alert_sk",
        time: None,
        references: &[],
        taken: &[
            ("alert_id", "alert_id"),
            ("content", "content"),
            ("cause", "cause"),
            ("effect", "effect"),
            ("severity", "severity"),
            ("active_from", "active_from"),
            ("active_to", "active_to"),
            ("header", "header"),
            ("description", "description"),
            ("informed_entities", "informed_entities"),
            ("first_seen", "first_seen"),
            ("last_seen", "last_seen"),
        ],
        computed: Computed::Nothing,
        registry: None,
    };

    /// Every fact, in the order of publication: those with business keys first, trips before the payments that refer to them.
    pub const ALL: [Self; 7] = [
        Self::TRIP,
        Self::PAYMENT,
        Self::VEHICLE_POSITION,
        Self::SCHEDULED_TRIP,
        Self::SCHEDULED_STOP_TIME,
        Self::TRIP_UPDATE,
        Self::ALERT,
    ];

    /// The fact of a dataset.
    pub const fn of(dataset: Dataset) -> Option<Self> {
        match dataset {
            Dataset::Trips => Some(Self::TRIP),
            Dataset::Payments => Some(Self::PAYMENT),
            Dataset::VehiclePositions => Some(Self::VEHICLE_POSITION),
            Dataset::ScheduledTrips => Some(Self::SCHEDULED_TRIP),
            Dataset::ScheduledStopTimes => Some(Self::SCHEDULED_STOP_TIME),
            Dataset::TripUpdates => Some(Self::TRIP_UPDATE),
            Dataset::Alerts => Some(Self::ALERT),
            Dataset::Routes | Dataset::Stops | Dataset::Users | Dataset::Vehicles | Dataset::Shapes => None,
        }
    }

    /// An SQL expression for the time of row `row`, by which its versions are chosen.
    pub fn time_sql(&self, row: &str, zone: &str) -> String {
        match self.time {
            Some(time) => format!("{row}.{time}"),
            None => format!("({row}.dt::timestamp AT TIME ZONE '{zone}')"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dimension;

    #[test]
    fn every_dataset_feeds_one_fact_or_one_dimension_and_each_of_them_is_listed() {
        for dataset in Dataset::ALL {
            let (fact, dimension) = (Fact::of(dataset), Dimension::of(dataset));
            assert!(fact.is_some() != dimension.is_some(), "{dataset}");
            assert_eq!(Dataset::FACTS.contains(&dataset), fact.is_some(), "{dataset}");
            assert!(fact.is_none_or(|fact| fact.dataset == dataset && Fact::ALL.contains(&fact)), "{dataset}");
            let listed = |d: Dimension| d.dataset == dataset && Dimension::ALL.contains(&d);
            assert!(dimension.is_none_or(listed), "{dataset}");
        }
        assert_eq!(Dataset::ALL.len(), Fact::ALL.len() + Dimension::ALL.len());
    }

    #[test]
    fn every_column_that_a_fact_names_is_one_of_its_dataset() {
        for fact in Fact::ALL {
            let taken = fact.taken.iter().map(|(raw, _)| *raw);
            for name in fact.references.iter().map(|reference| reference.raw).chain(taken).chain(fact.time) {
                assert!(fact.dataset.index(name).is_some(), "{} has no {name}", fact.dataset);
            }
            assert_eq!(fact.time, fact.dataset.event_time(), "{}", fact.dataset);
        }
    }
}
