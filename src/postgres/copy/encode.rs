//! Arrow batches to COPY BINARY.

use arrow::array::{Array, ArrayRef, BooleanArray, Date32Array, Int64Array, NullArray, RecordBatch, StringArray};
use arrow::array::{TimestampMicrosecondArray, new_empty_array};
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::array_value_to_string;
use bytes::{BufMut, BytesMut};
use chrono::NaiveDate;
use std::sync::Arc;

use super::SIGNATURE;
use super::field::{Constant, Fault, Field, Why, append};
use super::prepare::prepare;
use super::types::PgType;
use crate::error::{Error, Result};

/// Rows written at a time: their bytes stay in the processor's nearest cache while column after column fills them.
const BLOCK_ROWS: usize = 256;

/// Where the values of a PostgreSQL column come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The batch's column of this name.
    Column(String),
    /// The one value of an array of length one, in every row.
    Constant(ArrayRef),
}

impl Source {
    /// A constant text.
    pub fn text(value: &str) -> Self {
        Self::Constant(Arc::new(StringArray::from(vec![value])))
    }

    /// A constant integer.
    pub fn integer(value: i64) -> Self {
        Self::Constant(Arc::new(Int64Array::from(vec![value])))
    }

    /// A constant date.
    pub fn date(value: NaiveDate) -> Self {
        let days = value.signed_duration_since(NaiveDate::default()).num_days();
        Self::Constant(Arc::new(Date32Array::from(vec![i32::try_from(days).ok()])))
    }

