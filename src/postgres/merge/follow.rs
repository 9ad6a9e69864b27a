//! How a history follows its table: columns that have another name, that the table has lost, or that it had before they took
//! part.
//!
//! Everything that says which columns were stated goes by their position among the rules' columns. So a rename changes names
//! alone, a lost column takes its position out of all of it, and a column that comes has the position after the last one.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;

use super::super::client::{Session, get};
use super::super::history::wire::Column;
use super::ddl::list;
use super::past::{Known, Past};
use super::place::{Place, check_name, columns_of, quote};
use super::rules::Rules;
use super::spec::MergeSpec;
use crate::error::{Error, Result};

impl Past {
    /// Follows what was done to the table's columns since the last merge, and the renames that the call tells.
    ///
    /// # Errors
    /// [`Error::Config`] for a rename that cannot be meant; [`Error::Schema`] when the table has lost a key column, or all
    /// others.
    pub(super) async fn follow(&mut self, session: &Session, renamed: &BTreeMap<String, String>) -> Result<()> {
        let Some(known) = &mut self.known else { return Ok(()) };
        session.run(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.place.table())).await?;
        for (old, new) in renamed {
            if rename(session, &self.place, &mut known.rules, old, new).await? {
                self.followed.renamed.push(format!("{old} is now {new}"));
                self.place.reload_columns(session).await?;
            }
        }
        let (place, rules) = (&self.place, &mut known.rules);
        if let Some(key) = rules.key.iter().find(|key| !place.has(key)) {
            return Err(Error::schema(format!(
                "key column {key:?} is gone from the table, expected it there; bring it back, or tell its new name (renamed)"
            ))
            .with("column", key)
            .with("table", place.table()));
        }
        let lost: Vec<usize> =
            (0..rules.columns.len()).filter(|place_of| !place.has(&rules.columns[*place_of])).collect();
        if !lost.is_empty() && lost.len() == rules.columns.len() {
            return Err(Error::schema(format!(
                "the table has lost every column of its history ({}), expected at least one of them",
                rules.columns.join(", ")
            ))
            .with("table", place.table()));
        }
        for index in lost.into_iter().rev() {
            self.followed.retired.push(retire(session, place, known, index).await?);
        }
        self.followed.retired.reverse();
        let retired = known.rules.retired.len();
        known.rules.retired.retain(|column| !place.has(column));
        self.followed.has_new_rules = !self.followed.renamed.is_empty()
            || !self.followed.retired.is_empty()
            || retired != known.rules.retired.len();
        Ok(())
    }

    /// Columns that take part from now on and that the table has already, with values: whoever put them there said them.
    pub(super) async fn adopt_columns(&mut self, session: &Session, spec: &MergeSpec, schema: &Schema) -> Result<()> {
        let Some(known) = &mut self.known else { return Ok(()) };
        known.rules.check(spec)?;
        for name in Rules::newcomers(spec, schema, Some(&known.rules)) {
            if !self.place.has(&name) {
                continue;
            }
            let column = self.place.owned(&name)?;
            let sql = format!("SELECT EXISTS (SELECT FROM {} WHERE {} IS NOT NULL)", self.place.table(), quote(&name));
            if get::<bool>(&session.row(&sql, &[]).await?, 0)? {
                take_values(session, &self.place, known, &column).await?;
                self.followed.adopted.push(name);
                self.followed.has_new_rules = true;
            }
        }
        Ok(())
    }

    /// The former names of columns and the present ones, as far as no other column has them now.
    pub(super) fn former_names(&self, renamed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let Some(known) = &self.known else { return renamed.clone() };
        let mut names = known.rules.renamed.clone();
        names.extend(renamed.clone());
        names.retain(|old, _| !known.rules.takes(old) && !self.place.has(old));
        names
    }
}

