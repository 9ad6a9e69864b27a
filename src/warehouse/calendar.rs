//! The calendar: dates and seconds of the day. It depends on nothing and may be loaded again at any time.

use chrono::NaiveDate;
use serde::Serialize;

use super::context::Warehouse;
use super::lock::Lock;
use crate::error::{Error, Result};

/// The longest calendar that is made at once, in days: a typing error in a year should not fill the table.
const LONGEST_DAYS: i64 = 366 * 200;

/// What loading the calendar wrote.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Calendar {
    /// New rows of `dwh.dim_date`.
    pub dates: u64,
    /// New rows of `dwh.dim_time`.
    pub times: u64,
}

/// Makes sure that `dim_date` holds every date from `start` to `end`, both included, and `dim_time` every second.
pub async fn load_calendar(warehouse: &Warehouse, start: NaiveDate, end: NaiveDate) -> Result<Calendar> {
    let days = end.signed_duration_since(start).num_days() + 1;
    if !(1..=LONGEST_DAYS).contains(&days) {
        return Err(Error::config(format!(
            "the calendar would run from {start} to {end}, expected 1 to {LONGEST_DAYS} days"
        )));
    }
    let session = warehouse.locked(&[Lock::Calendar]).await?;
    let dates = session
        .execute(
            "INSERT INTO dwh.dim_date (date_sk, full_date, day, week, month, quarter, year, is_weekend) \
             SELECT to_char(d, 'YYYYMMDD')::int, d, extract(day FROM d)::int2, extract(week FROM d)::int2, \
               extract(month FROM d)::int2, extract(quarter FROM d)::int2, extract(year FROM d)::int2, \
               extract(isodow FROM d) > 5 \
             FROM (SELECT $1::date + n AS d FROM generate_series(0, $2::date - $1::date) n) days \
             ON CONFLICT (date_sk) DO NOTHING",
            &[&start, &end],
        )
        .await?;
    let times = session
        .execute(
            "INSERT INTO dwh.dim_time (time_sk, hh24mi, hour, minute, second) \
             SELECT s, to_char(s / 3600, 'FM00') || ':' || to_char(s / 60 % 60, 'FM00'), s / 3600, s / 60 % 60, s % 60 \
             FROM generate_series(0, 86399) s WHERE NOT EXISTS (SELECT FROM dwh.dim_time WHERE time_sk = 86399)",
            &[],
        )
        .await?;
    session.release().await;
    Ok(Calendar { dates, times })
}
