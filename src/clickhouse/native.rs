//! Positions as blocks of ClickHouse's Native format: column after column, as the server keeps them.
//!
//! A column of numbers is a copy of Arrow's buffer, a text column is written from the codes of its dictionary, so no
//! value is looked at more than once. Beside the bytes the block gives the checksum that the server must arrive at.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int32Type, TimestampMicrosecondType};

use super::optional::{Optional, Values};
use super::rows::{Digest, varint};
use super::sip;
use crate::error::{Error, Result};

/// The columns of a block, in order, with their types.
pub(super) const COLUMNS: [(&str, &str); 10] = [
    ("dt", "Date"),
    ("event_ts", "DateTime('UTC')"),
    ("event_us", "Int64"),
    ("vehicle_id", "String"),
    ("route_id", "String"),
    ("lat", "Float64"),
    ("lon", "Float64"),
    ("speed", "Nullable(Float64)"),
    ("heading", "Nullable(Float64)"),
    ("provider_us", "Nullable(Int64)"),
];

/// The server's hash of one row, as SQL that old and current servers compute alike; [`Positions::digest`] is its twin.
pub(super) fn row_hash(optional: &[Optional]) -> String {
    let more: Vec<String> = optional.iter().map(|column| format!(", {}", column.hash_sql())).collect();
    format!(
        "cityHash64(event_us, toUInt32(event_ts), sipHash64(vehicle_id), sipHash64(route_id), lat, lon, \
         ifNull(speed, toFloat64(0)), ifNull(heading, toFloat64(0)), ifNull(provider_us, toInt64(0)), \
         toUInt64(isNull(speed) + isNull(heading) * 2 + isNull(provider_us) * 4){})",
        more.concat()
    )
}

/// The texts of one dictionary, ready to be written and hashed.
#[derive(Default)]
pub(super) struct Texts {
    values: Option<ArrayRef>,
    bytes: Vec<u8>,
    /// Where each text, with its length before it, ends.
    ends: Vec<usize>,
    pub(super) hashes: Vec<u64>,
}

impl Texts {
    /// Prepares a dictionary, unless it is the last one again.
    fn turn_to(&mut self, values: &ArrayRef) -> Result<()> {
        if self.values.as_ref().is_some_and(|known| Arc::ptr_eq(known, values)) {
            return Ok(());
        }
        let texts: &StringArray =
            values.as_string_opt::<i32>().ok_or_else(|| Error::internal("codes do not stand for texts"))?;
        self.bytes.clear();
        self.ends.clear();
        self.hashes.clear();
        for text in texts {
            self.push(text.unwrap_or_default());
        }
        // What a NULL is written as.
        self.push("");
        self.values = Some(Arc::clone(values));
        Ok(())
    }

    fn push(&mut self, text: &str) {
        varint(text.len(), &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
        self.hashes.push(sip::hash64(text.as_bytes()));
    }

    /// Whether a place is that of NULL.
    pub(super) fn is_null(&self, at: usize) -> bool {
        at + 1 == self.ends.len()
    }

    pub(super) fn bytes_of(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

/// Encodes the positions of one raw day.
pub(super) struct Positions {
    day: u16,
    vehicles: Texts,
    routes: Texts,
    optional: Vec<(Optional, Texts)>,
}

/// The columns of a batch of cleaned positions.
struct Columns<'a> {
    event: &'a PrimitiveArray<TimestampMicrosecondType>,
    vehicle: Vec<usize>,
    route: Vec<usize>,
    lat: &'a PrimitiveArray<Float64Type>,
    lon: &'a PrimitiveArray<Float64Type>,
    speed: &'a PrimitiveArray<Float64Type>,
    heading: &'a PrimitiveArray<Float64Type>,
    provider: &'a PrimitiveArray<TimestampMicrosecondType>,
    optional: Vec<Values>,
}

impl Positions {
    /// For a raw day, in days since 1970, of which some file has these optional columns.
    pub(super) fn new(day: u16, optional: &[Optional]) -> Self {
        let optional = optional.iter().map(|column| (*column, Texts::default())).collect();
        Self { day, vehicles: Texts::default(), routes: Texts::default(), optional }
    }

    /// Appends one block.
    pub(super) fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<Digest> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(Digest::default());
        }
        let columns = Columns {
            event: primitive(batch, "event_ts")?,
            vehicle: codes(batch, "vehicle_id", &mut self.vehicles)?,
            route: codes(batch, "route_id", &mut self.routes)?,
            lat: primitive(batch, "lat")?,
            lon: primitive(batch, "lon")?,
            speed: primitive(batch, "speed")?,
            heading: primitive(batch, "heading")?,
            provider: primitive(batch, "provider_ts")?,
            optional: self.optional.iter_mut().map(|(c, texts)| c.values(batch, texts)).collect::<Result<_>>()?,
        };
        out.reserve(rows * 96 + 512);
        varint(COLUMNS.len() + self.optional.len(), out);
        varint(rows, out);
        let mut seconds = Vec::with_capacity(rows);
        for &micros in columns.event.values() {
            let second = u32::try_from(micros.div_euclid(1_000_000))
                .map_err(|e| Error::internal("an event lies outside 1970 to 2106").because(e))?;
            seconds.push(second);
        }
        for (name, sql) in COLUMNS {
            head(name, sql, out);
            match name {
                "dt" => (0..rows).for_each(|_| out.extend_from_slice(&self.day.to_le_bytes())),
                "event_ts" => seconds.iter().for_each(|second| out.extend_from_slice(&second.to_le_bytes())),
                "event_us" => words(columns.event, out, i64::to_le_bytes),
                "vehicle_id" => texts(&self.vehicles, &columns.vehicle, out),
                "route_id" => texts(&self.routes, &columns.route, out),
                "lat" => words(columns.lat, out, f64::to_le_bytes),
                "lon" => words(columns.lon, out, f64::to_le_bytes),
                "speed" => nullable(columns.speed, out, f64::to_le_bytes),
                "heading" => nullable(columns.heading, out, f64::to_le_bytes),
                _ => nullable(columns.provider, out, i64::to_le_bytes),
            }
        }
        for ((column, texts), values) in self.optional.iter().zip(&columns.optional) {
            head(column.name, column.sql_type(), out);
            values.write(texts, out);
        }
        Ok(Digest { rows: rows as u64, sum: self.digest(&columns, &seconds) })
    }

