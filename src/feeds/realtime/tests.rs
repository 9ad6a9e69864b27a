//! Bytes of any kind: no panic, and no more rows than there are reports.

use std::io::Cursor;

use chrono::NaiveDate;
use proptest::collection::vec;
use proptest::prelude::*;

use super::recording::received_micros;
use super::schedule::{start_date, start_time};
use super::wire::{Fields, Malformed, Value};
use super::*;
use crate::feeds::Ids;
use crate::model::Zone;

mod bounds;

const DAY: (i32, u32, u32) = (2024, 5, 1);

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(DAY.0, DAY.1, DAY.2).unwrap()
}

/// Collects files and gives rows written and the summary; begins again as the pipeline does.
fn collect(files: &[(&str, Vec<u8>)]) -> (usize, Summary) {
    for is_sorted in [false, true] {
        let scope = Scope {
            day: day(),
            schedule: Schedule::default(),
            zone: Zone(chrono_tz::UTC),
            now_micros: i64::MAX,
            ids: Ids::default(),
        };
        let mut collector = if is_sorted { Collector::sorted(scope, None).unwrap() } else { Collector::new(scope) };
        let mut rows = 0;
        let mut sink = |_, batch: arrow::array::RecordBatch| {
            rows += batch.num_rows();
            Ok(())
        };
        let mut flow = Flow::On;
        for (name, bytes) in files {
            let mut each = |name: &str, found: Found<'_>| {
                if flow == Flow::On {
                    flow = collector.take(name, found, &mut sink)?;
                }
                Ok(())
            };
            messages(name, &mut Cursor::new(bytes), &mut each).unwrap();
        }
        if flow == Flow::On {
            let summary = collector.finish(&mut sink).unwrap();
            return (rows, summary);
        }
    }
    unreachable!("sorted recordings are never out of order");
}

fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, payload.len() as u8];
    bytes.extend_from_slice(payload);
    bytes
}

/// A message with one report, of one vehicle, that is short enough for lengths of one byte.
fn message() -> Vec<u8> {
    let position = [0x0d, 0, 0, 0x80, 0x3f, 0x15, 0, 0, 0, 0x40];
    let report = [field(2, &position), field(8, &field(1, b"v1")), vec![0x28, 0x80, 0xd2, 0xc8, 0xb1, 0x06]].concat();
    let entity = [field(1, b"e"), field(4, &report)].concat();
    [field(1, &field(1, b"2.0")), field(2, &entity)].concat()
}

/// A message with an update of one run and an alert.
fn other_message() -> Vec<u8> {
    let stop = [vec![0x08, 1], field(2, &[0x08, 5, 0x10, 0x80, 0xd2, 0xc8, 0xb1, 0x06]), field(4, b"S")].concat();
    let update = [field(1, &field(1, b"t")), field(2, &stop)].concat();
    let alert = [field(1, &[0x08, 1]), field(5, &field(2, b"R")), field(10, &field(1, &field(1, b"x")))].concat();
    let entities = [field(1, b"e"), field(3, &update), field(5, &alert)].concat();
    let header = [field(1, b"2.0"), vec![0x18, 0x80, 0xd2, 0xc8, 0xb1, 0x06]].concat();
    [field(1, &header), field(2, &entities)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400), ending in "(\\.pb|\\.json|\\.tar|\\.tgz|\\.zip|\\.tar\\.zst)") {
        collect(&[(&format!("x{ending}"), bytes)]);
    }

    #[test]
    fn a_message_with_any_bytes_changed_is_read_or_refused(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        whole in prop::sample::select(vec![message(), other_message()]),
    ) {
        let mut bytes = whole;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(1 + cut.index(bytes.len()));
        let (rows, summary) = collect(&[("x.pb", bytes)]);
        prop_assert!(rows <= 4, "a position and a trip, or an update and an alert");
        prop_assert_eq!(summary.recordings + summary.recordings_unreadable, 1);
    }

    #[test]
    fn every_number_is_read_as_it_was_written(number in any::<u64>(), shift in 0..64_u32) {
        // Of each length alike, as some are read at once.
        let number = number >> shift;
        let (mut bytes, mut left) = (vec![0x08], number);
        while left >= 0x80 {
            bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        let mut fields = Fields::new(&bytes);
        prop_assert_eq!(fields.next(), Ok(Some((1, Value::Varint(number)))));
        prop_assert_eq!(fields.next(), Ok(None));
        prop_assert_eq!(Fields::new(&bytes[..bytes.len() - 1]).next(), Err(Malformed::CutShort));
    }

    #[test]
    fn a_text_of_json_is_the_text_of_the_message(text in "\\PC{0,12}") {
        let json = serde_json::json!({"header": {}, "entity": [{"id": &text, "vehicle": {"stopId": &text}}]});
        let wire = super::json::to_wire(json.to_string().as_bytes()).unwrap();
        let message = super::message::Message::read(&wire).unwrap();
        let mut seen = Vec::new();
        message.each(|entity| seen.push(entity.unwrap().id.to_vec())).unwrap();
        prop_assert_eq!(seen, vec![text.into_bytes()]);
    }
}

