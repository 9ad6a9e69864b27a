//! Where a deployment keeps the rows of its telemetry.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fact::FactKind;

/// Which database holds the positions of a raw day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// PostgreSQL, as a fact table.
    #[default]
    Warehouse,
    /// ClickHouse; the warehouse knows what they refer to and what they add up to.
    Telemetry,
}

impl Positions {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Warehouse, Self::Telemetry];

    /// The name, as settings and the warehouse write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warehouse => "warehouse",
            Self::Telemetry => "telemetry",
        }
    }

    /// Whether ClickHouse keeps the rows of a fact.
    pub const fn are_elsewhere(self, fact: FactKind) -> bool {
        match self {
            Self::Warehouse => false,
            Self::Telemetry => fact.is_telemetry(),
        }
    }

    /// Whether ClickHouse keeps rows of some fact.
    pub const fn need_clickhouse(self) -> bool {
        match self {
            Self::Warehouse => false,
            Self::Telemetry => true,
        }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
