//! The readers under bytes that nobody meant: an error or a day, never a panic and never more memory than bytes.

use std::io::{Cursor, Write};
use std::sync::Arc;

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::control::{Cancel, Progress};
use crate::error::Result;
use crate::feeds::memory::peak;

const FEED: [(&str, &str); 8] = [
    ("agency.txt", "agency_name,agency_timezone\nA,Europe/Lisbon\n"),
    ("routes.txt", "route_id,route_type\nR,3\n"),
    ("stops.txt", "stop_id,stop_name,stop_lat,stop_lon\nS,One,1,1\n"),
    ("trips.txt", "trip_id,route_id,service_id\nT,R,W\nU,R,W\n"),
    ("stop_times.txt", "trip_id,stop_sequence,arrival_time,departure_time,stop_id\nT,1,8:00:00,8:01:00,S\n"),
    ("calendar_dates.txt", "service_id,date,exception_type\nW,20240506,1\n"),
    ("frequencies.txt", "trip_id,start_time,end_time,headway_secs\nU,6:00:00,7:00:00,600\n"),
    ("shapes.txt", "shape_id,shape_pt_sequence,shape_pt_lat,shape_pt_lon\nP,1,1,2\n"),
];

fn packed<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The rows of each table of 2024-05-06.
fn rows(bytes: &[u8]) -> Result<Vec<u64>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let day = "2024-05-06".parse().unwrap();
    let feed = Arc::new(Feed::open(file.path(), "feed.zip", OpenOptions::default(), &Cancel::default())?);
    let schedule = feed.read(&[day], &Cancel::default(), &Progress::default())?;
    let day = schedule.day(day)?;
    day.rejects_batch()?;
    Table::ALL
        .into_iter()
        .map(|table| {
            let made = day.batches(table).map(|batch| Ok(batch?.num_rows() as u64)).sum::<Result<u64>>()?;
            assert_eq!(made, day.rows(table), "{}", table.name());
            Ok(made)
        })
        .collect()
}

#[test]
fn a_whole_feed_is_read() {
    let whole = packed(FEED.iter().map(|(name, text)| (*name, text.as_bytes())));
    assert_eq!(rows(&whole).unwrap(), [1, 1, 7, 1, 1]);
}

/// The feed with one file that holds something else; what makes it large is repeated.
fn packed_with(name: &str, head: &str, item: &[u8], count: usize) -> Vec<u8> {
    let others = FEED.iter().filter(|(other, _)| *other != name);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (other, text) in others {
        zip.start_file(*other, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(head.as_bytes()).unwrap();
    (0..count).for_each(|_| zip.write_all(item).unwrap());
    zip.finish().unwrap().into_inner()
}

/// Each bound by a small archive that goes beyond it, and the words that say so.
#[test]
fn what_no_feed_has_is_refused_at_its_bound() {
    const CALLS: &str = "trip_id,stop_sequence,arrival_time,departure_time,stop_id\n";
    let line = |bytes: usize, byte: u8| [vec![byte; bytes], vec![b'\n']].concat();
    let cases = [
        // Seventy mebibytes of blank lines, where a file of this size may have 64.
        ("stop_times.txt", CALLS, vec![b'\n'; 1 << 20], 70, "it unpacks to more than 67108864 bytes"),
        (
            "stops.txt",
            "stop_id,stop_name,stop_lat,stop_lon\n",
            vec![b'\n'; 1 << 20],
            70,
            "it unpacks to more than 67108864 bytes",
        ),
        ("stop_times.txt", CALLS, line(1 << 20, b'x'), 2, "a row of more than 1048576 bytes"),
        ("trips.txt", "trip_id,route_id,service_id\nT,\"", vec![b'\n'; 1 << 20], 2, "a row of more than 1048576 bytes"),
        ("routes.txt", "route_id,route_type\n", line(5_000, b','), 1, "a row of more than 4096 values"),
        ("agency.txt", "", vec![b','; 5_000], 1, "a row of more than 4096 values"),
        (
            "stop_times.txt",
            CALLS,
            line(500_000, b'x'),
            80,
            "rows of more than 33554432 bytes of the feed cannot be used",
        ),
        ("stop_times.txt", CALLS, b"X,1\n".to_vec(), 100_001, "more than 100000 rows of the feed cannot be used"),
        (
            "frequencies.txt",
            "trip_id,start_time,end_time,headway_secs\n",
            b"U,0:00:00,999:00:00,1\n".to_vec(),
            2,
            "frequencies.txt makes more than 5000000 runs",
        ),
    ];
    for (name, head, item, count, words) in cases {
        let archive = packed_with(name, head, &item, count);
        assert!(archive.len() < 1 << 20, "{name}: {} bytes", archive.len());
        let (outcome, most) = peak(|| rows(&archive));
        let why = outcome.unwrap_err().to_string();
        assert!(why.contains(words), "{name}: {}", why.chars().take(300).collect::<String>());
        assert!(why.len() < 4_000, "{name}: {} bytes", why.len());
        // The most that is kept before a bound is hit: five million runs of 24 bytes, in a buffer that doubles.
        assert!(most < 256 << 20, "{name}: {most}");
    }
}

#[test]
fn sizes_in_an_archive_that_lie_allocate_nothing() {
    let whole = packed(FEED.iter().map(|(name, text)| (*name, text.as_bytes())));
    let heads: Vec<usize> =
        whole.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").map(|(at, _)| at).collect();
    assert_eq!(heads.len(), FEED.len());
    for sizes in [20..24, 24..28, 20..28] {
        let mut lying = whole.clone();
        for head in &heads {
            lying[head + sizes.start..head + sizes.end].fill(0xfe);
        }
        let (_, most) = peak(|| rows(&lying));
        assert!(most < 16 << 20, "{most}");
    }
}

#[test]
fn an_archive_in_an_archive_in_an_archive_is_not_unpacked() {
    let whole = packed(FEED.iter().map(|(name, text)| (*name, text.as_bytes())));
    let once = packed([("feed.zip", whole.as_slice())]);
    assert_eq!(rows(&once).unwrap(), [1, 1, 7, 1, 1]);
    let twice = packed([("once.zip", once.as_slice())]);
    assert!(rows(&twice).unwrap_err().to_string().contains("holds no GTFS feed"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_as_an_archive_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(rows(&bytes).is_err());
    }

    #[test]
    fn a_damaged_archive_is_an_error_or_a_day(at in 0.0_f64..1.0, noise in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut bytes = packed(FEED.iter().map(|(name, text)| (*name, text.as_bytes())));
        let at = (at * bytes.len() as f64) as usize;
        for (byte, noise) in bytes.iter_mut().skip(at).zip(&noise) {
            *byte ^= noise;
        }
        let _ = rows(&bytes);
    }

    #[test]
    fn any_bytes_in_a_file_are_rejects_or_an_error(
        which in 0..FEED.len(),
        keeps_head in any::<bool>(),
        noise in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\n\r,\":0123456789TU"[..])], 0..400),
    ) {
        let files = FEED.iter().enumerate().map(|(number, (name, text))| {
            let head = text.split_inclusive('\n').next().unwrap_or_default().as_bytes();
            let bytes = match (number == which, keeps_head) {
                (true, true) => [head, &noise].concat(),
                (true, false) => noise.clone(),
                (false, _) => text.as_bytes().to_vec(),
            };
            (*name, bytes)
        });
        let files: Vec<_> = files.collect();
        let _ = rows(&packed(files.iter().map(|(name, bytes)| (*name, bytes.as_slice()))));
    }
}
