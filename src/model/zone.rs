//! The service zone: where a day starts, and in which local hour and date an instant lies.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// Microseconds since 1970-01-01T00:00:00Z.
pub fn epoch_micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

/// Microseconds in an hour.
pub const HOUR_MICROS: i64 = 3_600_000_000;

/// One deployment's service zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(pub Tz);

impl Zone {
    /// The first instant of a local date, in microseconds since the epoch: where midnight comes twice the
    /// earlier one, where it is missing the first instant that exists.
    pub fn day_start_micros(self, day: NaiveDate) -> i64 {
        let midnight = day.and_time(NaiveTime::MIN);
        if let Some(instant) = self.0.from_local_datetime(&midnight).earliest() {
            return instant.timestamp_micros();
        }
        // Midnight is skipped: the gap ends at the first local minute that exists.
        let first = (1..=24 * 60)
            .find_map(|minute| self.0.from_local_datetime(&(midnight + TimeDelta::minutes(minute))).earliest());
        first.map_or_else(|| midnight.and_utc().timestamp_micros(), |instant| instant.timestamp_micros())
    }

    /// The instant from which the timetable of a service date counts: local noon less twelve hours. On days when clocks
    /// change it is not midnight, and keeps the times of the day what they say.
    pub fn timetable_start_micros(self, day: NaiveDate) -> i64 {
        let noon = day.and_time(NaiveTime::MIN) + TimeDelta::hours(12);
        self.0
            .from_local_datetime(&noon)
            .earliest()
            .map_or_else(|| self.day_start_micros(day), |noon| noon.timestamp_micros() - 12 * HOUR_MICROS)
    }

    /// The offset from UTC at an instant, in seconds east.
    pub fn offset_seconds(self, micros: i64) -> i32 {
        let utc = DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc();
        self.0.offset_from_utc_datetime(&utc).fix().local_minus_utc()
    }

    /// Whether this is another name of the same zone, as `US/Eastern` is of `America/New_York`: both clocks agree at every
    /// hour from 1970 to 2037.
    pub fn agrees_with(self, other: Self) -> bool {
        const HOURS: i64 = 68 * 8_766;
        let mut hours = (0..HOURS).map(|hour| hour * HOUR_MICROS);
        self == other || hours.all(|at| self.offset_seconds(at) == other.offset_seconds(at))
    }

    /// The start of the local clock hour that holds an instant: the instant less its local minutes and seconds.
    #[cfg(test)]
    pub(crate) fn hour_bucket_micros(self, micros: i64) -> i64 {
        let local = micros + i64::from(self.offset_seconds(micros)) * 1_000_000;
        micros - local.rem_euclid(HOUR_MICROS)
    }

    /// The local date of an instant.
    pub fn local_date(self, micros: i64) -> NaiveDate {
        let local = micros + i64::from(self.offset_seconds(micros)) * 1_000_000;
        DateTime::from_timestamp_micros(local).unwrap_or_default().date_naive()
    }

    /// `yyyymmdd` of the local date and the second of the local day.
    pub fn date_time_keys(self, micros: i64) -> (i32, i32) {
        let local = micros + i64::from(self.offset_seconds(micros)) * 1_000_000;
        let clock = DateTime::from_timestamp_micros(local).unwrap_or_default();
        let date = clock.year() * 10_000 + clock.month() as i32 * 100 + clock.day() as i32;
        (date, clock.num_seconds_from_midnight() as i32)
    }
}

/// A zone with a memory of recent offsets, for one thread that asks about millions of instants.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: Zone,
    slots: Vec<(i64, i32)>,
}

/// Offsets change only on quarters of an hour.
const QUARTER_MICROS: i64 = 900 * 1_000_000;
const DAY_MICROS: i64 = 86_400 * 1_000_000;
const SLOTS: usize = 512;

impl Clock {
    /// A clock of one zone.
    pub fn new(zone: Zone) -> Self {
        Self { zone, slots: vec![(i64::MIN, 0); SLOTS] }
    }

    /// The offset from UTC at an instant, in microseconds east.
    #[inline]
    pub fn offset_micros(&mut self, micros: i64) -> i64 {
        let quarter = micros.div_euclid(QUARTER_MICROS);
        let slot = &mut self.slots[quarter.rem_euclid(SLOTS as i64) as usize];
        if slot.0 != quarter {
            *slot = (quarter, self.zone.offset_seconds(quarter * QUARTER_MICROS));
        }
        i64::from(slot.1) * 1_000_000
    }