#[test]
fn one_report_is_one_row() {
    // 2024-05-01T02:40:00Z
    let (rows, summary) = collect(&[("x.pb", message())]);
    assert_eq!((rows, summary.positions.reports, summary.positions.written), (1, 1, 1));
}

#[test]
fn an_update_and_an_alert_are_a_row_each() {
    let (rows, summary) = collect(&[("x.pb", other_message()), ("y.pb", other_message())]);
    assert_eq!(rows, 2);
    assert_eq!((summary.updates.updates, summary.updates.stop_updates, summary.alerts.alerts), (2, 2, 2));
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    for bytes in [
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x0b; 1_000],
        vec![0xff; 1_000],
    ] {
        assert_eq!(collect(&[("x.pb", bytes)]).1.recordings_unreadable, 1);
    }
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_memory() {
    let bomb = zstd::bulk::compress(&vec![0; 65 << 20], 1).unwrap();
    assert!(bomb.len() < 100_000);
    let (_, summary) = collect(&[("x.pb.zst", bomb)]);
    assert!(summary.damaged[0].1.starts_with("it unpacks to more than"), "{:?}", summary.damaged);
}

#[test]
fn the_time_of_receipt_is_read_off_a_name() {
    let at = |text: &str| Some(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros());
    assert_eq!(received_micros("a/b/vp-2-20231108T010559Z.pb"), at("2023-11-08T01:05:59Z"));
    assert_eq!(received_micros("2023-11-08T01:05:59.125Z.pb.gz"), at("2023-11-08T01:05:59.125Z"));
    assert_eq!(received_micros("T/Trip_2023-11-08T01-05-59Z.json"), at("2023-11-08T01:05:59Z"));
    for other in ["vp.pb", "20231108T010559.pb", "20231308T010559Z.pb", "1108T010559Z.pb", "20231108T0105Z.pb"] {
        assert_eq!(received_micros(other), None, "{other}");
    }
}

#[test]
fn dates_and_times_of_reports_are_read_as_the_standard_writes_them() {
    assert_eq!(start_date(b"20240501").map(date), NaiveDate::from_ymd_opt(2024, 5, 1));
    for other in [&b""[..], b"2024-5-1", b"20240230", b"2024050\xff"] {
        assert_eq!(start_date(other), None);
    }
    assert_eq!(start_time(b"9:05:00").as_deref(), Some("09:05:00"));
    assert_eq!(start_time(b" 25:10:00 ").as_deref(), Some("25:10:00"));
    assert_eq!(start_time(b""), None);
}

#[test]
fn a_report_without_a_date_belongs_to_the_run_nearest_in_time() {
    use super::message::Trip;
    let mut schedule = Schedule::default();
    for (day, start) in [(10, 100), (11, 200)] {
        let run = Run { day, start_time: "08:00:00".into(), start_micros: start, end_micros: start + 20 };
        schedule.add("t", run);
    }
    let nearest = |at, start_time: &'static [u8]| {
        let trip = Trip { id: b"t", start_time, ..Trip::default() };
        schedule.run(&trip, None, Some(at)).map(|run| run.day)
    };
    assert_eq!(nearest(0, b""), Some(10));
    assert_eq!(nearest(159, b""), Some(10));
    assert_eq!(nearest(161, b""), Some(11));
    assert_eq!(nearest(161, b"8:00:00"), Some(11));
    assert_eq!(nearest(161, b"9:00:00"), None);
    let week = 7 * 86_400 * 1_000_000;
    assert_eq!((nearest(220 + week, b""), nearest(221 + week, b"")), (Some(11), None));
    assert_eq!(schedule.run(&Trip { id: b"other", ..Trip::default() }, None, Some(0)), None);
}
