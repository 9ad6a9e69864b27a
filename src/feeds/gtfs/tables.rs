//! The tables that a schedule brings to a raw day.

use arrow::datatypes::SchemaRef;

use crate::model::Dataset;

/// A table that a schedule brings to a raw day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// All routes of the feed.
    Routes,
    /// All stops of the feed.
    Stops,
    /// The runs of the day.
    ScheduledTrips,
    /// Their calls.
    ScheduledStopTimes,
    /// All shapes of the feed.
    Shapes,
}

impl Table {
    /// Every table, in the order in which they are written.
    pub const ALL: [Self; 5] =
        [Self::Routes, Self::Stops, Self::ScheduledTrips, Self::ScheduledStopTimes, Self::Shapes];

    /// The raw dataset.
    pub const fn dataset(self) -> Dataset {
        match self {
            Self::Routes => Dataset::Routes,
            Self::Stops => Dataset::Stops,
            Self::ScheduledTrips => Dataset::ScheduledTrips,
            Self::ScheduledStopTimes => Dataset::ScheduledStopTimes,
            Self::Shapes => Dataset::Shapes,
        }
    }

    /// The name in the lake.
    pub const fn name(self) -> &'static str {
        self.dataset().name()
    }

    /// Its columns.
    pub fn schema(self) -> SchemaRef {
        self.dataset().schema()
    }
}
