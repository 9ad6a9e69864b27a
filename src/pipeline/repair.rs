//! Repaired rows: what somebody made of rejected ones, in the place of the rows they were.
//!
//! A repair belongs to one row of one file, by the file's digest. Whenever that file is read, the repaired row is judged
//! where the rejected one stood, so that counts, order and every later reload come out as if the file had held it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};

use crate::clean::{Cleaned, Cleaner};
use crate::error::{Error, Result};
use crate::load::Repair;

/// The repairs of one file, by row number.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs(BTreeMap<u64, Arc<str>>);

impl Repairs {
    /// Those of `repairs` that are about a file of this digest.
    pub(super) fn of(repairs: &[Repair], file: &str, sha256: &str) -> Self {
        let own = repairs.iter().filter(|repair| repair.file == file && repair.sha256 == sha256);
        Self(own.map(|repair| (repair.row_number.unsigned_abs(), Arc::from(repair.repaired.as_str()))).collect())
    }

    /// Puts repaired rows in the place of rejected ones; what is still wrong stays rejected, as the repair shows it.
    pub(super) fn apply(&self, cleaner: &Cleaner, cleaned: Cleaned) -> Result<Cleaned> {
        if self.0.is_empty() || !cleaned.rejects.iter().any(|reject| self.0.contains_key(&reject.row_number)) {
            return Ok(cleaned);
        }
        let Cleaned { rows, row_numbers, rejects, rows_read, mut rows_rounded, mut rows_truncated, stated } = cleaned;
        let (mut batches, mut numbers, mut still) = (vec![rows], row_numbers, Vec::new());
        for reject in rejects {
            let Some(text) = self.0.get(&reject.row_number) else {
                still.push(reject);
                continue;
            };
            let batch = one_row(cleaner, text)?;
            let repaired =
                Cleaner::new(cleaner.dataset(), "a repaired row", &batch.schema())?.clean(&batch, reject.row_number)?;
            rows_rounded += repaired.rows_rounded;
            rows_truncated += repaired.rows_truncated;
            numbers.extend(&repaired.row_numbers);
            batches.push(repaired.rows);
            still.extend(repaired.rejects);
        }
        let broken = |e| Error::internal("repaired rows do not fit their table").because(e);
        let rows = concat_batches(&batches[0].schema(), &batches).map_err(broken)?;
        let mut order: Vec<u64> = (0..numbers.len() as u64).collect();
        order.sort_by_key(|&at| numbers[at as usize]);
        let rows = take_record_batch(&rows, &UInt64Array::from(order)).map_err(broken)?;
        numbers.sort_unstable();
        Ok(Cleaned { rows, row_numbers: numbers, rejects: still, rows_read, rows_rounded, rows_truncated, stated })
    }
}

/// A repaired row as a batch of text, with exactly the columns of its file.
fn one_row(cleaner: &Cleaner, text: &str) -> Result<RecordBatch> {
    let row: Map<String, Value> = serde_json::from_str(text)
        .map_err(|e| Error::data("a repaired row is no JSON object; repair it again").because(e))?;
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for name in cleaner.columns() {
        let value = match row.get(*name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        fields.push(Field::new(*name, DataType::Utf8, true));
        columns.push(Arc::new(StringArray::from(vec![value])));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| Error::internal("a repaired row makes no batch").because(e))
}
