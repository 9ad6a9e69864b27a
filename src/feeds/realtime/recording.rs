//! Recordings: what a recorder kept of the polls of a feed, as files or in archives, plain or compressed, in the form of
//! Protocol Buffers or of JSON. What is inside tells itself by its first bytes; archives are known by their names.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Cursor, Read, Seek};
use std::rc::Rc;

use chrono::{NaiveDate, NaiveTime};

use super::super::zipped::is_litter;
use super::json;
use super::message::Message;
use super::wire::Malformed;
use crate::error::Result;

/// The largest message that is read, unpacked: far more than any agency's, and a bound for what lies.
pub const LARGEST_BYTES: u64 = 64 << 20;
/// What may stand before an entry of a tar, its name above all, which is read as a whole.
const LARGEST_HEAD_BYTES: u64 = 1 << 20;
/// Names of recordings in a folder or an archive, in any case.
const ENDINGS: [&str; 4] = [".pb", ".pbf", ".bin", ".json"];
/// What of a text that is no message is told.
const TOLD_BYTES: usize = 40;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const ARCHIVES: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip"];

/// Microseconds of seconds since the epoch; [`super::message::time`] lets none pass that do not fit.
pub(super) fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000)
}

/// When a message was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    /// The number of the recording.
    pub(super) number: u64,
    /// When the producer made it.
    pub(super) header_micros: Option<i64>,
    /// When the recorder took it.
    pub(super) received_micros: Option<i64>,
    /// The clock of this machine.
    pub(super) now_micros: i64,
    /// Whether recordings come in the order of time.
    pub(super) is_sorted: bool,
}

impl Poll {
    /// Where it stands among the polls; a vehicle's own time does where neither feed nor recorder say theirs.
    #[inline]
    pub(super) fn order(&self, own_seconds: Option<u64>) -> i64 {
        self.header_micros.or(self.received_micros).or(own_seconds.map(micros)).unwrap_or(i64::MIN)
    }
}

/// Whether a file of a folder is a recording, or an archive of some, by its name.
pub fn is_recording(name: &str) -> bool {
    let plain = without(name, ".gz").or_else(|| without(name, ".zst")).unwrap_or(name);
    !name.starts_with(['.', '_']) && (ENDINGS.iter().any(|end| without(plain, end).is_some()) || is_archive(name))
}

fn is_archive(name: &str) -> bool {
    ARCHIVES.iter().any(|end| without(name, end).is_some())
}

/// What stands before an ending, in any case; None where a name ends otherwise.
fn without<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let (before, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    end.eq_ignore_ascii_case(ending).then_some(before)
}

/// A message, or why there is none.
pub type Found<'a> = std::result::Result<&'a [u8], String>;

/// The message in a file that lies in memory as it was sent: not packed, in the form of Protocol Buffers.
pub fn message_in<'a>(name: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    let is_whole = !bytes.starts_with(BYTE_ORDER_MARK)
        && !is_archive(name)
        && !is_gzip(bytes)
        && !is_zstd(bytes)
        && bytes.len() as u64 <= LARGEST_BYTES;
    (is_whole && *first != b'{').then_some(bytes)
}

fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// Hands each message of a file to `each`, with the name to call it by. What cannot be read is told to `each` and
/// stops nothing.
///
/// # Errors
/// Those of `each` alone.
pub fn messages(
    name: &str,
    file: &mut (impl Read + Seek),
    each: &mut dyn FnMut(&str, Found<'_>) -> Result<()>,
) -> Result<()> {
    if without(name, ".zip").is_some() {
        return zipped(name, file, each);
    }
    if !is_archive(name) {
        return one(name, file, each);
    }
    match unpacked(Box::new(file)) {
        Ok(plain) => tarred(name, plain, each),
        Err(e) => each(name, Err(unreadable(&e))),
    }
}

fn one(name: &str, packed: &mut dyn Read, each: &mut dyn FnMut(&str, Found<'_>) -> Result<()>) -> Result<()> {
    match read(packed) {
        Ok(bytes) => each(name, Ok(&bytes)),
        Err(why) => each(name, Err(why)),
    }
}

/// Why a body that a feed answered with cannot be read as a message, if so.
pub fn why_unreadable(body: &[u8]) -> Option<String> {
    let whole = read(&mut Cursor::new(body)).and_then(|wire| {
        let message = Message::read(&wire).map_err(|e| no_message(&wire, e))?;
        let mut wrong = None;
        message.each(|entity| wrong = wrong.take().or(entity.err())).map_err(|e| e.to_string())?;
        wrong.map_or(Ok(()), |e| Err(e.to_string()))
    });
    whole.err()
}

/// The bytes of a message in the form of Protocol Buffers.
fn read(packed: &mut dyn Read) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let plain = unpacked(Box::new(packed)).map_err(|e| unreadable(&e))?;
    plain.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(format!("it unpacks to more than {LARGEST_BYTES} bytes, which no message has"));
    }
    let marked = bytes.strip_prefix(BYTE_ORDER_MARK);
    match marked.unwrap_or(&bytes).iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err("it is empty".into()),
        Some(b'{') => match json::to_wire(marked.unwrap_or(&bytes)) {
            // A header of 123 bytes begins as JSON may: with a line break and a brace.
            Err(_) if Message::read(&bytes).is_ok() => Ok(bytes),
            outcome => outcome,
        },
        Some(_) => Ok(bytes),
    }
}

