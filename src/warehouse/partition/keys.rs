//! Keys and indexes of a side table, read from the parent's catalog.

use super::Side;
use crate::error::{Error, Result};
use crate::postgres::{Address, Session, get};
use crate::queue::Queue;
use crate::warehouse::flavour;

/// What of its parent a side table has before [`Side::finish`].
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::warehouse) struct Built {
    /// Indexes, with that of the primary key.
    pub(in crate::warehouse) indexes: bool,
    /// Foreign keys, checked.
    pub(in crate::warehouse) foreign_keys: bool,
}

impl Side {
    /// Gives the filled side table what it lacks of the parent's constraints and indexes.
    pub(in crate::warehouse) async fn finish(&self, session: &Session, built: Built) -> Result<()> {
        let mut sql = String::new();
        for key in self.keys(session).await? {
            // A primary key whose index is there is an entry in the catalog.
            match flavour::primary_key_apart(&self.name(), &self.primary(), &key).filter(|_| built.indexes) {
                Some((_, make_key)) => sql.push_str(&make_key),
                None => sql.push_str(&flavour::add_key(&self.name(), &key)),
            }
        }
        if !built.indexes {
            for index in self.indexes(session).await? {
                sql.push_str(&format!("{index};"));
            }
        }
        if !built.foreign_keys {
            for (_, key) in self.foreign_keys(session).await? {
                sql.push_str(&flavour::add_key(&self.name(), &key));
            }
        }
        session.run(&sql).await
    }

    /// Builds indexes ahead of [`Side::finish`], several at once: for a side table whose rows stay as they are. Whoever
    /// reads it meanwhile may go on.
    pub(in crate::warehouse) async fn index(&self, address: &Address, connections: usize) -> Result<()> {
        let session = address.session().await?;
        let keys = self.keys(&session).await?;
        let primary = |key: &String| flavour::primary_key_apart(&self.name(), &self.primary(), key);
        let mut builds: Vec<String> = keys.iter().filter_map(primary).map(|(build, _)| build).collect();
        builds.extend(self.indexes(&session).await?);
        session.release().await;
        // What is made in no time fills the gap at the end.
        builds.sort_by_key(|sql| flavour::is_quick(sql));
        let queue = Queue::new(builds.len());
        let workers = (0..connections.max(1)).map(|_| async {
            let session = address.session().await?;
            while let Some(build) = queue.take() {
                session.run(&builds[build]).await?;
            }
            session.release().await;
            Ok::<_, Error>(())
        });
        futures::future::try_join_all(workers).await.map(drop)
    }

    /// The name of the primary key's index.
    fn primary(&self) -> String {
        format!("{}_pkey", self.table)
    }

    /// Adds and checks the foreign keys ahead of [`Side::finish`]: for a side table whose members are all in place.
    ///
    /// A key is added unchecked first, which holds one dimension for an instant, and then checked while `quiet`.
    pub(in crate::warehouse) async fn refer(&self, address: &Address, quiet: &tokio::sync::Mutex<()>) -> Result<()> {
        let session = address.session().await?;
        let keys = self.foreign_keys(&session).await?;
        for (name, key) in &keys {
            session.run(&flavour::add_unchecked(&self.name(), name, key)).await?;
        }
        for (name, _) in &keys {
            let _quiet = quiet.lock().await;
            session.run(&flavour::check(&self.name(), name)).await?;
        }
        session.release().await;
        Ok(())
    }

    /// The parent's primary and unique keys, as definitions.
    async fn keys(&self, session: &Session) -> Result<Vec<String>> {
        session.rows(flavour::KEYS, &[&self.parent_name()]).await?.iter().map(|row| get(row, 0)).collect()
    }

    /// The parent's foreign keys, as quoted names and definitions.
    async fn foreign_keys(&self, session: &Session) -> Result<Vec<(String, String)>> {
        let rows = session.rows(flavour::FOREIGN_KEYS, &[&self.parent_name()]).await?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
    }

    /// Statements that make the parent's indexes, but for those of its keys.
    async fn indexes(&self, session: &Session) -> Result<Vec<String>> {
        let indexes = session.rows(flavour::INDEXES, &[&self.parent_name()]).await?;
        let make = |row: &tokio_postgres::Row| {
            let predicate = get::<Option<String>>(row, 2)?.map(|p| format!(" WHERE {p}")).unwrap_or_default();
            let (method, columns) = (get::<String>(row, 0)?, get::<String>(row, 1)?);
            Ok(flavour::create_index(&self.name(), &method, &columns, &predicate))
        };
        indexes.iter().map(make).collect()
    }
}
