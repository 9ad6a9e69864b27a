//! Rows that could not be used, as the quarantine of a raw day takes them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::Date32Type;
use chrono::NaiveDate;

use crate::error::{Error, Result};
use crate::model::{Dataset, Reason};

/// Bad rows that are kept: what has more of them is broken as a whole.
const MOST_ROWS: usize = 100_000;
/// Text of bad rows that is kept: they may be as long as a row can be.
const MOST_BYTES: usize = 32 << 20;
/// Of a bad row in a message.
const SHOWN_CHARACTERS: usize = 1_000;
/// A share is judged from so many bad rows on: in a small file one row is a large share.
const FEWEST_FOR_SHARE: u64 = 10;

/// What bad rows are of, in the words of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// What is to be repaired.
    pub(super) whole: &'static str,
    /// What its files are counted in.
    pub(super) row: &'static str,
}

/// What is kept of bad rows, so that there is a most of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    rows: usize,
    bytes: usize,
}

impl Kept {
    /// Counts a row that shall be kept.
    ///
    /// # Errors
    /// `Data` when there are too many already.
    pub(super) fn add(&mut self, origin: Origin, row: &Rejected<'_>) -> Result<()> {
        let whole = origin.whole;
        if self.rows >= MOST_ROWS {
            return Err(origin.too_many(row, &format!("more than {MOST_ROWS} rows of the {whole} cannot be used")));
        }
        self.bytes += row.row_json.len();
        if self.bytes > MOST_BYTES {
            let what = format!("rows of more than {MOST_BYTES} bytes of the {whole} cannot be used");
            return Err(origin.too_many(row, &what));
        }
        self.rows += 1;
        Ok(())
    }

    /// Takes in what another part of the work kept.
    pub(super) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

impl Origin {
    /// An error if too large a share of the rows of `name` is of no use; `first` is one of them.
    pub(super) fn judge<'a>(
        self,
        name: &str,
        (rejected, read): (u64, u64),
        limit: f64,
        first: impl FnOnce() -> Option<Rejected<'a>>,
    ) -> Result<()> {
        let is_over = rejected as f64 > limit * read as f64;
        if rejected < FEWEST_FOR_SHARE || !is_over {
            return Ok(());
        }
        let what = format!("{rejected} of {read} rows of {name} cannot be used, above the reject limit of {limit}");
        Err(first().map_or_else(|| Error::data(what.clone()), |first| self.too_many(&first, &what)))
    }

    /// The error that says `what` is too much, with one of the bad rows.
    pub(super) fn too_many(self, first: &Rejected<'_>, what: &str) -> Error {
        let Rejected { file, row: number, reason, row_json, .. } = first;
        let Self { whole, row } = self;
        let text: String = row_json.chars().take(SHOWN_CHARACTERS).collect();
        let dots = if text.len() < row_json.len() { "…" } else { "" };
        let why = reason.code();
        // What stands for bytes that are no UTF-8.
        let coding = if row_json.contains(char::REPLACEMENT_CHARACTER) {
            ", whose text is no UTF-8: save it as that"
        } else {
            ""
        };
        Error::data(format!(
            "{what}; such as {row} {number} of {file} ({why}): {text}{dots}; repair the {whole}{coding}"
        ))
        .with("file", file)
        .with(row, number)
    }
}

/// A row that could not be used.
pub(super) struct Rejected<'a> {
    /// The raw dataset that lacks it.
    pub(super) dataset: Dataset,
    /// Its file.
    pub(super) file: Cow<'a, str>,
    /// Its line or row there.
    pub(super) row: u64,
    /// Why.
    pub(super) reason: Reason,
    /// The row as it came.
    pub(super) row_json: &'a str,
}

/// The rejected rows of one day.
pub(super) fn batch(date: NaiveDate, rejected: &[Rejected<'_>]) -> Result<RecordBatch> {
    let mut reasons = ListBuilder::new(StringBuilder::new());
    for row in rejected {
        reasons.values().append_value(row.reason.code());
        reasons.append(true);
    }
    let day = Date32Array::from_value(Date32Type::from_naive_date(date), rejected.len());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("dataset", Arc::new(StringArray::from_iter_values(rejected.iter().map(|row| row.dataset.name())))),
        ("dt", Arc::new(day)),
        ("file", Arc::new(StringArray::from_iter_values(rejected.iter().map(|row| &row.file)))),
        ("row_number", Arc::new(Int64Array::from_iter_values(rejected.iter().map(|row| row.row.cast_signed())))),
        ("reasons", Arc::new(reasons.finish())),
        ("row_json", Arc::new(StringArray::from_iter_values(rejected.iter().map(|row| row.row_json)))),
    ];
    RecordBatch::try_from_iter(columns).map_err(|e| Error::internal("rejects do not fit their table").because(e))
}