/// Why bytes are no message. Of text, such as the page that a server answers with, its beginning says more than the fields
/// that it does not have.
pub(super) fn no_message(bytes: &[u8], error: Malformed) -> String {
    let beginning = bytes.get(..bytes.len().min(TOLD_BYTES)).unwrap_or_default();
    let is_text = beginning.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r'));
    if beginning.is_empty() || !is_text {
        return error.to_string();
    }
    let beginning = String::from_utf8_lossy(beginning);
    let words: Vec<&str> = beginning.split_whitespace().collect();
    format!("it is text and no message; it begins with {:?}", words.join(" "))
}

/// The stream without its compression, which its first bytes tell.
fn unpacked<'a>(mut packed: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(4);
    packed.by_ref().take(4).read_to_end(&mut head)?;
    let (is_gzip, is_zstd) = (is_gzip(&head), is_zstd(&head));
    let whole = Cursor::new(head).chain(packed);
    if is_gzip {
        Ok(Box::new(flate2::read::MultiGzDecoder::new(whole)))
    } else if is_zstd {
        Ok(Box::new(zstd::stream::read::Decoder::new(whole)?))
    } else {
        Ok(Box::new(whole))
    }
}

fn tarred(name: &str, plain: impl Read, each: &mut dyn FnMut(&str, Found<'_>) -> Result<()>) -> Result<()> {
    let left = Rc::new(Cell::new(LARGEST_HEAD_BYTES));
    let mut archive = tar::Archive::new(Measured { inner: plain, left: Rc::clone(&left) });
    let mut entries = match archive.entries() {
        Ok(entries) => entries,
        Err(e) => return each(name, Err(unreadable(&e))),
    };
    loop {
        left.set(LARGEST_HEAD_BYTES);
        let mut entry = match entries.next() {
            None => return Ok(()),
            Some(Ok(entry)) => entry,
            // What follows cannot be found without it.
            Some(Err(e)) => return each(name, Err(unreadable(&e))),
        };
        left.set(u64::MAX);
        if entry.header().entry_type().is_file() {
            let inner = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            inside(name, &inner, &mut entry, each)?;
        }
        // What nobody read is no head of the next entry. A stream that breaks here breaks there too.
        let _ = io::copy(&mut entry, &mut io::sink());
    }
}

/// A reader that ends with an error where no more is left to be read.
struct Measured<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other(format!("a name of more than {LARGEST_HEAD_BYTES} bytes"))),
        }
        Ok(read)
    }
}

fn zipped(
    name: &str,
    file: &mut (impl Read + Seek),
    each: &mut dyn FnMut(&str, Found<'_>) -> Result<()>,
) -> Result<()> {
    let mut archive = match zip::ZipArchive::new(file) {
        Ok(archive) => archive,
        Err(e) => return each(name, Err(format!("it is no zip that can be read: {e}"))),
    };
    let mut names = Vec::new();
    for at in 0..archive.len() {
        match archive.name_for_index(at) {
            Some(Ok(inner)) => names.push((inner.into_owned(), at)),
            Some(Err(e)) => each(name, Err(format!("the name of an entry cannot be read: {e}")))?,
            None => {}
        }
    }
    // The order of a zip is its maker's whim; the names are the recorder's.
    names.sort();
    for (inner, at) in names {
        match archive.by_index(at) {
            Ok(mut entry) if entry.is_file() => inside(name, &inner, &mut entry, each)?,
            Ok(_) => {}
            Err(e) => each(&format!("{name}/{inner}"), Err(format!("it cannot be unpacked: {e}")))?,
        }
    }
    Ok(())
}

fn inside(
    archive: &str,
    inner: &str,
    packed: &mut dyn Read,
    each: &mut dyn FnMut(&str, Found<'_>) -> Result<()>,
) -> Result<()> {
    let (file, path) = (inner.rsplit('/').next().unwrap_or(inner), format!("{archive}/{inner}"));
    if is_litter(inner) || !is_recording(file) {
        return Ok(());
    }
    if is_archive(file) {
        return each(&path, Err("it is an archive inside an archive; unpack the outer one".into()));
    }
    one(&path, packed, each)
}

fn unreadable(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it is cut short".into();
    }
    format!("it cannot be unpacked: {error}")
}

/// When a recorder took a poll, as its file's name tells: `…20231108T010559Z.pb`, with `-`, `:` or `_` between the numbers
/// or without, and digits of a second behind a point.
pub(super) fn received_micros(name: &str) -> Option<i64> {
    let file = name.rsplit('/').next()?;
    let plain: Cow<'_, str> = file.chars().filter(|c| !matches!(c, '-' | ':' | '_')).collect();
    plain.match_indices('T').find_map(|(at, _)| {
        let date = plain.get(at.checked_sub(8)?..at)?;
        let (time, rest) = plain.get(at + 1..)?.split_at_checked(6)?;
        let (fraction, _) = rest.strip_prefix('.').unwrap_or(rest).split_once('Z')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !(is_number(date) && is_number(time) && is_number(fraction) && fraction.len() <= 9) {
            return None;
        }
        let date = NaiveDate::parse_from_str(date, "%Y%m%d").ok()?;
        let time = NaiveTime::parse_from_str(time, "%H%M%S").ok()?;
        let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        Some(date.and_time(time).and_utc().timestamp_micros() + micros)
    })
}
