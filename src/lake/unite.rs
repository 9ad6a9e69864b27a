//! How the columns of several files become one table: by name, with those of their folders.
//!
//! A column that a file lacks is missing there: NULL. Types of one kind (text, numbers, instants, ...) stay what each file
//! has; others contradict each other and are an error that names both files. A `key=value` folder is a column of the files
//! in it; where a file has that column too, the two must agree, row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, Scalar, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use chrono::NaiveDate;

use super::kind::{plain, united};
use super::naming::FolderValue;
use crate::error::{Error, Result};

/// How a caller gets past a folder that contradicts a file.
const WAY_OUT: &str = ", or take the folder's name for no column (folder_columns=False, --no-folder-columns)";

/// What a file's batches get beyond what the file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Completion {
    /// Columns that the file lacks, with the one value of all rows.
    added: Vec<(FieldRef, ArrayRef)>,
    /// Those of them that its folders state.
    folders: Vec<String>,
    /// Columns that the file has without a type: all NULL.
    typed: Vec<FieldRef>,
    /// Columns that the folder states as well: the value, in the file's own type, and the folder as it is written.
    agreed: Vec<(String, ArrayRef, String)>,
    /// How a caller gets past a contradiction, if there is a way.
    way_out: &'static str,
}

impl Completion {
    /// The schema of completed batches.
    pub(super) fn schema(&self, own: &SchemaRef) -> SchemaRef {
        if self.added.is_empty() && self.typed.is_empty() {
            return Arc::clone(own);
        }
        let kept = own.fields().iter().map(|field| self.typed(field.name()).unwrap_or(field));
        let fields: Vec<FieldRef> = kept.chain(self.added.iter().map(|(field, _)| field)).cloned().collect();
        Arc::new(Schema::new_with_metadata(fields, own.metadata().clone()))
    }

    /// The columns that are missing.
    pub(super) fn lacks(&self) -> Vec<String> {
        let missing = self.added.iter().filter(|(field, _)| !self.folders.contains(field.name()));
        missing.map(|(field, _)| field.name().clone()).collect()
    }

    fn typed(&self, name: &str) -> Option<&FieldRef> {
        self.typed.iter().find(|field| field.name() == name)
    }

    /// A batch of the named columns, of which the first row has this number in the file. `file` is what messages call it.
    pub(super) fn complete(
        &self,
        batch: RecordBatch,
        asked: &[String],
        file: &str,
        first_row: u64,
    ) -> Result<RecordBatch> {
        for (name, value, folder) in &self.agreed {
            if let Some(column) = batch.column_by_name(name) {
                agrees(column, value).map_err(|(row, found)| {
                    let (row, way_out) = (first_row + row, self.way_out);
                    Error::data(format!(
                        "{file} row {row}: column {name:?} is {found}, its folder says {folder}; move the file to the folder \
                         of its value{way_out}"
                    ))
                    .with("file", file)
                    .with("column", name)
                    .with("row", row)
                })?;
            }
        }
        if self.added.is_empty() && self.typed.is_empty() {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let (mut fields, mut columns): (Vec<FieldRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let typed = self.typed(field.name());
            fields.push(Arc::clone(typed.unwrap_or(field)));
            columns.push(typed.map_or_else(|| Arc::clone(column), |field| new_null_array(field.data_type(), rows)));
        }
        for (field, value) in self.added.iter().filter(|(field, _)| asked.contains(field.name())) {
            fields.push(Arc::clone(field));
            columns.push(repeated(value, rows)?);
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, batch.schema_ref().metadata().clone()));
        RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
            .map_err(|e| Error::internal("a batch cannot be completed").because(e))
    }

