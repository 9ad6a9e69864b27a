//! Opens a lake by folder or URL.
#![allow(clippy::wildcard_enum_match_arm, reason = "other crates' errors and kinds may grow")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};

use super::address::{Address, location};
use super::failure::{Scrub, file_error, store_error};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};

/// How long the store itself retries before an error is handed to the caller.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RETRIES: usize = 4;
/// The one option of ours: a file of certificate authorities, in PEM.
const CA_BUNDLE: &str = "ca_bundle";

/// A raw lake: the place whose children are the `dt=` partitions.
#[derive(Clone, Debug)]
pub struct Lake {
    url: String,
    /// What stands before the names of objects.
    bucket: String,
    place: Place,
    pub(super) root: Path,
    pub(super) scrub: Scrub,
}

#[derive(Clone, Debug)]
enum Place {
    /// A folder of this machine; it may not exist yet.
    Folder(PathBuf),
    Remote(Arc<dyn ObjectStore>),
}

impl Lake {
    /// Opens the lake at a folder path, `file://`, `s3://`, `gs://` or `az://` URL.
    ///
    /// `options` are those of the object store in its own words (`aws_endpoint`, `aws_access_key_id`, ...). Nothing
    /// is contacted here, so a wrong address or a missing folder shows with the first use.
    pub fn open(url: &str, options: &BTreeMap<String, Secret>) -> Result<Self> {
        Self::at(&Address::parse("lake", url)?, options)
    }

    /// Opens the place of an address as a lake.
    pub(super) fn at(address: &Address, options: &BTreeMap<String, Secret>) -> Result<Self> {
        let (parsed, scheme, key) = match address {
            Address::Local { path, .. } => return Self::folder(path.clone()),
            Address::Remote { bucket, scheme, key } => (bucket, scheme.clone(), key),
        };
        let (shown, root) = (address.shown(), location("lake", key)?);
        let scrub = Scrub::new(options.values().map(Secret::expose).chain(parsed.password()));
        let failed = |e| store_error(e, &scrub, "opening the lake", &shown);
        // An az:// URL may name the container before the @; nobody looks for credentials there.
        let names_user = !parsed.username().is_empty() && scheme != ObjectStoreScheme::MicrosoftAzure;
        if names_user || parsed.password().is_some() {
            return Err(Error::config(format!(
                "lake {shown:?} was given with a user or password in its URL, which no store reads; \
                 expected credentials as options of the lake (aws_access_key_id, ...) or in the environment"
            )));
        }
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let builder = AmazonS3Builder::new().with_client_options(client_options(options)?);
                let mut builder = builder.with_url(parsed.as_str()).with_retry(retry());
                for (key, value) in s3_options(options) {
                    builder = builder.with_config(known(&key)?, value);
                }
                Arc::new(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = GoogleCloudStorageBuilder::new().with_client_options(client_options(options)?);
                let mut builder = builder.with_url(parsed.as_str()).with_retry(retry());
                for (key, value) in of_store(options) {
                    builder = builder.with_config(known(key)?, value);
                }
                Arc::new(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = MicrosoftAzureBuilder::new().with_client_options(client_options(options)?);
                let mut builder = builder.with_url(parsed.as_str()).with_retry(retry());
                for (key, value) in of_store(options) {
                    builder = builder.with_config(known(key)?, value);
                }
                Arc::new(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
            _ => {
                return Err(Error::config(format!(
                    "lake is {shown:?}, expected a folder, file://, s3://, gs:// or az:// URL"
                )));
            }
        };
        Ok(Self { url: shown, bucket: address.shown_bucket(), place: Place::Remote(store), root, scrub })
    }

    fn folder(path: PathBuf) -> Result<Self> {
        let path = std::path::absolute(&path).map_err(|e| file_error(e, "opening the lake", path.display()))?;
        let url = path.display().to_string();
        Ok(Self {
            bucket: url.clone(),
            url,
            place: Place::Folder(path),
            root: Path::default(),
            scrub: Scrub::default(),
        })
    }

    /// How messages call an object of the store.
    pub(super) fn name_of(&self, object: &Path) -> String {
        format!("{}/{object}", self.bucket)
    }

    /// The lake's address, without secrets.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The store to read from; a folder that is not there is `NotFound`.
    pub(super) fn store(&self) -> Result<Arc<dyn ObjectStore>> {
        match &self.place {
            Place::Remote(store) => Ok(store.clone()),
            Place::Folder(folder) => Ok(Arc::new(self.local_store(folder)?)),
        }
    }

    /// The store to write to; a folder that is not there is made.
    pub(super) fn writable(&self) -> Result<Arc<dyn ObjectStore>> {
        if let Place::Folder(folder) = &self.place {
            std::fs::create_dir_all(folder).map_err(|e| file_error(e, "making the lake folder", folder.display()))?;
        }
        self.store()
    }

    /// The store to write to for good: of a folder, what is written is synced to disk.
    pub(super) fn durable(&self) -> Result<Arc<dyn ObjectStore>> {
        let store = self.writable()?;
        match &self.place {
            Place::Remote(_) => Ok(store),
            Place::Folder(folder) => Ok(Arc::new(self.local_store(folder)?.with_fsync(true))),
        }
    }

    /// Whether the lake is a folder of this machine.
    pub fn is_folder(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }

    /// Where an object lies on this machine, if the lake is a folder.
    pub(super) fn local_file(&self, location: &Path) -> Result<Option<PathBuf>> {
        match &self.place {
            Place::Remote(_) => Ok(None),
            Place::Folder(folder) => {
                let store = self.local_store(folder)?;
                store.path_to_filesystem(location).map(Some).map_err(|e| self.failed(e, "reading", location.as_ref()))
            }
        }
    }

    /// The names of the folders that hold anything in a lake that is a folder of this machine itself.
    pub(super) fn folder_names(&self) -> Result<Option<Vec<String>>> {
        let Place::Folder(folder) = &self.place else { return Ok(None) };
        self.local_store(folder)?;
        let failed = |e| file_error(e, "listing", folder.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if std::fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_some()) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(Some(names))
    }

    fn local_store(&self, folder: &FilePath) -> Result<LocalFileSystem> {
        if !folder.is_dir() {
            let found = if folder.exists() { "is not a folder" } else { "does not exist" };
            return Err(Error::not_found(format!("lake folder {} {found}", self.url)).with("lake", &self.url));
        }
        LocalFileSystem::new_with_prefix(folder).map_err(|e| self.failed(e, "opening the lake", &self.url))
    }

    /// Our error for one of the store's.
    pub(super) fn failed(&self, error: object_store::Error, doing: &str, path: &str) -> Error {
        store_error(error, &self.scrub, doing, path).with("lake", &self.url)
    }
}

/// Awaits `work`, looking at the flag several times a second, so that a stalled request can be stopped.
pub(super) async fn stoppable<T>(cancel: &Cancel, work: impl Future<Output = T>) -> Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        cancel.check()?;
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(100), &mut work).await {
            return Ok(done);
        }
    }
}

