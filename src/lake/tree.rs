//! What lies below a folder, of this machine or of an object store: listed by the same rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::failure::file_error;
use super::manifest::MANIFEST;
use super::naming::{OtherTable, Promise, is_hidden, other_table, promise};
use super::open::{Lake, stoppable};
use crate::control::Cancel;
use crate::error::Result;

/// One file, as listed.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its path below the place that was listed; of a file that was named itself, its name.
    pub(super) below: String,
    pub(super) at: At,
    pub(super) size_bytes: u64,
    pub(super) modified_millis: i64,
    /// What the object store says of its bytes.
    pub(super) etag: Option<String>,
    /// Whether the path has letters that [`Self::below`] cannot show.
    pub(super) is_misspelt: bool,
}

/// Where a file is.
#[derive(Clone, Debug)]
pub(super) enum At {
    Local(PathBuf),
    Remote(Path),
}

/// All that lies below a place.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The files without a hidden part in their path, bytewise by path.
    pub(super) files: BTreeMap<String, Found>,
    /// Hidden files, as far as they were listed.
    pub(super) hidden: BTreeMap<String, Found>,
    /// Tables of other formats.
    pub(super) tables: BTreeSet<OtherTable>,
    /// Links that lead back to a folder that they lie in; nothing new is behind them.
    pub(super) loops: Vec<String>,
}

impl Tree {
    fn take(&mut self, found: Found) {
        let below = found.below.clone();
        if let Some(table) = other_table(&below) {
            self.tables.insert(table);
        } else if below.split('/').any(is_hidden) {
            self.hidden.insert(below, found);
        } else if !below.is_empty() {
            self.files.insert(below, found);
        }
    }

    /// Takes out what some tools leave for a folder in an object store: an object without bytes.
    fn without_folder_marks(mut self) -> Self {
        let is_mark = |below: &String, found: &Found| {
            let inside = format!("{below}/");
            let has_inside =
                || self.files.range(inside.clone()..).next().is_some_and(|(key, _)| key.starts_with(&inside));
            found.size_bytes == 0 && (promise(below) == Promise::NoSuffix || has_inside())
        };
        let marks: Vec<String> = self.files.iter().filter(|(k, f)| is_mark(k, f)).map(|(k, _)| k.clone()).collect();
        marks.iter().for_each(|mark| drop(self.files.remove(mark)));
        self
    }

    /// Whether a manifest lies there.
    pub(super) fn has_manifest(&self) -> bool {
        self.hidden.contains_key(MANIFEST)
    }

    /// Lists a folder of an object store.
    pub(super) async fn remote(lake: &Lake, folder: &Path, cancel: &Cancel) -> Result<Self> {
        let store = lake.store()?;
        let listed = stoppable(cancel, store.list(Some(folder)).try_collect::<Vec<_>>()).await?;
        let mut listing = Self::default();
        for object in listed.map_err(|e| lake.failed(e, "listing", &lake.name_of(folder)))? {
            let below = object.location.prefix_match(folder);
            if let Some(below) = below.map(|parts| parts.map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().join("/")) {
                listing.take(Found::remote(below, object));
            }
        }
        Ok(listing.without_folder_marks())
    }

    /// Lists a folder of this machine. Links are followed, but not back to where they lie.
    pub(super) fn local(folder: &FilePath, cancel: &Cancel) -> Result<Self> {
        let mut listing = Self::default();
        let real = std::fs::canonicalize(folder).map_err(|e| file_error(e, "listing", folder.display()))?;
        let mut ahead = vec![(folder.to_path_buf(), String::new(), vec![real])];
        while let Some((folder, prefix, trail)) = ahead.pop() {
            cancel.check()?;
            let failed = |e| file_error(e, "listing", folder.display());
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let (path, name) = (entry.path(), entry.file_name());
                let below = format!("{prefix}{}", name.to_string_lossy());
                // A link to nowhere stands for nothing.
                let Ok(about) = std::fs::metadata(&path) else { continue };
                if !about.is_dir() {
                    let is_misspelt = name.to_str().is_none();
                    listing.take(Found { is_misspelt, ..Found::local(below, path, Some(&about)) });
                } else if let Some(table) = other_table(&below) {
                    listing.tables.insert(table);
                } else if !is_hidden(&name.to_string_lossy()) {
                    let real = std::fs::canonicalize(&path).map_err(failed)?;
                    if trail.iter().any(|passed| passed.starts_with(&real)) {
                        listing.loops.push(format!("{below}/"));
                        continue;
                    }
                    let mut trail = trail.clone();
                    trail.push(real);
                    ahead.push((path, format!("{below}/"), trail));
                }
            }
        }
        Ok(listing)
    }
}

impl Found {
    pub(super) fn local(below: String, path: PathBuf, about: Option<&std::fs::Metadata>) -> Self {
        let modified = about.and_then(|about| about.modified().ok());
        let modified = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Self {
            below,
            at: At::Local(path),
            size_bytes: about.map_or(0, std::fs::Metadata::len),
            modified_millis: modified.and_then(|age| i64::try_from(age.as_millis()).ok()).unwrap_or_default(),
            etag: None,
            is_misspelt: false,
        }
    }

    pub(super) fn remote(below: String, object: ObjectMeta) -> Self {
        Self {
            below,
            at: At::Remote(object.location),
            size_bytes: object.size,
            modified_millis: object.last_modified.timestamp_millis(),
            etag: object.e_tag,
            is_misspelt: false,
        }
    }
}
