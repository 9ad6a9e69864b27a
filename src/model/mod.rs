//! The datasets and tables, declared once.
//!
//! Raw datasets with their columns and kinds live in [`dataset`], the dimensions and facts built from them in
//! [`dimension`], instants and service days in [`zone`], and the codes of rejected rows in [`reason`]. Everything
//! else in the crate reads these declarations; nothing here does input or output.

mod dataset;
mod dimension;
mod reason;
mod zone;

pub use dataset::{Column, Dataset, Kind};
pub use dimension::{Absent, Dimension};
pub use reason::Reason;
pub use zone::{Zone, epoch_micros};