    /// The sum of the rows' hashes.
    fn digest(&self, columns: &Columns<'_>, seconds: &[u32]) -> u64 {
        let (event, lat, lon) = (columns.event.values(), columns.lat.values(), columns.lon.values());
        let float = |column: &PrimitiveArray<Float64Type>, row: usize| {
            if column.is_valid(row) { column.value(row).to_bits() } else { 0 }
        };
        let mut sum = 0_u64;
        for (row, &second) in seconds.iter().enumerate() {
            let absent = u64::from(columns.speed.is_null(row))
                + u64::from(columns.heading.is_null(row)) * 2
                + u64::from(columns.provider.is_null(row)) * 4;
            let provider = if columns.provider.is_valid(row) { columns.provider.value(row).cast_unsigned() } else { 0 };
            let mut hash = int_hash(event[row].cast_unsigned());
            for word in [
                u64::from(second),
                self.vehicles.hashes[columns.vehicle[row]],
                self.routes.hashes[columns.route[row]],
                lat[row].to_bits(),
                lon[row].to_bits(),
                float(columns.speed, row),
                float(columns.heading, row),
                provider,
                absent,
            ] {
                hash = join(hash, int_hash(word));
            }
            for ((_, texts), values) in self.optional.iter().zip(&columns.optional) {
                hash = values.words(texts, row).into_iter().fold(hash, |hash, word| join(hash, int_hash(word)));
            }
            sum = sum.wrapping_add(hash);
        }
        sum
    }
}

/// The name and type that stand before a column.
fn head(name: &str, sql_type: &str, out: &mut Vec<u8>) {
    for text in [name, sql_type] {
        varint(text.len(), out);
        out.extend_from_slice(text.as_bytes());
    }
}

/// `intHash64(x)`, which `cityHash64` takes of a number.
fn int_hash(value: u64) -> u64 {
    let mut x = value ^ 0x4cf2_d2ba_ae6d_a887;
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// How `cityHash64` goes on to its next argument.
fn join(low: u64, high: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9ddf_ea08_eb38_2d69;
    let mut a = (low ^ high).wrapping_mul(MULTIPLIER);
    a ^= a >> 47;
    let mut b = (high ^ a).wrapping_mul(MULTIPLIER);
    b ^= b >> 47;
    b.wrapping_mul(MULTIPLIER)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("positions have no column {name}")))
}

fn primitive<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Result<&'a PrimitiveArray<T>> {
    column(batch, name)?
        .as_primitive_opt::<T>()
        .ok_or_else(|| Error::internal(format!("column {name} of the positions has another type")))
}

/// The place of each row's text; NULL has the place after the dictionary's own.
pub(super) fn codes(batch: &RecordBatch, name: &str, texts: &mut Texts) -> Result<Vec<usize>> {
    let array = column(batch, name)?
        .as_dictionary_opt::<Int32Type>()
        .ok_or_else(|| Error::internal(format!("column {name} of the positions has no codes")))?;
    texts.turn_to(array.values())?;
    let absent = array.values().len();
    Ok(array.keys().iter().map(|code| code.map_or(absent, |code| code as usize)).collect())
}

fn words<T: ArrowPrimitiveType, const N: usize>(
    array: &PrimitiveArray<T>,
    out: &mut Vec<u8>,
    bytes: fn(T::Native) -> [u8; N],
) {
    array.values().iter().for_each(|value| out.extend_from_slice(&bytes(*value)));
}

/// Appends which rows have no value, then the values; what lies under a NULL is zero.
pub(super) fn nullable<T: ArrowPrimitiveType, const N: usize>(
    array: &PrimitiveArray<T>,
    out: &mut Vec<u8>,
    bytes: fn(T::Native) -> [u8; N],
) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => {
            out.resize(out.len() + array.len(), 0);
            words(array, out, bytes);
        }
        Some(nulls) => {
            out.extend(nulls.iter().map(|is_valid| u8::from(!is_valid)));
            array.iter().for_each(|value| out.extend_from_slice(&value.map_or([0; N], bytes)));
        }
    }
}

fn texts(texts: &Texts, codes: &[usize], out: &mut Vec<u8>) {
    codes.iter().for_each(|&code| out.extend_from_slice(texts.bytes_of(code)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_servers() {
        // SELECT cityHash64(toInt64(5)), cityHash64(toInt64(5), toFloat64(1.5)) on 26.9 and 18.16.
        assert_eq!(int_hash(5), 15_228_578_409_069_794_350);
        assert_eq!(join(int_hash(5), int_hash(1.5_f64.to_bits())), 10_413_753_479_893_429_547);
    }
}
