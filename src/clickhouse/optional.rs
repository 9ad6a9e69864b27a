//! The columns of a position that only some recordings have. They are sent, and summed up, where a file of the day has them.

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, PrimitiveArray, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Float64Type, Int32Type, TimestampMicrosecondType};

use super::columns::{Texts, codes, nullable};
use crate::error::{Error, Result};
use crate::load::Rows;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Text,
    /// Microseconds since 1970, for servers that know no time finer than a second.
    Instant,
    /// Days since 1970, because the server's dates end sooner than ours.
    Day,
    Integer,
    Float,
}

/// One of these columns: its raw name and its name in ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Optional {
    pub(super) raw: &'static str,
    pub(super) name: &'static str,
    holds: Holds,
}

const fn of(raw: &'static str, name: &'static str, holds: Holds) -> Optional {
    Optional { raw, name, holds }
}

/// All of them, in the order of the DDL and of the model.
pub(super) const OPTIONAL: [Optional; 10] = [
    of("trip_id", "trip_id", Holds::Text),
    of("start_date", "start_day", Holds::Day),
    of("direction_id", "direction_id", Holds::Integer),
    of("stop_id", "stop_id", Holds::Text),
    of("current_stop_sequence", "current_stop_sequence", Holds::Integer),
    of("current_status", "current_status", Holds::Text),
    of("occupancy_status", "occupancy_status", Holds::Text),
    of("odometer_m", "odometer_m", Holds::Float),
    of("vehicle_label", "vehicle_label", Holds::Text),
    of("received_at", "received_us", Holds::Instant),
];

/// Columns that only show others, as a table of an earlier version lacks them too: name, and type with expression.
pub(super) const SHOWN: [(&str, &str); 2] = [
    ("start_date", "Nullable(Date) ALIAS toDate(start_day)"),
    ("received_ts", "Nullable(DateTime('UTC')) ALIAS toDateTime(intDiv(received_us, 1000000), 'UTC')"),
];

/// Those that some file has.
pub(super) fn stated(rows: &dyn Rows) -> Vec<Optional> {
    OPTIONAL.into_iter().filter(|column| rows.states(column.raw)).collect()
}

impl Optional {
    pub(super) const fn sql_type(self) -> &'static str {
        match self.holds {
            Holds::Text => "Nullable(String)",
            Holds::Instant => "Nullable(Int64)",
            Holds::Day | Holds::Integer => "Nullable(Int32)",
            Holds::Float => "Nullable(Float64)",
        }
    }

    /// Its two arguments of the server's hash of a row: the value, and whether there is none.
    pub(super) fn hash_sql(self) -> String {
        let name = self.name;
        let value = match self.holds {
            Holds::Text => format!("sipHash64(ifNull({name}, ''))"),
            Holds::Instant => format!("ifNull({name}, toInt64(0))"),
            Holds::Day | Holds::Integer => format!("toInt64(ifNull({name}, toInt32(0)))"),
            Holds::Float => format!("ifNull({name}, toFloat64(0))"),
        };
        format!("{value}, toUInt64(isNull({name}))")
    }

    /// The column of a batch.
    pub(super) fn values(self, batch: &RecordBatch, texts: &mut Texts) -> Result<Values> {
        let lacking = || Error::internal(format!("positions have no column {} of its type", self.raw));
        let column = batch.column_by_name(self.raw).ok_or_else(lacking)?;
        Ok(match self.holds {
            Holds::Text => Values::Text(codes(batch, self.raw, texts)?),
            Holds::Instant => Values::Instant(typed::<TimestampMicrosecondType>(column).ok_or_else(lacking)?),
            Holds::Day => Values::Day(typed::<Date32Type>(column).ok_or_else(lacking)?),
            Holds::Integer => Values::Integer(typed::<Int32Type>(column).ok_or_else(lacking)?),
            Holds::Float => Values::Float(typed::<Float64Type>(column).ok_or_else(lacking)?),
        })
    }
}

fn typed<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<PrimitiveArray<T>> {
    column.as_primitive_opt::<T>().cloned()
}

/// The values of one column of a batch.
pub(super) enum Values {
    /// Places in the texts of its dictionary; the last place is that of NULL.
    Text(Vec<usize>),
    Instant(TimestampMicrosecondArray),
    Day(Date32Array),
    Integer(Int32Array),
    Float(Float64Array),
}

impl Values {
    /// Appends the column: which rows have no value, then the values.
    pub(super) fn write(&self, texts: &Texts, out: &mut Vec<u8>) {
        match self {
            Self::Text(codes) => {
                out.extend(codes.iter().map(|&code| u8::from(texts.is_null(code))));
                codes.iter().for_each(|&code| out.extend_from_slice(texts.bytes_of(code)));
            }
            Self::Instant(values) => nullable(values, out, i64::to_le_bytes),
            Self::Day(values) => nullable(values, out, i32::to_le_bytes),
            Self::Integer(values) => nullable(values, out, i32::to_le_bytes),
            Self::Float(values) => nullable(values, out, f64::to_le_bytes),
        }
    }

    /// What a row gives to its hash: the twin of [`Optional::hash_sql`].
    pub(super) fn words(&self, texts: &Texts, row: usize) -> [u64; 2] {
        fn word<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, row: usize, bits: fn(T::Native) -> u64) -> [u64; 2] {
            if values.is_valid(row) { [bits(values.value(row)), 0] } else { [0, 1] }
        }
        match self {
            Self::Text(codes) => [texts.hashes[codes[row]], u64::from(texts.is_null(codes[row]))],
            Self::Instant(values) => word(values, row, i64::cast_unsigned),
            Self::Day(values) => word(values, row, |day| i64::from(day).cast_unsigned()),
            Self::Integer(values) => word(values, row, |number| i64::from(number).cast_unsigned()),
            Self::Float(values) => word(values, row, f64::to_bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dataset, Kind};

    fn held(kind: Kind) -> Holds {
        match kind {
            Kind::Text | Kind::Code => Holds::Text,
            Kind::Instant => Holds::Instant,
            Kind::Date => Holds::Day,
            Kind::Integer => Holds::Integer,
            Kind::Float => Holds::Float,
            Kind::Money | Kind::Boolean | Kind::Json => panic!("no column of the telemetry holds {kind:?}"),
        }
    }

    #[test]
    fn what_only_some_recordings_have_is_what_the_model_declares_after_the_positions_own() {
        let (own, more) = Dataset::VehiclePositions.columns().split_at(8);
        assert_eq!(own.last().map(|column| column.name), Some("provider_ts"));
        let declared: Vec<_> = more.iter().map(|column| (column.name, held(column.kind))).collect();
        assert_eq!(OPTIONAL.map(|column| (column.raw, column.holds)).as_slice(), declared);
        assert!(more.iter().all(|column| !column.required));
    }

    #[test]
    fn what_lies_under_a_null_is_written_as_zero() {
        let days = Date32Array::new(vec![7, 9].into(), Some(vec![true, false].into()));
        let mut out = Vec::new();
        Values::Day(days).write(&Texts::default(), &mut out);
        assert_eq!(out, [0, 1, 7, 0, 0, 0, 0, 0, 0, 0]);
    }
}
