//! A closed period as one archive: a tar of its recordings in the order of time, behind their index, packed as a whole
//! because one poll differs little from the next.
//!
//! The same period gives the same bytes, and the archive's name ends with their digest: packing or uploading again after a
//! crash changes nothing, and no archive takes the place of another.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::files::{failed, finish, names, unfinished};
use super::index::{ARCHIVE, ARCHIVED, Became, Feed, INDEX, Poll, SPOOLED, told_by};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::feeds::realtime::LARGEST_BYTES;

const LEVEL: i32 = 3;
/// How far back a poll is found again: several polls of the largest feeds, in 32 MiB of a reader's memory.
const WINDOW_LOG: u32 = 25;
/// Hexadecimal digits of the digest in an archive's name.
const DIGEST_DIGITS: usize = 16;

/// Packs a closed period into the folder of archives. Once it returns, the archive and its name are synced.
///
/// # Errors
/// `Storage` when the spool cannot be read or written.
pub fn pack(period: &Path, archives: &Path) -> Result<()> {
    let failed_reading = failed("packing", period);
    let mut recordings: Vec<_> = names(period)
        .map_err(&failed_reading)?
        .into_iter()
        .filter_map(|name| told_by(&name).map(|(feed, at)| (at, feed, name)))
        .collect();
    recordings.sort();
    let index = index(period, recordings.iter().map(|(_, _, name)| name.as_str())).map_err(&failed_reading)?;
    let file = unfinished(archives).map_err(failed("writing into", archives))?;
    let hashed = Hashed { file, digest: Sha256::new() };
    let written = write(hashed, period, &index, &recordings).map_err(failed("writing into", archives))?;
    let digest = hex(&written.digest.finalize());
    let Some(name) = period.file_name().and_then(|name| name.to_str()) else {
        return Err(Error::internal(format!("the period {} has no name", period.display())));
    };
    let name = format!("{name}-{}{ARCHIVE}", &digest[..DIGEST_DIGITS]);
    finish(written.file, archives, &name).map_err(failed("writing", &archives.join(&name)))
}

/// The lines of the index in the order of time, one for each recording at least.
fn index<'a>(period: &Path, recordings: impl Iterator<Item = &'a str>) -> io::Result<Vec<u8>> {
    let text = match std::fs::read(period.join(INDEX)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    // What is no line was never synced: a recording that it would have told of gets another.
    let lines = text.split(|byte| *byte == b'\n');
    let mut polls: Vec<Poll> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let noted: BTreeSet<_> = polls.iter().filter_map(|poll| poll.file.clone()).collect();
    for name in recordings {
        let Some((feed, at)) = told_by(name) else { continue };
        let file = archived(name);
        if !noted.contains(&file) {
            // The recorder ended between the recording and its line.
            polls.push(Poll { received_at: at, became: Became::Recorded, file: Some(file), ..Poll::new(feed) });
        }
    }
    polls.sort_by_key(|poll| (poll.received_at, poll.feed));
    let mut lines = Vec::new();
    for poll in &polls {
        serde_json::to_writer(&mut lines, poll)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn archived(name: &str) -> String {
    name.strip_suffix(SPOOLED).map_or_else(|| name.to_owned(), |stem| format!("{stem}{ARCHIVED}"))
}

type Recording = (DateTime<Utc>, Feed, String);

fn write(to: Hashed, period: &Path, index: &[u8], recordings: &[Recording]) -> io::Result<Hashed> {
    let mut packer = zstd::stream::Encoder::new(to, LEVEL)?;
    packer.include_checksum(true)?;
    packer.window_log(WINDOW_LOG)?;
    packer.long_distance_matching(true)?;
    let mut tar = tar::Builder::new(packer);
    let begun = recordings.first().map_or(0, |(at, ..)| at.timestamp());
    entry(&mut tar, INDEX, begun, index)?;
    for (at, _, name) in recordings {
        let packed = std::fs::read(period.join(name))?;
        let plain = zstd::stream::Decoder::new(packed.as_slice()).and_then(|decoder| {
            let mut plain = Vec::new();
            decoder.take(LARGEST_BYTES + 1).read_to_end(&mut plain).map(|_| plain)
        });
        match plain {
            Ok(plain) => entry(&mut tar, &archived(name), at.timestamp(), &plain)?,
            // What the disk has spoilt goes along as it is: whoever reads it tells of it.
            Err(_) => entry(&mut tar, name, at.timestamp(), &packed)?,
        }
    }
    tar.into_inner()?.finish()
}

fn entry(tar: &mut tar::Builder<impl Write>, name: &str, seconds: i64, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(u64::try_from(seconds).unwrap_or_default());
    tar.append_data(&mut header, name, bytes)
}

/// A file whose digest is worked out while it is written.
struct Hashed {
    file: tempfile::NamedTempFile<File>,
    digest: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