    /// A constant instant in microseconds since 1970-01-01 UTC.
    pub fn instant(micros: i64) -> Self {
        Self::Constant(Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")))
    }

    /// NULL in every row.
    pub fn null() -> Self {
        Self::Constant(Arc::new(NullArray::new(1)))
    }
}

/// Which rows of a batch are written.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Every row.
    All,
    /// The rows where the mask is true (not false, not NULL).
    Mask(&'a BooleanArray),
    /// These rows, in this order.
    Rows(&'a [u32]),
}

struct Column {
    name: String,
    pg: PgType,
    input: Input,
}

enum Input {
    Batch {
        index: usize,
        arrow: DataType,
    },
    /// The complete field.
    Bytes(Vec<u8>),
}

/// Writes Arrow batches as one COPY BINARY stream.
///
/// Any order of calls makes a valid stream: the header is written by whichever call comes first, and after the
/// footer the encoder stands at the beginning of another stream.
///
/// ```
/// # use arrow::{array::{Int32Array, RecordBatch}, datatypes::{DataType, Field, Schema}};
/// # use metropulse::postgres::copy::{Encoder, PgType, Selection};
/// # use std::sync::Arc;
/// # fn main() -> metropulse::Result<()> {
/// let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
/// let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int32Array::from(vec![7]))]).unwrap();
/// let mut encoder = Encoder::new(&[("n".into(), PgType::Int8)], &schema)?;
/// let mut out = bytes::BytesMut::new();
/// encoder.encode(&batch, Selection::All, &mut out)?;
/// assert_eq!(encoder.footer(&mut out), 1);
/// # Ok(())
/// # }
/// ```
pub struct Encoder {
    sources: Vec<(String, PgType, Source)>,
    columns: Vec<Column>,
    started: bool,
    rows_seen: u64,
    rows_written: u64,
}

impl Encoder {
    /// Plans a stream of these PostgreSQL columns, each from the Arrow column of the same name.
    ///
    /// # Errors
    /// A schema error naming the column and both types when a column is missing or its types do not go together.
    pub fn new(columns: &[(String, PgType)], schema: &Schema) -> Result<Self> {
        let columns: Vec<_> =
            columns.iter().map(|(name, pg)| (name.clone(), *pg, Source::Column(name.clone()))).collect();
        Self::with_sources(&columns, schema)
    }

    /// Plans a stream whose columns come from named Arrow columns or are constant.
    ///
    /// # Errors
    /// As [`Self::new`]; a data error when a constant does not fit its type.
    pub fn with_sources(columns: &[(String, PgType, Source)], schema: &Schema) -> Result<Self> {
        if i16::try_from(columns.len()).is_err() {
            return Err(Error::schema(format!("{} columns, PostgreSQL takes at most {}", columns.len(), i16::MAX)));
        }
        let mut encoder =
            Self { sources: columns.to_vec(), columns: Vec::new(), started: false, rows_seen: 0, rows_written: 0 };
        encoder.turn_to(schema, 0)?;
        Ok(encoder)
    }

    /// Goes on in the same stream with batches of another schema (another file's), whose first row messages call
    /// number `rows_before + 1`.
    ///
    /// # Errors
    /// As [`Self::with_sources`]; the encoder then stands where it stood.
    pub fn turn_to(&mut self, schema: &Schema, rows_before: u64) -> Result<()> {
        self.columns =
            self.sources.iter().map(|(name, pg, source)| plan(name, *pg, source, schema)).collect::<Result<_>>()?;
        self.rows_seen = rows_before;
        Ok(())
    }

    /// Writes the header unless this stream has one.
    pub fn header(&mut self, out: &mut BytesMut) {
        if !self.started {
            out.put_slice(SIGNATURE);
            out.put_u32(0);
            out.put_u32(0);
            self.started = true;
        }
    }

    /// Appends the selected rows and says how many they were. After an error `out` holds what it held before
    /// (and the header).
    ///
    /// # Errors
    /// A data error naming `column` and `row` (counted from 1 over all rows given to this stream, selected or
    /// not) for a value that PostgreSQL cannot hold; an internal error for a batch or selection that does not
    /// fit the plan.
    pub fn encode(&mut self, batch: &RecordBatch, selection: Selection<'_>, out: &mut BytesMut) -> Result<u64> {
        self.header(out);
        let start = out.len();
        let written = self.append(batch, selection, out).inspect_err(|_| out.truncate(start))?;
        self.rows_seen += batch.num_rows() as u64;
        self.rows_written += written;
        Ok(written)
    }

    /// Ends the stream and says how many rows it has.
    pub fn footer(&mut self, out: &mut BytesMut) -> u64 {
        self.header(out);
        out.put_i16(-1);
        self.started = false;
        self.rows_seen = 0;
        std::mem::take(&mut self.rows_written)
    }

    fn append(&self, batch: &RecordBatch, selection: Selection<'_>, out: &mut BytesMut) -> Result<u64> {
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| Error::internal(format!("a batch of {} rows is too large to encode", batch.num_rows())))?;
        let mut fields = self.fields(batch)?;
        let mut written = 0;
        let mut block = |rows: &[u32], out: &mut BytesMut| {
            written += rows.len() as u64;
            write_block(&mut fields, rows, out).map_err(|(column, fault)| self.error(batch, column, fault))
        };
        match selection {
            Selection::All => blocks(0..rows, |rows| block(rows, out))?,
            Selection::Mask(mask) => {
                if mask.len() != rows as usize {
                    return Err(Error::internal(format!("a mask of {} rows for a batch of {rows}", mask.len())));
                }
                let chosen = (0..rows).filter(|&row| mask.is_valid(row as usize) && mask.value(row as usize));
                blocks(chosen, |rows| block(rows, out))?;
            }
            Selection::Rows(chosen) => {
                if let Some(row) = chosen.iter().find(|&&row| row >= rows) {
                    return Err(Error::internal(format!("row {row} is selected from a batch of {rows}")));
                }
                chosen.chunks(BLOCK_ROWS).try_for_each(|rows| block(rows, out))?;
            }
        }
        Ok(written)
    }

    fn fields(&self, batch: &RecordBatch) -> Result<Vec<Box<dyn Field>>> {
        self.columns
            .iter()
            .map(|column| match &column.input {
                Input::Bytes(bytes) => Ok(Box::new(Constant(bytes.clone())) as Box<dyn Field>),
                Input::Batch { index, arrow } => {
                    let array = batch.columns().get(*index).filter(|a| a.data_type() == arrow);
                    array.and_then(|array| prepare(array, column.pg)).ok_or_else(|| {
                        Error::internal("a batch does not have the schema its encoder was made for")
                            .with("column", &column.name)
                            .with("expected", arrow)
                    })
                }
            })
            .collect()
    }

    fn error(&self, batch: &RecordBatch, column: usize, fault: Fault) -> Error {
        let Column { name, pg, input } = &self.columns[column];
        let message = match fault.why {
            Why::Nul => format!("text holds the character U+0000, which PostgreSQL's {pg} cannot store"),
            Why::NotText => format!("the bytes are no UTF-8, which PostgreSQL's {pg} holds"),
            Why::Range => match input {
                Input::Batch { index, .. } => match array_value_to_string(batch.column(*index), fault.row as usize) {
                    Ok(value) => format!("{value:?} is not a value of PostgreSQL's {pg}"),
                    Err(_) => format!("a value lies outside the range of PostgreSQL's {pg}"),
                },
                Input::Bytes(_) => format!("a value lies outside the range of PostgreSQL's {pg}"),
            },
        };
        Error::data(message).with("column", name).with("row", self.rows_seen + u64::from(fault.row) + 1)
    }
}

fn plan(name: &str, pg: PgType, source: &Source, schema: &Schema) -> Result<Column> {
    let refused = |arrow: &DataType| {
        Error::schema(format!("Arrow type {arrow} cannot become PostgreSQL's {pg}"))
            .with("column", name)
            .with("arrow_type", arrow)
            .with("postgres_type", pg)
    };
    let input = match source {
        Source::Column(source) => {
            let (index, field) = schema.column_with_name(source).ok_or_else(|| {
                Error::schema(format!("column {source:?} is missing, expected one that can become {pg}"))
                    .with("column", name)
                    .with("postgres_type", pg)
            })?;
            let arrow = field.data_type().clone();
            prepare(&new_empty_array(&arrow), pg).ok_or_else(|| refused(&arrow))?;
            Input::Batch { index, arrow }
        }
        Source::Constant(array) => {
            if array.len() != 1 {
                return Err(Error::internal(format!("a constant of {} values", array.len())).with("column", name));
            }
            let mut field = prepare(array, pg).ok_or_else(|| refused(array.data_type()))?;
            let mut bytes = Vec::new();
            append(field.as_mut(), 0, &mut bytes).map_err(|_| {
                Error::data(format!("a constant is not a value of PostgreSQL's {pg}")).with("column", name)
            })?;
            Input::Bytes(bytes)
        }
    };
    Ok(Column { name: name.into(), pg, input })
}

fn blocks(rows: impl Iterator<Item = u32>, mut block: impl FnMut(&[u32]) -> Result<()>) -> Result<()> {
    let mut buffer = [0_u32; BLOCK_ROWS];
    let mut filled = 0;
    for row in rows {
        buffer[filled] = row;
        filled += 1;
        if filled == BLOCK_ROWS {
            block(&buffer)?;
            filled = 0;
        }
    }
    if filled > 0 { block(&buffer[..filled]) } else { Ok(()) }
}

fn write_block(
    fields: &mut [Box<dyn Field>],
    rows: &[u32],
    out: &mut BytesMut,
) -> std::result::Result<(), (usize, Fault)> {
    let count = (fields.len() as i16).to_be_bytes();
    let mut sizes = [count.len(); BLOCK_ROWS];
    let sizes = &mut sizes[..rows.len()];
    for (index, field) in fields.iter_mut().enumerate() {
        field.measure(rows, sizes).map_err(|fault| (index, fault))?;
    }
    let start = out.len();
    let mut end = 0;
    let cursors = sizes;
    for cursor in cursors.iter_mut() {
        let size = std::mem::replace(cursor, end);
        end += size;
    }
    out.resize(start + end, 0);
    let bytes = &mut out[start..];
    for cursor in cursors.iter_mut() {
        bytes[*cursor..*cursor + count.len()].copy_from_slice(&count);
        *cursor += count.len();
    }
    fields
        .iter()
        .enumerate()
        .try_for_each(|(index, field)| field.write(rows, cursors, bytes).map_err(|fault| (index, fault)))
}
