//! Values of TIDES: out of text, and between what the standard and what a raw day says.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeZone};

use super::super::KMH;
use super::super::gtfs::value::{clock, seconds};
use super::super::realtime::days;
use super::tables::Form;
use crate::clean::{cents, parse_instant};
use crate::model::{Zone, epoch_micros};

/// Texts that mean that there is no value.
const MISSING: [&str; 3] = ["", "NA", "NaN"];
const SECOND_MICROS: i64 = 1_000_000;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970, UTC.
    Instant(i64),
    Number(f64),
    Cents(i128),
    Integer(i32),
    Boolean(bool),
}

impl Cell<'_> {
    /// Bytes of its text.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Date(_)
            | Self::Instant(_)
            | Self::Number(_)
            | Self::Cents(_)
            | Self::Integer(_)
            | Self::Boolean(_) => 0,
        }
    }
}

/// A value that is not what its field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Whether a text stands for no value.
pub(super) fn is_missing(text: &str) -> bool {
    MISSING.contains(&text)
}

/// Reads a text as what the standard says; text that means no value is `None`.
pub(super) fn parse(form: Form, text: &str, zone: Zone) -> Result<Option<Cell<'_>>, Unreadable> {
    if is_missing(text) {
        return Ok(None);
    }
    let plain = text.trim_ascii();
    let cell = match form {
        Form::Text => Some(text).filter(|text| !text.contains('\0')).map(Cell::Text),
        Form::Words(words) => words.iter().find(|(word, _)| *word == text).map(|(word, _)| Cell::Text(word)),
        Form::Date => date(plain).map(|date| Cell::Date(days(date))),
        Form::Instant | Form::Clock => instant(plain, zone).map(Cell::Instant),
        Form::Number { .. } | Form::Speed => {
            plain.parse::<f64>().ok().filter(|number| number.is_finite()).map(Cell::Number)
        }
        Form::Money => cents(plain).map(Cell::Cents),
        Form::Integer { .. } => integer(plain).map(Cell::Integer),
        Form::Boolean => match plain {
            "true" | "True" | "TRUE" | "1" => Some(Cell::Boolean(true)),
            "false" | "False" | "FALSE" | "0" => Some(Cell::Boolean(false)),
            _ => None,
        },
    };
    cell.map(Some).ok_or(Unreadable)
}

/// A date; a Parquet file may have written it as the instant of its midnight.
fn date(text: &str) -> Option<NaiveDate> {
    let date = text.get(..10).filter(|_| text.len() == 10 || text.get(10..19) == Some("T00:00:00"))?;
    date.parse().ok()
}

/// Whole numbers; those that programs wrote with a point, for want of a whole number without value, too.
fn integer(text: &str) -> Option<i32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// An instant; what has no offset is on the clocks of the service zone, of an hour that comes twice the earlier.
fn instant(text: &str, zone: Zone) -> Option<i64> {
    let (micros, _) = parse_instant(text)?;
    let has_offset = text.get(10..).is_some_and(|time| time.contains(['Z', 'z', '+', '-']));
    if has_offset {
        return Some(micros);
    }
    let local = DateTime::from_timestamp_micros(micros)?.naive_utc();
    let found = zone.0.from_local_datetime(&local).earliest()?;
    Some(epoch_micros(found.to_utc()))
}

