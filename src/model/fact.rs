//! The facts built from raw events: which columns refer to which members, and which are taken over.

use super::dataset::Dataset;
use super::declared::declared;

declared! {
    /// Something a fact refers to by a surrogate key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Member {
        /// A version of a route.
        Route,
        /// A version of a rider.
        User,
        /// A vehicle.
        Vehicle,
        /// A stop.
        Stop,
        /// A way of paying; a new code is an ordinary member whose name is the code.
        PaymentMethod,
        /// Declared nowhere: a test sees by it where the compiler stops.
        #[cfg(feature = "fictitious-dataset")]
        Fictitious,
    }
}

impl Member {
    /// The dimension table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Route => "dwh.dim_route",
            Self::User => "dwh.dim_user",
            Self::Vehicle => "dwh.dim_vehicle",
            Self::Stop => "dwh.dim_stop",
            Self::PaymentMethod => "dwh.dim_payment_method",
        }
    }

    /// The business key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Route => "route_id",
            Self::User => "user_id",
            Self::Vehicle => "vehicle_id",
            Self::Stop => "stop_id",
            Self::PaymentMethod => "code",
        }
    }

    /// The surrogate key, which is also the name of its sequence in schema `dwh`.
    pub const fn surrogate(self) -> &'static str {
        match self {
            Self::Route => "route_sk",
            Self::User => "user_sk",
            Self::Vehicle => "vehicle_sk",
            Self::Stop => "stop_sk",
            Self::PaymentMethod => "payment_method_sk",
        }
    }

    /// The columns of a version's interval, for members with history.
    pub const fn interval(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Route => Some(("valid_from", "valid_to")),
            Self::User => Some(("effective_from", "effective_to")),
            Self::Vehicle | Self::Stop | Self::PaymentMethod => None,
        }
    }

    /// Whether a key that only facts name becomes an inferred member (else an ordinary one).
    pub const fn is_inferred(self) -> bool {
        match self {
            Self::Route | Self::User | Self::Vehicle | Self::Stop => true,
            Self::PaymentMethod => false,
        }
    }
}

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
    /// Declared nowhere: a test sees by it where the compiler stops.
    #[cfg(feature = "fictitious-dataset")]
    Fictitious,
}

/// Columns of a fact that are worked out from its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
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
    /// The time by which versions are chosen.
    pub time: &'static str,
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
        time: "start_ts",
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
        time: "paid_at",
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
        time: "event_ts",
        references: &[to(Member::Vehicle, "vehicle_id", "vehicle_sk"), to(Member::Route, "route_id", "route_sk")],
        taken: &[
            ("event_ts", "event_ts"),
            ("lat", "lat"),
            ("lon", "lon"),
            ("speed", "speed"),
            ("heading", "heading"),
            ("provider_ts", "provider_ts"),
        ],
        computed: Computed::DateAndTime,
        registry: None,
    };

    /// Every fact, in the order of loading: trips before the payments that refer to them.
    pub const ALL: [Self; 3] = [Self::TRIP, Self::PAYMENT, Self::VEHICLE_POSITION];

    /// The fact of a dataset.
    pub const fn of(dataset: Dataset) -> Option<Self> {
        match dataset {
            Dataset::Trips => Some(Self::TRIP),
            Dataset::Payments => Some(Self::PAYMENT),
            Dataset::VehiclePositions => Some(Self::VEHICLE_POSITION),
            Dataset::Routes | Dataset::Stops | Dataset::Users | Dataset::Vehicles => None,
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
            for name in fact.references.iter().map(|reference| reference.raw).chain(taken).chain([fact.time]) {
                assert!(fact.dataset.index(name).is_some(), "{} has no {name}", fact.dataset);
            }
        }
    }
}