/// Gives a column another name; tells whether it did. A rename that was told before is none.
async fn rename(session: &Session, place: &Place, rules: &mut Rules, old: &str, new: &str) -> Result<bool> {
    let table = place.table();
    let refuse = |message: String| {
        Err(Error::config(format!("renamed says that column {old:?} is now {new:?}, but {message}"))
            .with("column", old)
            .with("table", &table))
    };
    match (rules.takes(old), rules.takes(new)) {
        (false, true) => return Ok(false),
        (false, false) if rules.renamed.contains_key(old) => return Ok(false),
        (false, false) => {
            return refuse(format!("the history has neither, expected one of {}", rules.columns.join(", ")));
        }
        (true, true) => return refuse("both are part of the history, expected the former name alone".to_owned()),
        (true, false) => {}
    }
    check_name(new)?;
    if rules.names.own().any(|own| own == new) {
        return refuse("the history needs that name for itself".to_owned());
    }
    let to = |table: &str| format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", quote(old), quote(new));
    match (place.has(old), place.has(new)) {
        (true, false) => session.run(&to(&table)).await?,
        (false, true) => {}
        (true, true) => {
            return refuse("the table has both, expected one of them; drop the one that is too many".to_owned());
        }
        (false, false) => return refuse("the table has neither, expected one of them".to_owned()),
    }
    if columns_of(session, &place.log()).await?.contains_key(old) {
        session.run(&to(&place.log())).await?;
    }
    rules.rename(old, new);
    Ok(true)
}

/// Takes a column that the table has lost out of rules and log.
async fn retire(session: &Session, place: &Place, known: &mut Known, index: usize) -> Result<String> {
    let name = known.rules.columns.remove(index);
    let (said, loads) = (place.log(), place.loads());
    let without = format!("rtrim(overlay(stated::text PLACING '' FROM {} FOR 1), '0')::bit varying", index + 1);
    let sql = format!(
        "UPDATE {loads} SET stated = {without} WHERE effective IS NOT NULL; UPDATE {said} SET stated = {without}; \
         ALTER TABLE {said} DROP COLUMN IF EXISTS {}",
        quote(&name)
    );
    session.run(&sql).await?;
    for (_, stated) in &mut known.loads {
        *stated = stated.without(index);
    }
    known.rules.overwritten.retain(|column| *column != name);
    known.rules.retired.push(name.clone());
    Ok(name)
}

/// Makes what the versions show of a column a part of what was said.
async fn take_values(session: &Session, place: &Place, known: &mut Known, column: &Column) -> Result<()> {
    let index = known.rules.columns.len();
    let keys = known.rules.key.iter().map(|name| place.owned(name)).collect::<Result<Vec<_>>>()?;
    let with = format!("(rpad(stated::text, {index}, '0') || '1')::bit varying");
    let (said, loads, name) = (place.log(), place.loads(), quote(&column.name));
    let sql = format!(
        "UPDATE {loads} SET stated = {with} WHERE effective IS NOT NULL; \
         ALTER TABLE {said} ADD COLUMN {name} {sql_type}; \
         UPDATE {said} s SET {name} = v.its_value, stated = {with} FROM \
           (SELECT l.its_id, m.its_value FROM \
             (SELECT said_id AS its_id, said_from AS its_from, ROW({keys}) AS its_key FROM {said} \
               WHERE said_to IS DISTINCT FROM said_from) l JOIN \
             (SELECT {name} AS its_value, {from} AS starts, {to} AS ends, ROW({keys}) AS its_key FROM {table}) m \
             ON l.its_key = m.its_key AND m.starts <= l.its_from AND (m.ends IS NULL OR m.ends > l.its_from)) v \
         WHERE v.its_id = s.said_id",
        sql_type = column.sql_type,
        keys = list(&keys, ""),
        from = quote(&known.rules.names.valid_from),
        to = quote(&known.rules.names.valid_to),
        table = place.table(),
    );
    session.run(&sql).await?;
    for (_, stated) in &mut known.loads {
        *stated = stated.with(&[index].into_iter().collect());
    }
    known.rules.columns.push(column.name.clone());
    Ok(())
}
