//! Taking over a history that somebody else kept, such as a snapshot table of dbt: its versions become what was said.
//!
//! Of full snapshots every instant at which a version begins or ends was a loaded one; of a change feed every version is a
//! statement, and an end that nothing follows the word that the key was gone. So nothing need be logged: the versions tell it.

use arrow::datatypes::Schema;

use super::super::client::{Session, get};
use super::super::history::wire::{Column, columns_literal};
use super::ddl::{companions_sql, list};
use super::past::{Past, remembered, write_rules};
use super::place::{Place, quote};
use super::rules::Rules;
use super::spec::{Adopted, MergeSpec, Names};
use crate::error::{Error, Result};
use crate::model::Zone;

/// How many keys a message names.
const KEYS_NAMED: usize = 5;
/// An end from here on stands for none, as does an infinite one.
const NEVER: &str = "'9999-01-01 00:00:00+00'";

impl Past {
    /// Takes over the rows of a table that no merge has written.
    ///
    /// # Errors
    /// [`Error::Schema`] for columns that are missing or have other types; [`Error::Data`] for versions that overlap, have no
    /// start, no length or no key.
    pub(super) async fn adopt(
        &mut self,
        session: &Session,
        spec: &MergeSpec,
        schema: &Schema,
        zone: Zone,
    ) -> Result<()> {
        if self.known.is_some() || !self.place.exists() {
            return Ok(());
        }
        let mut rules = Rules::of(spec, schema, zone, None)?;
        rules.columns.retain(|column| self.place.has(column));
        rules.overwritten.retain(|column| self.place.has(column));
        if rules.columns.is_empty() {
            return Err(Error::schema("the table has none of the snapshot's columns, expected those of its history")
                .with("table", self.place.table()));
        }
        let columns = |names: &[String]| names.iter().map(|name| self.place.owned(name)).collect::<Result<Vec<_>>>();
        let (keys, attributes) = (columns(&rules.key)?, columns(&rules.columns)?);
        session.run(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", self.place.table())).await?;
        let mut adopted = Adopted::default();
        let adoption = Adoption { session, place: &self.place, names: &rules.names, keys: &keys };
        adoption.settle_bounds(zone, &mut adopted).await?;
        adoption.check_versions(&mut adopted).await?;
        adoption.settle_surrogate(&mut adopted).await?;
        adoption.settle_flag(&mut adopted).await?;
        session.run(&companions_sql(&self.place, &keys, &attributes)).await?;
        if !rules.is_feed {
            adoption.note_loads(&rules).await?;
        }
        write_rules(session, &self.place, &rules).await?;
        self.place.reload_columns(session).await?;
        self.known = remembered(session, &self.place).await?;
        self.followed.has_new_rules = true;
        self.followed.history = Some(adopted);
        Ok(())
    }
}

/// A table on its way to be one of ours.
struct Adoption<'a> {
    session: &'a Session,
    place: &'a Place,
    names: &'a Names,
    keys: &'a [Column],
}

