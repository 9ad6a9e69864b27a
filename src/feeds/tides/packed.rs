//! A package in a zip.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::super::zipped::{list_zip, unpack_inner};
use super::package::DESCRIPTOR;
use crate::error::{Error, Result};

/// A zip with a package at its top or in a folder of it.
#[derive(Debug)]
pub struct Packed {
    path: PathBuf,
    name: String,
    /// The folder within, with a slash at its end unless it is the top.
    folder: String,
    files: BTreeMap<String, u64>,
}

impl Packed {
    /// Looks for the package in a zip of this machine; `name` is what messages call it.
    ///
    /// # Errors
    /// `Data` for what is no zip, `Schema` for one that holds no package or several.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let files = list_zip(path, name)?;
        let folders: Vec<String> = files
            .keys()
            .filter_map(|file| file.strip_suffix(DESCRIPTOR))
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
            .map(str::to_owned)
            .collect();
        match folders.as_slice() {
            [folder] => Ok(Self { path: path.to_path_buf(), name: name.to_owned(), folder: folder.clone(), files }),
            [] => Err(Error::schema(format!("{name} holds no {DESCRIPTOR}, expected the one of a TIDES package"))
                .with("source", name)),
            several => Err(Error::schema(format!(
                "{name} holds {} packages, in {}; unpack it and name one",
                several.len(),
                several.iter().map(|folder| format!("{folder:?}")).collect::<Vec<_>>().join(" and ")
            ))
            .with("source", name)),
        }
    }

    /// Unpacks a file of the package into `spool`; `None` when it has no such file.
    pub fn unpack(&self, file: &str, spool: Option<&Path>) -> Result<Option<TempPath>> {
        let inner = format!("{}{file}", self.folder);
        if !self.files.contains_key(&inner) {
            return Ok(None);
        }
        unpack_inner(&self.path, &self.name, &inner, "", spool).map(Some)
    }
}
