//! The members that facts refer to: their keys in memory while a day loads, and inferred ones for keys nobody described.
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's and PostgreSQL's types: a few of many")]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::telemetry;
use crate::error::{Error, Result};
use crate::history::{AsOfBuilder, AsOfIndex, Hit, KeyId, Misses};
use crate::model::{Fact, Member, Reference};
use crate::postgres::{Address, Session, get};

/// The unknown member: what a NULL key refers to.
pub(super) const UNKNOWN: i64 = 0;

/// Surrogate keys by kind.
pub(super) type Numbers = BTreeMap<Member, HashSet<i64>>;

/// The members that a publication has written and not committed yet.
pub(super) type Written = Numbers;

/// The members of one kind.
struct Kind {
    index: RwLock<AsOfIndex>,
    /// Members that the dimension does not hold (yet, or any more), though rows of this load may refer to them: each goes
    /// in with the first publication whose rows do.
    absent: Mutex<BTreeMap<i64, String>>,
}

/// All members that the facts of one load refer to, shared by the threads that load them, so that a key has one number
/// whichever fact meets it first.
pub(super) struct Members {
    kinds: BTreeMap<Member, Kind>,
    address: Address,
    /// A session of its own for drawing surrogate keys, opened for the first key that nobody knows.
    numbers: OnceCell<Session>,
    runtime: Handle,
}

impl Members {
    /// Reads the members that some facts refer to.
    pub(super) async fn read(session: &Session, address: Address, facts: &[Fact]) -> Result<Self> {
        let mut kinds = BTreeMap::new();
        for reference in facts.iter().flat_map(|fact| fact.references) {
            if let Entry::Vacant(place) = kinds.entry(reference.member) {
                let index = RwLock::new(read_index(session, reference.member).await?);
                place.insert(Kind { index, absent: Mutex::default() });
            }
        }
        Ok(Self { kinds, address, numbers: OnceCell::new(), runtime: Handle::current() })
    }

    /// The surrogate keys of one reference for a batch, as of the rows' times; those that exist for facts alone are noted
    /// as `inferred`. Blocking: may draw numbers.
    pub(super) fn resolve(
        &self,
        reference: &Reference,
        keys: &ArrayRef,
        times: &[i64],
        misses: &mut Misses,
        inferred: &mut Numbers,
    ) -> Result<Int64Array> {
        let kind = self.kind(reference.member)?;
        match keys.data_type() {
            DataType::Dictionary(..) => {
                let codes = keys.as_dictionary::<Int32Type>();
                // A dictionary may hold values of rows that were filtered out; those make no member.
                let mut used = vec![false; codes.values().len()];
                codes.keys().iter().flatten().for_each(|code| used[code as usize] = true);
                let ids = self.ids(reference.member, kind, codes.values(), &|row| used[row])?;
                note_inferred(reference.member, kind, &ids, inferred);
                let rows = codes.keys().iter().map(|code| code.and_then(|c| ids[c as usize]));
                Ok(look_up(kind, rows, times, misses))
            }
            _ => {
                let ids = self.ids(reference.member, kind, keys, &|_| true)?;
                note_inferred(reference.member, kind, &ids, inferred);
                Ok(look_up(kind, ids.into_iter(), times, misses))
            }
        }
    }

    /// The same for keys that stand for so many rows each, all at once.
    pub(super) fn resolve_groups(
        &self,
        reference: &Reference,
        keys: &ArrayRef,
        times: &[i64],
        rows: &[u64],
        misses: &mut Misses,
        inferred: &mut Numbers,
    ) -> Result<Int64Array> {
        let kind = self.kind(reference.member)?;
        let ids = self.ids(reference.member, kind, keys, &|_| true)?;
        note_inferred(reference.member, kind, &ids, inferred);
        let index = kind.index.read().unwrap_or_else(PoisonError::into_inner);
        let surrogates = ids.into_iter().zip(times).zip(rows).map(|((id, &at), &rows)| {
            let (surrogate, hit) = id.map_or((UNKNOWN, Hit::Exact), |id| index.lookup(id, at));
            misses.count_events(hit, rows);
            surrogate
        });
        Ok(Int64Array::from_iter_values(surrogates))
    }

