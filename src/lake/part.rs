//! One file of a day.

use super::naming::FolderValue;
use crate::model::Dataset;

/// One file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it holds.
    pub dataset: Dataset,
    /// The path below the lake: `dt=2024-05-01/trips.parquet`.
    pub path: String,
    /// Size when listed.
    pub size_bytes: u64,
    /// Last change, in milliseconds since the epoch.
    pub modified_millis: i64,
    /// What the object store says of its bytes: another text may mean other bytes. None on this machine.
    pub etag: Option<String>,
    /// The `key=value` folders that it lies in, below the dataset's.
    pub folders: Vec<FolderValue>,
    /// Rows by the manifest.
    pub manifest_rows: Option<u64>,
    /// SHA-256 by the manifest, in lower-case hexadecimal digits.
    pub manifest_sha256: Option<String>,
    /// What it was made of, by the manifest.
    pub origin: Option<serde_json::Value>,
}
