//! Recordings that are not in the order of time, put into it by way of a scratch file.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::scratch::scratch_folder;

/// Messages in a scratch file, packed; only where they lie is kept in memory.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    end: u64,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// The poll's time; messages of one time keep the order of their digests, so that names play no part.
    order: i64,
    digest: [u8; 32],
    name: String,
    offset: u64,
    bytes: usize,
}

impl Spool {
    pub(super) fn new(folder: Option<&Path>) -> Result<Self> {
        let folder = scratch_folder(folder, |_, e| failed(e))?;
        Ok(Self { file: tempfile::tempfile_in(folder).map_err(failed)?, end: 0, places: Vec::new() })
    }

    pub(super) fn push(&mut self, order: i64, digest: [u8; 32], name: &str, message: &[u8]) -> Result<()> {
        let packed = zstd::bulk::compress(message, 1).map_err(failed)?;
        self.file.seek(SeekFrom::Start(self.end)).map_err(failed)?;
        self.file.write_all(&packed).map_err(failed)?;
        let name = name.to_owned();
        self.places.push(Place { order, digest, name, offset: self.end, bytes: packed.len() });
        self.end += packed.len() as u64;
        Ok(())
    }

    /// Hands the messages to `each` in the order of time.
    pub(super) fn each(mut self, mut each: impl FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
        self.places.sort_by(|a, b| (a.order, &a.digest, &a.name).cmp(&(b.order, &b.digest, &b.name)));
        let (mut packed, mut message) = (Vec::new(), Vec::new());
        for place in &self.places {
            packed.resize(place.bytes, 0);
            self.file.read_exact_at(&mut packed, place.offset).map_err(failed)?;
            message.clear();
            zstd::stream::copy_decode(packed.as_slice(), &mut message).map_err(failed)?;
            each(&place.name, &message)?;
        }
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::storage(format!("scratch space for recordings failed: {error}; free some or set spool")).because(error)
}
