//! The files of one day.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use bytes::Bytes;
use chrono::NaiveDate;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use super::failure::readable;
use super::manifest::{MANIFEST, Manifest, ManifestFile};
use super::naming::{FileName, OtherTable, Promise, below_day, file_name, folder_values, promise, stem};
use super::open::Lake;
use super::part::Part;
use super::tree::{Found, Tree};
use crate::config::UnknownFiles;
use crate::control::Cancel;
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

/// What the lake holds, by the names of its `dt=` folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// The days, in order.
    pub days: Vec<NaiveDate>,
    /// Folders such as `dt=2024-02-30/` and `dt=2024-5-2/`, which no step reads.
    pub misnamed: Vec<String>,
}

/// What lies in a `dt=` folder, before the manifest has its say.
pub(super) struct Listing {
    pub(super) manifest: Option<Manifest>,
    /// Data files by path below the lake, with all their bytes named.
    pub(super) parts: BTreeMap<String, Part>,
    pub(super) ignored: BTreeSet<String>,
    /// Parquet files that no dataset takes.
    unknown: Vec<String>,
    /// The first file in a folder that no dataset's folder may have.
    nested: Option<String>,
    tables: BTreeSet<OtherTable>,
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

    /// The files of one day. Parquet that no dataset takes is what `unknown_files` says.
    ///
    /// # Errors
    /// `NotFound` when the day has no data file at all; `Data` when `x.parquet` lies beside `x/`, when a folder of a dataset
    /// holds data in a folder that is not `key=value`, or when a file of the manifest is missing or of another size.
    pub async fn partition(&self, dt: NaiveDate, unknown_files: UnknownFiles) -> Result<Partition> {
        self.partition_if_any(dt, unknown_files).await?.ok_or_else(|| self.no_data(dt))
    }

    /// The error of a day without any data file.
    pub fn no_data(&self, dt: NaiveDate) -> Error {
        let (day, url) = (Self::day(dt), self.url());
        Error::not_found(format!("partition {day} is not there or holds no data file in {url}")).with("dt", dt)
    }

    /// The same; `None` for a day without any data file.
    ///
    /// # Errors
    /// As [`Self::partition`]; `NotFound` when the lake itself is not there.
    pub async fn partition_if_any(&self, dt: NaiveDate, unknown_files: UnknownFiles) -> Result<Option<Partition>> {
        let day = Self::day(dt);
        let mut listing = self.list(dt).await?;
        let has_manifest = listing.manifest.is_some();
        let rejected = listing.manifest.as_ref().map(|manifest| manifest.rejected.clone()).unwrap_or_default();
        let mut ignored = std::mem::take(&mut listing.ignored);
        let parts = match listing.manifest.take() {
            None => {
                listing.check(&day, unknown_files).map_err(|e| e.with("dt", dt))?;
                listing.parts.into_values().collect()
            }
            Some(manifest) => listed_parts(&day, &manifest, listing.parts, &mut ignored)?,
        };
        let mut files: BTreeMap<Dataset, Vec<Part>> = BTreeMap::new();
        for part in parts {
            files.entry(part.dataset).or_default().push(part);
        }
        if files.is_empty() {
            return Ok(None);
        }
        for parts in files.values_mut() {
            parts.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
            one_place(&day, parts).map_err(|e| e.with("dt", dt))?;
        }
        Ok(Some(Partition { dt, has_manifest, files, rejected, ignored: ignored.into_iter().collect() }))
    }

