//! What a table's history was made with: the rules and the loads that stand beside it.

use super::super::client::{Session, get};
use super::place::{Place, columns_of};
use super::rules::Rules;
use super::spec::Adopted;
use crate::error::{Error, Result};
use crate::history::Columns;

/// A table and what is remembered of its history.
pub(super) struct Past {
    pub(super) place: Place,
    /// `None` before the first load.
    pub(super) known: Option<Known>,
    /// What the history followed before this call had a look at its rows.
    pub(super) followed: Followed,
}

/// What stands beside a table with history.
pub(super) struct Known {
    pub(super) rules: Rules,
    /// The loaded snapshots, ascending.
    pub(super) loads: Vec<(i64, Columns)>,
}

/// How a history followed its table.
#[derive(Default)]
pub(super) struct Followed {
    /// Columns that have another name from now on.
    pub(super) renamed: Vec<String>,
    /// Columns that the table has lost.
    pub(super) retired: Vec<String>,
    /// Columns that the table had with values before they took part.
    pub(super) adopted: Vec<String>,
    /// The history that was taken over.
    pub(super) history: Option<Adopted>,
    /// Whether the remembered rules are no longer those that stand beside the table.
    pub(super) has_new_rules: bool,
}

impl Followed {
    /// Whether keys that the rows do not name have to be looked at too: versions that differed in nothing but a column that is
    /// gone are one, and so are neighbours of an adopted history that show the same.
    pub(super) fn concerns_all_keys(&self) -> bool {
        !self.retired.is_empty() || self.history.is_some()
    }
}

impl Past {
    /// Looks a table and its rules up.
    pub(super) async fn find(session: &Session, table: &str) -> Result<Self> {
        let place = Place::find(session, table).await?;
        let known = remembered(session, &place).await?;
        Ok(Self { place, known, followed: Followed::default() })
    }
}

/// The rules and the loads that are remembered beside a table.
pub(super) async fn remembered(session: &Session, place: &Place) -> Result<Option<Known>> {
    let row = session.row("SELECT to_regclass($1) IS NOT NULL", &[&place.loads()]).await?;
    if !place.exists() || !get::<bool>(&row, 0)? {
        return Ok(None);
    }
    upgrade(session, place).await?;
    let sql = format!(
        "SELECT (extract(epoch FROM effective) * 1000000)::int8, stated::text, rules::text FROM {} ORDER BY effective",
        place.loads()
    );
    let (mut rules, mut loads) = (None, Vec::new());
    for row in session.rows(&sql, &[]).await? {
        match get::<Option<i64>>(&row, 0)? {
            Some(at) => loads.push((at, get::<&str>(&row, 1)?.parse()?)),
            None => {
                let text: String = get(&row, 2)?;
                let known = serde_json::from_str(&text).map_err(|e| {
                    Error::data("the rules kept beside the table cannot be read")
                        .with("table", place.loads())
                        .because(e)
                })?;
                rules = Some(known);
            }
        }
    }
    Ok(rules.map(|rules| Known { rules, loads }))
}

/// Brings what stands beside the table from an earlier release to the form of this one: there the columns stated were
/// the bits of a number, which had room for 64.
async fn upgrade(session: &Session, place: &Place) -> Result<()> {
    let found = columns_of(session, &place.loads()).await?;
    if found.get("stated").is_none_or(|stated| stated.sql_type != "bigint") {
        return Ok(());
    }
    for table in [place.loads(), place.log()] {
        let sql = format!(
            "ALTER TABLE {table} ALTER COLUMN stated TYPE bit varying \
             USING rtrim(reverse(stated::bit(64)::text), '0')::bit varying"
        );
        session.run(&sql).await.map_err(|e| match e.detail().context.get("sqlstate").map(String::as_str) {
            Some("42501") => Error::config(format!(
                "{table} has the form of an earlier release and this role may not bring it to the one of this release; \
                 let its owner merge once"
            ))
            .with("table", &table)
            .because(e),
            _ => e,
        })?;
    }
    Ok(())
}

/// Writes the rules beside a table.
pub(super) async fn write_rules(session: &Session, place: &Place, rules: &Rules) -> Result<()> {
    let text = serde_json::to_string(rules).map_err(|e| Error::internal("the rules cannot be written").because(e))?;
    let loads = place.loads();
    session.execute(&format!("DELETE FROM {loads} WHERE effective IS NULL"), &[]).await?;
    let sql = format!("INSERT INTO {loads} (stated, rules, row_count) VALUES (B'', $1::text::jsonb, 0)");
    session.execute(&sql, &[&text]).await.map(drop)
}
