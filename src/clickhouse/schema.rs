//! The mart's table: its DDL, its columns and the expression that sums up a service date.

use super::client::Mart;
use super::shadow;
use crate::error::{Error, Result};

/// The mart's DDL, the same text users may run by hand.
pub const DDL: &str = include_str!("../../ddl/clickhouse_mart.sql");
/// The mart's table.
pub const TABLE: &str = "mart_route_hourly";

/// What a column holds, which settles its type, its bytes and its part in the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Instant,
    Snapshot,
    Date,
    Count,
    Whole,
    Float,
    Average,
    Money,
    /// The number of elements of the set column named.
    Size(&'static str),
    Set,
}

/// The columns that are written, in the order of the DDL.
pub(super) const COLUMNS: [(&str, Kind); 27] = [
    ("route_id", Kind::Text),
    ("name", Kind::Text),
    ("transport_type", Kind::Text),
    ("hour_bucket", Kind::Instant),
    ("trip_cnt", Kind::Count),
    ("avg_fare", Kind::Average),
    ("avg_duration_sec", Kind::Average),
    ("sum_distance_m", Kind::Float),
    ("avg_speed", Kind::Average),
    ("snapshot_ts", Kind::Snapshot),
    ("service_date", Kind::Date),
    ("fare_sum", Kind::Money),
    ("fare_cnt", Kind::Count),
    ("duration_sum_sec", Kind::Whole),
    ("duration_cnt", Kind::Count),
    ("distance_cnt", Kind::Count),
    ("speed_sum", Kind::Float),
    ("speed_cnt", Kind::Count),
    ("position_cnt", Kind::Count),
    ("payment_cnt", Kind::Count),
    ("amount_cnt", Kind::Count),
    ("revenue", Kind::Money),
    ("vehicle_cnt", Kind::Size("vehicles")),
    ("rider_cnt", Kind::Size("riders")),
    ("vehicles", Kind::Set),
    ("riders", Kind::Set),
    ("scheduled_trip_cnt", Kind::Count),
];

/// The columns that later versions added: what a table lacks of them is added to it, and its rows have their type's default.
const ADDED: [&str; 1] = ["scheduled_trip_cnt"];

impl Kind {
    fn sql_type(self) -> &'static str {
        match self {
            Self::Text => "String",
            Self::Instant | Self::Snapshot => "DateTime('UTC')",
            Self::Date => "Date",
            Self::Count | Self::Size(_) => "UInt64",
            Self::Whole => "Int64",
            Self::Float => "Float64",
            Self::Average => "Nullable(Float64)",
            Self::Money => "Decimal(18, 2)",
            Self::Set => "AggregateFunction(uniqExact, String)",
        }
    }

    /// A text of the column's value that every server version writes alike; `None` where it plays no part.
    fn canonical(self, column: &str) -> Option<String> {
        Some(match self {
            Self::Text => column.to_owned(),
            Self::Instant => format!("toString(toUInt32({column}))"),
            Self::Snapshot => return None,
            Self::Date => format!("toString(toUInt16({column}))"),
            Self::Count | Self::Size(_) | Self::Whole => format!("toString({column})"),
            Self::Float => format!("hex(reinterpretAsString({column}))"),
            Self::Average => format!("ifNull(hex(reinterpretAsString({column})), 'N')"),
            Self::Money => format!("toString(toInt64({column} * 100))"),
            Self::Set => {
                let hex = format!("hex(CAST({column} AS String))");
                let hashes = format!("extractAll(substring({hex}, length({hex}) % 32 + 1), '.{{32}}')");
                format!("toString(arraySum(arrayMap(h -> sipHash64(h), {hashes})))")
            }
        })
    }
}

/// The mart's columns with their types.
pub fn mart_columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    COLUMNS.iter().map(|(name, kind)| (*name, kind.sql_type()))
}

/// A statement that gives, for each of some service dates, its rows in `table` and the sum of their hashes.
pub(super) fn digests_sql(table: &str, dates: impl Iterator<Item = chrono::NaiveDate>) -> String {
    let parts: Vec<_> = COLUMNS.iter().filter_map(|(name, kind)| kind.canonical(name)).collect();
    let text = parts.join(", '|', ");
    let dates: Vec<_> = dates.map(|date| format!("toDate('{date}')")).collect();
    format!(
        "SELECT toString(service_date), count(), sum(hash) FROM (SELECT service_date, sipHash64(concat({text})) AS hash \
         FROM {table} WHERE service_date IN ({})) GROUP BY service_date",
        dates.join(", ")
    )
}

