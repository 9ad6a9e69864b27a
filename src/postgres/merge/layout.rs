//! Which columns the encoded rows of a source have.

use arrow::datatypes::Schema;

use super::super::copy::PgType;
use super::super::history::wire::{Column, Field};
use super::spec::MergeSpec;
use super::target::Target;
use crate::history::Columns;

/// The columns of the encoded rows: the key, of a change feed the instant and maybe whether the key is gone, and what the
/// snapshot states.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) columns: Vec<Column>,
    /// How many of them are the key.
    pub(super) key_count: usize,
    /// How many tell rows apart: the key, and the instant of a change feed.
    pub(super) identity_count: usize,
    /// Whether the column after those tells that the key is gone.
    pub(super) tells_gone: bool,
    /// Which columns of the history those after them are.
    pub(super) places: Vec<usize>,
}

impl Layout {
    /// The layout of the rows of a schema.
    pub(super) fn of(target: &Target, spec: &MergeSpec, schema: &Schema) -> Self {
        let mut columns = target.keys.clone();
        columns.extend(spec.time_column().map(|name| Column {
            name: name.clone(),
            kind: PgType::Timestamptz,
            sql_type: "timestamp with time zone".into(),
        }));
        let (key_count, identity_count) = (target.keys.len(), columns.len());
        columns.extend(spec.deleted.as_ref().map(|deleted| Column {
            name: deleted.column.clone(),
            kind: PgType::Bool,
            sql_type: "boolean".into(),
        }));
        let stated = target.attributes.iter().enumerate().filter(|(_, c)| schema.field_with_name(&c.name).is_ok());
        let places = stated.map(|(place, column)| {
            columns.push(column.clone());
            place
        });
        let places = places.collect();
        Self { columns, key_count, identity_count, tells_gone: spec.deleted.is_some(), places }
    }

    /// The columns of the history that the rows state.
    pub(super) fn columns_stated(&self) -> Columns {
        self.places.iter().copied().collect()
    }

    /// The columns that say something.
    pub(super) fn stated(&self) -> &[Column] {
        self.statement_of(&self.columns)
    }

    /// What of a row says something.
    pub(super) fn statement_of<'a, T>(&self, row: &'a [T]) -> &'a [T] {
        &row[self.identity_count + usize::from(self.tells_gone)..]
    }

    /// Whether a row says that its key is gone.
    pub(super) fn is_gone(&self, row: &[Field<'_>]) -> bool {
        self.tells_gone && row[self.identity_count] == Some(&[1])
    }
}
