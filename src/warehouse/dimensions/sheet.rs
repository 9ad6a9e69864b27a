//! The sheet of changes: one temporary table that the plan of every affected key is copied into.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Date32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use chrono::NaiveDate;

use crate::control::{Cancel, Progress};
use crate::error::Result;
use crate::history::{Columns, Values};
use crate::load::{Feed, Unit};
use crate::postgres::copy::PgType;
use crate::postgres::{Session, Target, copy_here};
use crate::warehouse::stage::batch_of;

/// What a row of the sheet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// What the snapshot says (input of the plan).
    Snapshot,
    /// A run of the log that goes.
    LogGone,
    /// A run of the log that comes or changes its end.
    LogPut,
    /// A version that goes.
    Delete,
    /// A version of which only the bounds change; its values are not sent.
    Move,
    /// A version whose values change.
    Update,
    /// A new version.
    Insert,
    /// A version that becomes an inferred member.
    Infer,
    /// A stretch of event time whose as-of answer changes.
    Changed,
}

impl Op {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::LogGone => "log_gone",
            Self::LogPut => "log_put",
            Self::Delete => "delete",
            Self::Move => "move",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::Infer => "infer",
            Self::Changed => "changed",
        }
    }
}

/// One row; what an operation does not need stays empty.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) surrogate: Option<i64>,
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
    pub(super) from_dt: Option<NaiveDate>,
    pub(super) to_dt: Option<NaiveDate>,
    pub(super) is_mention: bool,
    pub(super) stated: Option<&'a Columns>,
    pub(super) values: Option<&'a Values>,
}

/// Rows of the sheet on their way to the server.
pub(super) struct Sheet {
    op: StringBuilder,
    key: StringBuilder,
    surrogate: Int64Builder,
    from: Int64Builder,
    to: Int64Builder,
    from_dt: Date32Builder,
    to_dt: Date32Builder,
    is_mention: BooleanBuilder,
    stated: StringBuilder,
    said: ListBuilder<StringBuilder>,
    rows: usize,
    counts: Counts,
}

/// How many rows ask for what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts([u64; 9]);

impl Counts {
    pub(super) fn of(&self, op: Op) -> u64 {
        self.0[op as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }
}

/// The sheet's table.
pub(super) const TABLE: &str = "pg_temp.sheet";

/// Creates the sheet for the transaction.
pub(super) const CREATE: &str = "CREATE TEMP TABLE sheet (op text, key text, sk bigint, at_from bigint, at_to bigint, \
     from_dt date, to_dt date, is_mention boolean, stated text, said text[]) ON COMMIT DROP";

impl Sheet {
    pub(super) fn new() -> Self {
        Self {
            op: StringBuilder::new(),
            key: StringBuilder::new(),
            surrogate: Int64Builder::new(),
            from: Int64Builder::new(),
            to: Int64Builder::new(),
            from_dt: Date32Builder::new(),
            to_dt: Date32Builder::new(),
            is_mention: BooleanBuilder::new(),
            stated: StringBuilder::new(),
            said: ListBuilder::new(StringBuilder::new()),
            rows: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn push(&mut self, op: Op, entry: &Entry<'_>) {
        self.op.append_value(op.code());
        self.key.append_value(entry.key);
        self.surrogate.append_option(entry.surrogate);
        self.from.append_option(entry.from);
        self.to.append_option(entry.to);
        self.from_dt.append_option(entry.from_dt.map(Date32Type::from_naive_date));
        self.to_dt.append_option(entry.to_dt.map(Date32Type::from_naive_date));
        self.is_mention.append_value(entry.is_mention);
        self.stated.append_option(entry.stated.map(Columns::to_string));
        if let Some(values) = entry.values {
            for value in values {
                self.said.values().append_option(value.as_deref());
            }
        }
        self.said.append(entry.values.is_some());
        self.rows += 1;
        self.counts.0[op as usize] += 1;
    }

    /// What was pushed since the sheet was made, sent or not.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Sends what was pushed and begins anew.
    pub(super) async fn send(&mut self, session: &Session, cancel: &Cancel) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let rest = Self { counts: self.counts, ..Self::new() };
        let full = std::mem::replace(self, rest);
        let feed = Arc::new(Full { batch: full.batch()? });
        let target = Target::new(TABLE.to_owned(), columns());
        copy_here(session, &target, feed, cancel, &Progress::default()).await?;
        Ok(())
    }

    fn batch(mut self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.op.finish()),
            Arc::new(self.key.finish()),
            Arc::new(self.surrogate.finish()),
            Arc::new(self.from.finish()),
            Arc::new(self.to.finish()),
            Arc::new(self.from_dt.finish()),
            Arc::new(self.to_dt.finish()),
            Arc::new(self.is_mention.finish()),
            Arc::new(self.stated.finish()),
            Arc::new(self.said.finish()),
        ];
        batch_of(&schema(), columns)
    }
}

fn columns() -> Vec<(String, PgType)> {
    [
        ("op", PgType::Text),
        ("key", PgType::Text),
        ("sk", PgType::Int8),
        ("at_from", PgType::Int8),
        ("at_to", PgType::Int8),
        ("from_dt", PgType::Date),
        ("to_dt", PgType::Date),
        ("is_mention", PgType::Bool),
        ("stated", PgType::Text),
        ("said", PgType::TEXT_ARRAY),
    ]
    .map(|(name, kind)| (name.to_owned(), kind))
    .to_vec()
}

fn schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, true);
    Arc::new(Schema::new(vec![
        field("op", DataType::Utf8),
        field("key", DataType::Utf8),
        field("sk", DataType::Int64),
        field("at_from", DataType::Int64),
        field("at_to", DataType::Int64),
        field("from_dt", DataType::Date32),
        field("to_dt", DataType::Date32),
        field("is_mention", DataType::Boolean),
        field("stated", DataType::Utf8),
        field("said", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
    ]))
}

struct Full {
    batch: RecordBatch,
}

impl Feed for Full {
    fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    fn units(&self) -> usize {
        1
    }

    fn read(&self, _: Unit, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        sink(self.batch.clone())
    }
}
