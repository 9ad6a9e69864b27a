//! The trips of a day by their key, so that payments come in with the trip they refer to.
//!
//! A payment's trip is nearly always of the payment's own raw day, and that day's trips are loaded first. So their keys
//! are read once and looked up while the payments are encoded; what is not found here (a trip of another day, or none
//! yet) is left to the publication.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use chrono::NaiveDate;
use hashbrown::HashTable;

use crate::error::Result;
use crate::model::Fact;
use crate::postgres::{Session, get, read};
use crate::warehouse::partition::current;

/// What an entry takes beside its text: end, surrogate key, and its place in a table that is half full at worst.
const ENTRY_BYTES: u64 = 8 + 8 + 2 * 5;
/// The length of an ordinary key, for a guess before any is read.
const KEY_BYTES: u64 = 16;

/// Surrogate keys by business key, packed.
#[derive(Default)]
pub(super) struct TripKeys {
    places: HashTable<u32>,
    /// All keys, one after the other.
    texts: String,
    /// By place, where the key ends in `texts`.
    ends: Vec<usize>,
    surrogates: Vec<i64>,
    hasher: RandomState,
}

impl TripKeys {
    /// Reads the keys of one day's trips; none when the day has no trips, or more than `memory_bytes` can hold.
    pub(super) async fn read(session: &Session, dt: NaiveDate, memory_bytes: u64) -> Result<Self> {
        let mut keys = Self::default();
        let Some(partition) = current(session, Fact::TRIP.table, dt).await? else { return Ok(keys) };
        let sql = "SELECT coalesce(sum(rows_loaded), 0)::bigint FROM dwh.load_ledger WHERE target = $1 AND dt = $2";
        let rows: i64 = get(&session.row(sql, &[&Fact::TRIP.table, &dt]).await?, 0)?;
        if rows.unsigned_abs().saturating_mul(ENTRY_BYTES + KEY_BYTES) > memory_bytes {
            return Ok(keys);
        }
        keys.ends.reserve_exact(usize::try_from(rows).unwrap_or(0));
        keys.surrogates.reserve_exact(usize::try_from(rows).unwrap_or(0));
        let mut fits = true;
        let sql = format!("SELECT trip_id, trip_sk FROM {partition}");
        read(session, &sql, &mut |batch| {
            if fits {
                keys.add(batch.column(0), batch.column(1));
                fits = keys.bytes() <= memory_bytes;
            }
            Ok(())
        })
        .await?;
        Ok(if fits { keys } else { Self::default() })
    }

    fn add(&mut self, ids: &ArrayRef, surrogates: &ArrayRef) {
        let Self { places, texts, ends, surrogates: numbers, hasher } = self;
        for (id, surrogate) in ids.as_string::<i32>().iter().zip(surrogates.as_primitive::<Int64Type>().values()) {
            let id = id.unwrap_or("");
            // More trips than 2^32 do not fit into the memory that was granted.
            let place = ends.len() as u32;
            texts.push_str(id);
            ends.push(texts.len());
            numbers.push(*surrogate);
            places.insert_unique(hasher.hash_one(id), place, |&p| hasher.hash_one(key(texts, ends, p)));
        }
    }

    fn bytes(&self) -> u64 {
        self.texts.len() as u64 + self.ends.len() as u64 * ENTRY_BYTES
    }

    fn find(&self, id: &str) -> Option<i64> {
        let found = self.places.find(self.hasher.hash_one(id), |&p| key(&self.texts, &self.ends, p) == id);
        found.map(|&place| self.surrogates[place as usize])
    }

    /// The trips of a batch of payments, and how many payments name a trip that is not here.
    pub(super) fn resolve(&self, ids: &ArrayRef) -> (Int64Array, u64) {
        let mut open = 0;
        let ids = ids.as_string::<i32>();
        let found = ids.iter().map(|id| {
            let trip = id.and_then(|id| self.find(id));
            open += u64::from(id.is_some() && trip.is_none());
            trip
        });
        let found = Int64Array::from_iter(found);
        (found, open)
    }
}

fn key<'a>(texts: &'a str, ends: &[usize], place: u32) -> &'a str {
    let place = place as usize;
    let start = if place == 0 { 0 } else { ends[place - 1] };
    &texts[start..ends[place]]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, StringArray};

    use super::*;

    #[test]
    fn payments_find_their_trips_and_what_is_missing_is_counted() {
        let mut keys = TripKeys::default();
        let ids: Vec<String> = (0..5_000).map(|n| format!("T{n}")).collect();
        for (number, part) in ids.chunks(1_000).enumerate() {
            let first = number as i64 * 1_000;
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(part));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + 1_000));
            keys.add(&texts, &numbers);
        }
        let asked: ArrayRef = Arc::new(StringArray::from(vec![Some("T4999"), None, Some("X"), Some("T0")]));
        let (found, open) = keys.resolve(&asked);
        assert_eq!(found.iter().collect::<Vec<_>>(), [Some(4999), None, None, Some(0)]);
        assert_eq!((open, found.null_count()), (1, 2));
        assert_eq!(keys.bytes(), ids.iter().map(|id| id.len() as u64).sum::<u64>() + 5_000 * ENTRY_BYTES);
    }

    #[test]
    fn no_keys_find_nothing() {
        let asked: ArrayRef = Arc::new(StringArray::from(vec!["T1"]));
        assert_eq!(TripKeys::default().resolve(&asked).1, 1);
    }
}
