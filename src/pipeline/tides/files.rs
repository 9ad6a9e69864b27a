//! One file of a package: rows of raw days encoded on a thread, written as they come.

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use tokio::sync::mpsc::Sender;

use crate::error::{Error, Result};
use crate::feeds::tides::{Csv, Format, LeftOut, Rows};
use crate::lake::{FileWriter, Folder, Upload};
use crate::model::Zone;

/// Pieces with the rows that are in them.
pub(super) type Pieces = Sender<(Piece, u64)>;

/// What is on its way into a file.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Rows(RecordBatch),
}

/// A file under way.
pub(super) enum Output {
    Bytes(Box<Upload>),
    Rows(Box<FileWriter>),
}

/// Makes pieces of a file of the rows of raw days.
pub(super) struct Encoder {
    rows: Rows,
    csv: Option<Csv>,
}

impl Encoder {
    pub(super) fn new(format: Format, zone: Zone, rows: Rows) -> Self {
        let csv = match format {
            Format::Csv => {
                let schema = rows.schema();
                Some(Csv::new(zone, schema.fields().iter().map(|field| field.name().as_str())))
            }
            Format::Parquet => None,
        };
        Self { rows, csv }
    }

    /// Sends the rows of a batch of the raw day; `first` is the number of its first row there, from 1.
    pub(super) fn add(&mut self, date: NaiveDate, first: u64, raw: &RecordBatch, sender: &Pieces) -> Result<()> {
        let batch = self.rows.batch(date, first, raw)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = batch.num_rows() as u64;
        let piece = match &mut self.csv {
            Some(csv) => {
                csv.add(&batch)?;
                Piece::Bytes(csv.take())
            }
            None => Piece::Rows(batch),
        };
        sender.blocking_send((piece, rows)).map_err(|_| Error::cancelled("nobody takes the rows of the package"))
    }

    /// What found no place.
    pub(super) fn left_out(self) -> LeftOut {
        self.rows.left_out
    }
}

impl Output {
    /// Begins a file of the form of its first piece.
    pub(super) fn begin(folder: &Folder, path: &str, first: &Piece) -> Result<Self> {
        match first {
            Piece::Bytes(_) => folder.begin(path).map(|file| Self::Bytes(Box::new(file))),
            Piece::Rows(batch) => folder.begin_parquet(path, &batch.schema()).map(|file| Self::Rows(Box::new(file))),
        }
    }

    pub(super) async fn put(&mut self, piece: Piece) -> Result<()> {
        match (self, piece) {
            (Self::Bytes(file), Piece::Bytes(bytes)) => file.put(bytes).await,
            (Self::Rows(file), Piece::Rows(batch)) => file.write(&batch).await,
            (Self::Bytes(_), Piece::Rows(_)) | (Self::Rows(_), Piece::Bytes(_)) => {
                Err(Error::internal("a file of a package has two forms"))
            }
        }
    }

    /// Makes the file visible; its size and digest.
    pub(super) async fn finish(self) -> Result<(u64, String)> {
        match self {
            Self::Bytes(file) => {
                let stored = file.seal().await?;
                let sum = stored.sum();
                stored.publish().await.map(|()| sum)
            }
            Self::Rows(file) => {
                let file = file.finish().await?;
                Ok((file.bytes.unwrap_or(0), file.sha256.unwrap_or_default()))
            }
        }
    }
}
