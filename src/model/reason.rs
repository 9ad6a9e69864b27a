//! Why a raw row is rejected.

use serde::{Deserialize, Serialize};

/// The code stored in `staging.rejected.reasons`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The row's own key is NULL or empty (a position's key is `vehicle_id`).
    NoKey,
    /// The row's own event time is NULL.
    NoTime,
    /// The row's own event time lies outside 1970-01-02 to 2105-12-31 UTC.
    TimeRange,
    /// A value cannot be read as its column's type.
    Unconvertible,
    /// Coordinates missing, out of range or (0, 0).
    Coordinates,
    /// Speed below 0 or above 200 km/h.
    Speed,
    /// A trip ends before it starts.
    EndBeforeStart,
    /// Fare, base fare or distance below zero.
    Negative,
    /// A row of a feed refers to a trip that the feed does not have.
    Orphan,
}

impl Reason {
    /// Every code, in the order in which they are listed.
    pub const ALL: [Self; 9] = [
        Self::NoKey,
        Self::NoTime,
        Self::TimeRange,
        Self::Unconvertible,
        Self::Coordinates,
        Self::Speed,
        Self::EndBeforeStart,
        Self::Negative,
        Self::Orphan,
    ];

    /// The code as stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::NoTime => "no_time",
            Self::TimeRange => "time_range",
            Self::Unconvertible => "unconvertible",
            Self::Coordinates => "coordinates",
            Self::Speed => "speed",
            Self::EndBeforeStart => "end_before_start",
            Self::Negative => "negative",
            Self::Orphan => "orphan",
        }
    }
}
