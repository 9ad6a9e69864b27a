//! The room against an independent naive model, the classic inputs by name, and each part on its own.

mod classics;
mod keys;
mod model;
mod planning;
mod properties;
mod snapshots;

use super::{Instant, Rules, Run, Statement, Value, Values, Version};
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
    Some(Statement::observed((1 << texts.len()) - 1, values(texts)))
}

fn run(from: Instant, to: Option<Instant>, texts: &[&str]) -> Run {
    Run::new(from, to, row(texts).unwrap())
}

fn version(from: Instant, to: Option<Instant>, texts: &[&str]) -> Version {
    Version { from: Some(from), to, values: values(texts) }
}

/// All columns tracked, absence closes, no flag.
fn tracking(columns: usize) -> Rules {
    let tracked = (1 << columns) - 1;
    Rules { columns, absent: Absent::Close, tracked, overwritten: 0, active: None, type2: true }
}
