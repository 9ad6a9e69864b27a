//! What depends on the flavour of the server: every statement of the warehouse that PostgreSQL understands and a relative of
//! it (Greenplum, say) may not, or should be told otherwise. PostgreSQL is the only one.
//!
//! These are the partitions (made aside, completed, swapped in), their keys and indexes as the catalog has them, and
//! locks with a limit. Plain SQL stands where it is used. A second flavour is a second file with these names, and a place where
//! one of the two is chosen; the tables themselves are in `ddl/`. What the toolkit knows of a server's insides (places of
//! rows in digests and in parallel reads) it looks for and does without where it is not to be had.
//!
//! Tests: `tests/python/warehouse/test_partitions.py`.

use chrono::{Days, NaiveDate};

/// Readers of several statements see one state of these tables until their transaction ends.
pub(super) fn hold_for_reading(tables: &str) -> String {
    format!("LOCK TABLE {tables} IN ACCESS SHARE MODE")
}

/// Nobody reads these tables until the transaction ends.
pub(super) fn close(tables: &[String]) -> String {
    format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE;", tables.join(", "))
}

/// The same of a parent, and of no partition.
pub(super) fn close_parent(parent: &str) -> String {
    format!("LOCK TABLE ONLY {parent} IN ACCESS EXCLUSIVE MODE;")
}

/// One attempt at what needs exclusive locks, which waits so long for each and leaves the transaction as it was when it
/// fails.
pub(super) fn begin_attempt(wait: &str) -> String {
    format!("SET LOCAL lock_timeout = '{wait}'; SAVEPOINT swap")
}

/// The attempt succeeded.
pub(super) const END_ATTEMPT: &str = "RELEASE SAVEPOINT swap; SET LOCAL lock_timeout = 0";

/// The attempt failed.
pub(super) const FORGET_ATTEMPT: &str = "ROLLBACK TO SAVEPOINT swap; RELEASE SAVEPOINT swap";

/// Takes back an open transaction and tables that it or an earlier one made; it waits for readers only a moment.
pub(super) fn undo(tables: &[String]) -> String {
    format!("ROLLBACK; SET lock_timeout = '500ms'; DROP TABLE IF EXISTS {}; SET lock_timeout = 0", tables.join(", "))
}

/// The constraint by which rows of a side table are known to be of its day, so that attaching reads none of them.
pub(super) fn bound(name: &str, dt: NaiveDate) -> String {
    format!("CONSTRAINT {name} CHECK (dt IS NOT NULL AND dt >= '{dt}' AND dt < '{}')", dt + Days::new(1))
}

/// Makes a side table with such a [`bound`] the partition of its day, under a name of its own.
pub(super) fn attach(parent: &str, side: &str, dt: NaiveDate, bound: &str, last: &str) -> String {
    format!(
        "ALTER TABLE {parent} ATTACH PARTITION {side} FOR VALUES FROM ('{dt}') TO ('{}'); \
         ALTER TABLE {side} DROP CONSTRAINT {bound}; ALTER TABLE {side} RENAME TO {last};",
        dt + Days::new(1)
    )
}

/// Whether `$1` is a partition of `$2`.
pub(super) const IS_PARTITION: &str =
    "SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass($2)";

/// The side tables in schema `$1` of a partition `$2`, of whatever run.
pub(super) const SIDES: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT c.relispartition \
     AND c.relname ~ ('^' || $2 || '_[0-9a-f]{8}$')";

/// The tables that those of `$1` refer to by foreign keys.
pub(super) const REFERRED: &str = "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint \
     WHERE conrelid = ANY ($1::text[]::regclass[]) AND contype = 'f' ORDER BY 1";

/// The primary and unique keys of a parent `$1`, as definitions.
pub(super) const KEYS: &str = "SELECT pg_get_constraintdef(oid) FROM pg_constraint \
     WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u') ORDER BY contype, conname";

/// The foreign keys of a parent `$1`, as quoted names and definitions.
pub(super) const FOREIGN_KEYS: &str = "SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint \
     WHERE conrelid = $1::text::regclass AND contype = 'f' ORDER BY conname";

/// The other indexes of a parent `$1`: method, columns, predicate.
pub(super) const INDEXES: &str = "SELECT am.amname::text, string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k), \
     pg_get_expr(i.indpred, i.indrelid) \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam \
     CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k \
     WHERE i.indrelid = $1::text::regclass \
     AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u')) \
     GROUP BY c.relname, am.amname, i.indpred, i.indrelid ORDER BY c.relname";

