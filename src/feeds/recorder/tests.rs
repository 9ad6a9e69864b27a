use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::index::{Became, Feed, INDEX, Period, Poll, stem, told_by};
use super::secrets::{Secrets, shown};
use super::source::{Answer, Known};
use super::{Pace, Spool, pack, settle};

/// A message with a header, made at this second.
fn message(seconds: u8) -> Vec<u8> {
    vec![0x0a, 0x07, 0x0a, 0x03, b'2', b'.', b'0', 0x18, seconds]
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn answer(feed: Feed, received_at: &str, body: &[u8]) -> Answer {
    Answer {
        poll: Poll { received_at: at(received_at), status: Some(200), ..Poll::new(feed) },
        body: Some(body.to_vec().into()),
        is_gzip: false,
        says: Known::default(),
        retry_after: None,
    }
}

fn take(spool: &Mutex<Spool>, known: &Known, received_at: &str, body: &[u8]) -> super::Settled {
    settle(answer(Feed::VehiclePositions, received_at, body), known, spool)
}

fn only(folder: &Path) -> std::path::PathBuf {
    let found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Names and bytes of an archive's entries.
fn entries(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let plain = zstd::stream::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    let mut tar = tar::Archive::new(plain);
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    tar.entries().unwrap().map(read).collect()
}

fn polls(index: &[u8]) -> Vec<Poll> {
    index.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

#[test]
fn names_tell_the_times_that_made_them() {
    let when = at("2024-05-01T13:59:59.000125Z");
    assert_eq!(stem(Feed::TripUpdates, when), "trip_updates-20240501T135959.000125Z");
    assert_eq!(told_by("trip_updates-20240501T135959.000125Z.pb.zst"), Some((Feed::TripUpdates, when)));
    assert_eq!((told_by(INDEX), told_by("weather-20240501T135959.000125Z.pb")), (None, None));
    let period = Period::of(when, 900);
    assert_eq!(period.to_string(), "20240501T134500Z-900s");
    assert_eq!(Period::told_by("20240501T134500Z-900s-0123456789abcdef.tar.zst"), Some(period));
    assert_eq!(period.end(), at("2024-05-01T14:00:00Z"));
    assert_eq!(period.place(None, "x.tar.zst"), "recordings/2024-05-01/x.tar.zst");
    assert_eq!(period.place(Some("tram"), "x.tar.zst"), "recordings/2024-05-01/tram/x.tar.zst");
    assert_eq!(Period::told_by("lost+found"), None);
}

#[test]
fn what_is_recorded_comes_out_of_the_archive_in_order_with_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Mutex::new(Spool::open(folder.path(), None, 3600, 1 << 20).unwrap());
    let first = take(&spool, &Known::default(), "2024-05-01T13:00:01Z", &message(1));
    assert_eq!((first.poll.became, first.poll.error.clone()), (Became::Recorded, None));
    let known = first.known.unwrap();
    assert_eq!(take(&spool, &known, "2024-05-01T13:00:02Z", &message(1)).poll.became, Became::Unchanged);
    let broken = take(&spool, &known, "2024-05-01T13:00:03Z", b"<html>");
    assert!(broken.poll.became == Became::Recorded && !broken.poll.is_good(), "{:?}", broken.poll);
    take(&spool, &known, "2024-05-01T14:00:00Z", &message(2));

    let mut spool = spool.into_inner().unwrap();
    let closed = spool.close(at("2024-05-01T14:00:02Z"), false).unwrap();
    assert_eq!(closed, [folder.path().join("closing/20240501T130000Z-3600s")]);
    pack(&closed[0], &spool.archives_folder()).unwrap();
    let archive = only(&spool.archives_folder());
    let packed = entries(&archive);
    let names: Vec<_> = packed.iter().map(|(name, _)| name.as_str()).collect();
    let (one, three) = ("vehicle_positions-20240501T130001.000000Z.pb", "vehicle_positions-20240501T130003.000000Z.pb");
    assert_eq!(names, [INDEX, one, three]);
    assert_eq!((packed[1].1.clone(), packed[2].1.clone()), (message(1), b"<html>".to_vec()));
    let became: Vec<_> = polls(&packed[0].1).iter().map(|poll| poll.became).collect();
    assert_eq!(became, [Became::Recorded, Became::Unchanged, Became::Recorded]);

    // Packing again, after a crash before the period went, makes the very same archive.
    let bytes = fs::read(&archive).unwrap();
    pack(&closed[0], &spool.archives_folder()).unwrap();
    assert_eq!(fs::read(only(&spool.archives_folder())).unwrap(), bytes);
    spool.packed(&closed[0]).unwrap();
    assert!(spool.close(at("2024-05-01T14:00:02Z"), false).unwrap().is_empty());
    assert!(spool.has_open().unwrap());
}

#[test]
fn what_a_killed_recorder_leaves_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Mutex::new(Spool::open(folder.path(), None, 3600, 1 << 20).unwrap());
    take(&spool, &Known::default(), "2024-05-01T13:00:01Z", &message(1));
    take(&spool, &Known::default(), "2024-05-01T13:00:02Z", &message(2));
    drop(spool);
    let period = folder.path().join("open/20240501T130000Z-3600s");
    // It ended in the middle of a file, of a line, and between the second recording and its line.
    fs::write(period.join(".unfinished-x"), b"half").unwrap();
    let index = fs::read_to_string(period.join(INDEX)).unwrap();
    let (line, _) = index.split_once('\n').unwrap();
    fs::write(period.join(INDEX), format!("{line}\n{{\"received_at\":\"2024")).unwrap();
    fs::create_dir(folder.path().join("trash/old")).unwrap();

    let mut spool = Spool::open(folder.path(), None, 900, 1 << 20).unwrap();
    assert_eq!(fs::read_to_string(period.join(INDEX)).unwrap(), format!("{line}\n"));
    assert!(!folder.path().join("trash/old").exists());
    let closed = spool.close(at("2024-05-01T13:00:00Z"), true).unwrap();
    pack(&closed[0], &spool.archives_folder()).unwrap();
    let packed = entries(&only(&spool.archives_folder()));
    assert_eq!(packed[1..].iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), [message(1), message(2)]);
    let index = polls(&packed[0].1);
    let told: Vec<_> = index.iter().map(|poll| (poll.became, poll.file.clone(), poll.status)).collect();
    let made_up = (Became::Recorded, Some(packed[2].0.clone()), None);
    assert_eq!(told, [(Became::Recorded, Some(packed[1].0.clone()), Some(200)), made_up]);
}

