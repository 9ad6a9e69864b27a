//! The readers under bytes that nobody meant: an error or a day, never a panic and never more memory than bytes.

use std::io::{Cursor, Write};
use std::sync::Arc;

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::control::{Cancel, Progress};
use crate::error::Result;

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