/// Adds a key, or a foreign key, by its definition.
pub(super) fn add_key(table: &str, key: &str) -> String {
    format!("ALTER TABLE {table} ADD {key};")
}

/// Builds an index like one of the parent's.
pub(super) fn create_index(table: &str, method: &str, columns: &str, predicate: &str) -> String {
    format!("CREATE INDEX ON {table} USING {method} ({columns}){predicate}")
}

/// Whether an index is made in no time: of ranges of blocks, not of rows.
pub(super) fn is_quick(create_index: &str) -> bool {
    create_index.contains(" USING brin ")
}

/// Builds the index of a primary key apart (first), which then is made the key by an entry in the catalog (second). `None`
/// for other keys.
pub(super) fn primary_key_apart(table: &str, index: &str, key: &str) -> Option<(String, String)> {
    let columns = key.strip_prefix("PRIMARY KEY ")?;
    let build = format!("CREATE UNIQUE INDEX {index} ON {table} {columns}");
    Some((build, format!("ALTER TABLE {table} ADD PRIMARY KEY USING INDEX {index};")))
}

/// Adds a foreign key that nobody has checked, which locks for an instant.
pub(super) fn add_unchecked(table: &str, name: &str, key: &str) -> String {
    format!("ALTER TABLE {table} ADD CONSTRAINT {name} {key} NOT VALID")
}

/// Checks it.
pub(super) fn check(table: &str, name: &str) -> String {
    format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
}

/// The columns `c` of a parent `$1` that meet a condition on `$2`: name, type, whether NULL is refused, default. Those of one
/// width stand side by side, so that no row is padded.
pub(super) fn columns(condition: &str) -> String {
    format!(
        "SELECT quote_ident(c.attname), format_type(c.atttypid, c.atttypmod), c.attnotnull, \
           pg_get_expr(d.adbin, d.adrelid) \
         FROM pg_attribute c LEFT JOIN pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum \
         WHERE c.attrelid = $1::text::regclass AND c.attnum > 0 AND NOT c.attisdropped AND {condition} \
         ORDER BY c.attlen < 0, c.attlen DESC, NOT c.attnotnull, c.attnum"
    )
}

/// Of a column `c`: it is one of `$2`.
pub(super) const IS_BROUGHT: &str = "c.attname = ANY ($2::text[])";

/// Of a column `c`: the table `$2` lacks it.
pub(super) const IS_LACKING: &str = "NOT EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = ($2::text[])[1]::regclass \
     AND o.attname = c.attname AND NOT o.attisdropped)";

/// Looks at a small sample of some columns: `target` of `default_statistics_target`.
pub(super) fn sample(table: &str, columns: &[&str], target: u32) -> String {
    format!("BEGIN; SET LOCAL default_statistics_target = {target}; ANALYZE {table} ({}); COMMIT", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_table_is_bound_to_the_day_that_it_is_attached_for() {
        let newest = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
        assert_eq!(
            bound("fact_trip_dt_bound", newest),
            "CONSTRAINT fact_trip_dt_bound CHECK (dt IS NOT NULL AND dt >= '2024-02-29' AND dt < '2024-03-01')"
        );
        let attach = attach("dwh.fact_trip", "dwh.side", newest, "fact_trip_dt_bound", "fact_trip_20240229");
        assert!(
            attach.contains("ATTACH PARTITION dwh.side FOR VALUES FROM ('2024-02-29') TO ('2024-03-01');"),
            "{attach}"
        );
        assert!(attach.contains("ALTER TABLE dwh.side DROP CONSTRAINT fact_trip_dt_bound;"), "{attach}");
    }

    #[test]
    fn only_a_primary_key_has_its_index_built_apart() {
        let (build, make_key) = primary_key_apart("dwh.side", "side_pkey", "PRIMARY KEY (trip_sk, dt)").unwrap();
        assert_eq!(build, "CREATE UNIQUE INDEX side_pkey ON dwh.side (trip_sk, dt)");
        assert_eq!(make_key, "ALTER TABLE dwh.side ADD PRIMARY KEY USING INDEX side_pkey;");
        assert_eq!(primary_key_apart("dwh.side", "side_pkey", "UNIQUE (trip_id, dt)"), None);
    }

    #[test]
    fn indexes_of_ranges_of_blocks_are_the_quick_ones() {
        assert!(is_quick(&create_index("dwh.side", "brin", "event_ts", "")));
        assert!(!is_quick(&create_index("dwh.side", "btree", "vehicle_sk", " WHERE vehicle_sk <> 0")));
    }
}
