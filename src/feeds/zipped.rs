//! Zips: what they list, and single files out of them, bounded.
#![allow(clippy::wildcard_enum_match_arm, reason = "other crates' errors may grow")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::Path;

use tempfile::TempPath;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::{ZipError, ZipResult};

use super::unpack;
use crate::error::{Error, Result};
use crate::scratch::scratch_folder;

/// What operating systems leave in archives.
const LITTER: [&str; 3] = ["desktop.ini", "Thumbs.db", ".DS_Store"];

/// Whether a path is none of whoever packed the archive.
pub(super) fn is_litter(path: &str) -> bool {
    let base = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| part == "__MACOSX") || base.starts_with("._") || LITTER.contains(&base)
}

/// Opens a zip; `name` is what messages call it.
pub(super) fn open_zip(path: &Path, name: &str) -> Result<ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(|e| unreadable(name, &e.to_string()))?;
    ZipArchive::new(BufReader::with_capacity(1 << 16, file)).map_err(|e| unreadable(name, &zip_says(&e)))
}

/// The files in a zip, with their sizes when unpacked. Some programs of Windows write a backslash where the standard has a slash.
pub(super) fn list_zip(path: &Path, name: &str) -> Result<BTreeMap<String, u64>> {
    let zip = open_zip(path, name)?;
    let mut found = BTreeMap::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_data(index).map_err(|e| unreadable(name, &zip_says(&e)))?;
        let inner = entry.name().map_err(|e| unreadable(name, &zip_says(&e)))?;
        let inner = inner.replace('\\', "/");
        if !entry.is_dir() && !inner.ends_with('/') && !is_litter(&inner) {
            found.insert(inner, entry.size());
        }
    }
    Ok(found)
}

/// The file of a zip that [`list_zip`] names so.
pub(super) fn listed<'a>(
    zip: &'a mut ZipArchive<BufReader<File>>,
    inner: &str,
) -> ZipResult<ZipFile<'a, BufReader<File>>> {
    match zip.index_for_name(inner) {
        Some(index) => zip.by_index(index),
        None => zip.by_name(&inner.replace('/', "\\")),
    }
}

/// Unpacks one file into `spool`; the system's temporary folder when unset.
pub(super) fn unpack_inner(
    path: &Path,
    name: &str,
    inner: &str,
    suffix: &str,
    spool: Option<&Path>,
) -> Result<TempPath> {
    let mut zip = open_zip(path, name)?;
    let entry = listed(&mut zip, inner).map_err(|e| unreadable(name, &zip_says(&e)))?;
    let packed = entry.compressed_size();
    let failed = |e: std::io::Error| unreadable(name, &format!("{inner}: {e}"));
    let folder = scratch_folder(spool, |_, e| failed(e))?;
    let mut file = tempfile::Builder::new().prefix("metropulse-").suffix(suffix).tempfile_in(folder).map_err(failed)?;
    std::io::copy(&mut unpack::Limited::new(entry, Some(packed)), &mut file).map_err(failed)?;
    file.flush().map_err(failed)?;
    Ok(file.into_temp_path())
}

/// What is wrong with a zip, and what helps.
pub(super) fn zip_says(error: &ZipError) -> String {
    match error {
        ZipError::InvalidArchive(_) => format!("it is no zip, or one that was cut short ({error}); fetch it again"),
        ZipError::UnsupportedArchive(_) => format!("{error}; pack it again with deflate and without a password"),
        other => other.to_string(),
    }
}

/// The error for a source that cannot be read.
pub(super) fn unreadable(name: &str, why: &str) -> Error {
    Error::data(format!("{name} cannot be read: {why}")).with("source", name)
}