    /// `yyyymmdd` of the local date and the second of the local day.
    #[inline]
    pub fn date_time_keys(&mut self, micros: i64) -> (i32, i32) {
        let local = micros + self.offset_micros(micros);
        let second = local.rem_euclid(DAY_MICROS) / 1_000_000;
        (date_key(local.div_euclid(DAY_MICROS)), second as i32)
    }

    /// Days since the epoch of the local date.
    #[inline]
    pub fn local_day(&mut self, micros: i64) -> i32 {
        (micros + self.offset_micros(micros)).div_euclid(DAY_MICROS) as i32
    }

    /// Days since the epoch of the service date: the local date of the local hour that holds the instant.
    #[inline]
    pub fn service_day(&mut self, micros: i64) -> i32 {
        let local = micros + self.offset_micros(micros);
        let bucket = micros - local.rem_euclid(HOUR_MICROS);
        self.local_day(bucket)
    }
}

/// `yyyymmdd` of a count of days since the epoch (the civil-from-days algorithm of the proleptic Gregorian calendar).
#[inline]
fn date_key(days: i64) -> i32 {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year * 10_000 + month * 100 + day) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone(name.parse().expect("zone"))
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("date")
    }

    fn micros(text: &str) -> i64 {
        epoch_micros(text.parse::<DateTime<Utc>>().expect("instant"))
    }

    #[test]
    fn a_zone_agrees_with_its_other_names_alone() {
        for (name, other) in [("US/Eastern", "America/New_York"), ("Europe/Kiev", "Europe/Kyiv"), ("UTC", "Etc/GMT")] {
            assert!(zone(name).agrees_with(zone(other)), "{name} and {other}");
        }
        // In Chisinau clocks have changed an hour sooner than in Bucharest; Phoenix has no summer time.
        for (name, other) in [("Europe/Chisinau", "Europe/Bucharest"), ("America/Phoenix", "America/Denver")] {
            assert!(!zone(name).agrees_with(zone(other)), "{name} and {other}");
        }
    }

    #[test]
    fn a_service_day_starts_at_its_first_local_instant() {
        assert_eq!(zone("UTC").day_start_micros(day("2024-05-01")), micros("2024-05-01T00:00:00Z"));
        assert_eq!(zone("America/Chicago").day_start_micros(day("2016-11-24")), micros("2016-11-24T06:00:00Z"));
        // Santiago skips midnight on 2023-09-03: the day begins at 01:00 local.
        assert_eq!(zone("America/Santiago").day_start_micros(day("2023-09-03")), micros("2023-09-03T04:00:00Z"));
        // Havana's midnight comes twice on 2023-11-05: the earlier counts.
        assert_eq!(zone("America/Havana").day_start_micros(day("2023-11-05")), micros("2023-11-05T04:00:00Z"));
    }

    #[test]
    fn hours_are_cut_on_the_wall_clock() {
        let kolkata = zone("Asia/Kolkata");
        assert_eq!(kolkata.hour_bucket_micros(micros("2024-05-01T10:45:12Z")), micros("2024-05-01T10:30:00Z"));
        let chicago = zone("America/Chicago");
        // The hour that comes twice makes two buckets.
        assert_eq!(chicago.hour_bucket_micros(micros("2016-11-06T06:30:00Z")), micros("2016-11-06T06:00:00Z"));
        assert_eq!(chicago.hour_bucket_micros(micros("2016-11-06T07:30:00Z")), micros("2016-11-06T07:00:00Z"));
        assert_eq!(chicago.local_date(micros("2016-11-28T05:57:42Z")), day("2016-11-27"));
        assert_eq!(chicago.date_time_keys(micros("2016-11-28T05:57:42Z")), (20_161_127, 86_262));
    }

    #[test]
    fn a_clock_agrees_with_its_zone() {
        for name in ["UTC", "America/Chicago", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago"] {
            let zone = zone(name);
            let mut clock = Clock::new(zone);
            for step in 0..40_000_i64 {
                let at = micros("2016-01-01T00:00:00Z") + step * 7_919_000_003;
                assert_eq!(clock.date_time_keys(at), zone.date_time_keys(at), "{name} {at}");
                let service = zone.local_date(zone.hour_bucket_micros(at));
                let days = service.signed_duration_since(NaiveDate::default()).num_days();
                assert_eq!(i64::from(clock.service_day(at)), days, "{name} {at}");
            }
        }
    }
}
