//! Rows of one table and day, gathered as columns of the raw dataset.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::super::realtime::date;
use super::columns::Builder;
use super::tables::Table;
use crate::error::{Error, Result};
use crate::model::{Column, Zone};

/// The fields of a table that become columns of its raw dataset.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    schema: SchemaRef,
    /// The field of each column, by its place in the table.
    pub(super) fields: Vec<usize>,
    pub(super) kinds: Vec<&'static Column>,
}

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) columns: Vec<Builder>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) timetable_micros: i64,
}

impl Layout {
    /// The columns of the raw dataset that any file has the field of, in their order.
    pub(super) fn of(table: Table, header: &BTreeSet<String>) -> Self {
        let place = |column: &Column| {
            table.fields().iter().position(|field| field.column() == Some(column.name) && header.contains(field.name))
        };
        let found = table.dataset().columns().iter().filter_map(|column| Some((place(column)?, column)));
        let (fields, kinds): (Vec<usize>, Vec<&'static Column>) = found.unzip();
        let schema = kinds.iter().map(|column| ArrowField::new(column.name, column.kind.arrow(), true));
        Self { schema: Arc::new(Schema::new(schema.collect::<Vec<_>>())), fields, kinds }
    }

    pub(super) fn batch(&self, batch: &mut Batch) -> Result<RecordBatch> {
        let misfit = |e: ArrowError| Error::internal("rows of a package make no batch").because(e);
        let built = batch.columns.iter_mut().zip(self.schema.fields());
        let columns: Vec<ArrayRef> = built
            .map(|(column, field)| cast(&column.finish(), field.data_type()).map_err(misfit))
            .collect::<Result<_>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(misfit)
    }
}

impl Batch {
    pub(super) fn new(layout: &Layout, day: Option<i32>, zone: Zone) -> Self {
        let columns = layout.kinds.iter().map(|column| Builder::of(column.kind)).collect();
        let timetable_micros = day.map_or(0, |day| zone.timetable_start_micros(date(day)));
        Self { columns, rows: 0, bytes: 0, timetable_micros }
    }
}
