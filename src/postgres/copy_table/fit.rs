//! Whether the columns of every file go into the table.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use super::super::copy::PgType;
use super::advice::advice;
use super::catalog::{Column, Table};
use crate::error::{Error, Result};
use crate::load::Origin;

/// So many misfits are told; the rest is counted.
const TOLD: usize = 20;

/// The columns of the COPY, in the order of the first file. Every file has them all.
///
/// # Errors
/// `Schema` with every column of every file that does not fit: file, column, both types, what to do.
pub(super) fn columns(table: &Table, origins: &[Origin]) -> Result<Vec<(String, PgType)>> {
    let Some(first) = origins.first() else { return Ok(Vec::new()) };
    let by_name: BTreeMap<&str, &Column> = table.columns.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut misfits = Vec::new();
    for origin in origins {
        for field in origin.schema.fields().iter().filter(|field| !origin.lacks.contains(field.name())) {
            let (name, arrow) = (field.name().as_str(), field.data_type());
            if let Some(why) = misfit(by_name.get(name).copied(), name, arrow) {
                misfits.push(format!("{}: {why}", origin.name));
            }
        }
    }
    for column in table.columns.iter().filter(|c| c.is_required) {
        let lacking = origins.iter().filter(|origin| {
            origin.lacks.contains(&column.name) || origin.schema.column_with_name(&column.name).is_none()
        });
        misfits.extend(lacking.map(|origin| {
            format!(
                "{}: has no column {:?} ({}), which is NOT NULL without a default: add it, or give it a default",
                origin.name, column.name, column.sql
            )
        }));
    }
    if first.schema.fields().is_empty() {
        misfits.push(format!("{}: has no columns", first.name));
    }
    if misfits.is_empty() {
        let typed =
            first.schema.fields().iter().filter_map(|f| Some((f.name().clone(), by_name.get(f.name().as_str())?.pg?)));
        return Ok(typed.collect());
    }
    let more = misfits.len().saturating_sub(TOLD);
    let mut told = misfits[..misfits.len().min(TOLD)].join("; ");
    if more > 0 {
        told.push_str(&format!("; and {more} more"));
    }
    Err(Error::schema(format!("nothing was sent, {} does not take these columns: {told}", table.name()))
        .with("table", table.name())
        .with("misfits", misfits.len()))
}

fn misfit(column: Option<&Column>, name: &str, arrow: &DataType) -> Option<String> {
    // How text is encoded is the file's own business, and no reason to refuse it.
    let arrow = match arrow {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    let Some(column) = column else {
        return Some(format!("column {name:?} ({arrow}) is not in the table: add it there, or leave it out"));
    };
    if column.is_generated {
        return Some(format!("column {name:?} is computed by the table: leave it out"));
    }
    match column.pg {
        Some(pg) if pg.takes(arrow) => None,
        pg => Some(format!("column {name:?} is {arrow}, the table has {}: {}", column.sql, advice(arrow, pg))),
    }
}
