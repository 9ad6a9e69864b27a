//! The warehouse as the steps see it: where it is, under which settings, and who is asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::NaiveDate;

use super::client::{Address, Session};
use super::ledger::{self, Line, Part};
use super::lock::{Lock, hold};
use super::schema;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::{Error, Result};
use crate::model::Zone;

/// One warehouse under one deployment's settings.
#[derive(Clone)]
pub struct Warehouse {
    pub(super) address: Address,
    pub(super) settings: Arc<Settings>,
    pub(super) zone: Zone,
    pub(super) run_id: String,
    pub(super) cancel: Cancel,
    pub(super) progress: Progress,
    /// Whether this run has seen that schema and zone are right; publications look at the zone once more.
    prepared: Arc<AtomicBool>,
}

impl Warehouse {
    /// A warehouse for one run; connects only when a step asks.
    pub fn new(settings: Arc<Settings>, run_id: &str, cancel: Cancel, progress: Progress) -> Result<Self> {
        let url = settings.warehouse.as_ref().ok_or_else(|| {
            Error::config(
                "no warehouse is set; pass warehouse=\"postgresql://...\", set PG_URL, or use the embedded one",
            )
        })?;
        Ok(Self {
            address: Address::parse(url)?,
            zone: Zone(settings.zone()?),
            settings,
            run_id: run_id.to_owned(),
            cancel,
            progress,
            prepared: Arc::default(),
        })
    }

    /// The address, for stopping statements under way.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Applies the schema; does nothing when it is current.
    pub async fn prepare(&self) -> Result<()> {
        let session = self.address.session().await?;
        schema::prepare(&session, self.settings.lock_deadline_seconds).await
    }

    /// A session on a prepared warehouse of this zone.
    pub(super) async fn session(&self) -> Result<Session> {
        let session = self.address.session().await?;
        if !self.prepared.load(Ordering::Relaxed) {
            schema::prepare(&session, self.settings.lock_deadline_seconds).await?;
            schema::check_zone(&session, &self.settings.time_zone).await?;
            self.prepared.store(true, Ordering::Relaxed);
        }
        Ok(session)
    }

    /// A prepared session that holds locks until it is dropped.
    pub(super) async fn locked(&self, locks: &[Lock]) -> Result<Session> {
        let session = self.session().await?;
        hold(&session, locks, self.settings.lock_deadline_seconds).await?;
        Ok(session)
    }

    pub(super) fn swap_deadline(&self) -> Duration {
        Duration::from_secs(self.settings.swap_deadline_seconds)
    }

    /// The name under which a raw day's rows are loaded, as the prototype wrote it.
    pub(super) fn load_id(dt: NaiveDate) -> String {
        format!("batch_{dt}")
    }

    /// The settings that change what a load makes of the same file.
    pub(super) fn fingerprint(&self, more: &[&str]) -> String {
        let mut settings = vec![schema::LOAD_VERSION, &self.settings.time_zone];
        settings.extend_from_slice(more);
        ledger::fingerprint(&settings)
    }

    /// What the ledger says of a table and day.
    pub async fn ledger(&self, target: &str, dt: NaiveDate) -> Result<Vec<Line>> {
        let session = self.session().await?;
        Ok(ledger::read(&session, target, dt).await?.0)
    }

    /// The ledger lines of a table and day, when exactly these files are loaded under these settings.
    pub async fn unchanged(&self, target: &str, dt: NaiveDate, parts: &[Part]) -> Result<Option<Vec<Line>>> {
        let session = self.session().await?;
        let lines = ledger::unchanged(&session, target, dt, parts, &self.fingerprint(&[])).await?;
        session.release().await;
        Ok(lines)
    }
}
