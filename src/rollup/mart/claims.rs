//! Which day a business key counts for, when several raw days claim it: the newest.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use hashbrown::HashMap;

use crate::error::Result;
use crate::rollup::columns;
use crate::rollup::pack;

/// The newest day of every trip or payment. Days have numbers, the newer the smaller.
///
/// Keys of up to 16 bytes and UUIDs take 40 bytes each, others their text besides.
#[derive(Debug, Default)]
pub struct Claims {
    packed: HashMap<(u32, [u64; 2]), u32>,
    others: HashMap<String, u32>,
}

impl Claims {
    /// Claims the keys of a column for a day, and says which of them count for it.
    pub fn claim(&mut self, name: &str, keys: &ArrayRef, day: u32) -> Result<BooleanArray> {
        Ok(texts(name, keys)?.iter().map(|key| Some(self.newest(key.unwrap_or_default(), day) == day)).collect())
    }

    fn newest(&mut self, key: &str, day: u32) -> u32 {
        let newest = match pack::text(key.as_bytes()) {
            Some(packed) => self.packed.entry(packed).or_insert(day),
            None => self.others.entry_ref(key).or_insert(day),
        };
        *newest = day.min(*newest);
        *newest
    }
}

fn texts(name: &str, keys: &ArrayRef) -> Result<arrow::array::StringArray> {
    let wrong = || columns::wrong_type(name, keys.data_type(), "text");
    let texts = arrow::compute::cast(keys, &DataType::Utf8).map_err(|e| wrong().because(e))?;
    texts.as_string_opt::<i32>().cloned().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    fn claim(claims: &mut Claims, keys: &[&str], day: u32) -> Vec<bool> {
        let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
        claims.claim("trip_id", &keys, day).unwrap().iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn the_newest_day_wins_in_any_order_of_asking() {
        let long = "a trip with a rather long name";
        let mut claims = Claims::default();
        assert_eq!(claim(&mut claims, &["T1", long, "T3"], 1), [true, true, true]);
        assert_eq!(claim(&mut claims, &["T1", long, "T2"], 0), [true, true, true]);
        assert_eq!(claim(&mut claims, &["T1", long, "T3"], 1), [false, false, true]);
        assert_eq!(claim(&mut claims, &["T2"], 2), [false]);
    }
}
