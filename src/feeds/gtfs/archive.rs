//! A feed's files: a zip or a folder, whichever sub-folder they stand in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempPath;

use super::super::unpack;
use super::super::zipped::{is_litter, list_zip, listed, open_zip, unpack_inner, unreadable, zip_says};
use crate::digest::{add_file, hex};
use crate::error::{Error, Result};

/// The files without which there is no timetable.
pub(super) const REQUIRED: [&str; 5] = ["agency.txt", "routes.txt", "trips.txt", "stop_times.txt", "stops.txt"];
/// More files than any feed has: a folder that is none.
const MOST_FILES: usize = 10_000;
const DEEPEST: usize = 8;

/// An opened feed, none of whose files is read yet.
#[derive(Debug)]
pub(super) struct Archive {
    /// The source, for messages.
    name: String,
    place: Place,
    /// The folder within, with a slash at its end unless it is the root.
    folder: String,
    /// Bytes by name within the folder.
    files: BTreeMap<String, u64>,
    /// Files that no reader takes, with their folder.
    others: Vec<String>,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Zip(PathBuf),
    /// A zip that was in a zip.
    Unpacked(TempPath),
}

impl Archive {
    /// Opens a zip or a folder; `chosen` names the folder within, when several hold a feed.
    pub(super) fn open(path: &Path, name: &str, chosen: Option<&str>, spool: Option<&Path>) -> Result<Self> {
        if path.is_dir() {
            let mut found = BTreeMap::new();
            list_folder(path, "", DEEPEST, &mut found).map_err(|e| unreadable(name, &e.to_string()))?;
            return Self::choose(name, Place::Folder(path.to_path_buf()), found, chosen);
        }
        let found = list_zip(path, name)?;
        let zips: Vec<&String> =
            found.keys().filter(|file| is_zip(file) && chosen.is_none_or(|c| c == *file)).collect();
        if let ([inner], true) = (zips.as_slice(), feed_folders(&found).is_empty()) {
            let unpacked = unpack_inner(path, name, inner, ".zip", spool)?;
            let found = list_zip(&unpacked, name)?;
            let chosen = chosen.filter(|chosen| chosen != inner);
            return Self::choose(name, Place::Unpacked(unpacked), found, chosen);
        }
        Self::choose(name, Place::Zip(path.to_path_buf()), found, chosen)
    }

    fn choose(name: &str, place: Place, found: BTreeMap<String, u64>, chosen: Option<&str>) -> Result<Self> {
        let folders = feed_folders(&found);
        let folder = match chosen {
            Some(chosen) => {
                let wanted = format!("{}/", chosen.trim_matches('/')).trim_start_matches('/').to_owned();
                folders.iter().find(|folder| **folder == wanted).cloned().ok_or_else(|| {
                    Error::not_found(format!("{name} has no feed in the folder {chosen:?}{}", named(&folders)))
                        .with("source", name)
                        .retryable(false)
                })?
            }
            None => only_folder(name, &found, folders)?,
        };
        let (mut files, mut others) = (BTreeMap::new(), Vec::new());
        for (file, bytes) in found {
            match file.strip_prefix(&folder) {
                Some(below) if !below.contains('/') => drop(files.insert(below.to_owned(), bytes)),
                Some(_) | None => others.push(file),
            }
        }
        let archive = Self { name: name.to_owned(), place, folder, files, others };
        match REQUIRED.into_iter().find(|required| !archive.files.contains_key(*required)) {
            None => Ok(archive),
            Some(missing) => {
                let folder = if archive.folder.is_empty() { String::new() } else { format!(" in {}", archive.folder) };
                Err(Error::schema(format!("{name} lacks {missing}{folder}, which every GTFS feed has"))
                    .with("source", name)
                    .with("file", missing))
            }
        }
    }

    /// Whether a file is there and holds anything.
    pub(super) fn has(&self, file: &str) -> bool {
        self.files.get(file).is_some_and(|bytes| *bytes > 0)
    }

    /// Files that no reader takes: extensions, and files of nobody's standard.
    pub(super) fn unread(&self, read: &[&str]) -> Vec<String> {
        let own = self.files.keys().filter(|file| !read.contains(&file.as_str()));
        own.cloned().chain(self.others.iter().cloned()).collect()
    }