#[test]
fn a_spool_has_one_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), None, 3600, 1 << 20).unwrap();
    let refused = Spool::open(folder.path(), None, 3600, 1 << 20).unwrap_err();
    assert_eq!(refused.kind(), "conflict");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(spool);
    Spool::open(folder.path(), None, 3600, 1 << 20).unwrap();
}

#[test]
fn a_spool_in_which_recordings_wait_is_their_feeds_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = |feed| Spool::open(folder.path(), feed, 3600, 1 << 20);
    drop(open(None).unwrap());
    // Nothing waits: it may become anybody's.
    let spool = Mutex::new(open(Some("bus")).unwrap());
    take(&spool, &Known::default(), "2024-05-01T13:00:01Z", &message(1));
    drop(spool);
    for other in [None, Some("tram")] {
        let refused = open(other).unwrap_err().to_string();
        assert!(refused.contains("recordings of feed bus wait in the spool"), "{refused}");
    }
    let mut spool = open(Some("bus")).unwrap();
    let period = spool.close(at("2024-05-01T15:00:00Z"), false).unwrap().remove(0);
    pack(&period, &spool.archives_folder()).unwrap();
    spool.packed(&period).unwrap();
    let (_, archive) = spool.archives().unwrap().remove(0);
    drop(spool);
    assert!(open(None).is_err());
    let mut spool = open(Some("bus")).unwrap();
    spool.uploaded(&archive).unwrap();
    drop(spool);
    drop(open(None).unwrap());
    assert!(!folder.path().join("feed").exists());
}

#[test]
fn a_full_spool_keeps_what_it_has_and_says_what_it_does_not_keep() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Mutex::new(Spool::open(folder.path(), None, 3600, 400).unwrap());
    let first = take(&spool, &Known::default(), "2024-05-01T13:00:01Z", &message(1));
    assert_eq!(first.poll.became, Became::Recorded);
    let noise: Vec<u8> = (0..600_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let second = take(&spool, &first.known.unwrap(), "2024-05-01T13:00:02Z", &noise);
    assert_eq!(second.poll.became, Became::NotKept);
    assert!(second.poll.error.unwrap().starts_with("the spool is full"));
    // It is asked for again as if it had never come.
    assert!(second.known.is_none());
    let period = only(&folder.path().join("open"));
    assert_eq!(fs::read_dir(&period).unwrap().count(), 2);
    let index = polls(&fs::read(period.join(INDEX)).unwrap());
    assert_eq!(index.iter().map(|poll| poll.became).collect::<Vec<_>>(), [Became::Recorded, Became::NotKept]);
}

#[test]
fn secrets_are_filled_in_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets");
    fs::write(&file, "# keys\nFEED_KEY=\"first-key\"\n").unwrap();
    let secrets = Secrets::new(Some(file.clone()));
    let mut values = secrets.read().unwrap();
    assert_eq!(
        values.fill("https://a.example/vp?key=${FEED_KEY}&x=1").unwrap(),
        "https://a.example/vp?key=first-key&x=1"
    );
    assert_eq!(values.hide("no first-key here"), "no *** here");
    fs::write(&file, "FEED_KEY=second\n").unwrap();
    assert_eq!(secrets.read().unwrap().fill("${FEED_KEY}").unwrap(), "second");
    for (text, says) in [("${METROPULSE_NOT_SET}", "METROPULSE_NOT_SET is not set"), ("${FEED", "never closed")] {
        let error = secrets.read().unwrap().fill(text).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(shown("https://user:pw@a.example/${FEED_KEY}/vp?key=literal"), "https://a.example/${FEED_KEY}/vp");
}

#[test]
fn polls_keep_the_beat_and_failures_wait_longer_each_time() {
    let every = Duration::from_secs(10);
    let begun = Instant::now();
    let mut pace = Pace::new(every, begun);
    assert_eq!(pace.after_success(begun + Duration::from_secs(1)), begun + every);
    // A slow answer leaves out the beats that it took.
    assert_eq!(pace.after_success(begun + Duration::from_secs(31)), begun + every * 4);
    let now = begun + Duration::from_secs(60);
    for doubled in [10, 20, 40, 80, 160, 300, 300] {
        let pause = (pace.after_failure(now, None) - now).as_secs_f64() / f64::from(doubled);
        assert!((0.75..=1.25).contains(&pause), "{pause} of {doubled} s");
    }
    assert!(pace.after_failure(now, Some(Duration::from_secs(1800))) - now >= Duration::from_secs(1800));
    // Nobody may ask for a day of silence.
    assert!(pace.after_failure(now, Some(Duration::from_secs(86_400))) - now <= Duration::from_secs(3600));
    assert_eq!(pace.after_success(now), now + every);
}