impl Adoption<'_> {
    /// Gives the bounds the type of instants. Times without a zone are UTC, as everywhere; dates are days of the zone.
    async fn settle_bounds(&self, zone: Zone, adopted: &mut Adopted) -> Result<()> {
        let (table, to) = (self.place.table(), quote(&self.names.valid_to));
        for bound in [&self.names.valid_from, &self.names.valid_to] {
            let name = quote(bound);
            let instant = match self.place.type_of(bound) {
                Some("timestamp with time zone") => continue,
                Some("date") => format!("{name}::timestamp AT TIME ZONE '{}'", zone.0.name()),
                Some(found) if found.starts_with("timestamp") && !found.ends_with("with time zone") => {
                    format!("{name}::timestamp AT TIME ZONE 'UTC'")
                }
                found => {
                    let found = found.map_or_else(|| "is missing".to_owned(), |found| format!("has type {found}"));
                    return Err(Error::schema(format!(
                        "column {bound:?} {found}, expected the times of the history in a timestamp or date column; name it \
                         as valid_from or valid_to"
                    ))
                    .with("column", bound)
                    .with("table", &table));
                }
            };
            let sql = format!(
                "ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT, ALTER COLUMN {name} TYPE timestamptz USING {instant}"
            );
            self.session.run(&sql).await?;
            adopted.changed_columns.push(format!("{bound} is now timestamptz"));
        }
        self.session.run(&format!("ALTER TABLE {table} ALTER COLUMN {to} DROP NOT NULL")).await?;
        let sql = format!("UPDATE {table} SET {to} = NULL WHERE {to} >= {NEVER}");
        adopted.opened = self.session.execute(&sql, &[]).await?;
        Ok(())
    }

    /// Refuses what is no history, and names the gaps of what is one.
    async fn check_versions(&self, adopted: &mut Adopted) -> Result<()> {
        let (table, keys) = (self.place.table(), list(self.keys, ""));
        let (from, to) = (quote(&self.names.valid_from), quote(&self.names.valid_to));
        let part = |key: &Column| {
            let name = quote(&key.name);
            format!("{} || coalesce({name}::text, 'NULL')", literal(&format!("{}=", key.name)))
        };
        let nothing = self.keys.iter().map(|key| format!("{} IS NULL", quote(&key.name))).collect::<Vec<_>>();
        let sql = format!(
            "WITH v AS (SELECT concat_ws(', ', {its_key}) AS merge_key, {nothing} AS merge_keyless, {from} AS merge_from, \
                {to} AS merge_to, lead({from}) OVER (PARTITION BY {keys} ORDER BY {from}) AS merge_next, \
                row_number() OVER (PARTITION BY {keys} ORDER BY {from}) = 1 AS merge_first FROM {table}), \
             judged AS (SELECT *, merge_keyless AS has_no_key, merge_from IS NULL OR NOT isfinite(merge_from) AS has_no_start, \
                merge_to <= merge_from AS has_no_length, \
                merge_next IS NOT NULL AND coalesce(merge_to, 'infinity') > merge_next AS runs_over, \
                merge_to < merge_next AS is_gap FROM v) \
             SELECT count(*), count(*) FILTER (WHERE merge_first), {counts} FROM judged",
            its_key = self.keys.iter().map(part).collect::<Vec<_>>().join(", "),
            nothing = nothing.join(" AND "),
            counts = ["has_no_key", "has_no_start", "has_no_length", "runs_over", "is_gap"]
                .map(|fault| format!(
                    "count(*) FILTER (WHERE {fault}), (array_agg(concat(merge_key, ' from ', \
                       coalesce((merge_from AT TIME ZONE 'UTC')::text, 'NULL')) ORDER BY merge_key, merge_from) \
                       FILTER (WHERE {fault}))[:{KEYS_NAMED}]"
                ))
                .join(", "),
        );
        let row = self.session.row(&sql, &[]).await?;
        adopted.versions = get::<i64>(&row, 0)?.cast_unsigned();
        adopted.key_count = get::<i64>(&row, 1)?.cast_unsigned();
        let faults = [
            "have no key",
            "have no start, expected an instant",
            "end where or before they begin, expected a stretch of time",
            "overlap the version of the key that follows, expected one version at a time",
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            let count: i64 = get(&row, 2 + 2 * index)?;
            if count > 0 {
                let named: Vec<String> = get(&row, 3 + 2 * index)?;
                return Err(Error::data(format!(
                    "{count} of {} versions {fault}: {} (UTC); mend them in {table} and adopt it again, nothing was changed",
                    adopted.versions,
                    named.join("; ")
                ))
                .with("table", &table));
            }
        }
        adopted.gaps = get::<i64>(&row, 10)?.cast_unsigned();
        adopted.gap_keys = get::<Option<Vec<String>>>(&row, 11)?.unwrap_or_default();
        Ok(())
    }

    /// Makes a surrogate key, or takes the one that is there and lets it go on.
    async fn settle_surrogate(&self, adopted: &mut Adopted) -> Result<()> {
        let Some(surrogate) = &self.names.surrogate else { return Ok(()) };
        let (table, name) = (self.place.table(), quote(surrogate));
        if !self.place.has(surrogate) {
            let sql = format!("ALTER TABLE {table} ADD COLUMN {name} bigint GENERATED BY DEFAULT AS IDENTITY");
            self.session.run(&sql).await?;
            adopted.changed_columns.push(format!("{surrogate} was added"));
        } else if !matches!(self.place.type_of(surrogate), Some("bigint" | "integer")) {
            // Refused with the other columns that have no type of theirs.
            return Ok(());
        }
        let sql = format!("SELECT count(*) - count(DISTINCT {name}) FROM {table}");
        let repeated: i64 = get(&self.session.row(&sql, &[]).await?, 0)?;
        if repeated > 0 {
            return Err(Error::data(format!(
                "{repeated} versions have no surrogate key {surrogate:?} of their own, expected each to have one; name another \
                 column (surrogate), which is added if it is not there"
            ))
            .with("column", surrogate)
            .with("table", &table));
        }
        let sql = "SELECT a.attidentity <> '' OR a.atthasdef, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid \
             AND i.indisprimary) FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attname = $2";
        let row = self.session.row(sql, &[&table, surrogate]).await?;
        if !get::<bool>(&row, 0)? {
            let sql = format!(
                "ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL, \
                   ALTER COLUMN {name} ADD GENERATED BY DEFAULT AS IDENTITY"
            );
            self.session.run(&sql).await?;
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence($1, $2), greatest(max({name}), 1), max({name}) IS NOT NULL) FROM {table}"
            );
            self.session.row(&sql, &[&table, surrogate]).await?;
            adopted.changed_columns.push(format!("{surrogate} numbers new versions by itself"));
        }
        if !get::<bool>(&row, 1)? {
            self.session.run(&format!("ALTER TABLE {table} ADD PRIMARY KEY ({name})")).await?;
        }
        Ok(())
    }

    /// Makes the flag of open versions, or sets the one that is there.
    async fn settle_flag(&self, adopted: &mut Adopted) -> Result<()> {
        let Some(current) = &self.names.current else { return Ok(()) };
        let (table, name, to) = (self.place.table(), quote(current), quote(&self.names.valid_to));
        if !self.place.has(current) {
            adopted.changed_columns.push(format!("{current} was added"));
            let sql = format!(
                "ALTER TABLE {table} ADD COLUMN {name} boolean NOT NULL GENERATED ALWAYS AS ({to} IS NULL) STORED"
            );
            return self.session.run(&sql).await;
        }
        if self.place.is_generated(current) || self.place.type_of(current) != Some("boolean") {
            return Ok(());
        }
        let sql = format!("UPDATE {table} SET {name} = {to} IS NULL WHERE {name} IS DISTINCT FROM ({to} IS NULL)");
        self.session.execute(&sql, &[]).await.map(drop)
    }

    /// Notes every bound as a loaded snapshot that stated all columns.
    async fn note_loads(&self, rules: &Rules) -> Result<()> {
        let (from, to) = (quote(&self.names.valid_from), quote(&self.names.valid_to));
        let sql = format!(
            "INSERT INTO {loads} (effective, stated, row_count) \
             SELECT at, {stated}, count(*) FILTER (WHERE begins) FROM \
               (SELECT {from} AS at, true AS begins FROM {table} \
                UNION ALL SELECT {to}, false FROM {table} WHERE {to} IS NOT NULL) bounds GROUP BY at",
            loads = self.place.loads(),
            stated = columns_literal(&rules.all()),
            table = self.place.table(),
        );
        self.session.execute(&sql, &[]).await.map(drop)
    }
}

/// A text as SQL takes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
