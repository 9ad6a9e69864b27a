//! Whether a day is complete, for those who wait for it.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::naming::{FileName, file_name};
use super::open::Lake;
use super::part::Part;
use crate::digest::hex;
use crate::error::Result;
use crate::model::Dataset;

/// The answer to "can this day be loaded?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Everything required is there, marked complete by a manifest or old enough.
    pub ready: bool,
    /// Whether a manifest marks the day complete.
    pub has_manifest: bool,
    /// What is required and not there: names of datasets, or paths the manifest lists.
    pub missing: Vec<String>,
    /// Files that are there and are not what the manifest says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<Differing>,
    /// When a file of the day last changed, as far as the store says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<DateTime<Utc>>,
    /// Changes whenever a file of the day appears, vanishes or changes.
    pub fingerprint: String,
}

/// A file that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// The path below the lake.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its size by the manifest.
    pub manifest_bytes: u64,
}

impl Lake {
    /// Whether a day can be loaded.
    ///
    /// With a manifest: all its files are there in their sizes and every required dataset is among them. Without
    /// one: every required dataset (any, if none is named) has a file that is not empty and, with `stable_for`, no
    /// file changed for that long. A day that is not there is not ready; only a lake that cannot be read is an error.
    pub async fn ready(&self, dt: NaiveDate, required: &[Dataset], stable_for: Option<Duration>) -> Result<Readiness> {
        let day = Self::day(dt);
        let listing = self.list(dt).await?;
        let parts = &listing.parts;
        let has_manifest = listing.manifest.is_some();
        let (mut missing, mut differing) = (Vec::new(), Vec::new());
        let mut present: Vec<Dataset> = parts.values().filter(|p| p.size_bytes > 0).map(|p| p.dataset).collect();
        if let Some(manifest) = &listing.manifest {
            present.clear();
            for entry in &manifest.files {
                let FileName::Data(dataset) = file_name(&entry.path) else { continue };
                present.push(dataset);
                let path = format!("{day}/{}", entry.path);
                let Some(part) = parts.get(&path) else {
                    missing.push(path);
                    continue;
                };
                if let Some(manifest_bytes) = entry.bytes.filter(|bytes| *bytes != part.size_bytes) {
                    differing.push(Differing { path, bytes: part.size_bytes, manifest_bytes });
                }
            }
        }
        missing.extend(required.iter().filter(|d| !present.contains(d)).map(|d| d.name().to_owned()));
        let settled = has_manifest || stable_for.is_none_or(|age| settled_for(parts.values(), age));
        let ready = missing.is_empty() && differing.is_empty() && !present.is_empty() && settled;
        let newest = parts.values().map(|part| part.modified_millis).max();
        let last_change = newest.and_then(DateTime::from_timestamp_millis);
        let fingerprint = fingerprint(parts.values(), has_manifest);
        Ok(Readiness { ready, has_manifest, missing, differing, last_change, fingerprint })
    }
}

fn settled_for<'a>(parts: impl Iterator<Item = &'a Part>, age: Duration) -> bool {
    let newest = parts.map(|p| p.modified_millis).max().unwrap_or_default();
    let old = Utc::now().timestamp_millis().saturating_sub(newest);
    u128::try_from(old).is_ok_and(|old| old >= age.as_millis())
}

fn fingerprint<'a>(parts: impl Iterator<Item = &'a Part>, has_manifest: bool) -> String {
    let mut text = format!("{has_manifest}");
    for part in parts {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}\t{}\t{}", part.path, part.size_bytes, part.modified_millis);
    }
    hex(&Sha256::digest(text.as_bytes()))
}
