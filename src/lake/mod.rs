//! The raw lake: one folder or bucket whose children are the `dt=YYYY-MM-DD` partitions.
//!
//! A dataset of a day is one file `<dataset>.parquet` or a folder `<dataset>/` of parts. [`Lake::partition`] lists
//! a day, [`Lake::fetch`] makes a part readable as a local file whose size and SHA-256 are known, [`LocalPart::read`]
//! streams it, and [`Lake::write`] replaces a day and seals it with `_manifest.json`.
//!
//! [`scan_files`] reads such files in place, column by column, from stores too.
//!
//! Invariants: with a manifest exactly its files are read, each of its size and digest; a file is hashed before
//! it is read and can be shown to be unchanged afterwards; a reader never sees half a file; no error names a secret.
//!
//! [`open_files`] reads Parquet files outside any lake: paths, folders, globs and URLs.
//!
//! This room knows nothing of values: cleaning them is the work of [`crate::clean`].

mod failure;
mod fetch;
mod files;
mod manifest;
mod open;
mod partition;
mod ranges;
mod read;
mod ready;
mod scan;
mod write;

pub use fetch::LocalPart;
pub use files::{ParquetFile, open_files};
pub use manifest::{MANIFEST, Manifest, ManifestFile};
pub use open::Lake;
pub use partition::{Part, Partition};
pub use read::PartReader;
pub use ready::Readiness;
pub use scan::{ScanFile, scan_files, write_parquet_file};
pub use write::{FileWriter, PartitionWriter, Written};

#[cfg(test)]
mod tests;
