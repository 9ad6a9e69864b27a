//! Where the table stands, what its columns are, and how the tables beside it are called.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};

use super::super::client::{Session, get};
use super::super::copy::PgType;
pub(super) use super::super::copy_in::quoted as quote;
use super::super::history::wire::{Column, can_compare};
use crate::error::{Error, Result};

/// Room for the suffixes of what stands beside a table.
const NAME_BYTES: usize = IDENTIFIER_BYTES - "_key_from".len();
/// Of a longer name PostgreSQL keeps only the beginning.
const IDENTIFIER_BYTES: usize = 63;

/// Where the table is, quoted.
pub(super) struct Place {
    schema: String,
    name: String,
    exists: bool,
    columns: BTreeMap<String, Found>,
}

/// A column as the catalog has it.
pub(super) struct Found {
    column: Option<Column>,
    pub(super) sql_type: String,
    is_generated: bool,
    is_blurred: bool,
}

impl Place {
    /// Looks a table up by the server's own search path.
    pub(super) async fn find(session: &Session, table: &str) -> Result<Self> {
        session.run("RESET search_path").await?;
        let sql = "SELECT parse_ident($1), current_schema()::text, n.nspname::text \
             FROM (SELECT to_regclass($1)::oid AS oid) t LEFT JOIN pg_class c ON c.oid = t.oid \
             LEFT JOIN pg_namespace n ON n.oid = c.relnamespace";
        let row = session.row(sql, &[&table]).await.map_err(|e| {
            Error::config(format!("table is {table:?}, expected a name such as dwh.dim_customer")).because(e)
        });
        session.run("SET search_path = pg_catalog").await?;
        let row = row?;
        let parts: Vec<String> = get(&row, 0)?;
        let found: Option<String> = get(&row, 2)?;
        let default: Option<String> = get(&row, 1)?;
        let (schema, name) = match parts.as_slice() {
            [name] => (found.clone().or(default).unwrap_or_else(|| "public".to_owned()), name.clone()),
            [schema, name] => (schema.clone(), name.clone()),
            _ => return Err(Error::config(format!("table is {table:?}, expected schema.table"))),
        };
        if name.len() > NAME_BYTES {
            return Err(Error::config(format!(
                "the table's name has {} bytes, at most {NAME_BYTES} leave room for the tables beside it",
                name.len()
            )));
        }
        let mut place = Self { schema, name, exists: found.is_some(), columns: BTreeMap::new() };
        place.columns = columns_of(session, &place.table()).await?;
        Ok(place)
    }

    fn beside(&self, suffix: &str) -> String {
        format!("{}.{}", quote(&self.schema), quote(&format!("{}{suffix}", self.name)))
    }

    /// Its name, as it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The table, quoted and qualified.
    pub(super) fn table(&self) -> String {
        self.beside("")
    }

    /// The table of what was said.
    pub(super) fn log(&self) -> String {
        self.beside("_said")
    }

    /// The table of loads and rules.
    pub(super) fn loads(&self) -> String {
        self.beside("_loads")
    }

    /// The table of digests.
    pub(super) fn digests(&self) -> String {
        self.beside("_digests")
    }

    /// The name of a constraint or an index.
    pub(super) fn part(&self, suffix: &str) -> String {
        quote(&format!("{}{suffix}", self.name))
    }

    /// The schema, quoted.
    pub(super) fn schema(&self) -> String {
        quote(&self.schema)
    }

    /// Whether the table was there.
    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    pub(super) fn is_generated(&self, column: &str) -> bool {
        self.columns.get(column).is_some_and(|found| found.is_generated)
    }

    /// Whether values of a column that differ in their bytes may be equal.
    pub(super) fn is_blurred(&self, column: &str) -> bool {
        self.columns.get(column).is_some_and(|found| found.is_blurred)
    }

    pub(super) fn type_of(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(|found| found.sql_type.as_str())
    }

    /// Reads the table's columns again.
    pub(super) async fn reload_columns(&mut self, session: &Session) -> Result<()> {
        self.columns = columns_of(session, &self.table()).await?;
        Ok(())
    }

    /// A column as the table has it.
    pub(super) fn owned(&self, name: &str) -> Result<Column> {
        self.column(name, None)
    }

    /// A column as the table has it, or as the snapshot would make it.
    pub(super) fn column(&self, name: &str, schema: Option<&Schema>) -> Result<Column> {
        if let Some(found) = self.columns.get(name) {
            return found.column.clone().ok_or_else(|| {
                Error::schema(format!("column {name:?} has type {}, which cannot be merged", found.sql_type))
                    .with("column", name)
                    .with("table", self.table())
            });
        }
        let field = schema.and_then(|schema| schema.field_with_name(name).ok()).ok_or_else(|| {
            Error::schema(format!("column {name:?} is neither in the snapshot nor in the table"))
                .with("column", name)
                .with("table", self.table())
        })?;
        check_name(name)?;
        let kind = made_for(field.data_type()).ok_or_else(|| {
            Error::schema(format!("Arrow type {} has no PostgreSQL type here", field.data_type()))
                .with("column", name)
                .with("arrow_type", field.data_type())
        })?;
        Ok(Column { name: name.to_owned(), kind, sql_type: kind.to_string() })
    }
}

/// Refuses a column's name that PostgreSQL would cut.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.len() <= IDENTIFIER_BYTES {
        return Ok(());
    }
    let message = format!("column {name:?} has a name of {} bytes, PostgreSQL keeps {IDENTIFIER_BYTES}", name.len());
    Err(Error::schema(message).with("column", name))
}

/// The columns of a table, quoted and qualified; none where it is not there.
pub(super) async fn columns_of(session: &Session, table: &str) -> Result<BTreeMap<String, Found>> {
    let sql = "SELECT attname::text, atttypid::int8, atttypmod, format_type(atttypid, atttypmod), \
           attgenerated <> '', coalesce(NOT c.collisdeterministic, false) \
         FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation \
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
    let mut columns = BTreeMap::new();
    for row in session.rows(sql, &[&table]).await? {
        let name: String = get(&row, 0)?;
        let sql_type: String = get(&row, 3)?;
        let kind = PgType::from_oid(get::<i64>(&row, 1)? as u32).filter(|kind| can_compare(*kind));
        let kind = kind.map(|kind| kind.with_typmod(row.get(2)));
        let column = kind.map(|kind| Column { name: name.clone(), kind, sql_type: sql_type.clone() });
        let found = Found { column, sql_type, is_generated: get(&row, 4)?, is_blurred: get(&row, 5)? };
        columns.insert(name, found);
    }
    Ok(columns)
}

/// The PostgreSQL type that a new column gets: as for any table made, but a negative scale makes no promise on digits.
fn made_for(arrow: &DataType) -> Option<PgType> {
    match arrow {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale)
            if *scale < 0 =>
        {
            Some(PgType::Numeric)
        }
        DataType::Dictionary(_, value) => made_for(value),
        other => PgType::of_arrow(other).filter(|kind| can_compare(*kind)),
    }
}
