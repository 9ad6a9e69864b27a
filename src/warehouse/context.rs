//! The warehouse as the steps see it: where it is, under which settings, and who is asking.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::NaiveDate;

use super::ledger;
use super::lock::{Lock, hold};
use super::schema;
use crate::config::Settings;
use crate::control::{Cancel, Progress};
use crate::error::Result;
use crate::load::{Line, Part, fingerprint};
use crate::model::Positions;
use crate::postgres::{Database, Session};

/// One warehouse under one deployment's settings, for one run: a [`Database`] that holds our schema.
#[derive(Clone)]
pub struct Warehouse {
    database: Database,
    pub(super) run_id: String,
    /// Where positions are kept, once this run has seen that schema and settings are right; publications look once more.
    positions: Arc<OnceLock<Positions>>,
}

impl Deref for Warehouse {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Warehouse {
    /// A warehouse for one run; connects only when a step asks.
    pub fn new(settings: Arc<Settings>, run_id: &str, cancel: Cancel, progress: Progress) -> Result<Self> {
        let shown_as = settings.shown_as(run_id);
        let database = Database::new(settings, &shown_as, cancel, progress)?;
        Ok(Self { database, run_id: run_id.to_owned(), positions: Arc::default() })
    }

    /// Applies the schema; does nothing when it is current.
    pub async fn prepare(&self) -> Result<()> {
        let session = self.address.session().await?;
        schema::prepare(&session, self.settings.lock_deadline_seconds).await
    }

    /// A session on a prepared warehouse of this zone.
    pub(super) async fn session(&self) -> Result<Session> {
        let session = self.address.session().await?;
        if self.positions.get().is_none() {
            schema::prepare(&session, self.settings.lock_deadline_seconds).await?;
            schema::check_zone(&session, &self.settings.time_zone).await?;
            let positions = schema::positions(&session, self.settings.positions).await?;
            self.positions.get_or_init(|| positions);
        }
        Ok(session)
    }

    /// Where this warehouse keeps its positions.
    ///
    /// # Errors
    /// `Config` when the settings say something else than the warehouse remembers.
    pub async fn positions(&self) -> Result<Positions> {
        if self.positions.get().is_none() {
            self.session().await?.release().await;
        }
        Ok(self.positions.get().copied().unwrap_or_default())
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

    /// The settings that change what a load makes of the same file.
    pub(super) fn fingerprint(&self, more: &[&str]) -> String {
        let mut settings = vec![schema::LOAD_VERSION, &self.settings.time_zone];
        settings.extend_from_slice(more);
        fingerprint(&settings)
    }

    /// What the ledger says of a table and day.
    pub async fn ledger(&self, target: &str, dt: NaiveDate) -> Result<Vec<Line>> {
        let session = self.session().await?;
        Ok(ledger::read(&session, target, dt).await?.0)
    }

    /// The files of a day, of any table, whose bytes are known by what the object store says of them.
    pub async fn known_parts(&self, dt: NaiveDate) -> Result<Vec<Part>> {
        let session = self.session().await?;
        let parts = ledger::known(&session, dt).await?;
        session.release().await;
        Ok(parts)
    }

    /// The ledger lines of a table and day, when exactly these files are loaded under these settings.
    pub async fn unchanged(&self, target: &str, dt: NaiveDate, parts: &[Part]) -> Result<Option<Vec<Line>>> {
        let session = self.session().await?;
        let lines = ledger::unchanged(&session, target, dt, parts, &self.fingerprint(&[])).await?;
        session.release().await;
        Ok(lines)
    }
}
