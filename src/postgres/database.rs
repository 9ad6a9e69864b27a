//! One database as every piece of work takes it: where it is, under which settings, and who may stop or watch.

use std::sync::Arc;
use std::time::Duration;

use super::client::Address;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::model::Zone;

/// One database under one deployment's settings.
#[derive(Clone)]
pub struct Database {
    /// Where it is, and the sessions that are open on it.
    pub address: Address,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The service zone.
    pub zone: Zone,
    /// Asks the work to stop.
    pub cancel: Cancel,
    /// Counts what is done.
    pub progress: Progress,
}

impl Database {
    /// The database of the settings' warehouse, where sessions are shown as `shown_as` unless the URL names them;
    /// connects only when a verb asks.
    ///
    /// # Errors
    /// [`Error::Config`] where no warehouse is set, its URL cannot be read, or the zone is unknown.
    pub fn new(settings: Arc<Settings>, shown_as: &str, cancel: Cancel, progress: Progress) -> Result<Self> {
        let url = settings.warehouse.as_ref().ok_or_else(|| {
            Error::config(
                "no warehouse is set; pass warehouse=\"postgresql://...\", set PG_URL, or use the embedded one",
            )
        })?;
        let patience = Duration::from_secs(settings.lock_deadline_seconds);
        let address = Address::parse(url, shown_as)?.patient(patience);
        Ok(Self { address, zone: Zone(settings.zone()?), settings, cancel, progress })
    }
}
