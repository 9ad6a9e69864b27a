//! The files behind a name: a path, a folder, a URL or a glob, of this machine or of an object store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::address::{Address, location};
use super::failure::file_error;
use super::naming::{OtherTable, Promise, TABLE_MARKS, folder_value, is_hidden, other_table, promise};
use super::open::{Lake, stoppable};
use super::pattern::{Glob, is_glob, local_matches};
use super::tree::{At, Found, Tree};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};

/// Requests to an object store that are under way at once.
pub const REQUESTS: usize = 32;
/// What a Parquet file begins with.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

/// What a name stands for.
pub(super) struct Named {
    /// The store, if it is not this machine.
    pub(super) lake: Option<Lake>,
    pub(super) files: Vec<Found>,
}

/// The files behind a name: a path, a folder, a URL or a glob of either; each match of a glob as if it was named itself.
/// In the order of their paths.
///
/// # Errors
/// `Config` for a malformed name; `Data` for a table of another format, unless `plain_files`.
pub(super) async fn named(
    name: &str,
    options: &BTreeMap<String, Secret>,
    plain_files: bool,
    cancel: &Cancel,
) -> Result<Named> {
    let address = Address::parse("source", name)?;
    let search = match &address {
        Address::Local { path, pattern } => Search::local(path, pattern, cancel)?,
        Address::Remote { key, .. } => {
            let lake = Lake::at(&address, options)?;
            Search::remote(&lake, key, cancel).await?
        }
    };
    if !plain_files {
        search.refuse_other_tables(name)?;
    }
    search.looked_into(cancel).await
}

/// What was found of a name so far.
#[derive(Default)]
struct Search {
    lake: Option<Lake>,
    /// By path; those of which only their first bytes tell whether they are data are marked.
    files: BTreeMap<String, (Found, bool)>,
    tables: BTreeSet<OtherTable>,
}

impl Search {
    fn local(path: &FilePath, pattern: &str, cancel: &Cancel) -> Result<Self> {
        let mut search = Self::default();
        if path.is_dir() {
            search.folder("", Tree::local(path, cancel)?);
            for above in above(path.to_string_lossy().as_ref()) {
                search.tables.extend(local_table(FilePath::new(&above), "")?);
            }
        } else if is_glob(pattern) && !path.exists() {
            let mut looked = BTreeSet::new();
            for (below, found) in local_matches(pattern)? {
                cancel.check()?;
                if found.is_dir() {
                    search.folder(&format!("{below}/"), Tree::local(&found, cancel)?);
                } else {
                    search.file(Found::local(below.clone(), found.clone(), std::fs::metadata(&found).ok().as_ref()));
                }
                // The logs of tables lie beside what was matched, in any folder from there up to the first wildcard.
                let depth = below.split('/').count();
                for (folder, up) in found.ancestors().skip(1).take(depth).zip(1..) {
                    let names: Vec<&str> = below.split('/').collect();
                    if looked.insert(folder.to_path_buf()) {
                        search.tables.extend(local_table(folder, &names[..depth - up].join("/"))?);
                    }
                }
            }
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            search.file(Found::local(name, path.to_path_buf(), std::fs::metadata(path).ok().as_ref()));
        }
        Ok(search)
    }

    async fn remote(lake: &Lake, key: &str, cancel: &Cancel) -> Result<Self> {
        let mut search = Self { lake: Some(lake.clone()), ..Self::default() };
        let (single, tree) = futures::future::join(object(lake, cancel), Tree::remote(lake, &lake.root, cancel)).await;
        let single = single?;
        // An object without bytes may stand for a folder.
        if let Some(single) = single.as_ref().filter(|single| single.size_bytes > 0) {
            search.file(single.clone());
            return Ok(search);
        }
        let tree = tree?;
        if single.is_none() && tree.files.is_empty() && is_glob(key) {
            let glob = Glob::new(key)?;
            let place = location("source", glob.place)?;
            search.matches(&glob, Tree::remote(lake, &place, cancel).await?);
            return Ok(search);
        }
        search.folder("", tree);
        for above in above(key) {
            search.tables.extend(remote_table(lake, &location("source", &above)?, cancel).await?);
        }
        if let (true, Some(single)) = (search.files.is_empty(), single) {
            search.file(single);
        }
        Ok(search)
    }

    fn file(&mut self, found: Found) {
        self.files.insert(found.below.clone(), (found, false));
    }

    /// Takes the data of a folder.
    fn folder(&mut self, prefix: &str, listing: Tree) {
        for (inside, mut found) in listing.files {
            let promise = promise(&inside);
            if promise != Promise::Other {
                found.below = format!("{prefix}{inside}");
                self.files.entry(found.below.clone()).or_insert((found, promise == Promise::NoSuffix));
            }
        }
        let below = |table: OtherTable| {
            let folder = format!("{prefix}{}", table.folder);
            OtherTable { folder: folder.trim_end_matches('/').to_owned(), ..table }
        };
        self.tables.extend(listing.tables.into_iter().map(below));
    }

