//! The rows of a day, dataset by dataset.

use arrow::array::RecordBatch;

use super::plan::DayPlan;
use super::ride::Rides;
use super::snapshot;
use super::telemetry::Positions;
use crate::error::Result;
use crate::model::Dataset;

impl DayPlan {
    /// The rows of a dataset in batches of [`schema`](super::schema), about 65,000 rows each; memory does not grow with the number of
    /// rows. The same bytes whoever asks, in whatever order.
    pub fn batches(&self, dataset: Dataset) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send + '_> {
        match dataset {
            Dataset::Routes => Box::new(snapshot::routes(self)),
            Dataset::Stops => Box::new(snapshot::stops(self)),
            Dataset::Users => Box::new(snapshot::users(self)),
            Dataset::Vehicles => Box::new(snapshot::vehicles(self)),
            Dataset::Trips => Box::new(Rides::new(self).trips()),
            Dataset::Payments => Box::new(Rides::new(self).payments()),
            Dataset::VehiclePositions => Box::new(Positions::new(self)),
            Dataset::ScheduledTrips
            | Dataset::ScheduledStopTimes
            | Dataset::Shapes
            | Dataset::TripUpdates
            | Dataset::Alerts => Box::new(std::iter::empty()),
        }
    }
}
