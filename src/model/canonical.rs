//! The canonical text of a cleaned value: two values are equal exactly when their texts are.
//!
//! History compares and keeps values in this form, and PostgreSQL reads it back by [`Kind::from_canonical`].

use std::borrow::Cow;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int32Type, TimestampMicrosecondType};
use chrono::{DateTime, Days, NaiveDate};

use super::column::Kind;

impl Kind {
    /// The canonical text of one value of a cleaned column of this kind; `None` for NULL.
    ///
    /// Instants are decimal microseconds since the epoch, money has two decimals, doubles their shortest form.
    pub fn canonical(self, column: &dyn Array, row: usize) -> Option<Cow<'_, str>> {
        if column.is_null(row) {
            return None;
        }
        Some(match self {
            Self::Text | Self::Json => Cow::Borrowed(column.as_string::<i32>().value(row)),
            Self::Code => {
                let codes = column.as_dictionary::<Int32Type>();
                let values = codes.values().as_string::<i32>();
                Cow::Borrowed(values.value(codes.keys().value(row) as usize))
            }
            Self::Instant => Cow::Owned(column.as_primitive::<TimestampMicrosecondType>().value(row).to_string()),
            Self::Date => Cow::Owned(canonical_date(column.as_primitive::<Date32Type>().value(row))),
            Self::Money => Cow::Owned(money(column.as_primitive::<Decimal128Type>().value(row))),
            Self::Float => Cow::Owned(canonical_float(column.as_primitive::<Float64Type>().value(row))),
            Self::Integer => Cow::Owned(column.as_primitive::<Int32Type>().value(row).to_string()),
            Self::Boolean => Cow::Borrowed(if column.as_boolean().value(row) { "true" } else { "false" }),
        })
    }

    /// An SQL expression that reads canonical text back as this kind.
    pub fn from_canonical(self, text: &str) -> String {
        match self {
            Self::Text | Self::Code => text.to_owned(),
            Self::Instant => {
                // Products of intervals are made of doubles, in which either part is exact and the whole is not.
                format!(
                    "'epoch'::timestamptz + ({text})::bigint / 1000000 * interval '1 second' \
                     + ({text})::bigint % 1000000 * interval '1 microsecond'"
                )
            }
            Self::Date | Self::Money | Self::Float | Self::Integer | Self::Boolean | Self::Json => {
                format!("({text})::{}", self.sql())
            }
        }
    }
}

/// A double in its shortest form; zero has no sign.
pub(crate) fn canonical_float(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { value.to_string() }
}

/// A date, from the days since 1970-01-01.
pub(crate) fn canonical_date(days: i32) -> String {
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    let magnitude = Days::new(u64::from(days.unsigned_abs()));
    let day = if days < 0 { epoch.checked_sub_days(magnitude) } else { epoch.checked_add_days(magnitude) };
    day.unwrap_or(NaiveDate::MAX).to_string()
}

fn money(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let magnitude = cents.unsigned_abs();
    format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_its_sign_and_its_cents() {
        assert_eq!(money(-5), "-0.05");
        assert_eq!(money(123_450), "1234.50");
    }

    #[test]
    fn dates_before_the_epoch_read_as_iso() {
        assert_eq!(canonical_date(-1), "1969-12-31");
        assert_eq!(canonical_date(19_844), "2024-05-01");
    }
}
