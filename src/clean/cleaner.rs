//! One file's cleaning: columns by name, values by kind, rows by rule.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int32Type, Schema};

use super::convert::{accepts, convert};
use super::converted::Converted;
use super::render::quote;
use super::{render, rules};
use crate::error::{Error, Result};
use crate::model::{Column, Dataset, Reason};

/// Cleans the batches of one file.
#[derive(Clone, Debug)]
pub struct Cleaner {
    dataset: Dataset,
    file: String,
    columns: Vec<&'static str>,
    unknown_columns: Vec<String>,
    stated: u64,
}

/// A cleaned batch.
#[derive(Clone, Debug)]
pub struct Cleaned {
    /// The rows that keep all rules, in the schema of the dataset.
    pub rows: RecordBatch,
    /// The number of each of them in its file, from 1.
    pub row_numbers: Vec<u64>,
    /// The rows that do not.
    pub rejects: Vec<Reject>,
    /// Rows of the physical batch.
    pub rows_read: u64,
    /// Rows with money more than 0.0005 off a cent.
    pub rows_rounded: u64,
    /// Rows with an instant that lost digits below a microsecond.
    pub rows_truncated: u64,
    /// The columns the file states, one bit each by their order in the dataset.
    pub stated: u64,
}

/// A row that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its number in its file, from 1.
    pub row_number: u64,
    /// All reasons that hold.
    pub reasons: Vec<Reason>,
    /// The known columns as they came, as JSON.
    pub row_json: String,
    /// The row's own key, if it could be read and is not empty.
    pub key: Option<String>,
}

impl Cleaner {
    /// Resolves a file's columns.
    ///
    /// # Errors
    /// `Schema`, naming file and column, when a required column is missing, a column is named twice, or a type
    /// cannot become the column's.
    pub fn new(dataset: Dataset, file: &str, physical: &Schema) -> Result<Self> {
        let at = |e: Error, column: &str| e.with("file", file).with("column", column);
        let (mut columns, mut stated) = (Vec::new(), 0);
        for (index, column) in dataset.columns().iter().enumerate() {
            let mut fields = physical.fields().iter().filter(|f| f.name() == column.name);
            let Some(field) = fields.next() else {
                if column.required {
                    return Err(at(Error::schema(format!("{file} has no column {}", column.name)), column.name));
                }
                continue;
            };
            if fields.next().is_some() {
                return Err(at(Error::schema(format!("{file} has two columns {}", column.name)), column.name));
            }
            if !accepts(column.kind, field.data_type()) {
                let expected = format!("{:?} ({})", column.kind, column.kind.arrow()).to_lowercase();
                let what = format!(
                    "{file} has column {} of type {}, which cannot become {expected}",
                    column.name,
                    field.data_type()
                );
                return Err(at(Error::schema(what), column.name));
            }
            columns.push(column.name);
            stated |= 1 << index;
        }
        let unknown = physical.fields().iter().filter(|f| dataset.index(f.name()).is_none());
        let unknown_columns = unknown.map(|f| f.name().clone()).collect();
        Ok(Self { dataset, file: file.to_owned(), columns, unknown_columns, stated })
    }

    /// What the file holds.
    pub fn dataset(&self) -> Dataset {
        self.dataset
    }

    /// The known columns the file has: those to read.
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// The columns metropulse does not know: named in the report, and no part of anything.
    pub fn unknown_columns(&self) -> &[String] {
        &self.unknown_columns
    }

    /// The columns the file states, one bit each by their order in the dataset.
    pub fn stated(&self) -> u64 {
        self.stated
    }

    /// Cleans one batch, whose first row has this number (from 1) in the file.
    pub fn clean(&self, batch: &RecordBatch, first_row: u64) -> Result<Cleaned> {
        let rows = batch.num_rows();
        let mut columns = Vec::with_capacity(self.dataset.columns().len());
        for (index, column) in self.dataset.columns().iter().enumerate() {
            columns.push(if self.stated & (1 << index) == 0 {
                Converted::plain(new_null_array(&column.kind.arrow(), rows))
            } else {
                self.column(batch, column)?
            });
        }
        let marks = rules::judge(self.dataset, &columns, rows);
        let rows_rounded = columns.iter().map(|c| c.rounded).sum();
        let rows_truncated = truncated(&columns);
        let rejects = if marks.is_clean() { Vec::new() } else { self.rejects(batch, &columns, &marks, first_row) };
        let arrays = columns.into_iter().map(|c| c.array).collect();
        let mut clean = RecordBatch::try_new(self.dataset.schema(), arrays).map_err(|e| {
            Error::internal(format!("a cleaned batch of {} does not fit its schema: {e}", self.file)).because(e)
        })?;
        let numbers = first_row..first_row + rows as u64;
        let mut row_numbers: Vec<u64> = numbers.collect();
        if !rejects.is_empty() {
            let keep: BooleanArray = (0..rows).map(|row| Some(marks.is_fine(row))).collect();
            clean = filter_record_batch(&clean, &keep)
                .map_err(|e| Error::internal(format!("rejected rows cannot be taken out: {e}")).because(e))?;
            row_numbers.retain(|number| marks.is_fine((number - first_row) as usize));
        }
        let stated = self.stated;
        Ok(Cleaned { rows: clean, row_numbers, rejects, rows_read: rows as u64, rows_rounded, rows_truncated, stated })
    }

    fn column(&self, batch: &RecordBatch, column: &Column) -> Result<Converted> {
        let at = |e: Error| e.with("file", &self.file).with("column", column.name);
        let Some(array) = batch.column_by_name(column.name) else {
            return Err(at(Error::internal(format!("a batch of {} lacks column {}", self.file, column.name))));
        };
        convert(column.kind, array, self.dataset.event_time() == Some(column.name)).map_err(at)
    }

    fn rejects(&self, batch: &RecordBatch, columns: &[Converted], marks: &rules::Marks, first_row: u64) -> Vec<Reject> {
        let key = self.dataset.index(self.dataset.key()).and_then(|i| columns.get(i)).map(|c| &c.array);
        (0..batch.num_rows())
            .filter(|row| !marks.is_fine(*row))
            .map(|row| Reject {
                row_number: first_row + row as u64,
                reasons: marks.reasons(row),
                row_json: self.row_json(batch, row),
                key: key.and_then(|key| text_at(key, row)).filter(|key| !key.is_empty()),
            })
            .collect()
    }

    fn row_json(&self, batch: &RecordBatch, row: usize) -> String {
        let mut json = String::from("{");
        for name in &self.columns {
            let Some(column) = batch.column_by_name(name) else { continue };
            if json.len() > 1 {
                json.push(',');
            }
            quote(name, &mut json);
            json.push(':');
            json.push_str(&render::readable(column.as_ref(), row));
        }
        json.push('}');
        json
    }
}

fn text_at(array: &ArrayRef, row: usize) -> Option<String> {
    if !array.is_valid(row) {
        return None;
    }
    if let DataType::Dictionary(_, _) = array.data_type() {
        let codes = array.as_dictionary::<Int32Type>();
        let value = usize::try_from(codes.keys().value(row)).ok()?;
        return Some(codes.values().as_string::<i32>().value(value).to_owned());
    }
    array.as_string_opt::<i32>().map(|text| text.value(row).to_owned())
}

fn truncated(columns: &[Converted]) -> u64 {
    let mut rows: Vec<u32> = columns.iter().flat_map(|c| c.truncated.iter().copied()).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.len() as u64
}
