//! Files of any format, named by path, folder, URL or glob, and read whole: small ones into memory, large ones as a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use glob::Pattern;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::address::{Address, location};
use super::failure::{file_error, spool_error};
use super::find::object;
use super::open::{Lake, stoppable};
use super::pattern::{Glob, is_glob, local_matches};
use super::tree::{At, Found, Tree};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};
use crate::scratch::scratch_folder;

/// One file, not opened yet.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its path or URL, without secrets.
    pub name: String,
    /// Size in bytes when it was listed.
    pub size_bytes: u64,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Remote(Lake, Arc<dyn ObjectStore>, Path),
}

/// What a file holds.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Bytes(Bytes),
    /// A file of this machine, at its beginning; a spooled one goes with its handle.
    File(File),
}

/// The files behind names: each a path, a folder, a URL or a glob of either. In the order of the names, and of the paths
/// within each. Of a folder those that `accepts` takes by name; what a name or a glob says is taken as it is.
///
/// # Errors
/// `NotFound` when a name stands for no file; `Config` for a malformed name.
pub async fn objects(
    names: &[String],
    options: &BTreeMap<String, Secret>,
    accepts: fn(&str) -> bool,
    cancel: &Cancel,
) -> Result<Vec<Object>> {
    let mut found = Vec::new();
    for name in names {
        let before = found.len();
        let address = Address::parse("source", name)?;
        match &address {
            Address::Local { path, pattern } => local(path, pattern, accepts, cancel, &mut found)?,
            Address::Remote { key, .. } => {
                remote(&Lake::at(&address, options)?, key, accepts, cancel, &mut found).await?;
            }
        }
        if found.len() == before {
            let shown = address.shown();
            return Err(Error::not_found(format!("{shown} names no file that is read here")).with("source", shown));
        }
    }
    Ok(found)
}

fn local(
    path: &FilePath,
    pattern: &str,
    accepts: fn(&str) -> bool,
    cancel: &Cancel,
    found: &mut Vec<Object>,
) -> Result<()> {
    let matches = |pattern: &str| -> Result<Vec<PathBuf>> {
        Ok(local_matches(pattern)?.into_iter().map(|(_, path)| path).filter(|path| path.is_file()).collect())
    };
    let mut paths = Vec::new();
    if path.is_dir() {
        paths = matches(&format!("{}/**/*", Pattern::escape(path.to_string_lossy().trim_end_matches('/'))))?;
        paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(accepts));
    } else if is_glob(pattern) && !path.exists() {
        paths = matches(pattern)?;
    } else {
        paths.push(path.to_path_buf());
    }
    for path in paths {
        cancel.check()?;
        let name = path.display().to_string();
        let size_bytes = std::fs::metadata(&path).map_err(|e| file_error(e, "reading", &name))?.len();
        found.push(Object { name, size_bytes, place: Place::Local(path) });
    }
    Ok(())
}

async fn remote(
    lake: &Lake,
    key: &str,
    accepts: fn(&str) -> bool,
    cancel: &Cancel,
    found: &mut Vec<Object>,
) -> Result<()> {
    let store = lake.store()?;
    let mut take = |file: Found| found.push(Object::listed(lake, &store, file));
    if let Some(single) = object(lake, cancel).await? {
        take(single);
        return Ok(());
    }
    if is_glob(key) {
        let glob = Glob::new(key)?;
        let tree = Tree::remote(lake, &location("source", glob.place)?, cancel).await?;
        let matched = tree.files.into_iter().chain(tree.hidden).filter(|(below, _)| glob.matches(below));
        matched.for_each(|(_, file)| take(file));
        return Ok(());
    }
    let tree = Tree::remote(lake, &lake.root, cancel).await?;
    let accepted = tree.files.into_iter().filter(|(below, _)| accepts(below.rsplit('/').next().unwrap_or(below)));
    accepted.for_each(|(_, file)| take(file));
    Ok(())
}

impl Object {
    /// A file that was listed in a lake.
    pub(super) fn listed(lake: &Lake, store: &Arc<dyn ObjectStore>, found: Found) -> Self {
        let (name, place) = match found.at {
            At::Local(path) => (path.display().to_string(), Place::Local(path)),
            At::Remote(location) => (lake.name_of(&location), Place::Remote(lake.clone(), Arc::clone(store), location)),
        };
        Self { name, size_bytes: found.size_bytes, place }
    }

    /// Reads the file: into memory up to `in_memory_bytes`, else as a file of this machine (a remote one is spooled to
    /// `spool`, the system's temporary folder when unset).
    ///
    /// # Errors
    /// `Storage` and `NotFound` as the store says.
    pub async fn body(&self, in_memory_bytes: u64, spool: Option<&FilePath>, cancel: &Cancel) -> Result<Body> {
        let is_small = self.size_bytes <= in_memory_bytes;
        match &self.place {
            Place::Local(path) if is_small => {
                let bytes = tokio::fs::read(path).await.map_err(|e| file_error(e, "reading", &self.name))?;
                Ok(Body::Bytes(bytes.into()))
            }
            Place::Local(path) => File::open(path).map(Body::File).map_err(|e| file_error(e, "reading", &self.name)),
            Place::Remote(lake, store, location) => {
                let lost = |e| lake.failed(e, "reading", &self.name);
                let object = stoppable(cancel, store.get(location)).await?.map_err(lost)?;
                if is_small {
                    return stoppable(cancel, object.bytes()).await?.map(Body::Bytes).map_err(lost);
                }
                let folder = scratch_folder(spool, spool_error)?;
                let failed = |e| spool_error(&folder, e);
                let mut file = tempfile::tempfile_in(&folder).map_err(failed)?;
                let mut stream = object.into_stream();
                while let Some(chunk) = stoppable(cancel, stream.next()).await? {
                    file.write_all(&chunk.map_err(lost)?).map_err(failed)?;
                }
                file.seek(SeekFrom::Start(0)).map_err(failed)?;
                Ok(Body::File(file))
            }
        }
    }
}
