//! A folder or prefix to which files are written one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use super::address::Address;
use super::file_writer::FileWriter;
use super::open::{Lake, stoppable};
use super::outgoing::Upload;
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::Result;

/// A place for the files of one output.
#[derive(Clone, Debug)]
pub struct Folder {
    place: Lake,
    store: Arc<dyn ObjectStore>,
    cancel: Cancel,
}

impl Folder {
    /// Opens a folder, which is made where it is missing, or the prefix of a URL.
    ///
    /// # Errors
    /// `Config` for a name that is neither, `Storage` for a folder that cannot be made.
    pub fn open(name: &str, options: &BTreeMap<String, Secret>, cancel: &Cancel) -> Result<Self> {
        Self::of(&Lake::at(&Address::parse("output", name)?, options)?, cancel)
    }

    /// The files of a lake.
    pub(super) fn of(lake: &Lake, cancel: &Cancel) -> Result<Self> {
        Ok(Self { store: lake.writable()?, place: lake.clone(), cancel: cancel.clone() })
    }

    /// The address, without secrets.
    pub fn url(&self) -> &str {
        self.place.url()
    }

    /// The bytes of a small file; `None` when it is not there.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let failed = |e| self.place.failed(e, "reading", name);
        match stoppable(&self.cancel, self.store.get(&self.place.location(name)?)).await? {
            Ok(got) => stoppable(&self.cancel, got.bytes()).await?.map(Some).map_err(failed),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    /// The size of a file; `None` when it is not there.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        match stoppable(&self.cancel, self.store.head(&self.place.location(name)?)).await? {
            Ok(found) => Ok(Some(found.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.place.failed(e, "reading", name)),
        }
    }

    /// Writes a small file, the whole of it or nothing.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let put = stoppable(&self.cancel, self.store.put(&self.place.location(name)?, bytes.into())).await?;
        put.map(|_| ()).map_err(|e| self.place.failed(e, "writing", name))
    }

    /// Takes a file away, if it is there.
    pub async fn remove(&self, name: &str) -> Result<()> {
        match stoppable(&self.cancel, self.store.delete(&self.place.location(name)?)).await? {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.place.failed(e, "removing", name)),
        }
    }

    /// Begins a file of any bytes.
    pub fn begin(&self, name: &str) -> Result<Upload> {
        Upload::begin(&self.place, &self.store, name.to_owned(), &self.cancel)
    }

    /// Begins a Parquet file.
    pub fn begin_parquet(&self, name: &str, schema: &SchemaRef) -> Result<FileWriter> {
        FileWriter::plain(self.begin(name)?, name, schema)
    }
}
