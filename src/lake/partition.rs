//! The files of one day.

use std::collections::BTreeMap;
use std::str::FromStr;

use bytes::Bytes;
use chrono::NaiveDate;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::failure::readable;
use super::manifest::{MANIFEST, Manifest, ManifestFile};
use super::open::Lake;
use crate::error::{Error, Result};
use crate::model::Dataset;

/// The files of one day, as listed.
#[derive(Clone, Debug)]
pub struct Partition {
    /// The producer's day.
    pub dt: NaiveDate,
    /// Whether a manifest marks the day complete.
    pub has_manifest: bool,
    /// The parts of each dataset, bytewise by name; datasets without a file are absent.
    pub files: BTreeMap<Dataset, Vec<Part>>,
    /// Files of rows that could not be used when the day was made of a feed, as the manifest lists them.
    pub rejected: Vec<ManifestFile>,
    /// Files that are not read, as `dt=2024-05-01/notes.txt`; hidden names are left out.
    pub ignored: Vec<String>,
}

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
    /// Rows by the manifest.
    pub manifest_rows: Option<u64>,
    /// SHA-256 by the manifest, in lower-case hexadecimal digits.
    pub manifest_sha256: Option<String>,
}

/// What the lake holds, by the names of its `dt=` folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// The days, in order.
    pub days: Vec<NaiveDate>,
    /// Folders such as `dt=2024-02-30/` and `dt=2024-5-2/`, which no step reads.
    pub misnamed: Vec<String>,
}

/// What a path below a `dt=` folder names.
pub(super) enum FileName {
    /// A file of a dataset.
    Data(Dataset),
    /// A hidden name or a nested folder of a dataset, or a path that leaves the partition: never read.
    Never,
    /// Anything else.
    Unknown,
}

/// Judges a path relative to its `dt=` folder.
pub(super) fn file_name(path: &str) -> FileName {
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|s| s.is_empty() || s.starts_with(['.', '_'])) {
        return FileName::Never;
    }
    match segments.as_slice() {
        [file] => match file.strip_suffix(".parquet").map(Dataset::from_str) {
            Some(Ok(dataset)) => FileName::Data(dataset),
            _ => FileName::Unknown,
        },
        [folder, rest @ ..] => match (Dataset::from_str(folder), rest.len()) {
            (Ok(dataset), 1) => FileName::Data(dataset),
            (Ok(_), _) => FileName::Never,
            _ => FileName::Unknown,
        },
        [] => FileName::Never,
    }
}

/// What lies in a `dt=` folder, before the manifest has its say.
pub(super) struct Listing {
    pub(super) manifest: Option<Manifest>,
    /// Data files by path below the lake, with all their bytes named.
    pub(super) parts: BTreeMap<String, Part>,
    pub(super) ignored: Vec<String>,
}

impl Lake {
    /// The name of a day's folder.
    pub(super) fn day(dt: NaiveDate) -> String {
        format!("dt={}", dt.format("%Y-%m-%d"))
    }

    /// The location of a path below the lake.
    pub(super) fn location(&self, path: &str) -> Result<Path> {
        let below = Path::parse(path).map_err(|e| self.failed(e.into(), "naming", path))?;
        Ok(self.root.parts().chain(below.parts()).collect())
    }

    /// The days that have a partition, in order.
    ///
    /// # Errors
    /// `NotFound` when the lake itself is not there, `Storage` when it cannot be listed.
    pub async fn days(&self) -> Result<Vec<NaiveDate>> {
        Ok(self.folders().await?.days)
    }

    /// The days that have a partition, and the folders that look like one and name no day.
    ///
    /// # Errors
    /// `NotFound` when the lake itself is not there, `Storage` when it cannot be listed.
    pub async fn folders(&self) -> Result<Folders> {
        let mut folders = Folders::default();
        for name in self.top_names().await? {
            let Some(written) = name.strip_prefix("dt=") else { continue };
            match written.parse::<NaiveDate>() {
                Ok(day) if day.format("%Y-%m-%d").to_string() == written => folders.days.push(day),
                _ => folders.misnamed.push(format!("{}/", readable(&name))),
            }
        }
        folders.days.sort_unstable();
        folders.misnamed.sort_unstable();
        Ok(folders)
    }

    /// The names of the folders in the lake that hold anything. A folder of this machine is not asked for by the store,
    /// which fails as a whole at a name that no object can have.
    async fn top_names(&self) -> Result<Vec<String>> {
        if let Some(names) = self.folder_names()? {
            return Ok(names);
        }
        let listed = self.store()?.list_with_delimiter(Some(&self.root)).await;
        let listed = listed.map_err(|e| self.failed(e, "listing", self.url()))?;
        Ok(listed.common_prefixes.iter().filter_map(Path::filename).map(str::to_owned).collect())
    }

