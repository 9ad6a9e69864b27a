//! Bytes that claim or repeat more than any feed has: each bound is hit, and memory is measured.

use std::io::Write;

use super::*;
use crate::feeds::memory::peak;

/// What is taken whatever the bytes: buffers of readers and of a batch.
const BASE_BYTES: usize = 24 << 20;

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn long(number: u8, payload: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], varint(payload.len()).as_slice(), payload].concat()
}

/// A message of 2024-05-01T02:40:00Z with these entities.
fn of_entities(entities: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let header = field(1, &[field(1, b"2.0"), vec![0x18, 0x80, 0xd2, 0xc8, 0xb1, 0x06]].concat());
    entities.fold(header, |mut message, entity| {
        message.extend(long(2, &[field(1, b"e"), entity].concat()));
        message
    })
}

fn head_of_tar(kind: tar::EntryType, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn zeros(packed: &mut impl Write, mebibytes: usize) {
    let piece = vec![0; 1 << 20];
    (0..mebibytes).for_each(|_| packed.write_all(&piece).unwrap());
}

/// Why nothing of a recording was read, and what reading it took.
fn refused(name: &str, bytes: Vec<u8>) -> (String, usize) {
    let recordings = [(name, bytes)];
    let ((_, summary), most) = peak(|| collect(&recordings));
    assert_eq!((summary.recordings, summary.recordings_unreadable), (0, 1));
    (summary.damaged[0].1.clone(), most)
}

#[test]
fn what_unpacks_to_more_than_a_message_is_refused_at_the_bound() {
    let (mut gzip, mut zstd) = (
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()),
        zstd::stream::Encoder::new(Vec::new(), 1).unwrap(),
    );
    zeros(&mut gzip, 300);
    zeros(&mut zstd, 300);
    for (name, bytes) in [("x.pb.gz", gzip.finish().unwrap()), ("x.pb.zst", zstd.finish().unwrap())] {
        assert!(bytes.len() < 2 << 20);
        let (why, most) = refused(name, bytes);
        assert!(why.starts_with("it unpacks to more than 67108864 bytes"), "{why}");
        // The buffer doubles: up to twice the bound.
        assert!(most < (128 << 20) + BASE_BYTES, "{most}");
    }
}

#[test]
fn a_name_in_a_tar_that_never_ends_is_refused_and_not_kept() {
    let mut packed = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    packed.write_all(&head_of_tar(tar::EntryType::GNULongName, "././@LongLink", 300 << 20)).unwrap();
    zeros(&mut packed, 300);
    let (why, most) = refused("x.tar.zst", packed.finish().unwrap());
    assert!(why.contains("a name of more than 1048576 bytes"), "{why}");
    assert!(most < BASE_BYTES, "{most}");
}

#[test]
fn a_tar_may_hold_large_files_that_are_no_recordings_before_long_names() {
    let name = format!("{}/x.pb", "long".repeat(60));
    let mut tar = tar::Builder::new(Vec::new());
    let mut large = tar::Header::new_gnu();
    large.set_size(3 << 20);
    tar.append_data(&mut large, "notes.txt", vec![7; 3 << 20].as_slice()).unwrap();
    let (bytes, mut header) = (message(), tar::Header::new_gnu());
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, &name, bytes.as_slice()).unwrap();
    let (rows, summary) = collect(&[("x.tar", tar.into_inner().unwrap())]);
    assert_eq!((rows, summary.recordings, summary.recordings_unreadable), (1, 1, 0));
}

