//! The raw lake: one folder or bucket whose children are the `dt=YYYY-MM-DD` partitions.
//!
//! A dataset of a day is one file `<dataset>.parquet` or a folder `<dataset>/` of parts. [`Lake::partition`] lists
//! a day, [`Lake::fetch`] makes a part readable as a local file whose size and SHA-256 are known, [`LocalPart::read`]
//! streams it, and [`Lake::write`] replaces a day and seals it with `_manifest.json`.
//!
//! [`parquet_table`] opens files outside of any layout, for the verbs that work on any table. What a name means
//! (`address`), which names are data (`naming`), what lies below a place (`find`) and how columns unite (`unite`) is
//! decided once, for both.
//!
//! Invariants: with a manifest exactly its files are read, each of its size and digest; a file is hashed before
//! it is read and can be shown to be unchanged afterwards; a reader never sees half a file; no error names a secret.
//!
//! This room knows nothing of values: cleaning them is the work of [`crate::clean`].
//!
//! Tests: `tests/python/lake`.

mod address;
mod ahead;
mod bytes_left;
mod download;
mod encoder;
mod failure;
mod fetch;
mod file_writer;
mod files;
mod find;
mod folder;
mod footer;
mod kind;
mod local_copy;
mod manifest;
mod naming;
mod objects;
mod open;
mod outgoing;
mod output;
mod pages;
mod part;
mod partition;
mod pattern;
mod ranges;
mod read;
mod ready;
mod rejected;
mod spooled;
mod tree;
mod unite;
mod upload;
mod write;

pub use address::{absolute_place, local_path};
pub use ahead::{TableReader, Units};
pub use fetch::LocalPart;
pub use file_writer::{FileWriter, SealedFile};
pub use files::{ParquetFile, ParquetTable, Places, parquet_files, parquet_table};
pub use find::REQUESTS;
pub use folder::Folder;
pub use local_copy::{LocalCopy, local_copy};
pub use manifest::{MANIFEST, Manifest, ManifestFile, data_path, rejected_path};
pub use naming::FolderValue;
pub use objects::{Body, Object, objects};
pub use open::Lake;
pub use outgoing::Upload;
pub use output::{write_parquet, write_parquet_file};
pub use pages::{PageExtremes, Pages};
pub use part::Part;
pub use partition::{Folders, Partition};
pub use read::PartReader;
pub use ready::{Differing, Readiness};
pub use rejected::RejectedFile;
pub use write::{PartitionWriter, Written};

#[cfg(test)]
mod tests;
