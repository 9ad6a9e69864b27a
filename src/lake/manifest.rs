//! `_manifest.json`: the files of a complete partition.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::naming::{FileName, below_day, file_name};
use super::part::Part;
use crate::error::{Error, Result};
use crate::model::Dataset;

/// The manifest's name within a partition. It is written last and removed first.
pub const MANIFEST: &str = "_manifest.json";
const VERSION: u32 = 1;
/// What names of files of rejected rows begin with.
const REJECTED: &str = "_rejected";

/// The path of a dataset's file below the day, or of one part of it: parts stand in a folder.
pub fn data_path(dataset: Dataset, part: Option<&str>) -> String {
    part.map_or_else(|| format!("{dataset}.parquet"), |part| format!("{dataset}/{part}.parquet"))
}

/// The file of rejected rows of a day, or of one part of it.
pub fn rejected_path(part: Option<&str>) -> String {
    part.map_or_else(|| format!("{REJECTED}.parquet"), |part| format!("{REJECTED}.{part}.parquet"))
}

/// Whether a path below a day names such a file.
pub(super) fn is_rejected(path: &str) -> bool {
    path.strip_prefix(REJECTED)
        .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".parquet") && !rest.contains('/'))
}

/// The files of a complete partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format: 1.
    pub version: u32,
    /// Every file of the partition.
    pub files: Vec<ManifestFile>,
    /// Files of rows that could not be used when the partition was made, for the quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<ManifestFile>,
}

/// One file of a complete partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The path below the `dt=` folder; readers also accept it with that folder in front.
    pub path: String,
    /// Rows by the file's footer.
    #[serde(default)]
    pub rows: Option<u64>,
    /// Size in bytes.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// SHA-256, in hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    /// What a file that was made of an agency's feed was made of, in the words of its format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<serde_json::Value>,
}

impl ManifestFile {
    /// A file that lies in a day (`dt=2024-05-01`) without a manifest.
    pub(super) fn found(day: &str, part: &Part) -> Self {
        Self {
            path: below_day(day, &part.path).to_owned(),
            rows: None,
            bytes: Some(part.size_bytes),
            sha256: None,
            origin: None,
        }
    }
}

impl Manifest {
    /// A manifest of these files.
    pub fn new(files: Vec<ManifestFile>, rejected: Vec<ManifestFile>) -> Self {
        Self { version: VERSION, files, rejected }
    }

    /// Parses a manifest and brings its paths below `day` (`dt=2024-05-01`).
    pub(super) fn parse(bytes: &[u8], day: &str) -> Result<Self> {
        let file = format!("{day}/{MANIFEST}");
        let bad = |what: String| Error::data(format!("{file} {what}; write the partition again")).with("file", &file);
        let mut manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| bad(format!("cannot be read as a manifest: {e}")))?;
        if manifest.version != VERSION {
            return Err(bad(format!("has version {}, expected {VERSION}", manifest.version)));
        }
        let mut seen = BTreeSet::new();
        for entry in &mut manifest.files {
            let path = entry.path.strip_prefix("./").unwrap_or(&entry.path);
            let path = below_day(day, path).to_owned();
            if let FileName::Never = file_name(&path) {
                return Err(bad(format!("lists {path:?}, which is no place of a data file")));
            }
            if !seen.insert(path.clone()) {
                return Err(bad(format!("lists {path:?} twice")));
            }
            if let Some(sha256) = &mut entry.sha256 {
                sha256.make_ascii_lowercase();
            }
            entry.path = path;
        }
        match manifest.rejected.iter().find(|entry| !is_rejected(&entry.path)) {
            Some(entry) => {
                Err(bad(format!("lists {:?} among its rejected rows, expected {REJECTED}.parquet", entry.path)))
            }
            None => Ok(manifest),
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|e| Error::internal(format!("the manifest cannot be written: {e}")).because(e))
    }
}
