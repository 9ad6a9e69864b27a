//! A copy in the spool, while it is written.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::failure::spool_error;
use crate::error::Result;
use crate::scratch::scratch_folder;

/// A file of the spool that is gone when it is dropped.
pub(super) struct Spooled {
    folder: PathBuf,
    file: NamedTempFile,
}

impl Spooled {
    /// Begins a file in `spool` (the system's temporary folder when unset), whose name ends in `suffix`.
    pub(super) fn begin(spool: Option<&Path>, suffix: &str) -> Result<Self> {
        let folder = scratch_folder(spool, spool_error)?;
        let file = tempfile::Builder::new().prefix("metropulse-").suffix(suffix).tempfile_in(&folder);
        let file = file.map_err(|e| spool_error(&folder, e))?;
        Ok(Self { folder, file })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| spool_error(&self.folder, e))
    }

    /// Where it lies.
    pub(super) fn end(mut self) -> Result<TempPath> {
        self.file.flush().map_err(|e| spool_error(&self.folder, e))?;
        Ok(self.file.into_temp_path())
    }
}