    /// Takes what a glob matches in a listing of the place before its first wildcard.
    fn matches(&mut self, glob: &Glob<'_>, listing: Tree) {
        for (below, found) in listing.files.into_iter().chain(listing.hidden) {
            if glob.matches(&below) {
                self.file(found);
            } else if let Some(rest) = glob.matches_folder_of(&below)
                && !rest.split('/').any(is_hidden)
                && promise(rest) != Promise::Other
            {
                let is_unsure = promise(rest) == Promise::NoSuffix;
                self.files.entry(below).or_insert((found, is_unsure));
            }
        }
        self.tables.extend(listing.tables);
    }

    fn refuse_other_tables(&self, name: &str) -> Result<()> {
        match self.tables.iter().find(|table| self.files.keys().any(|below| table.holds(below))) {
            None => Ok(()),
            Some(OtherTable { folder, format }) => {
                let place = if folder.is_empty() { String::new() } else { format!(" (at {folder}/)") };
                Err(Error::data(format!(
                    "{name} holds a table of {format}{place}, whose log alone knows which of its rows are valid; read it \
                     with a {format} client and pass the Arrow stream, or ask for its files as they are (plain_files)"
                ))
                .with("source", name))
            }
        }
    }

    /// Leaves out files without a suffix that do not begin as Parquet does.
    async fn looked_into(self, cancel: &Cancel) -> Result<Named> {
        let lake = self.lake.as_ref();
        let store = lake.map(Lake::store).transpose()?;
        let (lake, store) = (&lake, &store);
        let looks = self.files.into_values().map(|(found, is_unsure)| async move {
            let is_data = !is_unsure || begins_as_parquet(*lake, store.as_ref(), &found, cancel).await?;
            Ok::<_, Error>(is_data.then_some(found))
        });
        let looks: Vec<_> = looks.collect();
        let files = futures::stream::iter(looks).buffered(REQUESTS).try_collect::<Vec<_>>().await?;
        Ok(Named { lake: self.lake, files: files.into_iter().flatten().collect() })
    }
}

/// The object that a lake's own name is, if it is one.
pub(super) async fn object(lake: &Lake, cancel: &Cancel) -> Result<Option<Found>> {
    if lake.root.is_root() {
        return Ok(None);
    }
    match stoppable(cancel, lake.store()?.head(&lake.root)).await? {
        Ok(object) => Ok(Some(Found::remote(lake.root.filename().unwrap_or_default().to_owned(), object))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(lake.failed(e, "reading", lake.url())),
    }
}

async fn begins_as_parquet(
    lake: Option<&Lake>,
    store: Option<&Arc<dyn ObjectStore>>,
    found: &Found,
    cancel: &Cancel,
) -> Result<bool> {
    match (&found.at, lake, store) {
        (At::Remote(location), Some(lake), Some(store)) => {
            let range = 0..found.size_bytes.min(MAGIC.len() as u64);
            let begin = stoppable(cancel, store.get_range(location, range)).await?;
            Ok(begin.map_err(|e| lake.failed(e, "reading", location.as_ref()))?.as_ref() == MAGIC)
        }
        (At::Local(path), ..) => {
            let failed = |e| file_error(e, "reading", path.display());
            let mut begin = Vec::new();
            let file = std::fs::File::open(path).map_err(failed)?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, MAGIC.len() as u64), &mut begin)
                .map_err(failed)?;
            Ok(begin == MAGIC)
        }
        (At::Remote(_), ..) => Err(Error::internal("a remote file was found without a store")),
    }
}

/// The folders above one that is named by `key=value`: it may be a part of a table there.
fn above(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = path.trim_end_matches('/');
    while let Some((parent, name)) = rest.rsplit_once('/')
        && folder_value(name).is_some()
    {
        found.push(parent.to_owned());
        rest = parent;
    }
    found
}

/// The table of another format that a folder of an object store is.
async fn remote_table(lake: &Lake, place: &Path, cancel: &Cancel) -> Result<Option<OtherTable>> {
    let store = lake.store()?;
    let list = async |folder: Path| {
        let listed = stoppable(cancel, store.list_with_delimiter(Some(&folder))).await?;
        listed.map_err(|e| lake.failed(e, "listing", &lake.name_of(&folder)))
    };
    for folder in list(place.clone()).await?.common_prefixes {
        let Some(mark) = folder.filename().filter(|name| TABLE_MARKS.contains(name)).map(str::to_owned) else {
            continue;
        };
        for object in list(folder).await?.objects {
            let inside = object.location.filename().unwrap_or_default();
            if let Some(table) = other_table(&format!("{mark}/{inside}")) {
                return Ok(Some(table));
            }
        }
    }
    Ok(None)
}

/// The table of another format that a folder of this machine is; it is called `folder`.
fn local_table(path: &FilePath, folder: &str) -> Result<Option<OtherTable>> {
    let failed = |e| file_error(e, "listing", path.display());
    for mark in TABLE_MARKS {
        let inside = path.join(mark);
        if !inside.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&inside).map_err(failed)? {
            let below = format!("{mark}/{}", entry.map_err(failed)?.file_name().to_string_lossy());
            if let Some(table) = other_table(&below) {
                return Ok(Some(OtherTable { folder: folder.to_owned(), ..table }));
            }
        }
    }
    Ok(None)
}
