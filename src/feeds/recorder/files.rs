//! Files that are there as a whole or not at all, also after the power went.
#![allow(clippy::wildcard_enum_match_arm, reason = "other crates' errors and kinds may grow")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How a file begins that is still written; the next recorder takes such away.
const UNFINISHED: &str = ".unfinished-";

/// Syncs the names in a folder.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file that is written next to where it shall be.
pub(super) fn unfinished(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)
}

/// Gives a file its name, once its bytes are synced; returns once the name is, too.
pub(super) fn finish(file: tempfile::NamedTempFile, folder: &Path, name: &str) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(folder.join(name)).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// Moves a folder; returns once both ends are synced.
pub(super) fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    [from, to].into_iter().filter_map(Path::parent).try_for_each(sync_folder)
}

/// Adds a line to a file, or nothing of it.
pub(super) fn append_line(file: &Path, mut line: Vec<u8>) -> io::Result<()> {
    line.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let before = file.metadata()?.len();
    let written = file.write_all(&line).and_then(|()| file.sync_data());
    if written.is_err() {
        // A part of a line would spoil the next; where even this fails, the next start cuts it off.
        let _ = file.set_len(before);
    }
    written
}

/// Cuts off a line that was not written to its end.
pub(super) fn cut_torn_line(file: &Path) -> io::Result<()> {
    let bytes = match std::fs::read(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == bytes.len() {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(file)?;
    file.set_len(whole as u64)?;
    file.sync_all()
}

/// Takes away what was still being written when its writer ended.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    for name in names(folder)?.into_iter().filter(|name| name.starts_with(UNFINISHED)) {
        std::fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

/// The names in a folder, bytewise.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The bytes of all files below a folder.
pub(super) fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let (path, about) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        bytes += if about.is_dir() { bytes_below(&path)? } else { about.len() };
    }
    Ok(bytes)
}

/// An error of the spool.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path: PathBuf = path.to_path_buf();
    move |error| {
        let what = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "there is no space left".to_owned(),
            io::ErrorKind::PermissionDenied => "there is no permission".to_owned(),
            _ => error.to_string(),
        };
        Error::storage(format!("the spool: {doing} {}: {what}", path.display()))
            .with("file", path.display())
            .because(error)
    }
}
