//! Rows that could not be used when a day was made of a feed: read back for the quarantine.

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::NaiveDate;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use super::manifest::{MANIFEST, ManifestFile};
use super::open::{Lake, stoppable};
use crate::control::Cancel;
use crate::digest::hex;
use crate::error::{Error, Result};

/// A file of rejected rows, in memory: ingest keeps few of them.
#[derive(Debug)]
pub struct RejectedFile {
    /// The path below the lake: `dt=2024-05-01/_rejected.parquet`.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    bytes: Bytes,
}

impl Lake {
    /// Reads a file of rejected rows that a day's manifest lists.
    ///
    /// # Errors
    /// `Data` when it is not there or not the file that is listed.
    pub async fn rejected(&self, dt: NaiveDate, listed: &ManifestFile, cancel: &Cancel) -> Result<RejectedFile> {
        let day = Self::day(dt);
        let path = format!("{day}/{}", listed.path);
        let failed = |e| self.failed(e, "reading", &path);
        let got = stoppable(cancel, self.store()?.get(&self.location(&path)?)).await?.map_err(failed)?;
        let bytes = stoppable(cancel, got.bytes()).await?.map_err(failed)?;
        let (size_bytes, sha256) = (bytes.len() as u64, hex(&Sha256::digest(&bytes)));
        let is_listed = listed.bytes.is_none_or(|listed| listed == size_bytes)
            && listed.sha256.as_ref().is_none_or(|listed| *listed == sha256);
        if !is_listed {
            return Err(Error::data(format!(
                "{path} is not the file that {day}/{MANIFEST} lists; write the partition again"
            ))
            .with("file", path));
        }
        Ok(RejectedFile { path, size_bytes, sha256, bytes })
    }
}

impl RejectedFile {
    /// Its rows, as they were written.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        let bad = |e: &dyn std::fmt::Display| {
            Error::data(format!("{} cannot be read: {e}; write the partition again", self.path))
                .with("file", &self.path)
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(self.bytes.clone()).and_then(|builder| builder.build());
        reader.map_err(|e| bad(&e))?.map(|batch| batch.map_err(|e| bad(&e))).collect()
    }
}