    fn kind(&self, member: Member) -> Result<&Kind> {
        self.kinds.get(&member).ok_or_else(|| Error::internal(format!("{} is not read", member.table())))
    }

    /// The ids of the text values that rows use; NULL and the empty text are no keys. Unknown keys become members.
    fn ids(
        &self,
        member: Member,
        kind: &Kind,
        values: &ArrayRef,
        is_used: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<Option<KeyId>>> {
        let texts = values.as_string::<i32>();
        let text = |row| {
            let is_key = texts.is_valid(row) && !texts.value(row).is_empty() && is_used(row);
            is_key.then(|| texts.value(row))
        };
        let mut ids = Vec::with_capacity(texts.len());
        let mut missing = Vec::new();
        {
            let index = kind.index.read().unwrap_or_else(PoisonError::into_inner);
            for row in 0..texts.len() {
                let id = text(row).and_then(|key| index.resolve(key));
                if id.is_none() && text(row).is_some() {
                    missing.push(row);
                }
                ids.push(id);
            }
        }
        if !missing.is_empty() {
            let mut index = kind.index.write().unwrap_or_else(PoisonError::into_inner);
            // Another thread may have added some of them meanwhile.
            let mut unseen: Vec<&str> =
                missing.iter().filter_map(|&row| text(row)).filter(|key| index.resolve(key).is_none()).collect();
            unseen.sort_unstable();
            unseen.dedup();
            let numbers = self.draw(member, unseen.len())?;
            let mut absent = kind.absent.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, number) in unseen.into_iter().zip(numbers) {
                // Also a new way of paying is there for facts alone, as far as this load goes.
                index.insert(key, number, true);
                absent.insert(number, key.to_owned());
            }
            for row in missing {
                ids[row] = text(row).and_then(|key| index.resolve(key));
            }
        }
        Ok(ids)
    }

    fn draw(&self, member: Member, count: usize) -> Result<Vec<i64>> {
        let sql = format!("SELECT nextval('dwh.{}') FROM generate_series(1, $1::bigint)", member.surrogate());
        let count = count as i64;
        let rows = self.runtime.block_on(async {
            self.numbers.get_or_try_init(|| self.address.session()).await?.rows(&sql, &[&count]).await
        })?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    /// Writes the members that rows refer to and the dimensions do not hold, within the rows' publication.
    pub(super) async fn publish(&self, session: &Session, load_id: &str, referred: &Numbers) -> Result<Written> {
        let mut written = Written::new();
        for (&member, numbers) in referred {
            let Some(kind) = self.kinds.get(&member) else { continue };
            let missing: Vec<(i64, String)> = {
                let absent = kind.absent.lock().unwrap_or_else(PoisonError::into_inner);
                absent.iter().filter(|(n, _)| numbers.contains(n)).map(|(n, key)| (*n, key.clone())).collect()
            };
            write(session, member, &missing, load_id).await?;
            written.entry(member).or_default().extend(missing.iter().map(|(number, _)| *number));
        }
        Ok(written)
    }

    /// Writes members for keys that the dimension does not hold, under the numbers that other facts of this load may have
    /// given them already.
    pub(super) async fn infer(
        self: &Arc<Self>,
        session: &Session,
        member: Member,
        keys: Vec<String>,
        load_id: &str,
        written: &mut Written,
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let members = Arc::clone(self);
        let numbered = tokio::task::spawn_blocking(move || members.number(member, keys))
            .await
            .map_err(|e| Error::internal("a working thread ended early").because(e))??;
        write(session, member, &numbered, load_id).await?;
        written.entry(member).or_default().extend(numbered.iter().map(|(number, _)| *number));
        Ok(())
    }

    fn number(&self, member: Member, keys: Vec<String>) -> Result<Vec<(i64, String)>> {
        let Some(kind) = self.kinds.get(&member) else {
            return Ok(self.draw(member, keys.len())?.into_iter().zip(keys).collect());
        };
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(&keys));
        let ids = self.ids(member, kind, &texts, &|_| true)?;
        let index = kind.index.read().unwrap_or_else(PoisonError::into_inner);
        let numbers = ids.into_iter().flatten().map(|id| index.lookup(id, 0).0);
        Ok(numbers.zip(keys).collect())
    }

