//! 128-bit hashes of rows and keys by their cleaned content.
//!
//! Two lanes of 64 bits take in each value by steps that are one to one, so that rows which differ in one fixed-width
//! column never meet, and finish by mixing both. A NULL is told by its bit alone, so that a column which nobody fills costs
//! nothing. Equal content hashes equally whatever its encoding: a code and its text, -0.0 and 0.0. Two different rows
//! meet by chance once in 2^128.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{is_not_null, nullif};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int32Type, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::model::{Dataset, Kind, Repetition};

/// A hash of 128 bits.
pub(super) type Hash = [u64; 2];

const SEED: Hash = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xc2b2_ae3d_27d4_eb4f;
const THIRD: u64 = 0xd6e8_feb8_6659_fd93;
const FOURTH: u64 = 0xff51_afd7_ed55_8ccd;

/// Hashes of rows; of their keys where the dataset compares rows of one key.
#[derive(Clone, Debug)]
pub(super) struct Hashes {
    pub(super) rows: Vec<Hash>,
    pub(super) keys: Option<Vec<Hash>>,
    /// When each row was made, as a number that grows with time, where the latest row of a key wins.
    pub(super) times: Option<Vec<u64>>,
}

/// Hashes the clean rows of a batch. In a dimension a file that lacks a column says something else than one that
/// says NULL, so there `stated` is part of the content.
pub(super) fn hash_rows(dataset: Dataset, rows: &RecordBatch, stated: u64) -> Result<Hashes> {
    let all = 0..dataset.columns().len();
    let hash_key = |key: &[&str], rows: &RecordBatch| {
        hash_columns(dataset, rows, key.iter().filter_map(|column| dataset.index(column)), 0).map(Some)
    };
    let (basis, keys, times) = match dataset.repetition() {
        Repetition::OneStatement => (stated, None, None),
        Repetition::LastWins => (0, hash_key(dataset.key_columns(), rows)?, None),
        Repetition::BothStay { key } => (0, hash_key(key, rows)?, None),
        Repetition::LatestWins { key, unless, time } => {
            (0, hash_key(key, &only_unless(dataset, rows, unless)?)?, Some(ranks(dataset, rows, time)?))
        }
    };
    Ok(Hashes { rows: hash_columns(dataset, rows, all, basis)?, keys, times })
}

/// The rows without the second column's values where the first has one.
fn only_unless(dataset: Dataset, rows: &RecordBatch, unless: (&str, &str)) -> Result<RecordBatch> {
    let wrong = || Error::internal(format!("{dataset} has no columns {unless:?}"));
    let (first, second) = (dataset.index(unless.0).ok_or_else(wrong)?, dataset.index(unless.1).ok_or_else(wrong)?);
    let mut columns = rows.columns().to_vec();
    let left = is_not_null(&columns[first]).and_then(|known| nullif(&columns[second], &known));
    columns[second] = left.map_err(|e| wrong().because(e))?;
    RecordBatch::try_new(rows.schema(), columns).map_err(|e| wrong().because(e))
}

/// Instants as numbers in the same order; NULL is the least.
fn ranks(dataset: Dataset, rows: &RecordBatch, time: &str) -> Result<Vec<u64>> {
    let column = dataset.index(time).and_then(|index| rows.columns().get(index));
    let instants = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let instants = instants.ok_or_else(|| Error::internal(format!("{dataset} has no instants {time}")))?;
    Ok(instants.iter().map(|at| at.map_or(0, |at| at.cast_unsigned() ^ (1 << 63))).collect())
}

fn hash_columns(
    dataset: Dataset,
    rows: &RecordBatch,
    columns: impl Iterator<Item = usize>,
    basis: u64,
) -> Result<Vec<Hash>> {
    let mut states = vec![mix(SEED, basis, basis); rows.num_rows()];
    let mut nulls = vec![0_u64; rows.num_rows()];
    let mut all_null = 0_u64;
    for index in columns {
        let (Some(column), Some(array)) = (dataset.columns().get(index), rows.columns().get(index)) else { continue };
        if array.null_count() == array.len() {
            all_null |= 1 << index;
            continue;
        }
        take_in(column.kind, array, &mut states)
            .ok_or_else(|| Error::internal(format!("column {} is not clean: {}", column.name, array.data_type())))?;
        if array.null_count() > 0 {
            for (row, bits) in nulls.iter_mut().enumerate() {
                *bits |= u64::from(array.is_null(row)) << index;
            }
        }
    }
    for (state, nulls) in states.iter_mut().zip(nulls) {
        let nulls = nulls | all_null;
        *state = finish(mix(*state, nulls, nulls));
    }
    Ok(states)
}