/// The options that the store itself takes.
fn of_store(options: &BTreeMap<String, Secret>) -> impl Iterator<Item = (&String, &str)> {
    options.iter().filter(|(key, _)| *key != CA_BUNDLE).map(|(key, value)| (key, value.expose()))
}

/// What the store's client trusts beside the machine's own authorities.
fn client_options(options: &BTreeMap<String, Secret>) -> Result<ClientOptions> {
    let mut client = ClientOptions::default();
    let Some(file) = options.get(CA_BUNDLE).map(Secret::expose) else { return Ok(client) };
    let wrong = |why: String| Error::config(format!("{CA_BUNDLE} {file}: {why}, expected certificates in PEM"));
    let pem = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("it holds none".to_owned()));
    }
    for certificate in certificates {
        client = client.with_root_certificate(certificate);
    }
    Ok(client)
}

/// Pauses are drawn at random, each from a span that may be twice as long as the one before.
pub(super) fn retry() -> RetryConfig {
    RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() }
}

fn known<K: std::str::FromStr>(key: &str) -> Result<K> {
    key.to_ascii_lowercase()
        .parse()
        .map_err(|_| Error::config(format!("lake option {key:?} is not known to this store")).with("option", key))
}

/// The options for S3; an endpoint without TLS was asked for on purpose.
fn s3_options(options: &BTreeMap<String, Secret>) -> Vec<(String, String)> {
    let mut all: Vec<_> = of_store(options).map(|(k, v)| (k.clone(), v.to_owned())).collect();
    let named = |name: &str| options.keys().any(|k| k.eq_ignore_ascii_case(name));
    if all.iter().any(|(k, v)| k.to_ascii_lowercase().contains("endpoint") && v.starts_with("http://"))
        && !named("allow_http")
        && !named("aws_allow_http")
    {
        all.push(("allow_http".into(), "true".into()));
    }
    all
}