    /// Reads one file through `work`, which sees its bytes without compression.
    pub(super) fn read<T>(&self, file: &str, work: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        let inner = format!("{}{file}", self.folder);
        let path: &Path = match &self.place {
            Place::Folder(folder) => {
                let opened = File::open(folder.join(&inner)).map_err(|e| self.unreadable(file, &e.to_string()))?;
                return work(&mut unpack::Limited::new(opened, None));
            }
            Place::Zip(path) => path,
            Place::Unpacked(path) => path,
        };
        let mut zip = open_zip(path, &self.name)?;
        let entry = listed(&mut zip, &inner).map_err(|e| self.unreadable(file, &zip_says(&e)))?;
        let packed = entry.compressed_size();
        unpack::beside(unpack::Limited::new(entry, Some(packed)), work)
    }

    /// The digest of everything that can decide the result: of a zip its bytes, of a folder the files by name.
    pub(super) fn sha256(&self) -> Result<String> {
        let mut digest = Sha256::new();
        let failed = |e: std::io::Error| unreadable(&self.name, &e.to_string());
        match &self.place {
            Place::Zip(path) => add_file(&mut digest, &mut File::open(path).map_err(failed)?).map_err(failed)?,
            Place::Unpacked(path) => add_file(&mut digest, &mut File::open(path).map_err(failed)?).map_err(failed)?,
            Place::Folder(folder) => {
                for (file, bytes) in &self.files {
                    digest.update(format!("{file}\0{bytes}\0"));
                    let mut input = File::open(folder.join(format!("{}{file}", self.folder))).map_err(failed)?;
                    add_file(&mut digest, &mut input).map_err(failed)?;
                }
            }
        }
        digest.update(self.folder.as_bytes());
        Ok(hex(&digest.finalize()))
    }

    fn unreadable(&self, file: &str, why: &str) -> Error {
        unreadable(&self.name, &format!("{file}: {why}")).with("file", file)
    }
}

/// The only folder that holds a feed; of several, the only one that holds a whole one.
fn only_folder(name: &str, found: &BTreeMap<String, u64>, folders: Vec<String>) -> Result<String> {
    let is_whole = |folder: &String| REQUIRED.iter().all(|file| found.contains_key(&format!("{folder}{file}")));
    let whole: Vec<String> = folders.iter().filter(|folder| is_whole(folder)).cloned().collect();
    let candidates = if whole.is_empty() { folders } else { whole };
    match candidates.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let zips: Vec<String> = found.keys().filter(|file| is_zip(file)).cloned().collect();
            let inside = if zips.is_empty() {
                String::new()
            } else {
                format!(
                    "; it holds {}: give one itself, or of a zip by folder (--folder on the command line)",
                    zips.join(", ")
                )
            };
            Err(Error::schema(format!("{name} holds no GTFS feed, expected {} in it{inside}", REQUIRED.join(", ")))
                .with("source", name))
        }
        several => Err(Error::config(format!(
            "{name} holds {} feeds{}; choose one with folder (--folder on the command line)",
            several.len(),
            named(several)
        ))
        .with("source", name)),
    }
}

fn named(folders: &[String]) -> String {
    let shown = folders
        .iter()
        .map(|folder| if folder.is_empty() { "the top (folder /)" } else { folder.trim_end_matches('/') });
    if folders.is_empty() { String::new() } else { format!(", in {}", shown.collect::<Vec<_>>().join(" and ")) }
}

/// The folders that hold any required file.
fn feed_folders(found: &BTreeMap<String, u64>) -> Vec<String> {
    let mut folders: Vec<String> = Vec::new();
    for file in found.keys() {
        let (folder, base) = file.rsplit_once('/').map_or(("", file.as_str()), |(folder, base)| (folder, base));
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        if REQUIRED.contains(&base) && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn is_zip(file: &str) -> bool {
    file.len() > 4 && file.as_bytes()[file.len() - 4..].eq_ignore_ascii_case(b".zip")
}

fn list_folder(root: &Path, below: &str, depth: usize, found: &mut BTreeMap<String, u64>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let metadata =
            std::fs::metadata(entry.path()).map_err(|e| std::io::Error::new(e.kind(), format!("{name}: {e}")))?;
        if metadata.is_dir() {
            if depth > 0 && !is_litter(&name) {
                list_folder(root, &format!("{name}/"), depth - 1, found)?;
            }
        } else if metadata.is_file() && !is_litter(&name) {
            found.insert(name, metadata.len());
        }
        if found.len() > MOST_FILES {
            return Err(std::io::Error::other(format!(
                "more than {MOST_FILES} files, expected the folder of one feed"
            )));
        }
    }
    Ok(())
}