    /// Lists a day's folder; a day that is not there is empty.
    pub(super) async fn list(&self, dt: NaiveDate) -> Result<Listing> {
        let day = Self::day(dt);
        let store = self.store()?;
        let prefix = self.location(&day)?;
        // What stops the work drops this call.
        let never = Cancel::default();
        let tree = match self.local_file(&prefix)? {
            None => Tree::remote(self, &prefix, &never).await?,
            Some(folder) if folder.is_dir() => {
                let list = move || Tree::local(&folder, &never);
                tokio::task::spawn_blocking(list)
                    .await
                    .map_err(|e| Error::internal("listing a day broke off").because(e))??
            }
            Some(_) => Tree::default(),
        };
        let manifest = match tree.has_manifest() {
            true => self.read_manifest(store.as_ref(), &self.location(&format!("{day}/{MANIFEST}"))?, &day).await?,
            false => None,
        };
        let manifest = manifest.map(|bytes| Manifest::parse(&bytes, &day)).transpose()?;
        let mut listing = Listing {
            manifest,
            parts: BTreeMap::new(),
            ignored: tree.loops.iter().map(|folder| format!("{day}/{folder}")).collect(),
            unknown: Vec::new(),
            nested: None,
            tables: tree.tables,
        };
        for (below, file) in tree.files {
            if file.is_misspelt || Path::parse(&below).is_err() {
                let path = readable(&format!("{day}/{below}"));
                return Err(Error::data(format!(
                    "{path} has a name that no object can have; rename it or take it away"
                ))
                .with("file", path)
                .with("dt", dt));
            }
            listing.add(&day, &below, file);
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
    fn add(&mut self, day: &str, below: &str, file: Found) {
        let path = format!("{day}/{below}");
        match file_name(below) {
            FileName::Never => {}
            FileName::Nested => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.ignored.insert(format!("{folder}/"));
                self.nested.get_or_insert(path);
            }
            FileName::Unknown => {
                let folder = below.split_once('/').map(|(folder, _)| folder);
                let folder = folder.filter(|folder| Dataset::from_str(stem(folder).unwrap_or(folder)).is_err());
                // Of a folder that is not read its name is enough.
                self.ignored.insert(folder.map_or_else(|| path.clone(), |folder| format!("{day}/{folder}/")));
                if promise(below) == Promise::Parquet {
                    self.unknown.push(path);
                }
            }
            FileName::Data(dataset) => {
                let part = Part {
                    dataset,
                    path: path.clone(),
                    size_bytes: file.size_bytes,
                    modified_millis: file.modified_millis,
                    etag: file.etag,
                    folders: folder_values(below),
                    manifest_rows: None,
                    manifest_sha256: None,
                    origin: None,
                };
                self.parts.insert(path, part);
            }
        }
    }

    /// Refuses what would be left out without a word, or read as what it is not.
    fn check(&self, day: &str, unknown_files: UnknownFiles) -> Result<()> {
        if let Some(path) = &self.nested {
            return Err(Error::data(format!(
                "{path} lies in a folder that no dataset has, expected the file in the dataset's folder itself or in folders \
                 such as hour=08/; move it, or begin the folder's name with _"
            ))
            .with("file", path));
        }
        if let Some(table) =
            self.tables.iter().find(|table| self.parts.keys().any(|path| table.holds(below_day(day, path))))
        {
            let folder = format!("{day}/{}", table.folder);
            return Err(Error::data(format!(
                "{folder} is a table of {}, whose log alone knows which of its rows are valid; write its rows as Parquet, or \
                 name the valid files in {day}/{MANIFEST}",
                table.format
            ))
            .with("file", folder));
        }
        match (unknown_files, self.unknown.first()) {
            (UnknownFiles::Allow, _) | (_, None) => Ok(()),
            (UnknownFiles::Fail, Some(first)) => {
                let names: Vec<&str> = Dataset::ALL.iter().map(|dataset| dataset.name()).collect();
                let more = match self.unknown.len() - 1 {
                    0 => String::new(),
                    more => format!(" (and {more} more)"),
                };
                Err(Error::data(format!(
                    "{first}{more} is Parquet that no dataset takes, expected {}; rename it, begin its name with _, or allow \
                     such files (unknown_files = \"allow\")",
                    names.join(", ")
                ))
                .with("file", first))
            }
        }
    }
}

/// Refuses a dataset that is in two places: which of them is right nobody knows.
fn one_place(day: &str, parts: &[Part]) -> Result<()> {
    let place = |part: &Part| {
        let below = below_day(day, &part.path);
        below.split_once('/').map_or_else(|| below.to_owned(), |(folder, _)| format!("{folder}/"))
    };
    let places: BTreeSet<String> = parts.iter().map(place).collect();
    let mut places = places.iter();
    match (places.next(), places.next()) {
        (Some(one), Some(other)) => {
            let (folder, single) = if one.ends_with('/') { (one, other) } else { (other, one) };
            Err(Error::data(format!("{day}/{single} lies beside {day}/{folder}; keep one of the two"))
                .with("file", format!("{day}/{single}")))
        }
        _ => Ok(()),
    }
}

/// The parts a manifest lists, each there and of its size; other data files become `ignored`.
fn listed_parts(
    day: &str,
    manifest: &Manifest,
    mut parts: BTreeMap<String, Part>,
    ignored: &mut BTreeSet<String>,
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
    part.origin.clone_from(&entry.origin);
    Ok(part)
}
