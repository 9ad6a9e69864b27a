//! The rows of a side table, and what all of them have in common.

use std::sync::Arc;
use std::time::Duration;

use super::{Side, drop_orphans};
use crate::error::Result;
use crate::load::Feed;
use crate::postgres::copy::PgType;
use crate::postgres::{Address, Session, Target, copy_here, copy_parallel, get};
use crate::warehouse::context::Warehouse;
use crate::warehouse::flavour;

/// Of `default_statistics_target`: 300 times as many rows are looked at.
const SAMPLE_TARGET: u32 = 30;

/// A column of a parent, as its partitions declare it.
struct Column {
    /// Quoted where that is needed.
    name: String,
    kind: String,
    not_null: bool,
    default: Option<String>,
}

impl Column {
    fn declaration(&self, default: Option<&str>) -> String {
        let default = default.map_or_else(String::new, |default| format!(" DEFAULT {default}"));
        format!("{} {}{default}{}", self.name, self.kind, if self.not_null { " NOT NULL" } else { "" })
    }
}

impl Side {
    /// Drops what a crashed run left behind and makes the empty side table, with the columns that its rows bring.
    ///
    /// Columns of one width stand together, so that no row is padded. Inside the caller's transaction.
    pub(in crate::warehouse) async fn create(
        &self,
        session: &Session,
        brought: &[&str],
        deadline: Duration,
    ) -> Result<()> {
        drop_orphans(session, &self.schema, &self.final_name(), deadline).await?;
        let columns = self.columns(session, flavour::IS_BROUGHT, brought).await?;
        let columns: Vec<String> = columns.iter().map(|column| column.declaration(column.default.as_deref())).collect();
        session.run(&format!("CREATE TABLE {} ({})", self.name(), columns.join(", "))).await
    }

    /// Sends the rows, and adds the columns that they did not bring: all rows have the value of `shared` (column, SQL
    /// expression), else the parent's default, else NULL.
    ///
    /// One connection empties the table and fills it in one transaction, so rows come in frozen: what reads them later
    /// need not look up who wrote them, and a server that keeps no log for replicas logs none of them. Several
    /// connections commit each for itself.
    pub(in crate::warehouse) async fn fill(
        &self,
        warehouse: &Warehouse,
        columns: Vec<(String, PgType)>,
        feed: Arc<dyn Feed>,
        connections: usize,
        shared: &[(&str, String)],
    ) -> Result<u64> {
        let (address, cancel, progress) = (&warehouse.address, &warehouse.cancel, &warehouse.progress);
        let mut target = Target::new(self.name(), columns);
        if connections.min(feed.units()) > 1 {
            let copied = copy_parallel(address, &target, feed, connections, cancel, progress).await?;
            let session = address.session().await?;
            self.complete(&session, shared).await?;
            session.release().await;
            return Ok(copied);
        }
        target.freeze = true;
        let session = address.session().await?;
        session.run(&format!("BEGIN; TRUNCATE {}", self.name())).await?;
        let copied = copy_here(&session, &target, feed, cancel, progress).await?;
        self.complete(&session, shared).await?;
        session.commit().await?;
        session.release().await;
        Ok(copied)
    }

    /// Adds the columns that the rows did not bring, once they are in, and the bound that makes attaching instant.
    ///
    /// Nothing is written for it; the rows are read once to check the bound.
    pub(in crate::warehouse) async fn complete(&self, session: &Session, shared: &[(&str, String)]) -> Result<()> {
        let value = |name: &str| shared.iter().find(|(shared, _)| *shared == name).map(|(_, value)| value.as_str());
        let (mut adds, mut drops) = (Vec::new(), Vec::new());
        for column in self.columns(session, flavour::IS_LACKING, &[&self.name()]).await? {
            let shared = value(&column.name);
            adds.push(format!("ADD COLUMN {}", column.declaration(shared.or(column.default.as_deref()))));
            if shared.is_some() {
                // Of these rows only: what is written later says its own.
                drops.push(format!("ALTER {} DROP DEFAULT", column.name));
            }
        }
        adds.push(format!("ADD {}", flavour::bound(&self.bound(), self.dt)));
        let mut sql = format!("ALTER TABLE {} {};", self.name(), adds.join(", "));
        if !drops.is_empty() {
            sql.push_str(&format!("ALTER TABLE {} {};", self.name(), drops.join(", ")));
        }
        session.run(&sql).await
    }

    /// Columns of the parent `c` that meet a condition on `$2`, those of one width side by side.
    async fn columns(&self, session: &Session, condition: &str, names: &[&str]) -> Result<Vec<Column>> {
        let sql = flavour::columns(condition);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rows = session.rows(&sql, &[&self.parent_name(), &names]).await?;
        rows.iter()
            .map(|row| {
                Ok(Column { name: get(row, 0)?, kind: get(row, 1)?, not_null: get(row, 2)?, default: get(row, 3)? })
            })
            .collect()
    }

    /// Tells the planner about some columns of the filled side table: without, whatever reads the new partition before
    /// autovacuum does would be planned for an empty one.
    ///
    /// A small sample does. It leaves the rest to autovacuum, which counts a table as looked at only when all columns are.
    pub(in crate::warehouse) async fn sample(&self, address: &Address, columns: &[&str]) -> Result<()> {
        let session = address.session().await?;
        session.run(&flavour::sample(&self.name(), columns, SAMPLE_TARGET)).await?;
        session.release().await;
        Ok(())
    }
}