    /// A publication is committed: what it wrote is there, what it removed is not.
    pub(super) fn published(&self, written: &Written, removed: Vec<(Member, i64, String)>) {
        let absent = |member| self.kinds.get(&member).map(|kind| &kind.absent);
        for (&member, numbers) in written {
            if let Some(absent) = absent(member) {
                absent.lock().unwrap_or_else(PoisonError::into_inner).retain(|number, _| !numbers.contains(number));
            }
        }
        for (member, number, key) in removed {
            if let Some(absent) = absent(member) {
                absent.lock().unwrap_or_else(PoisonError::into_inner).insert(number, key);
            }
        }
    }
}

async fn write(session: &Session, member: Member, numbered: &[(i64, String)], load_id: &str) -> Result<()> {
    if numbered.is_empty() {
        return Ok(());
    }
    let (numbers, keys): (Vec<i64>, Vec<&str>) = numbered.iter().map(|(number, key)| (*number, key.as_str())).unzip();
    let (table, key, surrogate) = (member.table(), member.key(), member.surrogate());
    if member.is_inferred() {
        let sql = format!(
            "INSERT INTO {table} ({surrogate}, {key}, is_inferred, load_id) \
             SELECT n, k, true, $3 FROM unnest($1::bigint[], $2::text[]) AS added (n, k)"
        );
        session.execute(&sql, &[&numbers, &keys, &load_id]).await?;
    } else {
        let sql = format!(
            "INSERT INTO {table} ({surrogate}, {key}, name) \
             SELECT n, k, k FROM unnest($1::bigint[], $2::text[]) AS added (n, k)"
        );
        session.execute(&sql, &[&numbers, &keys]).await?;
    }
    Ok(())
}

/// Notes which of some keys exist for facts alone.
fn note_inferred(member: Member, kind: &Kind, ids: &[Option<KeyId>], inferred: &mut Numbers) {
    let index = kind.index.read().unwrap_or_else(PoisonError::into_inner);
    for &id in ids.iter().flatten() {
        if let (number, Hit::Inferred) = index.lookup(id, 0) {
            inferred.entry(member).or_default().insert(number);
        }
    }
}

fn look_up(kind: &Kind, ids: impl Iterator<Item = Option<KeyId>>, times: &[i64], misses: &mut Misses) -> Int64Array {
    let index = kind.index.read().unwrap_or_else(PoisonError::into_inner);
    let surrogates = ids.zip(times).map(|(id, &at)| {
        let (surrogate, hit) = id.map_or((UNKNOWN, Hit::Exact), |id| index.lookup(id, at));
        misses.count(hit);
        surrogate
    });
    Int64Array::from_iter_values(surrogates)
}

async fn read_index(session: &Session, member: Member) -> Result<AsOfIndex> {
    let micros = |column: &str| format!("(extract(epoch FROM {column}) * 1000000)::bigint");
    let (from, to) = member
        .interval()
        .map_or(("NULL::bigint".to_owned(), "NULL::bigint".to_owned()), |(from, to)| (micros(from), micros(to)));
    let inferred = if member.is_inferred() { "is_inferred" } else { "false" };
    let sql = format!(
        "SELECT {key}, {surrogate}, {from}, {to}, {inferred} FROM {table} WHERE {key} IS NOT NULL",
        key = member.key(),
        surrogate = member.surrogate(),
        table = member.table(),
    );
    let mut builder = AsOfBuilder::default();
    for row in session.rows(&sql, &[]).await? {
        builder.push(get(&row, 0)?, get(&row, 1)?, get(&row, 2)?, get(&row, 3)?, get(&row, 4)?);
    }
    Ok(builder.finish())
}

