//! What a load did with one file.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::{Error, Result};

/// Identity of one raw file: path, size and digest.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Part {
    /// Path below the lake.
    pub file: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// What the object store said of the bytes with this digest. Another text need not mean other bytes, so it is no part of
    /// the identity.
    #[serde(skip)]
    pub etag: Option<String>,
    /// What the file was made of, as its day says; no part of the identity either.
    #[serde(skip)]
    pub origin: Option<serde_json::Value>,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        (&self.file, self.size_bytes, &self.sha256) == (&other.file, other.size_bytes, &other.sha256)
    }
}

impl Eq for Part {}

/// One line: what one file brought to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The file.
    #[serde(flatten)]
    pub part: Part,
    /// Rows in the file.
    pub rows_read: u64,
    /// Rows that are in the table.
    pub rows_loaded: u64,
    /// Equal rows that collapsed into another.
    pub rows_duplicate: u64,
    /// Rows that lost to a later row of the same key.
    pub rows_superseded: u64,
    /// Rows in `staging.rejected`.
    pub rows_rejected: u64,
}

impl Line {
    /// An error unless every row read is accounted for.
    pub fn check(&self, target: &str) -> Result<()> {
        let told = self.rows_loaded + self.rows_duplicate + self.rows_superseded + self.rows_rejected;
        if told == self.rows_read {
            return Ok(());
        }
        Err(Error::internal(format!(
            "{} rows were read, {told} are accounted for; nothing was published",
            self.rows_read
        ))
        .with("file", &self.part.file)
        .with("table", target))
    }
}

/// A fingerprint of settings that change what a load makes of the same file.
pub fn fingerprint(settings: &[&str]) -> String {
    let digest = Sha256::digest(settings.join("\u{1f}").as_bytes());
    hex(&digest[..8])
}
