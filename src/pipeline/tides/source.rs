//! A TIDES package within reach: a folder, a zip, or a descriptor with its files beside it, of this machine or a URL.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempPath;

use crate::config::Secret;
use crate::error::{Error, Result};
use crate::feeds::tides::{DESCRIPTOR, Packed};
use crate::lake::{LocalCopy, local_copy};
use crate::pipeline::Pipeline;
use crate::pipeline::input::on_thread;

/// An opened package, none of whose files is read yet.
pub(super) struct PackageSource<'a> {
    pipeline: &'a Pipeline,
    options: &'a BTreeMap<String, Secret>,
    /// The package, for messages.
    pub(super) name: String,
    descriptor: String,
    place: Place,
}

enum Place {
    /// A folder or a URL in front of the names of files.
    Beside(String),
    /// The zip must outlive the reading.
    Zip { packed: Arc<Packed>, _zip: LocalCopy },
}

/// A file of a package as one of this machine. What was copied goes with it.
pub(super) enum PackageFile {
    Copy(LocalCopy),
    Unpacked(TempPath),
}

impl PackageFile {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Copy(copy) => &copy.path,
            Self::Unpacked(path) => path,
        }
    }
}

impl<'a> PackageSource<'a> {
    /// Opens a package. A name that ends in `.json` is its descriptor; on the web anything else is a zip, elsewhere a zip if it
    /// is called so or is a file of this machine.
    ///
    /// # Errors
    /// `NotFound` when nothing is there; `Data` and `Schema` for a zip that holds no package.
    pub(super) async fn open(
        pipeline: &'a Pipeline,
        source: &str,
        options: &'a BTreeMap<String, Secret>,
    ) -> Result<Self> {
        let plain = source.split('?').next().unwrap_or(source);
        let is_web = source.starts_with("http://") || source.starts_with("https://");
        let is_remote = source.contains("://") && !source.starts_with("file://");
        let of = |name: &str, place, descriptor: &str| {
            let (name, descriptor) = (name.to_owned(), descriptor.to_owned());
            Self { pipeline, options, name, descriptor, place }
        };
        if !is_remote {
            let copy = pipeline.copied(source, options).await?;
            if copy.path.is_dir() {
                let folder = copy.path.display().to_string();
                return Ok(of(&copy.name, Place::Beside(folder), DESCRIPTOR));
            }
            if !plain.ends_with(".json") {
                let (name, place) = zipped(copy).await?;
                return Ok(of(&name, place, DESCRIPTOR));
            }
            let folder = copy.path.parent().unwrap_or(Path::new(".")).display().to_string();
            let file = copy.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Ok(of(&copy.name, Place::Beside(folder), &file));
        }
        if let Some((folder, file)) = plain.rsplit_once('/').filter(|(_, file)| file.ends_with(".json")) {
            return Ok(of(plain, Place::Beside(folder.to_owned()), file));
        }
        if is_web || plain.ends_with(".zip") {
            let (name, place) = zipped(pipeline.copied(source, options).await?).await?;
            return Ok(of(&name, place, DESCRIPTOR));
        }
        let folder = plain.trim_end_matches('/');
        Ok(of(folder, Place::Beside(folder.to_owned()), DESCRIPTOR))
    }

    /// The bytes of the descriptor.
    pub(super) async fn descriptor(&self) -> Result<Vec<u8>> {
        let file = self.file(&self.descriptor).await?;
        let failed =
            |e: std::io::Error| Error::data(format!("{} of {} cannot be read: {e}", self.descriptor, self.name));
        std::fs::read(file.path()).map_err(failed)
    }

    /// A file of the package.
    ///
    /// # Errors
    /// `NotFound` when the package lacks it.
    pub(super) async fn file(&self, path: &str) -> Result<PackageFile> {
        let missing = || {
            Error::not_found(format!("{} has no file {path}; write or fetch the package again", self.name))
                .with("source", &self.name)
                .with("file", path)
                .retryable(false)
        };
        match &self.place {
            Place::Beside(folder) => match self.pipeline.copied(&format!("{folder}/{path}"), self.options).await {
                Ok(copy) if copy.path.is_file() => Ok(PackageFile::Copy(copy)),
                Ok(_) | Err(Error::NotFound(_)) => Err(missing()),
                Err(e) => Err(e),
            },
            Place::Zip { packed, .. } => {
                let (packed, spool) = (Arc::clone(packed), self.pipeline.settings.spool.clone());
                let inner = path.to_owned();
                let unpacked = on_thread(move || packed.unpack(&inner, spool.as_deref())).await?;
                unpacked.map(PackageFile::Unpacked).ok_or_else(missing)
            }
        }
    }
}

async fn zipped(zip: LocalCopy) -> Result<(String, Place)> {
    let (path, name) = (zip.path.clone(), zip.name.clone());
    let packed = on_thread(move || Packed::open(&path, &name)).await?;
    Ok((zip.name.clone(), Place::Zip { packed: Arc::new(packed), _zip: zip }))
}

impl Pipeline {
    async fn copied(&self, source: &str, options: &BTreeMap<String, Secret>) -> Result<LocalCopy> {
        local_copy(source, options, self.settings.spool.as_deref(), &self.cancel).await
    }
}