/// Finds the inferred members that no fact will refer to once `leaving` (a day's old partition) is gone.
///
/// Call before the swap; delete with [`remove`] after it. `arriving` is the side table that takes its place, if one does.
pub(super) async fn unreferenced(
    session: &Session,
    day_of: Option<(&Fact, chrono::NaiveDate, Option<&str>)>,
) -> Result<Vec<(Member, Vec<i64>)>> {
    let mut found = Vec::new();
    for member in Member::ALL.into_iter().filter(|m| m.is_inferred()) {
        let mut sql = format!(
            "SELECT m.{sk} FROM {table} m WHERE m.is_inferred",
            sk = member.surrogate(),
            table = member.table()
        );
        for fact in Fact::ALL {
            for reference in fact.references.iter().filter(|r| r.member == member) {
                let same = format!("f.{} = m.{}", reference.surrogate, member.surrogate());
                match day_of {
                    Some((leaving, dt, arriving)) if leaving.table == fact.table => {
                        let staying = format!("{} f WHERE {same} AND f.dt <> '{dt}'", fact.table);
                        sql.push_str(&format!(" AND NOT EXISTS (SELECT FROM {staying})"));
                        if let Some(arriving) = arriving {
                            sql.push_str(&format!(" AND NOT EXISTS (SELECT FROM {arriving} f WHERE {same})"));
                        }
                    }
                    _ => sql.push_str(&format!(" AND NOT EXISTS (SELECT FROM {} f WHERE {same})", fact.table)),
                }
            }
        }
        if let Some(column) = telemetry::reference_to(member) {
            let (references, same) = (telemetry::REFERENCES, format!("f.{column} = m.{}", member.surrogate()));
            sql.push_str(&format!(" AND NOT EXISTS (SELECT FROM {references} f WHERE {same})"));
        }
        let rows = session.rows(&sql, &[]).await?;
        let surrogates = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>>>()?;
        if !surrogates.is_empty() {
            found.push((member, surrogates));
        }
    }
    Ok(found)
}

/// Deletes members found by [`unreferenced`]; their numbers and keys.
pub(super) async fn remove(session: &Session, members: &[(Member, Vec<i64>)]) -> Result<Vec<(Member, i64, String)>> {
    let mut removed = Vec::new();
    for (member, surrogates) in members {
        let (table, surrogate, key) = (member.table(), member.surrogate(), member.key());
        let sql = format!("DELETE FROM {table} WHERE {surrogate} = ANY ($1) RETURNING {surrogate}, {key}");
        for row in session.rows(&sql, &[surrogates]).await? {
            removed.push((*member, get(&row, 0)?, get(&row, 1)?));
        }
    }
    Ok(removed)
}

/// An SQL expression for the surrogate key of `raw` as of `time`: the version with the latest start not after it, else
/// the first; 0 when `raw` is NULL.
pub(super) fn as_of_sql(member: Member, raw: &str, time: &str) -> String {
    let (table, key, surrogate) = (member.table(), member.key(), member.surrogate());
    let order = member.interval().map_or(String::new(), |(from, _)| {
        format!(
            " ORDER BY (m.{from} <= {time}) DESC NULLS LAST, CASE WHEN m.{from} <= {time} THEN m.{from} END DESC, \
             m.{from} LIMIT 1"
        )
    });
    format!("coalesce((SELECT m.{surrogate} FROM {table} m WHERE m.{key} = {raw}{order}), {UNKNOWN})")
}

