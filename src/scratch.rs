//! The folder for temporary files: the one that the caller named, else the system's.

use std::io;
use std::path::{Path, PathBuf};

/// The folder for temporary files, made where it is missing; `failed` makes the error of one that cannot be made.
pub fn scratch_folder<E>(spool: Option<&Path>, failed: impl FnOnce(&Path, io::Error) -> E) -> Result<PathBuf, E> {
    let folder = spool.map_or_else(std::env::temp_dir, Path::to_path_buf);
    match std::fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(e) => Err(failed(&folder, e)),
    }
}
