//! The name of a feed in a lake of several agencies: before every id, and the part of a dataset that is the feed's.

use crate::error::{Error, Result};
use crate::lake::{ManifestFile, PartitionWriter};
use crate::model::Dataset;

/// Refuses a name that cannot stand before ids and in names of files.
pub(super) fn check(name: Option<&str>) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match name {
        Some(name) if name.is_empty() || name.starts_with(['.', '_']) || !name.chars().all(is_plain) => {
            Err(Error::config(format!(
                "feed is {name:?}, expected a short name of letters, digits, - and . such as agency-a"
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether a file, by its path below the day, holds rows of one of these datasets.
pub(super) fn is_of(path: &str, datasets: &[Dataset]) -> bool {
    let base = path.split(['/', '.']).next().unwrap_or(path);
    datasets.iter().any(|dataset| dataset.name() == base)
}

/// Refuses to put files of a named feed beside those of a feed without a name, or the other way around: a day that holds
/// both cannot be read.
pub(super) fn check_layout(
    writer: &PartitionWriter,
    name: Option<&str>,
    is_other: impl Fn(&ManifestFile) -> bool,
) -> Result<()> {
    match writer.files().find(|file| is_other(file)) {
        None => Ok(()),
        Some(file) => Err(Error::config(format!(
            "the day holds {} already, {}; give every feed of a lake a name, or none",
            file.path,
            if name.is_some() { "of a feed without a name" } else { "of a named feed" }
        ))
        .with("file", &file.path)),
    }
}
