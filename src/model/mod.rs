//! The datasets and tables, declared once.
//!
//! Raw datasets with their columns and kinds, the dimensions and facts built from them, the canonical text of a value,
//! instants and service days of a zone, and the codes of rejected rows. Everything
//! else in the crate reads these declarations; nothing here does input or output.

mod canonical;
mod column;
mod dataset;
mod declared;
mod dimension;
mod fact;
mod member;
mod positions;
mod raw;
mod reason;
mod zone;

pub(crate) use canonical::{canonical_date, canonical_float};
pub use column::{Column, Kind};
pub use dataset::{Coordinates, Dataset, Repetition};
pub use dimension::{Absent, Dimension};
pub use fact::{Computed, Fact, FactKind, Reference, Registry};
pub use member::Member;
pub use positions::Positions;
pub use reason::Reason;
pub use zone::{Clock, HOUR_MICROS, Zone, epoch_micros};

/// The mean radius of the earth.
pub(crate) const EARTH_RADIUS_M: f64 = 6_371_008.8;