    /// The files of one day.
    ///
    /// # Errors
    /// `NotFound` when the day has no data file at all; `Data` when `x.parquet` lies beside `x/`, or when a file of
    /// the manifest is missing or of another size.
    pub async fn partition(&self, dt: NaiveDate) -> Result<Partition> {
        let day = Self::day(dt);
        let mut listing = self.list(dt).await?;
        let has_manifest = listing.manifest.is_some();
        let rejected = listing.manifest.as_ref().map(|manifest| manifest.rejected.clone()).unwrap_or_default();
        let mut ignored = std::mem::take(&mut listing.ignored);
        let parts = match listing.manifest.take() {
            None => listing.parts.into_values().collect(),
            Some(manifest) => listed_parts(&day, &manifest, listing.parts, &mut ignored)?,
        };
        let mut files: BTreeMap<Dataset, Vec<Part>> = BTreeMap::new();
        for part in parts {
            files.entry(part.dataset).or_default().push(part);
        }
        if files.is_empty() {
            let what = if has_manifest || !ignored.is_empty() { "holds no data file" } else { "is not there" };
            return Err(Error::not_found(format!("partition {day} {what} in {}", self.url())).with("dt", dt));
        }
        for (dataset, parts) in &mut files {
            parts.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
            let single = format!("{day}/{dataset}.parquet");
            if parts.len() > 1 && parts.iter().any(|p| p.path == single) {
                return Err(Error::data(format!(
                    "{single} lies beside the folder {day}/{dataset}/; keep one of the two"
                ))
                .with("file", single)
                .with("dt", dt));
            }
        }
        ignored.sort();
        Ok(Partition { dt, has_manifest, files, rejected, ignored })
    }

    /// Lists a day's folder; a day that is not there is empty.
    pub(super) async fn list(&self, dt: NaiveDate) -> Result<Listing> {
        let day = Self::day(dt);
        let store = self.store()?;
        let prefix = self.location(&day)?;
        let mut listing = Listing { manifest: None, parts: BTreeMap::new(), ignored: Vec::new() };
        let failed = |e| self.failed(e, "listing", &day);
        let top = match store.list_with_delimiter(Some(&prefix)).await {
            Err(StoreError::NotFound { .. }) if self.is_folder() => return Ok(listing),
            other => other.map_err(failed)?,
        };
        let mut objects = top.objects;
        for folder in top.common_prefixes {
            let name = folder.filename().unwrap_or_default().to_owned();
            if Dataset::from_str(&name).is_err() {
                if !name.starts_with(['.', '_']) {
                    listing.ignored.push(format!("{day}/{name}/"));
                }
                continue;
            }
            let inner = store.list_with_delimiter(Some(&folder)).await.map_err(failed)?;
            objects.extend(inner.objects.into_iter().filter(|o| o.location != folder));
            listing.ignored.extend(inner.common_prefixes.iter().filter_map(|nested| {
                let nested = nested.filename().filter(|n| !n.starts_with(['.', '_']))?;
                Some(format!("{day}/{name}/{nested}/"))
            }));
        }
        let manifest = self.location(&format!("{day}/{MANIFEST}"))?;
        for object in objects {
            if object.location == manifest {
                let bytes = self.read_manifest(store.as_ref(), &manifest, &day).await?;
                listing.manifest = bytes.map(|b| Manifest::parse(&b, &day)).transpose()?;
            } else if let Some(parts) = object.location.prefix_match(&prefix) {
                let below = parts.map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().join("/");
                listing.add(&day, &below, &object);
            }
        }
        Ok(listing)
    }

    async fn read_manifest(&self, store: &dyn ObjectStore, location: &Path, day: &str) -> Result<Option<Bytes>> {
        let failed = |e| self.failed(e, "reading", &format!("{day}/{MANIFEST}"));
        match store.get(location).await {
            // Removed between the listing and now: the day is being written again.
            Err(StoreError::NotFound { .. }) => Ok(None),
            other => Ok(Some(other.map_err(failed)?.bytes().await.map_err(failed)?)),
        }
    }
}

impl Listing {
    fn add(&mut self, day: &str, below: &str, object: &ObjectMeta) {
        let path = format!("{day}/{below}");
        match file_name(below) {
            // Markers of folders, as some tools leave them in object stores, have no bytes and no suffix.
            _ if below.is_empty() => {}
            FileName::Never => {}
            FileName::Unknown if object.size == 0 && Dataset::from_str(below).is_ok() => {}
            FileName::Unknown => self.ignored.push(path),
            FileName::Data(dataset) => {
                let part = Part {
                    dataset,
                    path: path.clone(),
                    size_bytes: object.size,
                    modified_millis: object.last_modified.timestamp_millis(),
                    manifest_rows: None,
                    manifest_sha256: None,
                };
                self.parts.insert(path, part);
            }
        }
    }
}

/// The parts a manifest lists, each there and of its size; other data files become `ignored`.
fn listed_parts(
    day: &str,
    manifest: &Manifest,
    mut parts: BTreeMap<String, Part>,
    ignored: &mut Vec<String>,
) -> Result<Vec<Part>> {
    let mut listed = Vec::with_capacity(manifest.files.len());
    for entry in &manifest.files {
        if matches!(file_name(&entry.path), FileName::Data(_)) {
            listed.push(listed_part(day, entry, &mut parts)?);
        }
    }
    ignored.extend(parts.into_keys());
    Ok(listed)
}

fn listed_part(day: &str, entry: &ManifestFile, parts: &mut BTreeMap<String, Part>) -> Result<Part> {
    let path = format!("{day}/{}", entry.path);
    let Some(mut part) = parts.remove(&path) else {
        return Err(Error::data(format!("{path} is listed in {day}/{MANIFEST} but is not there")).with("file", path));
    };
    if let Some(bytes) = entry.bytes.filter(|bytes| *bytes != part.size_bytes) {
        return Err(Error::data(format!(
            "{path} has {} bytes, {day}/{MANIFEST} says {bytes}; write the partition again",
            part.size_bytes
        ))
        .with("file", path));
    }
    part.manifest_rows = entry.rows;
    part.manifest_sha256.clone_from(&entry.sha256);
    Ok(part)
}