#[test]
fn sizes_in_archives_that_lie_allocate_nothing() {
    let claim = |size| [head_of_tar(tar::EntryType::Regular, "x.pb", size), message()].concat();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("x.pb", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&message()).unwrap();
    let mut zip = zip.finish().unwrap().into_inner();
    // The central directory and the local head claim four gibibytes, packed and unpacked.
    for (mark, sizes) in [(b"PK\x01\x02", 20), (b"PK\x03\x04", 18)] {
        let at = zip.windows(4).position(|bytes| bytes == mark).unwrap() + sizes;
        zip[at..at + 8].fill(0xfe);
    }
    for (name, bytes) in [("x.tar", claim(1 << 33)), ("x.tar", claim(u64::MAX >> 4)), ("x.zip", zip)] {
        let recordings = [(name, bytes)];
        let ((rows, _), most) = peak(|| collect(&recordings));
        assert!(rows <= 2 && most < BASE_BYTES, "{name}: {rows} rows, {most} bytes");
    }
}

#[test]
fn json_that_nobody_asked_for_takes_no_memory() {
    let many = |beginning: &str, item: &str, count: usize| [beginning, &item.repeat(count)].concat().into_bytes();
    for json in [
        many("{\"header\": {}, \"strange\": [0", ",0", 4 << 20),
        many("{\"strange\": ", "[", 8 << 20),
        many("{\"strange\": ", "{\"a\":", 1 << 20),
        many("{\"entity\": ", "[", 1 << 20),
        many("{\"entity\": [{\"id\": [\"a\"", ",[\"a\"]", 1 << 20),
    ] {
        let (outcome, most) = peak(|| super::super::json::to_wire(&json));
        assert!(outcome.is_err());
        assert!(most < 2 * json.len() + (1 << 20), "{most} of {}", json.len());
    }
}

#[test]
fn what_is_longer_than_any_feed_has_it_is_an_entity_that_cannot_be_read() {
    let stops = |count: usize| {
        let stops: Vec<u8> = (0..count).flat_map(|n| field(2, &[&[0x08], varint(n).as_slice()].concat())).collect();
        long(3, &[field(1, &field(1, b"t")), stops].concat())
    };
    let alert = |bytes: usize| long(5, &long(10, &field(1, &[]).repeat(bytes / 2)));
    for (fits, one_more) in [
        (stops(MOST_STOPS), stops(MOST_STOPS + 1)),
        (alert(LARGEST_ALERT_BYTES - 100), alert(LARGEST_ALERT_BYTES + 100)),
    ] {
        let read = |entity: &Vec<u8>| collect(&[("x.pb", of_entities([entity.clone()].into_iter()))]).1;
        assert_eq!((read(&fits).entities_unreadable, read(&one_more).entities_unreadable), (0, 1));
    }
}

/// Two messages, each smaller than the largest there may be, of a few vehicles too many; so of runs.
#[test]
fn a_fleet_of_millions_is_cut_at_what_a_country_has() {
    let vehicle = |n: usize| field(4, &field(8, &field(1, format!("{n:07}").as_bytes())));
    let run = |n: usize| field(3, &field(1, &field(1, format!("{n:07}").as_bytes())));
    for entity in [vehicle as fn(usize) -> Vec<u8>, run] {
        let messages = [0..MOST / 2, MOST / 2..MOST + 10].map(|numbers| of_entities(numbers.map(entity)));
        let [first, second] = messages;
        let (_, summary) = collect(&[("a.pb", first), ("b.pb", second)]);
        assert_eq!((summary.recordings, summary.entities_unreadable), (2, 10));
        assert!(summary.damaged[0].1.contains("more vehicles, runs"), "{:?}", summary.damaged);
    }
}