/// The statements of a script, comments and blank ones left out.
pub(super) fn statements(script: &str) -> Vec<String> {
    let lines = script.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code).trim_end());
    let code: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    code.join("\n").split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

impl Mart {
    /// Creates the mart's table where it is missing, adds the columns that it lacks of later versions, checks the others and
    /// removes shadow tables that a crash left behind more than a day ago. Calling it again changes nothing.
    ///
    /// # Errors
    /// `Schema` when a table of that name has other columns; the message names the first that differs.
    pub async fn apply_schema(&self) -> Result<()> {
        for statement in statements(DDL) {
            self.execute(&statement).await?;
        }
        self.add_columns(&self.lacking().await?).await?;
        shadow::drop_orphans(self, TABLE).await
    }

    async fn add_columns(&self, lacking: &[(&str, Kind)]) -> Result<()> {
        if lacking.is_empty() {
            return Ok(());
        }
        let adds: Vec<_> =
            lacking.iter().map(|(name, kind)| format!("ADD COLUMN {name} {}", kind.sql_type())).collect();
        let added = self.execute(&format!("ALTER TABLE {TABLE} {}", adds.join(", "))).await;
        // Another run may have added them meanwhile.
        if added.is_err() && self.lacking().await?.is_empty() { Ok(()) } else { added }
    }

    /// Renames a table of the mart's name and another shape, such as the prototype's; where it is now, if there was one.
    ///
    /// # Errors
    /// `Conflict` when that name is taken.
    pub async fn move_aside(&self, dry_run: bool) -> Result<Option<String>> {
        let sql = "SELECT name FROM system.tables WHERE database = currentDatabase()";
        let tables: Vec<String> = self.rows(sql).await?.into_iter().flatten().collect();
        if !tables.iter().any(|name| name == TABLE) {
            return Ok(None);
        }
        match self.lacking().await {
            Ok(_) => return Ok(None),
            Err(Error::Schema(_)) => {}
            Err(e) => return Err(e),
        }
        let aside = format!("{TABLE}_prototype");
        if tables.contains(&aside) {
            return Err(Error::conflict(format!(
                "{TABLE} in ClickHouse is to be renamed to {aside}, but a table of that name is there; rename or drop \
                 that one first"
            ))
            .with("table", TABLE)
            .retryable(false));
        }
        if !dry_run {
            self.execute(&format!("RENAME TABLE {TABLE} TO {aside}")).await?;
        }
        Ok(Some(aside))
    }

    /// The columns of later versions that the table lacks.
    ///
    /// # Errors
    /// `Schema` when it differs in anything else.
    async fn lacking(&self) -> Result<Vec<(&'static str, Kind)>> {
        let sql =
            format!("SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{TABLE}'");
        let found = self.rows(&sql).await?;
        let mut lacking = Vec::new();
        for (name, kind) in COLUMNS {
            let data_type = found.iter().find(|row| row.first().is_some_and(|n| n == name)).and_then(|row| row.get(1));
            if data_type.is_none() && ADDED.contains(&name) {
                lacking.push((name, kind));
            } else if data_type.map(String::as_str) != Some(kind.sql_type()) {
                let have = data_type.map_or("missing".to_owned(), |t| format!("of type {t}"));
                return Err(
                    differs(&format!("column {name} is {have}, expected {}", kind.sql_type())).with("column", name)
                );
            }
        }
        let sql =
            format!("SELECT partition_key FROM system.tables WHERE database = currentDatabase() AND name = '{TABLE}'");
        let key = self.rows(&sql).await?.into_iter().flatten().next().unwrap_or_default();
        if key != "service_date" {
            return Err(differs(&format!("it is partitioned by {key:?}, expected service_date")));
        }
        Ok(lacking)
    }
}

fn differs(what: &str) -> Error {
    Error::schema(format!(
        "table {TABLE} in ClickHouse is not the mart of this version: {what}; run `metropulse migrate`, which renames it (it stays readable)"
    ))
    .with("table", TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_statement_that_names_every_column_in_order() {
        let statements = statements(DDL);
        assert_eq!(statements.len(), 1);
        let mut rest = statements[0].as_str();
        for (name, kind) in COLUMNS {
            let at = rest.find(&format!("    {name} ")).unwrap_or_else(|| panic!("{name} is not in the DDL in order"));
            rest = &rest[at..];
            let line = rest.lines().next().unwrap_or_default();
            assert!(line.contains(kind.sql_type()), "{line}");
        }
    }
}
