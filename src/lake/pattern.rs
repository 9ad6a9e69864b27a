//! Globs over paths. A hidden name is matched only by a pattern that begins as it does.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::failure::file_error;
use super::naming::is_hidden;
use crate::error::{Error, Result};

const WILDCARDS: [char; 3] = ['*', '?', '['];
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Whether a name holds wildcards.
pub(super) fn is_glob(name: &str) -> bool {
    name.contains(WILDCARDS)
}

/// A pattern below a place.
pub(super) struct Glob<'a> {
    /// What stands before the first part with a wildcard.
    pub(super) place: &'a str,
    pattern: Pattern,
    /// Of each part of the pattern that is meant for hidden names.
    hidden: Vec<Pattern>,
}

impl<'a> Glob<'a> {
    pub(super) fn new(name: &'a str) -> Result<Self> {
        let wild = name.find(WILDCARDS).unwrap_or(name.len());
        let (place, pattern) = name.split_at(name[..wild].rfind('/').map_or(0, |slash| slash + 1));
        let compiled = |text: &str| {
            Pattern::new(text).map_err(|e| Error::config(format!("{name} is no glob: {e}")).with("source", name))
        };
        let hidden = pattern.split('/').filter(|part| is_hidden(part)).map(compiled).collect::<Result<_>>()?;
        Ok(Self { place: place.trim_end_matches('/'), pattern: compiled(pattern)?, hidden })
    }

    /// Whether it matches a path below the place.
    pub(super) fn matches(&self, below: &str) -> bool {
        self.pattern.matches_with(below, OPTIONS) && self.shows(below)
    }

    /// What stands behind the first folder of a path that it matches.
    pub(super) fn matches_folder_of<'b>(&self, below: &'b str) -> Option<&'b str> {
        let ends = below.match_indices('/').map(|(at, _)| at);
        ends.into_iter().find(|&at| self.matches(&below[..at])).map(|at| &below[at + 1..])
    }

    fn shows(&self, below: &str) -> bool {
        below.split('/').filter(|part| is_hidden(part)).all(|part| {
            let mut meant = self.hidden.iter().filter(|pattern| pattern.as_str().chars().next() == part.chars().next());
            meant.any(|pattern| pattern.matches_with(part, OPTIONS))
        })
    }
}

/// What a pattern matches on this machine, files and folders, each with its path below the place before the first wildcard.
pub(super) fn local_matches(pattern: &str) -> Result<Vec<(String, PathBuf)>> {
    let glob = Glob::new(pattern)?;
    let place = if glob.place.is_empty() && pattern.starts_with('/') { "/" } else { glob.place };
    // The glob crate leaves a leading "./" out of what it finds.
    let place = Path::new(place).strip_prefix(".").unwrap_or(Path::new(place));
    let found = glob::glob_with(pattern, OPTIONS)
        .map_err(|e| Error::config(format!("{pattern} is no glob: {e}")).with("source", pattern))?;
    let mut matches = Vec::new();
    for path in found {
        let path =
            path.map_err(|e| file_error(std::io::Error::new(e.error().kind(), e.to_string()), "listing", pattern))?;
        let below = path.strip_prefix(place).unwrap_or(&path).to_string_lossy().into_owned();
        if glob.shows(&below) {
            matches.push((below, path));
        }
    }
    Ok(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_matched_only_where_they_are_meant() {
        let glob = |name: &'static str| Glob::new(name).unwrap();
        assert_eq!(glob("a/b/x*/c.parquet").place, "a/b");
        for (pattern, below, expected) in [
            ("*/x.parquet", "a/x.parquet", true),
            ("*/x.parquet", "_temporary/x.parquet", false),
            ("_*/x.parquet", "_temporary/x.parquet", true),
            ("**/*.parquet", "_temporary/0/x.parquet", false),
            ("**/*.parquet", "a/b/x.parquet", true),
            ("*.parquet", "a/x.parquet", false),
            ("dt=*", "dt=1/x.parquet", false),
        ] {
            assert_eq!(glob(pattern).matches(below), expected, "{pattern} {below}");
        }
        assert_eq!(glob("dt=*/t*").matches_folder_of("dt=1/trips.parquet/a/b.parquet"), Some("a/b.parquet"));
        assert_eq!(glob("dt=*/t*").matches_folder_of("dt=1/x/b.parquet"), None);
    }
}