/// Shared handle.
pub(super) type Shared = Arc<Members>;

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int32Array};
    use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

    use super::*;
    use crate::warehouse::live::{in_warehouse, partition, report, texts};

    const POSITIONS: &str = "dwh.fact_vehicle_position";

    #[tokio::test]
    async fn the_server_answers_as_of_any_time_as_the_index_in_memory_does() {
        in_warehouse("members_as_of", async |_, session| {
            let routes = "INSERT INTO dwh.dim_route (route_sk, route_id, valid_from, valid_to, is_inferred) VALUES \
                 (1, 'versions', '2024-05-01 06:00Z', '2024-05-01 08:00Z', false), \
                 (2, 'versions', '2024-05-01 08:00Z', '2024-05-01 09:00Z', false), \
                 (3, 'versions', '2024-05-01 11:00Z', NULL, false), \
                 (4, 'ended', '2024-05-01 06:00Z', '2024-05-01 07:00Z', false), (5, 'inferred', NULL, NULL, true)";
            session.run(routes).await.unwrap();
            let index = read_index(session, Member::Route).await.unwrap();
            let sql = format!("SELECT {}", as_of_sql(Member::Route, "$1::text", "$2::timestamptz"));
            let opening: DateTime<Utc> = "2024-05-01T05:00:00Z".parse().unwrap();
            for key in [Some("versions"), Some("ended"), Some("inferred"), Some("nobody"), None] {
                let mut answers = Vec::new();
                for half_hour in 0..14 {
                    let at = opening + TimeDelta::minutes(30 * half_hour);
                    let answer: i64 = get(&session.row(&sql, &[&key, &at]).await.unwrap(), 0).unwrap();
                    let id = key.and_then(|key| index.resolve(key));
                    let expected = id.map_or(UNKNOWN, |id| index.lookup(id, at.timestamp_micros()).0);
                    assert_eq!(answer, expected, "{key:?} at {at}");
                    answers.push(answer);
                }
                match key {
                    // Before the first version the first answers, in a gap the one before it.
                    Some("versions") => assert_eq!(answers, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3]),
                    Some("ended") => assert_eq!(answers, [4; 14]),
                    Some("inferred") => assert_eq!(answers, [5; 14]),
                    _ => assert_eq!(answers, [UNKNOWN; 14]),
                }
            }
        })
        .await;
    }

    #[tokio::test]
    async fn an_inferred_member_goes_with_the_last_fact_that_refers_to_it() {
        in_warehouse("members_leave", async |_, session| {
            let members = "INSERT INTO dwh.dim_vehicle (vehicle_sk, vehicle_id, is_inferred) VALUES \
                 (1, 'of both days', true), (2, 'of the first day', true), (3, 'of nobody', true), (4, 'described', false); \
                 INSERT INTO dwh.dim_route (route_sk, route_id, is_inferred) VALUES (7, 'of a trip', true)";
            session.run(members).await.unwrap();
            for dt in ["2024-05-01", "2024-05-02"] {
                partition(session, POSITIONS, dt).await;
            }
            let reports = "(1, '2024-05-01 10:00Z', 1, 7), (2, '2024-05-01 11:00Z', 2, 7), (3, '2024-05-02 10:00Z', 1, 0)";
            report(session, POSITIONS, reports).await;
            partition(session, "dwh.fact_trip", "2024-05-01").await;
            let trip = "INSERT INTO dwh.fact_trip (trip_sk, trip_id, user_sk, route_sk, vehicle_sk, start_stop_sk, \
                 end_stop_sk, start_ts, load_id, dt, file_no) \
                 VALUES (1, 'T', 0, 7, 0, 0, 0, '2024-05-01 10:00Z', '', '2024-05-01', 0)";
            session.run(trip).await.unwrap();
            session.run("CREATE TABLE dwh.side (LIKE dwh.fact_vehicle_position INCLUDING DEFAULTS)").await.unwrap();

            let fact = Fact::VEHICLE_POSITION;
            let first = NaiveDate::from_ymd_opt(2024, 5, 1).unwrap();
            let found = async |day_of| {
                let mut found = unreferenced(session, day_of).await.unwrap();
                found.iter_mut().for_each(|(_, numbers)| numbers.sort_unstable());
                found
            };
            assert_eq!(found(None).await, [(Member::Vehicle, vec![3])]);
            assert_eq!(found(Some((&fact, first, None))).await, [(Member::Vehicle, vec![2, 3])]);
            report(session, "dwh.side", "(4, '2024-05-01 12:00Z', 2, 0)").await;
            let leaving = found(Some((&fact, first, Some("dwh.side")))).await;
            assert_eq!(leaving, [(Member::Vehicle, vec![3])]);
            assert_eq!(remove(session, &leaving).await.unwrap(), [(Member::Vehicle, 3, "of nobody".to_owned())]);
            let left = texts(session, "SELECT vehicle_sk::text FROM dwh.dim_vehicle ORDER BY vehicle_sk").await;
            assert_eq!(left, ["0", "1", "2", "4"]);
        })
        .await;
    }

    /// What vehicles' keys refer to, and which of them are inferred.
    async fn resolved(members: &Shared, keys: ArrayRef) -> (Vec<i64>, Vec<i64>) {
        let members = Arc::clone(members);
        let task = tokio::task::spawn_blocking(move || {
            let reference = Fact::VEHICLE_POSITION.references[0];
            let (times, mut inferred) = (vec![0; keys.len()], Numbers::new());
            let numbers = members.resolve(&reference, &keys, &times, &mut Misses::default(), &mut inferred).unwrap();
            (numbers.values().to_vec(), inferred.into_values().flatten().collect())
        });
        task.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_key_that_nobody_knows_gets_one_number_and_goes_in_with_the_first_publication_that_needs_it() {
        in_warehouse("members_new", async |warehouse, session| {
            let address = warehouse.address.clone();
            let members = Arc::new(Members::read(session, address, &[Fact::VEHICLE_POSITION]).await.unwrap());
            let texts_of = Arc::new(StringArray::from(vec!["new", "filtered out", ""]));
            let codes = Int32Array::from(vec![Some(0), Some(2), None, Some(0)]);
            let (numbers, inferred) = resolved(&members, Arc::new(DictionaryArray::new(codes, texts_of))).await;
            let new = numbers[0];
            assert_eq!((numbers, inferred), (vec![new, UNKNOWN, UNKNOWN, new], vec![new]));
            let again: ArrayRef = Arc::new(StringArray::from(vec!["new"]));
            assert_eq!(resolved(&members, Arc::clone(&again)).await, (vec![new], vec![new]));
            let drawn = texts(session, "SELECT last_value::text FROM dwh.vehicle_sk").await;
            assert_eq!(drawn, [new.to_string()], "of what was filtered out nobody makes a member");

            let known = "SELECT vehicle_sk || vehicle_id || load_id FROM dwh.dim_vehicle WHERE is_inferred";
            let referred = Numbers::from([(Member::Vehicle, HashSet::from([new]))]);
            let written = members.publish(session, "batch_1", &referred).await.unwrap();
            assert_eq!(written, referred);
            assert_eq!(texts(session, known).await, [format!("{new}newbatch_1")]);
            members.published(&written, Vec::new());
            let written = members.publish(session, "batch_2", &referred).await.unwrap();
            assert_eq!(written[&Member::Vehicle], HashSet::new(), "it is there");

            // Once it is gone the next publication that refers to it brings it again, under its number.
            let removed = remove(session, &[(Member::Vehicle, vec![new])]).await.unwrap();
            members.published(&Numbers::new(), removed);
            members.publish(session, "batch_3", &referred).await.unwrap();
            assert_eq!(texts(session, known).await, [format!("{new}newbatch_3")]);
            assert_eq!(resolved(&members, again).await.0, [new]);
        })
        .await;
    }
}
