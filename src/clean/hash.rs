//! 128-bit hashes of rows and keys by their cleaned content.
//!
//! Two lanes of 64 bits take in each value by steps that are one to one, so that rows which differ in one fixed-width
//! column never meet, and finish by mixing both. Equal content hashes equally whatever its encoding: a code and its text, -0.0
//! and 0.0. Two different rows meet by chance once in 2^128.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
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
}

/// Hashes the clean rows of a batch. In a dimension a file that lacks a column says something else than one that
/// says NULL, so there `stated` is part of the content.
pub(super) fn hash_rows(dataset: Dataset, rows: &RecordBatch, stated: u64) -> Result<Hashes> {
    let basis = if dataset.event_time().is_none() { stated } else { 0 };
    let all = 0..dataset.columns().len();
    let keys: Vec<usize> = match dataset.repetition() {
        Repetition::BothStay { key } => key.iter().filter_map(|c| dataset.index(c)).collect(),
        Repetition::LastWins => dataset.index(dataset.key()).into_iter().collect(),
        Repetition::OneStatement => Vec::new(),
    };
    let key_hashes = if keys.is_empty() { None } else { Some(hash_columns(dataset, rows, keys.into_iter(), 0)?) };
    Ok(Hashes { rows: hash_columns(dataset, rows, all, basis)?, keys: key_hashes })
}

fn hash_columns(
    dataset: Dataset,
    rows: &RecordBatch,
    columns: impl Iterator<Item = usize>,
    basis: u64,
) -> Result<Vec<Hash>> {
    let mut states = vec![mix(SEED, basis, basis); rows.num_rows()];
    let mut nulls = vec![0_u64; rows.num_rows()];
    for index in columns {
        let (Some(column), Some(array)) = (dataset.columns().get(index), rows.columns().get(index)) else { continue };
        take_in(column.kind, array, &mut states)
            .ok_or_else(|| Error::internal(format!("column {} is not clean: {}", column.name, array.data_type())))?;
        if array.null_count() > 0 {
            for (row, bits) in nulls.iter_mut().enumerate() {
                *bits |= u64::from(array.is_null(row)) << index;
            }
        }
    }
    for (state, nulls) in states.iter_mut().zip(nulls) {
        *state = finish(mix(*state, nulls, nulls));
    }
    Ok(states)
}

/// Takes a column into the states; a NULL counts as nothing here and is told by its bit.
fn take_in(kind: Kind, array: &ArrayRef, states: &mut [Hash]) -> Option<()> {
    match kind {
        Kind::Text | Kind::Json => {
            let text = array.as_string_opt::<i32>()?;
            for (row, state) in states.iter_mut().enumerate() {
                if text.is_valid(row) {
                    let [a, b] = hash_text(text.value(row).as_bytes());
                    *state = mix(*state, a, b);
                } else {
                    *state = mix(*state, 0, 0);
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
                let bit = u64::from(values.is_valid(row) && values.value(row));
                *state = mix(*state, bit, bit);
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
        let word = if values.is_valid(row) { word(*value) } else { 0 };
        *state = mix(*state, word, word);
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
        let [a, b] = match (value, &known) {
            (Some(value), Some(known)) => known.get(value).copied().unwrap_or_default(),
            (Some(value), None) => one(value),
            (None, _) => [0, 0],
        };
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
