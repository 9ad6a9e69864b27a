//! Positions as blocks of ClickHouse's Native format: column after column, as the server keeps them.
//!
//! A column of numbers is a copy of Arrow's buffer, a text column is written from the codes of its dictionary, so no
//! value is looked at more than once. Beside the bytes the block gives the checksum that the server must arrive at.

use arrow::array::{Array, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::columns::{Texts, codes, nullable, texts, words};
use super::optional::{Optional, Values};
use super::rows::{Digest, varint};
use crate::error::{Error, Result};
use crate::load::columns::primitive;

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
