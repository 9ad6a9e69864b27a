//! What facts refer to: the dimension tables and their keys.

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
        /// A version of a run's path.
        Shape,
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
            Self::Shape => "dwh.dim_shape",
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
            Self::Shape => "shape_id",
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
            Self::Shape => "shape_sk",
            Self::PaymentMethod => "payment_method_sk",
        }
    }

    /// The columns of a version's interval, for members with history.
    pub const fn interval(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Route | Self::Shape => Some(("valid_from", "valid_to")),
            Self::User => Some(("effective_from", "effective_to")),
            Self::Vehicle | Self::Stop | Self::PaymentMethod => None,
        }
    }

    /// Whether a key that only facts name becomes an inferred member (else an ordinary one).
    pub const fn is_inferred(self) -> bool {
        match self {
            Self::Route | Self::User | Self::Vehicle | Self::Stop | Self::Shape => true,
            Self::PaymentMethod => false,
        }
    }
}
