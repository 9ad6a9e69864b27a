//! The members that facts refer to: their keys in memory while a day loads, and inferred ones for keys nobody described.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int32Type};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::client::{Address, Session, get};
use crate::error::{Error, Result};
use crate::history::{AsOfBuilder, AsOfIndex, Hit, KeyId, Misses};
use crate::model::{Fact, Member, Reference};

/// The unknown member: what a NULL key refers to.
pub(super) const UNKNOWN: i64 = 0;

/// The members of one kind, and those added for this load.
struct Kind {
    index: RwLock<AsOfIndex>,
    added: Mutex<Vec<(String, i64)>>,
}

/// All members a fact refers to, shared by the threads that load it.
pub(super) struct Members {
    kinds: BTreeMap<Member, Kind>,
    address: Address,
    /// A session of its own for drawing surrogate keys, opened for the first key that nobody knows.
    numbers: OnceCell<Session>,
    runtime: Handle,
}

impl Members {
    /// Reads the members that one fact refers to.
    pub(super) async fn read(session: &Session, address: Address, fact: &Fact) -> Result<Self> {
        let mut kinds = BTreeMap::new();
        for reference in fact.references {
            if let Entry::Vacant(place) = kinds.entry(reference.member) {
                let index = RwLock::new(read_index(session, reference.member).await?);
                place.insert(Kind { index, added: Mutex::default() });
            }
        }
        Ok(Self { kinds, address, numbers: OnceCell::new(), runtime: Handle::current() })
    }

    /// The surrogate keys of one reference for a batch, as of the rows' times. Blocking: may draw numbers.
    pub(super) fn resolve(
        &self,
        reference: &Reference,
        keys: &ArrayRef,
        times: &[i64],
        misses: &mut Misses,
    ) -> Result<Int64Array> {
        let kind = self
            .kinds
            .get(&reference.member)
            .ok_or_else(|| Error::internal(format!("{} is not read", reference.member.table())))?;
        match keys.data_type() {
            DataType::Dictionary(..) => {
                let codes = keys.as_dictionary::<Int32Type>();
                // A dictionary may hold values of rows that were filtered out; those make no member.
                let mut used = vec![false; codes.values().len()];
                codes.keys().iter().flatten().for_each(|code| used[code as usize] = true);
                let ids = self.ids(reference.member, kind, codes.values(), &|row| used[row])?;
                let rows = codes.keys().iter().map(|code| code.and_then(|c| ids[c as usize]));
                Ok(look_up(kind, rows, times, misses))
            }
            _ => {
                let ids = self.ids(reference.member, kind, keys, &|_| true)?;
                Ok(look_up(kind, ids.into_iter(), times, misses))
            }
        }
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
            let mut added = kind.added.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, number) in unseen.into_iter().zip(numbers) {
                index.insert(key, number, member.is_inferred());
                added.push((key.to_owned(), number));
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

    /// Writes the members that this load added, within its publication.
    pub(super) async fn publish(&self, session: &Session, load_id: &str) -> Result<()> {
        for (member, kind) in &self.kinds {
            let added = std::mem::take(&mut *kind.added.lock().unwrap_or_else(PoisonError::into_inner));
            let (keys, numbers): (Vec<String>, Vec<i64>) = added.into_iter().unzip();
            if keys.is_empty() {
                continue;
            }
            let (table, key, surrogate) = (member.table(), member.key(), member.surrogate());
            let sql = if member.is_inferred() {
                format!(
                    "INSERT INTO {table} ({surrogate}, {key}, is_inferred, load_id) \
                     SELECT n, k, true, $3 FROM unnest($1::bigint[], $2::text[]) AS added (n, k)"
                )
            } else {
                format!(
                    "INSERT INTO {table} ({surrogate}, {key}, name) \
                     SELECT n, k, k FROM unnest($1::bigint[], $2::text[]) AS added (n, k) WHERE $3::text IS NOT NULL"
                )
            };
            session.touch(&sql, &[&numbers, &keys, &load_id]).await?;
        }
        Ok(())
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
/// Call before the swap; delete with [`remove`] after it. `arriving` is the side table that takes its place.
pub(super) async fn unreferenced(
    session: &Session,
    day_of: Option<(&Fact, chrono::NaiveDate, &str)>,
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
                    Some((leaving, dt, arriving)) if leaving.table == fact.table => sql.push_str(&format!(
                        " AND NOT EXISTS (SELECT FROM {} f WHERE {same} AND f.dt <> '{dt}') \
                         AND NOT EXISTS (SELECT FROM {arriving} f WHERE {same})",
                        fact.table
                    )),
                    _ => sql.push_str(&format!(" AND NOT EXISTS (SELECT FROM {} f WHERE {same})", fact.table)),
                }
            }
        }
        let rows = session.rows(&sql, &[]).await?;
        let surrogates = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>>>()?;
        if !surrogates.is_empty() {
            found.push((member, surrogates));
        }
    }
    Ok(found)
}

/// Deletes members found by [`unreferenced`].
pub(super) async fn remove(session: &Session, members: &[(Member, Vec<i64>)]) -> Result<()> {
    for (member, surrogates) in members {
        let sql = format!("DELETE FROM {} WHERE {} = ANY ($1)", member.table(), member.surrogate());
        session.touch(&sql, &[surrogates]).await?;
    }
    Ok(())
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
