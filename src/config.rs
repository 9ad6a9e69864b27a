//! The settings of one deployment, as the caller resolved them.
//!
//! Arguments, Airflow connections and environment variables are merged in Python; the core sees one plain value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Absent, Dataset, Dimension, Positions};

/// A value that never shows itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not be shown.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for handing to a client.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What it means that a day's folder holds Parquet that no dataset takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownFiles {
    /// The day is not loaded: more likely a name is wrong than the file superfluous.
    #[default]
    Fail,
    /// The report names them.
    Allow,
}

/// Settings of one deployment. Unknown fields are an error, so that a typo does not pass silently.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// URL or folder whose children are the `dt=` folders.
    pub lake: Option<String>,
    /// Options of the object store in its own words (`aws_access_key_id`, `aws_endpoint`, ...).
    pub lake_options: BTreeMap<String, Secret>,
    /// `postgresql://` URL or `key=value` string.
    pub warehouse: Option<Secret>,
    /// `http(s)://host:port/database` of ClickHouse.
    pub mart: Option<String>,
    /// ClickHouse user.
    pub mart_user: Option<String>,
    /// ClickHouse password.
    pub mart_password: Option<Secret>,
    /// IANA name of the service zone.
    pub time_zone: String,
    /// Share of rejected rows (0 to 1) of one dataset and day above which nothing is published.
    pub reject_limit: f64,
    /// Bound on what the core keeps in memory for one step, in bytes.
    pub memory_bytes: u64,
    /// Keys from which on a merge keeps digests beside its table, so that the next one need not read the table.
    pub digest_keys: u64,
    /// Threads for decoding, aggregation and the columns of ingested files; 0 means one for each core.
    pub threads: usize,
    /// Connections that load and index side by side: of one partition, or of a day's facts.
    pub connections: usize,
    /// How long a swap waits for readers in all, in seconds.
    pub swap_deadline_seconds: u64,
    /// How long to wait for another run that holds the lock, in seconds.
    pub lock_deadline_seconds: u64,
    /// What a key's absence from a snapshot means, by dataset; unnamed datasets keep their default.
    pub absent: BTreeMap<Dataset, Absent>,
    /// Lets a snapshot pass the guard against vanishing keys.
    pub allow_vanishing: bool,
    /// Who works, as servers show it beside the run id: `application_name` of PostgreSQL, `log_comment` of ClickHouse.
    pub run_label: Option<String>,
    /// What Parquet in a day's folder means that no dataset takes.
    pub unknown_files: UnknownFiles,
    /// Where positions are kept. A warehouse remembers it with its first positions; unset means what it remembers, and
    /// PostgreSQL for a new one.
    pub positions: Option<Positions>,
    /// Folder for spooled remote files; the system's temporary folder when unset.
    pub spool: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lake: None,
            lake_options: BTreeMap::new(),
            warehouse: None,
            mart: None,
            mart_user: None,
            mart_password: None,
            time_zone: "UTC".into(),
            reject_limit: 0.05,
            memory_bytes: 256 << 20,
            digest_keys: 20_000,
            threads: 0,
            connections: 2,
            swap_deadline_seconds: 60,
            lock_deadline_seconds: 600,
            absent: BTreeMap::new(),
            allow_vanishing: false,
            run_label: None,
            unknown_files: UnknownFiles::Fail,
            positions: None,
            spool: None,
        }
    }
}

impl Settings {
    /// Parses settings from JSON; a wrong field is a `Config` error naming it.
    pub fn from_json(json: &str) -> Result<Self> {
        let settings: Self =
            serde_json::from_str(json).map_err(|e| Error::config(format!("settings cannot be read: {e}")))?;
        settings.zone()?;
        if !(0.0..=1.0).contains(&settings.reject_limit) {
            return Err(Error::config(format!(
                "reject_limit is {}, expected a share between 0 and 1",
                settings.reject_limit
            )));
        }
        Ok(settings)
    }

    /// The service zone.
    pub fn zone(&self) -> Result<Tz> {
        self.time_zone.parse().map_err(|_| {
            Error::config(format!(
                "time_zone is {:?}, expected an IANA name such as Europe/Moscow or America/Chicago",
                self.time_zone
            ))
        })
    }

    /// What servers show of a run: whoever looks at their sessions or logs finds it in the ledger and in the logs.
    pub fn shown_as(&self, run_id: &str) -> String {
        let label = self.run_label.as_deref().unwrap_or_default();
        format!("metropulse {run_id} {label}").trim_end().to_owned()
    }

    /// What a key's absence from a snapshot of `dataset` means.
    pub fn absent(&self, dataset: Dataset) -> Absent {
        let declared = || Dimension::of(dataset).map_or(Absent::Ignore, |dimension| dimension.absent);
        self.absent.get(&dataset).copied().unwrap_or_else(declared)
    }

    /// Threads for decoding and aggregation.
    pub fn threads(&self) -> usize {
        if self.threads > 0 { self.threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// Threads that encode one file, beside those that make its rows: more than a few wait for the slowest column.
    pub fn encoders(&self) -> usize {
        self.threads().min(4)
    }
}
