//! Unpacking, bounded and on a thread of its own.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::Result;

/// What one file may unpack to: more than the timetable of a country.
const MOST_FILE_BYTES: u64 = 16 << 30;
/// How many times its packed size a large file may have; tables reach 40.
const MOST_RATIO: u64 = 400;
/// From which size on the ratio is looked at.
const LARGE_BYTES: u64 = 64 << 20;
const PIECE_BYTES: usize = 256 << 10;
const PIECES_AHEAD: usize = 16;

/// What something of this size may unpack to.
pub(super) fn most_bytes(packed: u64) -> u64 {
    packed.saturating_mul(MOST_RATIO).clamp(LARGE_BYTES, MOST_FILE_BYTES)
}

/// A reader that stops with an error where a file unpacks to more than any timetable has.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R: Read> Limited<R> {
    /// `packed` is the size within an archive.
    pub(super) fn new(inner: R, packed: Option<u64>) -> Self {
        let most = packed.map_or(MOST_FILE_BYTES, most_bytes);
        Self { inner, left: most, most }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(io::Error::other(format!(
                    "it unpacks to more than {} bytes, as no feed does; fetch it from a source that you trust",
                    self.most
                )));
            }
        }
        Ok(read)
    }
}

/// Lets `work` read while another thread unpacks. Small files are not worth a thread.
pub(super) fn beside<R: Read + Send, T>(mut source: R, work: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    let mut first = Vec::new();
    match fill(&mut first, &mut source) {
        Ok(()) if first.len() < PIECE_BYTES => return work(&mut first.as_slice()),
        Ok(()) => {}
        Err(error) => return work(&mut first.as_slice().chain(Broken(Some(error)))),
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(PIECES_AHEAD);
        scope.spawn(move || send(source, &sender));
        work(&mut first.as_slice().chain(Pieces { receiver, piece: Vec::new(), at: 0 }))
    })
}

/// Sends all pieces, or until nobody takes them any more.
fn send(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = Vec::new();
        let filled = fill(&mut piece, &mut source);
        let is_last = filled.is_err() || piece.len() < PIECE_BYTES;
        if sender.send(filled.map(|()| piece)).is_err() || is_last {
            return;
        }
    }
}

/// Reads the next bytes, fewer than a whole piece at the end alone. They are asked for at once: of small portions whoever
/// unpacks keeps a copy each time.
fn fill(piece: &mut Vec<u8>, source: &mut impl Read) -> io::Result<()> {
    piece.resize(PIECE_BYTES, 0);
    let mut filled = 0;
    let outcome = loop {
        if filled == PIECE_BYTES {
            break Ok(());
        }
        match source.read(&mut piece[filled..]) {
            Ok(0) => break Ok(()),
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(e),
        }
    };
    piece.truncate(filled);
    outcome
}

struct Pieces {
    receiver: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece?, 0),
                Err(_) => return Ok(0),
            }
        }
        let mut rest = &self.piece[self.at..];
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// Fails once.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
