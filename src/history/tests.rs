//! The room against an independent naive model, the classic inputs by name, and each part on its own.

mod classics;
mod feeds;
mod keys;
mod model;
mod planning;
mod properties;
mod snapshots;

use super::{Columns, Instant, Rules, Run, Statement, Value, Values, Version};
use crate::model::Absent;

/// Values from short texts; `-` is NULL.
fn values(texts: &[&str]) -> Values {
    texts.iter().map(|&text| value(text)).collect()
}

fn value(text: &str) -> Value {
    (text != "-").then(|| text.into())
}

/// A clean row that states all its columns.
fn row(texts: &[&str]) -> Option<Statement> {
    Some(Statement::observed(Columns::first(texts.len()), values(texts)))
}

fn run(from: Instant, to: Option<Instant>, texts: &[&str]) -> Run {
    Run::new(from, to, row(texts).unwrap())
}

fn version(from: Instant, to: Option<Instant>, texts: &[&str]) -> Version {
    Version { from: Some(from), to, values: values(texts) }
}

/// All columns tracked, absence closes, no flag.
fn tracking(columns: usize) -> Rules {
    Rules {
        columns,
        absent: Absent::Close,
        tracked: Columns::first(columns),
        overwritten: Columns::default(),
        active: None,
        type2: true,
    }
}