#[test]
fn groups_are_passed_over_to_a_depth() {
    let nested = |depth: usize| [vec![0x0b; depth], vec![0x0c; depth]].concat();
    assert_eq!(Fields::new(&nested(64)).next(), Ok(Some((1, Value::Group))));
    assert_eq!(Fields::new(&nested(65)).next(), Err(Malformed::Group));
    assert_eq!(
        Fields::new(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 1]).next(),
        Err(Malformed::Varint)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Twenty thousand entities of the smallest kinds, all different: the most that bytes can ask for.
    #[test]
    fn memory_is_a_multiple_of_the_bytes(kinds in vec(0..5_usize, 1..4), dated in any::<bool>()) {
        let date = if dated { field(3, b"20240501") } else { Vec::new() };
        let entities = (0..20_000_usize).map(|n| {
            let id = n.to_be_bytes();
            let (id, trip) = (&id[5..], [field(1, &id[5..]), date.clone()].concat());
            match kinds[n % kinds.len()] {
                0 => field(3, &field(1, &trip)),
                1 => field(4, &field(8, &field(1, id))),
                2 => field(4, &field(1, &trip)),
                3 => field(5, &field(5, &field(2, id))),
                _ => field(3, &[field(1, &trip), field(2, &[]), field(2, &[0x08, 1])].concat()),
            }
        });
        let recordings = [("x.pb", of_entities(entities))];
        let ((_, summary), most) = peak(|| collect(&recordings));
        prop_assert_eq!((summary.recordings, summary.entities_unreadable), (1, 0));
        prop_assert!(most < BASE_BYTES + 100 * recordings[0].1.len(), "{} of {}", most, recordings[0].1.len());
    }

    #[test]
    fn a_damaged_archive_gives_no_more_than_it_held(
        form in 0..5_usize,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut tar = tar::Builder::new(Vec::new());
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in [("a.pb", message()), ("b.pb", other_message())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&bytes).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let gzip = |bytes: &[u8]| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(bytes).unwrap();
            packed.finish().unwrap()
        };
        let (name, mut bytes) = match form {
            0 => ("x.tar", tar),
            1 => ("x.tgz", gzip(&tar)),
            2 => ("x.tar.zst", zstd::bulk::compress(&tar, 1).unwrap()),
            3 => ("x.zip", zip.finish().unwrap().into_inner()),
            _ => ("x.pb.gz", gzip(&message())),
        };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(1 + cut.index(bytes.len()));
        let recordings = [(name, bytes)];
        let ((rows, summary), most) = peak(|| collect(&recordings));
        prop_assert!(summary.recordings <= 2 && rows <= 8);
        prop_assert!(most < BASE_BYTES, "{}", most);
    }

    #[test]
    fn damaged_json_is_read_or_refused(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let json = r#"{"header": {"timestamp": "1714531200"}, "entity": [{"id": 1, "isDeleted": false, "vehicle": {"trip":
            {"tripId": "t", "direction_id": 1.0}, "position": {"latitude": 1e1, "longitude": "2", "odometer": null},
            "currentStatus": "STOPPED_AT", "strange": [[{}]]}}, null]}"#;
        let mut bytes = json.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (rows, summary) = collect(&[("x.json", bytes)]);
        prop_assert!(rows <= 2);
        prop_assert_eq!(summary.recordings + summary.recordings_unreadable, 1);
    }
}

#[test]
fn json_says_what_is_wrong_and_where() {
    let wrong = |json: &str| super::super::json::to_wire(json.as_bytes()).unwrap_err();
    assert!(
        wrong(r#"{"header": {"timestamp": "soon"}}"#)
            .starts_with("header.timestamp is \"soon\", expected a whole number")
    );
    assert!(wrong(r#"{"entity": [{"vehicle": 7}]}"#).starts_with("entity.vehicle is 7, expected an object"));
    assert!(wrong(r#"{"entity": [{"id": [["a"]]}]}"#).starts_with("entity.id is a list, expected a text"));
    assert!(wrong(r#"{"entity": [{"id": {}}]}"#).starts_with("entity.id is an object, expected a text"));
    assert!(wrong(r#"{"entity": [{"isDeleted": 1}]}"#).starts_with("entity.isDeleted is 1, expected true or false"));
    assert!(wrong(r#"{"header": "#).starts_with("it is no JSON: "));
    assert!(wrong(r#"{"header": {}} {}"#).starts_with("it is no JSON: "));
}
