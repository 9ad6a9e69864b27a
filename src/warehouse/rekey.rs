//! Facts follow the history: a changed as-of answer changes the fact's key, and renamed hours make the mart dirty.
//!
//! Both read two temporary tables of the publication: `changed` (key, from_ts, to_ts: stretches of event time) and
//! `retired` (key, sk: rows that are gone, whose facts must move).

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::members::as_of_sql;
use crate::error::Result;
use crate::model::{Fact, Member};
use crate::postgres::Session;
use crate::postgres::history::Op;
use crate::postgres::history::sheet::{AFFECTED, SHEET};

/// Makes the two tables out of the sheet of a dimension's load.
pub(super) async fn note_changes(session: &Session) -> Result<()> {
    let from = format!("FROM {SHEET} s JOIN {AFFECTED} a USING (kid) WHERE s.op =");
    session
        .run(&format!(
            "CREATE TEMP TABLE retired ON COMMIT DROP AS SELECT a.k0 AS key, s.id AS sk {from} {delete}; \
             CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT a.k0 AS key, \
               coalesce(s.at_from, '-infinity') AS from_ts, coalesce(s.at_to, 'infinity') AS to_ts {from} {changed}; \
             ANALYZE pg_temp.changed",
            delete = Op::Delete as i16,
            changed = Op::Changed as i16,
        ))
        .await
}

/// Moves every fact whose as-of answer changed, but for those of a day that is `leaving`; rows moved by fact table.
pub(super) async fn rekey(
    session: &Session,
    member: Member,
    zone: &str,
    leaving: Option<NaiveDate>,
) -> Result<BTreeMap<&'static str, u64>> {
    let staying = leaving.map_or_else(String::new, |dt| format!(" AND f.dt <> '{dt}'"));
    let mut moved = BTreeMap::new();
    for fact in Fact::ALL {
        for reference in fact.references.iter().filter(|r| r.member == member) {
            let (table, sk, fk, time) = (fact.table, fact.surrogate, reference.surrogate, fact.time_sql("f", zone));
            let sql = format!(
                "WITH held AS ( \
                   SELECT m.{key} AS key, m.{msk} AS sk FROM {dimension} m \
                     WHERE m.{key} IN (SELECT c.key FROM pg_temp.changed c) \
                   UNION ALL SELECT r.key, r.sk FROM pg_temp.retired r), \
                 answer AS ( \
                   SELECT f.{sk} AS id, f.dt, {as_of} AS wanted \
                   FROM pg_temp.changed c JOIN held h ON h.key = c.key \
                   JOIN {table} f ON f.{fk} = h.sk AND {time} >= c.from_ts AND {time} < c.to_ts{staying}) \
                 UPDATE {table} f SET {fk} = a.wanted FROM answer a \
                 WHERE f.{sk} = a.id AND f.dt = a.dt AND f.{fk} <> a.wanted",
                key = member.key(),
                msk = member.surrogate(),
                dimension = member.table(),
                as_of = as_of_sql(member, "c.key", &time),
            );
            *moved.entry(table).or_default() += session.execute(&sql, &[]).await?;
        }
    }
    Ok(moved)
}

/// Marks the service dates whose rows show a changed route; call when the facts are re-keyed.
///
/// An hour's name is that of its start, so a change an hour away may still show.
pub(super) async fn dirty_routes(session: &Session, zone: &str, reason: &str, run_id: &str) -> Result<u64> {
    let selects: Vec<String> = Fact::ALL
        .iter()
        .filter(|fact| fact.kind.is_in_mart())
        .map(|fact| {
            format!(
                "SELECT DISTINCT ({time} AT TIME ZONE $1)::date AS service_date FROM pg_temp.changed c \
                 JOIN dwh.dim_route m ON m.route_id = c.key JOIN {table} f ON f.route_sk = m.route_sk \
                 AND {time} >= c.from_ts - interval '1 hour' AND {time} < c.to_ts + interval '1 hour'",
                time = fact.time_sql("f", zone),
                table = fact.table
            )
        })
        .collect();
    let sql = format!(
        "WITH dirty AS ({}) INSERT INTO dwh.mart_dirty (service_date, reason, run_id) \
         SELECT service_date, $2, $3 FROM dirty ORDER BY 1",
        selects.join(" UNION ")
    );
    session.execute(&sql, &[&zone, &reason, &run_id]).await
}

/// Which of the affected keys `$1` a fact refers to, by any of their rows.
pub(super) fn referenced_sql(member: Member) -> String {
    let tests: Vec<String> = Fact::ALL
        .iter()
        .flat_map(|fact| fact.references.iter().map(move |reference| (fact, reference)))
        .filter(|(_, reference)| reference.member == member)
        .map(|(fact, reference)| {
            format!("EXISTS (SELECT FROM {} f WHERE f.{} = m.{})", fact.table, reference.surrogate, member.surrogate())
        })
        .collect();
    format!(
        "SELECT DISTINCT a.kid FROM {AFFECTED} a JOIN {table} m ON m.{key} = a.k0 WHERE a.kid = ANY ($1) AND ({})",
        tests.join(" OR "),
        key = member.key(),
        table = member.table()
    )
}