    /// The completion of a single file by its folders; what it lacks is text, for the reader to make of it what it takes.
    pub(super) fn of_folders(file: &str, own: &Schema, folders: &[FolderValue]) -> Result<Self> {
        let mut completion = Self::default();
        for value in distinct_folders(file, folders)? {
            match own.field_with_name(&value.column) {
                Ok(field) => completion.agree(file, field.data_type(), value)?,
                Err(_) => completion.add(value, &DataType::Utf8, file)?,
            }
        }
        Ok(completion)
    }

    fn add(&mut self, value: &FolderValue, kind: &DataType, file: &str) -> Result<()> {
        let field = Arc::new(Field::new(&value.column, kind.clone(), true));
        self.added.push((field, one(value, kind, file, self.way_out)?));
        self.folders.push(value.column.clone());
        Ok(())
    }

    fn agree(&mut self, file: &str, own: &DataType, value: &FolderValue) -> Result<()> {
        let kind = plain(own);
        let stated = one(value, kind, file, self.way_out)?;
        self.agreed.push((value.column.clone(), stated, written(value)));
        Ok(())
    }
}

/// The first row whose value is another than the folder's, and that value.
fn agrees(column: &ArrayRef, value: &ArrayRef) -> std::result::Result<(), (u64, String)> {
    let bad = |e: arrow::error::ArrowError| (0, format!("of a type that cannot be compared ({e})"));
    let column = strict_cast(column, value.data_type()).map_err(bad)?;
    let differs = distinct(&column, &Scalar::new(Arc::clone(value))).map_err(bad)?;
    match (0..differs.len()).find(|row| differs.value(*row)) {
        None => Ok(()),
        Some(row) => {
            let shown = arrow::util::display::array_value_to_string(&column, row).map_err(bad)?;
            Err((row as u64, if column.is_null(row) { "NULL".into() } else { shown }))
        }
    }
}

fn repeated(value: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    if value.is_null(0) {
        return Ok(new_null_array(value.data_type(), rows));
    }
    take(value, &UInt32Array::from(vec![0; rows]), None)
        .map_err(|e| Error::internal("a folder's value cannot be repeated").because(e))
}

fn written(value: &FolderValue) -> String {
    format!("{}={}", value.column, value.text.as_deref().unwrap_or("NULL"))
}

fn strict_cast(array: &ArrayRef, kind: &DataType) -> std::result::Result<ArrayRef, arrow::error::ArrowError> {
    cast_with_options(array, kind, &CastOptions { safe: false, ..CastOptions::default() })
}

/// A folder's value as an array of one row.
fn one(value: &FolderValue, kind: &DataType, file: &str, way_out: &str) -> Result<ArrayRef> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value.text.as_deref()]));
    strict_cast(&text, kind).map_err(|e| {
        Error::schema(format!(
            "the folder {} of {file} states no {kind}, which the column has in a file; rename the folder{way_out}",
            written(value)
        ))
        .with("file", file)
        .with("column", &value.column)
        .because(e)
    })
}

/// The folders of one path, each column once.
fn distinct_folders<'a>(file: &str, folders: &'a [FolderValue]) -> Result<Vec<&'a FolderValue>> {
    let mut seen: Vec<&FolderValue> = Vec::new();
    for value in folders {
        match seen.iter().find(|other| other.column == value.column) {
            None => seen.push(value),
            Some(other) if other.text == value.text => {}
            Some(other) => {
                return Err(Error::data(format!(
                    "{file} lies in folders that say both {} and {}",
                    written(other),
                    written(value)
                ))
                .with("file", file)
                .with("column", &value.column));
            }
        }
    }
    Ok(seen)
}

/// A file that is to become a part of a table.
pub(super) struct Piece<'a> {
    pub(super) name: &'a str,
    pub(super) schema: &'a SchemaRef,
    pub(super) folders: &'a [FolderValue],
}

/// One column of the table, and the file that has it first.
struct United<'a> {
    field: FieldRef,
    file: &'a str,
}

