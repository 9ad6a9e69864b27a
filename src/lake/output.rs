//! Writes a Parquet file at a path or a URL, whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::address::Address;
use super::failure::file_error;
use super::open::{Lake, stoppable};
use crate::config::Secret;
use crate::control::Cancel;
use crate::error::{Error, Result};

/// Writes batches of one schema, metadata included, into a file: the whole of it or nothing.
pub fn write_parquet_file(path: &FilePath, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let failed = |e: std::io::Error| file_error(e, "writing", path.display());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    let mut unfinished = tempfile::Builder::new();
    #[cfg(unix)]
    unfinished.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask, as any new file
    let unfinished = unfinished.tempfile_in(folder).map_err(failed)?;
    encode(unfinished.as_file(), &path.display().to_string(), schema, batches)?;
    unfinished.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Like [`write_parquet_file`] at a path or a URL; missing folders are made. Returns the name without secrets.
pub async fn write_parquet(
    name: &str,
    options: &BTreeMap<String, Secret>,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    cancel: &Cancel,
) -> Result<String> {
    let address = Address::parse("output", name)?;
    if let Address::Local { path, .. } = &address {
        let path = replaceable(path, name)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| file_error(e, "making the folder", folder.display()))?;
        }
        return write_parquet_file(&path, schema, batches).map(|()| path.display().to_string());
    }
    let lake = Lake::at(&address, options)?;
    let shown = lake.url().to_owned();
    if lake.root.is_root() {
        return Err(Error::config(format!("{shown} names no file, expected a URL such as s3://bucket/rollup.parquet")));
    }
    let mut bytes = Vec::new();
    encode(&mut bytes, &shown, schema, batches)?;
    let store = lake.store()?;
    let put = stoppable(cancel, store.put(&lake.root, bytes.into())).await?;
    put.map_err(|e| lake.failed(e, "writing", &shown)).map(|_| shown)
}

/// The file of this machine that an output names, links followed.
fn replaceable(path: &FilePath, name: &str) -> Result<PathBuf> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let is_other = std::fs::metadata(&path).is_ok_and(|found| !found.is_file());
    if path.file_name().is_none() || name.ends_with('/') || is_other {
        return Err(Error::config(format!(
            "the output {name:?} is no file that can be replaced, expected a name such as out.parquet"
        )));
    }
    Ok(path)
}

fn encode(out: impl std::io::Write + Send, name: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let bad = |e: parquet::errors::ParquetError| {
        Error::data(format!("{name} cannot be written: {e}")).with("file", name).because(e)
    };
    let settings = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(settings)).map_err(bad)?;
    for batch in batches {
        writer.write(batch).map_err(bad)?;
    }
    writer.close().map_err(bad).map(|_| ())
}