/// Takes a column into the states; a NULL leaves its row's as it is.
fn take_in(kind: Kind, array: &ArrayRef, states: &mut [Hash]) -> Option<()> {
    match kind {
        Kind::Text | Kind::Json => {
            let text = array.as_string_opt::<i32>()?;
            for (row, state) in states.iter_mut().enumerate() {
                if text.is_valid(row) {
                    let [a, b] = hash_text(text.value(row).as_bytes());
                    *state = mix(*state, a, b);
                }
            }
        }
        Kind::Code => codes(array, states)?,
        Kind::Instant => words(array.as_primitive_opt::<TimestampMicrosecondType>()?, states, |v| v as u64),
        Kind::Date => words(array.as_primitive_opt::<Date32Type>()?, states, |v| v as u64),
        Kind::Money => words(array.as_primitive_opt::<Decimal128Type>()?, states, |v| v as u64),
        Kind::Float => {
            // Adding zero turns -0.0 into 0.0.
            words(array.as_primitive_opt::<Float64Type>()?, states, |v: f64| (v + 0.0).to_bits());
        }
        Kind::Integer => words(array.as_primitive_opt::<Int32Type>()?, states, |v| v as u64),
        Kind::Boolean => {
            let values = array.as_boolean_opt()?;
            for (row, state) in states.iter_mut().enumerate() {
                if values.is_valid(row) {
                    let bit = u64::from(values.value(row));
                    *state = mix(*state, bit, bit);
                }
            }
        }
    }
    Some(())
}

fn words<T: arrow::datatypes::ArrowPrimitiveType>(
    values: &arrow::array::PrimitiveArray<T>,
    states: &mut [Hash],
    word: impl Fn(T::Native) -> u64,
) {
    if values.null_count() == 0 {
        for (state, value) in states.iter_mut().zip(values.values().iter()) {
            let word = word(*value);
            *state = mix(*state, word, word);
        }
        return;
    }
    for (row, (state, value)) in states.iter_mut().zip(values.values().iter()).enumerate() {
        if values.is_valid(row) {
            let word = word(*value);
            *state = mix(*state, word, word);
        }
    }
}

/// Hashes each value of a dictionary once, unless it has more values than the batch has rows.
fn codes(array: &ArrayRef, states: &mut [Hash]) -> Option<()> {
    let codes = array.as_dictionary_opt::<Int32Type>()?;
    let values: &StringArray = codes.values().as_string_opt::<i32>()?;
    let keys = codes.keys();
    let one = |value: usize| if values.is_valid(value) { hash_text(values.value(value).as_bytes()) } else { [0, 0] };
    let known: Option<Vec<Hash>> = (values.len() <= states.len()).then(|| (0..values.len()).map(one).collect());
    for (row, state) in states.iter_mut().enumerate() {
        let value = usize::try_from(keys.value(row)).ok().filter(|v| keys.is_valid(row) && *v < values.len());
        let Some(value) = value else { continue };
        let [a, b] = known.as_ref().map_or_else(|| one(value), |known| known.get(value).copied().unwrap_or_default());
        *state = mix(*state, a, b);
    }
    Some(())
}

fn hash_text(bytes: &[u8]) -> Hash {
    let mut state = SEED;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        state = mix(state, word, word);
    }
    let tail = chunks.remainder().iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    state = mix(state, tail, tail);
    let length = bytes.len() as u64;
    finish(mix(state, length, length))
}

#[inline]
fn mix(state: Hash, a: u64, b: u64) -> Hash {
    let mut a = a.wrapping_mul(FIRST);
    a ^= a >> 32;
    let mut b = b.rotate_left(32).wrapping_mul(SECOND);
    b ^= b >> 29;
    [
        (state[0] ^ a).rotate_left(29).wrapping_mul(THIRD).wrapping_add(SECOND),
        (state[1] ^ b).rotate_left(31).wrapping_mul(FOURTH).wrapping_add(FIRST),
    ]
}

#[inline]
fn finish(state: Hash) -> Hash {
    let scramble = |mut v: u64| {
        v = (v ^ (v >> 33)).wrapping_mul(FOURTH);
        v = (v ^ (v >> 29)).wrapping_mul(SECOND);
        v ^ (v >> 32)
    };
    let first = scramble(state[0].wrapping_add(state[1]));
    [first, scramble(state[1] ^ first.rotate_left(23))]
}