/// The schema of all files together, and what each needs to have its columns.
///
/// # Errors
/// `Schema` for types that contradict each other, `Data` for folders that do.
pub(super) fn unite(pieces: &[Piece<'_>]) -> Result<(SchemaRef, Vec<Completion>)> {
    let mut columns: Vec<United<'_>> = Vec::new();
    for piece in pieces {
        for field in piece.schema.fields() {
            match columns.iter_mut().find(|known| known.field.name() == field.name()) {
                Some(known) => known.join(field, piece.name)?,
                None => columns.push(United { field: Arc::clone(field), file: piece.name }),
            }
        }
    }
    let folders = pieces.iter().map(|piece| distinct_folders(piece.name, piece.folders)).collect::<Result<Vec<_>>>()?;
    for (column, kind) in folder_types(&folders) {
        if !columns.iter().any(|known| known.field.name() == column) {
            columns.push(United { field: Arc::new(Field::new(column, kind, true)), file: "" });
        }
    }
    let completed = pieces.iter().zip(&folders).map(|(piece, folders)| completion(piece, folders, &columns));
    let completed = completed.collect::<Result<Vec<_>>>()?;
    let metadata = pieces.first().map(|piece| piece.schema.metadata().clone()).unwrap_or_default();
    let fields: Vec<FieldRef> = columns.into_iter().map(|column| column.field).collect();
    Ok((Arc::new(Schema::new_with_metadata(fields, metadata)), completed))
}

impl<'a> United<'a> {
    fn join(&mut self, field: &FieldRef, file: &'a str) -> Result<()> {
        let (known, found) = (self.field.data_type(), field.data_type());
        let Some(kind) = united(known, found) else {
            return Err(Error::schema(format!(
                "column {:?} is {known} in {} and {found} in {file}: write both alike",
                field.name(),
                self.file
            ))
            .with("column", field.name())
            .with("file", file));
        };
        if *known == DataType::Null {
            self.file = file;
        }
        if kind != *known {
            self.field = Arc::new(self.field.as_ref().clone().with_data_type(kind));
        }
        Ok(())
    }
}

fn completion(piece: &Piece<'_>, folders: &[&FolderValue], columns: &[United<'_>]) -> Result<Completion> {
    let mut completion = Completion { way_out: WAY_OUT, ..Completion::default() };
    for United { field, .. } in columns {
        let own = piece.schema.field_with_name(field.name()).ok();
        let value = folders.iter().find(|value| value.column == *field.name());
        match (own, value) {
            (Some(own), Some(value)) => completion.agree(piece.name, own.data_type(), value)?,
            (Some(own), None) if own.data_type() == &DataType::Null && field.data_type() != &DataType::Null => {
                completion.typed.push(Arc::clone(field));
            }
            (Some(_), None) => {}
            (None, Some(value)) => completion.add(value, field.data_type(), piece.name)?,
            (None, None) => {
                let field = Arc::new(field.as_ref().clone().with_nullable(true));
                let nothing = new_null_array(field.data_type(), 1);
                completion.added.push((field, nothing));
            }
        }
    }
    Ok(completion)
}

/// The columns of all folders in the order they come in: whole numbers, dates, or text.
fn folder_types<'a>(folders: &[Vec<&'a FolderValue>]) -> Vec<(&'a str, DataType)> {
    let mut order: Vec<&str> = Vec::new();
    let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for value in folders.iter().flatten() {
        if !order.contains(&value.column.as_str()) {
            order.push(&value.column);
        }
        texts.entry(&value.column).or_default().extend(value.text.as_deref());
    }
    let kind = |column: &str| {
        let all =
            |test: fn(&str) -> bool| texts.get(column).is_some_and(|t| !t.is_empty() && t.iter().all(|t| test(t)));
        if all(is_whole_number) {
            DataType::Int64
        } else if all(is_date) {
            DataType::Date32
        } else {
            DataType::Utf8
        }
    };
    order.into_iter().map(|column| (column, kind(column))).collect()
}

fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}
