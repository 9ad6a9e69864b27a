//! A file or folder of any place as one of this machine, for formats that are read from files.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, GetResult, ObjectStore, ObjectStoreExt};
use tempfile::{TempDir, TempPath};

use super::address::Address;
use super::bytes_left::BytesLeft;
use super::download::download;
use super::failure::{file_error, spool_error};
use super::open::{Lake, stoppable};
use super::spooled::Spooled;
use super::tree::{At, Tree};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::scratch::scratch_folder;

/// More files than any feed has: a folder that is none must not fill a disk.
const MOST_FILES: usize = 10_000;

/// A file or folder of this machine. What was copied goes with it.
#[derive(Debug)]
pub struct LocalCopy {
    /// The source, without secrets.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    _copied: Copied,
}

#[derive(Debug)]
enum Copied {
    Nothing,
    File { _file: TempPath },
    Folder { _folder: TempDir },
}

/// Makes a path or URL readable from this machine: a local one in place, an object or all objects below a prefix, in their
/// folders, in `spool` (the system's temporary folder when unset).
///
/// # Errors
/// `NotFound` when nothing is there; `Storage` as the store says; `Data` when it is more than is copied; `Config` for a
/// malformed name and for a prefix with more objects than a feed has.
pub async fn local_copy(
    source: &str,
    options: &BTreeMap<String, Secret>,
    spool: Option<&FilePath>,
    cancel: &Cancel,
) -> Result<LocalCopy> {
    if let Some(("http" | "https", _)) = source.split_once("://") {
        // A query may hold a key.
        let name = source.split('?').next().unwrap_or(source).to_owned();
        let file = download(source, &name, spool, cancel).await?;
        return Ok(LocalCopy { name, path: file.to_path_buf(), _copied: Copied::File { _file: file } });
    }
    let path = match Address::parse("source", source)? {
        Address::Local { path, .. } => path,
        Address::Remote { .. } => return from_store(source, options, spool, cancel).await,
    };
    let name = path.display().to_string();
    std::fs::metadata(&path).map_err(|e| file_error(e, "reading", &name))?;
    Ok(LocalCopy { name, path, _copied: Copied::Nothing })
}

async fn from_store(
    source: &str,
    options: &BTreeMap<String, Secret>,
    spool: Option<&FilePath>,
    cancel: &Cancel,
) -> Result<LocalCopy> {
    let place = Lake::open(source, options)?;
    let name = place.url().to_owned();
    let failed = |e: StoreError| place.failed(e, "reading", &name);
    let store = place.store()?;
    match stoppable(cancel, store.get(&place.root)).await? {
        Ok(got) if !place.root.is_root() => {
            let file = copy(got, &name, &mut BytesLeft::default(), spool, cancel, &failed).await?;
            Ok(LocalCopy { path: file.to_path_buf(), name, _copied: Copied::File { _file: file } })
        }
        Ok(_) | Err(StoreError::NotFound { .. }) => {
            let folder = copy_folder(&place, &store, spool, cancel).await?;
            Ok(LocalCopy { path: folder.path().to_path_buf(), name, _copied: Copied::Folder { _folder: folder } })
        }
        Err(e) => Err(failed(e)),
    }
}

async fn copy_folder(
    place: &Lake,
    store: &Arc<dyn ObjectStore>,
    spool: Option<&FilePath>,
    cancel: &Cancel,
) -> Result<TempDir> {
    let tree = Tree::remote(place, &place.root, cancel).await?;
    let found: Vec<_> = tree.files.into_values().chain(tree.hidden.into_values()).collect();
    let wrong = |error: Error| Err(error.with("source", place.url()));
    match found.len() {
        0 => return wrong(Error::not_found(format!("{} is not there", place.url()))),
        1..=MOST_FILES => {}
        more => {
            let url = place.url();
            return wrong(Error::config(format!(
                "{url} has {more} objects, expected the folder of one feed with at most {MOST_FILES}"
            )));
        }
    }
    let failed = |e: StoreError| place.failed(e, "reading", place.url());
    let parent = scratch_folder(spool, spool_error)?;
    let spooling = |e| spool_error(&parent, e);
    let folder = tempfile::Builder::new().prefix("metropulse-").tempdir_in(&parent).map_err(spooling)?;
    let mut left = BytesLeft::default();
    for file in found {
        let At::Remote(location) = file.at else { continue };
        let got = stoppable(cancel, store.get(&location)).await?.map_err(failed)?;
        let spooled = copy(got, place.url(), &mut left, Some(&parent), cancel, &failed).await?;
        let path = folder.path().join(&file.below);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path())).map_err(spooling)?;
        spooled.persist(path).map_err(|e| spooling(e.error))?;
    }
    Ok(folder)
}

async fn copy(
    got: GetResult,
    source: &str,
    left: &mut BytesLeft,
    spool: Option<&FilePath>,
    cancel: &Cancel,
    failed: &(impl Fn(StoreError) -> Error + Sync),
) -> Result<TempPath> {
    let (announced, mut written) = (got.meta.size, 0);
    left.take(announced, source)?;
    let mut file = Spooled::begin(spool, "")?;
    let mut stream = got.into_stream().into_stream();
    while let Some(chunk) = stoppable(cancel, stream.next()).await? {
        let chunk = chunk.map_err(failed)?;
        written += chunk.len() as u64;
        if written > announced {
            break;
        }
        file.write(&chunk)?;
    }
    if written != announced {
        let what = if written > announced { "sends more than" } else { "ends before" };
        return Err(
            Error::storage(format!("{source} {what} the {announced} bytes that it announced")).with("source", source)
        );
    }
    file.end()
}