/// What a value of the standard is in the raw day, times of the timetable apart; `None` where that has no place for it.
pub(super) fn to_raw(form: Form, cell: Cell<'_>) -> Option<Cell<'_>> {
    match (form, cell) {
        (Form::Words(words), Cell::Text(text)) => {
            words.iter().find(|(word, _)| *word == text).map(|(_, ours)| Cell::Text(ours))
        }
        (Form::Speed, Cell::Number(speed)) => Some(Cell::Number(speed * KMH)),
        (_, cell) => Some(cell),
    }
}

/// `HH:MM:SS` of an instant in a timetable; `None` for what GTFS has no text for.
pub(super) fn clock_text(micros: i64, timetable_micros: i64) -> Option<String> {
    let after = micros.checked_sub(timetable_micros)?;
    let whole = (after % SECOND_MICROS == 0 && after >= 0).then_some(after / SECOND_MICROS)?;
    let text = clock(i32::try_from(whole).ok()?);
    seconds(text.as_bytes()).ok()??;
    Some(text)
}

/// What a value of the raw day is in the standard; `None` where that has no place for it.
pub(super) fn to_tides(form: Form, cell: Cell<'_>, timetable_micros: i64) -> Option<Cell<'_>> {
    match (form, cell) {
        (Form::Text, Cell::Text(text)) => (!is_missing(text)).then_some(cell),
        (Form::Words(words), Cell::Text(text)) => {
            words.iter().find(|(_, ours)| *ours == text).map(|(word, _)| Cell::Text(word))
        }
        (Form::Speed, Cell::Number(kmh)) => (kmh >= 0.0 && kmh.is_finite()).then(|| Cell::Number(metres_a_second(kmh))),
        (Form::Number { least, most }, Cell::Number(number)) => {
            (number.is_finite() && (least..=most).contains(&number)).then_some(cell)
        }
        (Form::Integer { least, most }, Cell::Integer(number)) => (least..=most).contains(&number).then_some(cell),
        (Form::Clock, Cell::Text(text)) => {
            let after = seconds(text.as_bytes()).ok()??;
            (clock(after) == text).then(|| Cell::Instant(timetable_micros + i64::from(after) * SECOND_MICROS))
        }
        (_, cell) => Some(cell),
    }
}

/// The speed whose kilometres an hour are the very number again, if there is one; else the nearest.
fn metres_a_second(kmh: f64) -> f64 {
    let near = kmh / KMH;
    let exact = [near, near.next_down(), near.next_up()].into_iter().find(|speed| speed * KMH == kmh);
    exact.unwrap_or(near)
}

/// An instant as the standard writes it: the local time with its offset.
pub(super) fn shown_instant(micros: i64, zone: Zone) -> String {
    let Some(utc) = DateTime::from_timestamp_micros(micros) else { return String::new() };
    if zone.offset_seconds(micros) % 60 != 0 {
        // Offsets are written in minutes; those of old are not always whole ones.
        return utc.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    }
    utc.with_timezone(&zone.0).to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chicago() -> Zone {
        Zone("America/Chicago".parse().unwrap())
    }

    fn at(text: &str) -> Option<Cell<'_>> {
        parse(Form::Instant, text, chicago()).unwrap_or(None)
    }

    #[test]
    fn what_has_no_offset_is_on_the_clocks_of_the_zone() {
        assert_eq!(at("2024-05-01T08:00:00"), at("2024-05-01T13:00:00Z"));
        assert_eq!(at("2024-05-01 08:00:00-05:00"), at("2024-05-01T13:00:00Z"));
        // The hour that comes twice, and the one that is left out.
        assert_eq!(at("2024-11-03T01:30:00"), at("2024-11-03T06:30:00Z"));
        assert_eq!(parse(Form::Instant, "2024-03-10T02:30:00", chicago()), Err(Unreadable));
    }

    #[test]
    fn an_instant_is_written_with_its_offset_and_read_back() {
        for micros in [1_730_615_400_000_000, 1_730_619_000_000_001, 0] {
            let text = shown_instant(micros, chicago());
            assert_eq!(at(&text), Some(Cell::Instant(micros)), "{text}");
        }
        assert_eq!(shown_instant(1_730_615_400_000_000, chicago()), "2024-11-03T01:30:00-05:00");
        assert_eq!(shown_instant(1_730_619_000_000_000, chicago()), "2024-11-03T01:30:00-06:00");
    }

    #[test]
    fn a_speed_that_was_metres_a_second_comes_back_to_the_last_bit() {
        for step in 1..50_000 {
            let kmh = f64::from(step as f32 * 0.0137_f32) * KMH;
            assert_eq!((metres_a_second(kmh) * KMH).to_bits(), kmh.to_bits(), "{kmh}");
        }
        // Not every number of kilometres has such a speed: 15 digits stay.
        let mut odd = (1..50_000).map(|step| f64::from(step) * 0.01).filter(|kmh| metres_a_second(*kmh) * KMH != *kmh);
        assert!(odd.all(|kmh| (metres_a_second(kmh) * KMH - kmh).abs() < kmh * 1e-15));
    }

    #[test]
    fn times_of_the_timetable_are_instants_here() {
        let start = chicago().timetable_start_micros("2024-05-01".parse().unwrap());
        let written = to_tides(Form::Clock, Cell::Text("25:10:00"), start);
        assert_eq!(written, at("2024-05-02T01:10:00-05:00"));
        let Some(Cell::Instant(micros)) = written else { panic!("{written:?}") };
        assert_eq!(clock_text(micros, start).as_deref(), Some("25:10:00"));
        assert_eq!(to_tides(Form::Clock, Cell::Text("5:10:00"), start), None, "would come back padded");
        assert_eq!([clock_text(start - SECOND_MICROS, start), clock_text(start + 1, start)], [None, None]);
    }

    #[test]
    fn what_is_no_value_of_its_form_is_unreadable() {
        for (form, text) in [
            (Form::Date, "20240501"),
            (Form::Date, "2024-02-30"),
            (Form::Instant, "yesterday"),
            (Form::Integer { least: 0, most: 1 }, "1.5"),
            (Form::Speed, "inf"),
            (Form::Money, "ten"),
            (Form::Boolean, "yes"),
            (Form::Words(&[("Enter", "Enter")]), "enter"),
        ] {
            assert_eq!(parse(form, text, chicago()), Err(Unreadable), "{text}");
        }
        assert_eq!(parse(Form::Money, "NA", chicago()), Ok(None));
        assert_eq!(parse(Form::Money, "1.005", chicago()), Ok(Some(Cell::Cents(101))));
    }
}
