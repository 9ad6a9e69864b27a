//! The tables and columns that metropulse knows and where each comes from, for those who draw lineage. Told from the
//! model alone: nothing is connected.

use serde::Serialize;

use crate::clickhouse;
use crate::model::{Computed, Dataset, Dimension, Fact};

/// Every table of a deployment.
#[derive(Clone, Debug, Serialize)]
pub struct Catalog {
    /// The raw datasets; each has a table in staging with the same columns.
    pub datasets: Vec<Described>,
    /// The dimensions that raw datasets feed.
    pub dimensions: Vec<Described>,
    /// The facts.
    pub facts: Vec<Described>,
    /// The mart.
    pub mart: Described,
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct Described {
    /// The dataset that feeds it; empty for the mart.
    pub dataset: &'static str,
    /// Its name: the staging table of a dataset, else schema and table of the warehouse or the mart's own.
    pub table: &'static str,
    /// Its columns.
    pub columns: Vec<DescribedColumn>,
}

/// One column.
#[derive(Clone, Debug, Serialize)]
pub struct DescribedColumn {
    /// The name.
    pub name: &'static str,
    /// The type in its database.
    #[serde(rename = "type")]
    pub sql_type: &'static str,
    /// The raw columns of the dataset that it is made from.
    pub made_from: Vec<&'static str>,
    /// Whether a raw value is taken over as it is.
    pub is_taken_over: bool,
    /// The dimension and its column that the value is a key of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<(&'static str, &'static str)>,
}

/// The tables and columns.
pub fn catalog() -> Catalog {
    Catalog {
        datasets: Dataset::ALL.into_iter().map(of_dataset).collect(),
        dimensions: Dimension::ALL.into_iter().map(of_dimension).collect(),
        facts: Fact::ALL.into_iter().map(of_fact).collect(),
        mart: of_mart(),
    }
}

fn of_dataset(dataset: Dataset) -> Described {
    let columns = dataset.columns().iter().map(|column| taken(dataset, column.name, column.name)).collect();
    Described { dataset: dataset.name(), table: dataset.staging_table(), columns }
}

fn of_dimension(dimension: Dimension) -> Described {
    let dataset = dimension.dataset;
    let mut columns = vec![made(dimension.surrogate, "int8", &[dataset.key()])];
    columns.extend(dataset.columns().iter().map(|column| taken(dataset, column.name, column.name)));
    for name in dimension.interval.into_iter().flat_map(|(from, to)| [from, to]) {
        columns.push(made(name, "timestamptz", &[]));
    }
    Described { dataset: dataset.name(), table: dimension.table, columns }
}

fn of_fact(fact: Fact) -> Described {
    let dataset = fact.dataset;
    let mut columns = vec![made(fact.surrogate, "int8", &[]), made("dt", "date", &[])];
    columns.extend(fact.references.iter().map(|reference| DescribedColumn {
        refers_to: Some((reference.member.table(), reference.member.surrogate())),
        ..made(reference.surrogate, "int8", &[reference.raw])
    }));
    columns.extend(fact.taken.iter().map(|(raw, name)| taken(dataset, raw, name)));
    match fact.computed {
        Computed::Nothing => {}
        Computed::Duration => columns.push(made("duration_sec", "int8", &["start_ts", "end_ts"])),
        Computed::Trip => columns.push(made("trip_sk", "int8", &["trip_id"])),
        Computed::DateAndTime => {
            columns.push(made("event_date_sk", "int4", fact.time.as_slice()));
            columns.push(made("event_time_sk", "int4", fact.time.as_slice()));
        }
    }
    Described { dataset: dataset.name(), table: fact.table, columns }
}

fn of_mart() -> Described {
    let columns = clickhouse::mart_columns().map(|(name, sql_type)| made(name, sql_type, &[])).collect();
    Described { dataset: "", table: clickhouse::TABLE, columns }
}

fn taken(dataset: Dataset, raw: &'static str, name: &'static str) -> DescribedColumn {
    let declared = dataset.columns().iter().find(|column| column.name == raw);
    let sql_type = declared.map_or("text", |column| column.kind.sql());
    DescribedColumn { name, sql_type, made_from: vec![raw], is_taken_over: true, refers_to: None }
}

fn made(name: &'static str, sql_type: &'static str, from: &[&'static str]) -> DescribedColumn {
    DescribedColumn { name, sql_type, made_from: from.to_vec(), is_taken_over: false, refers_to: None }
}
