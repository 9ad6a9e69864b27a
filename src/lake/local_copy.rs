//! A file or folder of any place as one of this machine, for formats that are read from files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, Error as StoreError, GetResult, ObjectStore, ObjectStoreExt};
use tempfile::{TempDir, TempPath};
use url::Url;

use super::address::Address;
use super::failure::{Scrub, file_error, spool_error, store_error};
use super::open::{Lake, retry, stoppable};
use super::tree::{At, Tree};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::scratch::scratch_folder;

/// The most bytes that are copied of one source. Feeds and packages are smaller; a server that claims more may send on and on
/// until the disk is full.
const MOST_BYTES: u64 = 8 << 30;
/// How long a web server may be silent, and how long it may take in all.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(3600);
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
        return from_web(source, spool, cancel).await;
    }
    let path = match Address::parse("source", source)? {
        Address::Local { path, .. } => path,
        Address::Remote { .. } => return from_store(source, options, spool, cancel).await,
    };
    let name = path.display().to_string();
    std::fs::metadata(&path).map_err(|e| file_error(e, "reading", &name))?;
    Ok(LocalCopy { name, path, _copied: Copied::Nothing })
}

/// Fetches what a web server has under an address, whose query may hold a key.
async fn from_web(source: &str, spool: Option<&FilePath>, cancel: &Cancel) -> Result<LocalCopy> {
    let url = Url::parse(source).map_err(|e| Error::config(format!("the source is no URL: {e}")))?;
    let shown = source.split('?').next().unwrap_or(source).to_owned();
    let secrets: Vec<String> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let scrub = Scrub::new(secrets.iter().map(String::as_str).chain(url.password()));
    let failed = |e: StoreError| store_error(e, &scrub, "reading", &shown);
    let client =
        ClientOptions::new().with_allow_http(true).with_read_timeout(LONGEST_SILENCE).with_timeout(LONGEST_DOWNLOAD);
    let store =
        HttpBuilder::new().with_url(source).with_client_options(client).with_retry(retry()).build().map_err(failed)?;
    let got = stoppable(cancel, store.get(&Path::default())).await?.map_err(failed)?;
    let file = copy(got, &shown, &mut Room::default(), spool, cancel, &failed).await?;
    Ok(LocalCopy { name: shown, path: file.to_path_buf(), _copied: Copied::File { _file: file } })
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
            let file = copy(got, &name, &mut Room::default(), spool, cancel, &failed).await?;
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
    let mut room = Room::default();
    for file in found {
        let At::Remote(location) = file.at else { continue };
        let got = stoppable(cancel, store.get(&location)).await?.map_err(failed)?;
        let spooled = copy(got, place.url(), &mut room, Some(&parent), cancel, &failed).await?;
        let path = folder.path().join(&file.below);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path())).map_err(spooling)?;
        spooled.persist(path).map_err(|e| spooling(e.error))?;
    }
    Ok(folder)
}

/// How many bytes of a source may still be copied.
struct Room(u64);

impl Default for Room {
    fn default() -> Self {
        Self(MOST_BYTES)
    }
}

impl Room {
    fn take(&mut self, bytes: u64, source: &str) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            Error::data(format!(
                "{source} has more than {MOST_BYTES} bytes, which is no feed; if it is one, download it and name the file"
            ))
            .with("source", source)
        })?;
        Ok(())
    }
}

async fn copy(
    got: GetResult,
    source: &str,
    room: &mut Room,
    spool: Option<&FilePath>,
    cancel: &Cancel,
    failed: &(impl Fn(StoreError) -> Error + Sync),
) -> Result<TempPath> {
    let (announced, mut written) = (got.meta.size, 0);
    room.take(announced, source)?;
    let folder = scratch_folder(spool, spool_error)?;
    let spooling = |e| spool_error(&folder, e);
    let mut file = tempfile::Builder::new().prefix("metropulse-").tempfile_in(&folder).map_err(spooling)?;
    let mut stream = got.into_stream().into_stream();
    while let Some(chunk) = stoppable(cancel, stream.next()).await? {
        let chunk = chunk.map_err(failed)?;
        written += chunk.len() as u64;
        if written > announced {
            break;
        }
        file.write_all(&chunk).map_err(spooling)?;
    }
    if written != announced {
        let what = if written > announced { "sends more than" } else { "ends before" };
        return Err(
            Error::storage(format!("{source} {what} the {announced} bytes that it announced")).with("source", source)
        );
    }
    file.flush().map_err(spooling)?;
    Ok(file.into_temp_path())
}
