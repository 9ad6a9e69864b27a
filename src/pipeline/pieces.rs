//! Rollups of files in pieces, for engines that share a table over machines: who asks lists the row groups, each
//! worker reads its own and gives back a state.

use serde::{Deserialize, Serialize};

use super::Pipeline;
use super::Table;
use super::hours::hours_of;
use super::input::on_thread;
use crate::error::{Error, Result};
use crate::lake::{ParquetFile, ParquetTable, Places, parquet_files};
use crate::rollup::Spec;

/// One file of a rollup's source.
#[derive(Clone, Debug, Serialize)]
pub struct Layout {
    /// Its absolute path or URL, without secrets.
    pub file: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Rows of each row group.
    pub rows: Vec<u64>,
    /// The first and the last hour bucket of each row group, in microseconds, where its footer tells.
    pub hours: Vec<Option<(i64, i64)>>,
}

/// Row groups `first..end` of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The file, as [`Layout`] names it.
    pub file: String,
    /// Its size when it was listed.
    pub size_bytes: u64,
    /// The first row group.
    pub first: usize,
    /// The one after the last.
    pub end: usize,
}

impl Pipeline {
    /// The files of a source, each of which can be rolled up by this spec.
    ///
    /// # Errors
    /// As [`Self::rollup_hourly`]: what a footer can tell is told here, by file.
    pub async fn parquet_layout(&self, names: &[String], spec: Spec) -> Result<Vec<Layout>> {
        let files = self.each_by_itself(names.to_vec()).await?;
        let table = table_of(files)?;
        let (time, zone) = (spec.time.clone(), spec.zone);
        self.work(spec).check(&table)?;
        let layout = |file: &ParquetFile| {
            Ok(Layout {
                file: file.address()?,
                size_bytes: file.size_bytes,
                rows: (0..file.row_groups()).map(|group| file.rows(group)).collect(),
                hours: hours_of(file, &time, zone)?,
            })
        };
        table.files.iter().map(layout).collect()
    }

    /// The common state of some pieces. The rows of `own_hours` are in no other piece of the rollup: see
    /// [`crate::rollup::Hourly::owning`].
    ///
    /// # Errors
    /// `Conflict` when a file is not what it was when it was listed; else as [`Self::rollup_hourly`].
    pub async fn rollup_pieces(
        &self,
        pieces: Vec<Piece>,
        spec: Spec,
        own_hours: Option<Vec<(i64, i64)>>,
    ) -> Result<Table> {
        let mut files: Vec<ParquetFile> = Vec::new();
        let mut units = Vec::new();
        for piece in &pieces {
            if files.last().is_none_or(|known| known.name != piece.file) {
                files.push(self.open_listed(piece).await?);
            }
            let number = files.len() - 1;
            if files.last().is_some_and(|file| piece.end > file.row_groups()) {
                return Err(changed(piece, "it has fewer row groups"));
            }
            units.extend((piece.first..piece.end).map(|group| (number, group)));
        }
        let work = self.work(spec).owning(own_hours);
        let found = on_thread(move || work.files(table_of(files)?, Some(units), true)).await?;
        Ok((found.schema(), vec![found]))
    }

    /// Files as they are: a worker that has some of them does not know the others' columns.
    async fn each_by_itself(&self, names: Vec<String>) -> Result<Vec<ParquetFile>> {
        let places = Places { names, plain_files: false, folder_columns: false };
        parquet_files(&places, &self.settings.lake_options, &self.cancel).await
    }

    async fn open_listed(&self, piece: &Piece) -> Result<ParquetFile> {
        let mut found = self.each_by_itself(vec![piece.file.clone()]).await?;
        match found.pop() {
            Some(file) if found.is_empty() && file.size_bytes == piece.size_bytes => Ok(file),
            Some(file) => Err(changed(piece, &format!("it has {} bytes", file.size_bytes))),
            None => Err(Error::not_found(format!("{} is gone", piece.file)).with("file", &piece.file)),
        }
    }
}

fn table_of(files: Vec<ParquetFile>) -> Result<ParquetTable> {
    let first = files.first().ok_or_else(|| Error::config("no source is given, expected at least one file"))?;
    Ok(ParquetTable { schema: first.schema().clone(), files })
}

fn changed(piece: &Piece, what: &str) -> Error {
    Error::conflict(format!(
        "{} changed while it was rolled up: it had {} bytes and now {what}; run again",
        piece.file, piece.size_bytes
    ))
    .with("file", &piece.file)
}
