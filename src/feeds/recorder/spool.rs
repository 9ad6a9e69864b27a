//! The folder in which recordings wait for their upload.
//!
//! | below the spool | holds |
//! |---|---|
//! | `lock` | the process that records |
//! | `health.json` | how it goes |
//! | `feed` | the name of the feed that is recorded, if it has one |
//! | `open/<period>/` | recordings, a file each, and the index of all polls |
//! | `closing/<period>/` | the same of a period that is over, until its archive is whole |
//! | `archives/` | archives until their copies are verified |
//! | `trash/` | what is in an archive, until it is deleted |
//!
//! What moves from one to the next is renamed as a whole, and both folders are synced.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::files::{
    append_line, bytes_below, cut_torn_line, failed, finish, move_folder, names, sweep, sync_folder, unfinished,
};
use super::index::{ARCHIVE, ARCHIVED, Became, INDEX, Period, Poll, SPOOLED, stem};
use crate::error::{Error, Result};

/// How long after its end a period is closed: an answer that came just before is still being written.
const GRACE_SECONDS: i64 = 2;
/// How long to wait for the lock of a recorder that is about to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LEVEL: i32 = 3;
const FEED: &str = "feed";

/// The spool of the one recorder that has it open.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    period_seconds: u32,
    limit_bytes: u64,
    used_bytes: u64,
    _lock: File,
}

impl Spool {
    /// Takes the spool over, in the state in which the last recorder left it, whatever became of that one.
    ///
    /// # Errors
    /// `Conflict` when another recorder has it; `Config` when recordings of another feed wait in it; `Storage` when it
    /// cannot be written.
    pub fn open(folder: &Path, feed: Option<&str>, period_seconds: u32, limit_bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(failed("making", folder))?;
        let lock = lock(folder)?;
        let mut spool = Self { folder: folder.to_path_buf(), period_seconds, limit_bytes, used_bytes: 0, _lock: lock };
        for room in ["open", "closing", "archives", "trash"] {
            let room = spool.room(room);
            std::fs::create_dir_all(&room).map_err(failed("making", &room))?;
            sweep(&room).map_err(failed("tidying", &room))?;
        }
        sweep(folder).map_err(failed("tidying", folder))?;
        sync_folder(folder).map_err(failed("syncing", folder))?;
        spool.belong_to(feed)?;
        for room in ["open", "closing"].map(|name| spool.room(name)) {
            for period in names(&room).map_err(failed("listing", &room))? {
                let period = room.join(period);
                sweep(&period).map_err(failed("tidying", &period))?;
                cut_torn_line(&period.join(INDEX)).map_err(failed("repairing", &period))?;
            }
        }
        spool.empty_trash()?;
        Ok(spool)
    }

    fn room(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the spool that of a feed. What waits in it would be uploaded to where the feed's archives lie.
    fn belong_to(&self, feed: Option<&str>) -> Result<()> {
        let path = self.folder.join(FEED);
        let before = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            read => Some(read.map_err(failed("reading", &path))?.trim().to_owned()),
        };
        if before.as_deref() == feed {
            return Ok(());
        }
        for room in ["open", "closing", "archives"].map(|name| self.room(name)) {
            if !names(&room).map_err(failed("listing", &room))?.is_empty() {
                let of =
                    |feed: Option<&str>| feed.map_or("a feed without a name".to_owned(), |name| format!("feed {name}"));
                return Err(Error::config(format!(
                    "recordings of {} wait in the spool {}, expected {}; record that one until they are uploaded, or name \
                     another spool",
                    of(before.as_deref()),
                    self.folder.display(),
                    of(feed)
                ))
                .with("spool", self.folder.display()));
            }
        }
        let noted = match feed {
            Some(feed) => unfinished(&self.folder).and_then(|mut file| {
                file.write_all(feed.as_bytes())?;
                finish(file, &self.folder, FEED)
            }),
            None => std::fs::remove_file(&path).and_then(|()| sync_folder(&self.folder)),
        };
        noted.map_err(failed("writing", &path))
    }

    /// Keeps a new message that is [`packed`], or says in the index that there was no room. Once it returns, the recording
    /// and its name are synced.
    pub(super) fn record(&mut self, mut poll: Poll, packed: &[u8]) -> Result<Poll> {
        let folder = self.period_of(poll.received_at)?;
        if self.used_bytes.saturating_add(packed.len() as u64) > self.limit_bytes {
            poll.became = Became::NotKept;
            poll.error = Some(format!(
                "the spool is full ({} of {} bytes): the message was not kept; see why archives are not uploaded, or raise \
                 the limit",
                self.used_bytes, self.limit_bytes
            ));
            self.note(&poll)?;
            return Ok(poll);
        }
        // Where the clock was set back, a name may be taken: nothing is written over.
        let mut name = stem(poll.feed, poll.received_at);
        while folder.join(format!("{name}{SPOOLED}")).exists() {
            poll.received_at += TimeDelta::microseconds(1);
            name = stem(poll.feed, poll.received_at);
        }
        let mut file = unfinished(&folder).map_err(failed("writing into", &folder))?;
        file.write_all(packed).map_err(failed("writing into", &folder))?;
        finish(file, &folder, &format!("{name}{SPOOLED}")).map_err(failed("writing into", &folder))?;
        self.used_bytes += packed.len() as u64;
        (poll.became, poll.file) = (Became::Recorded, Some(format!("{name}{ARCHIVED}")));
        if let Err(e) = self.note(&poll) {
            // The recording is there, and its name says enough for the index to be made up when the period is packed.
            poll.error = Some(e.to_string());
        }
        Ok(poll)
    }

    /// Writes a poll into the index.
    pub(super) fn note(&mut self, poll: &Poll) -> Result<()> {
        let index = self.period_of(poll.received_at)?.join(INDEX);
        let line =
            serde_json::to_vec(poll).map_err(|e| Error::internal("a poll cannot be written as JSON").because(e))?;
        self.used_bytes += line.len() as u64 + 1;
        append_line(&index, line).map_err(failed("writing", &index))
    }

    /// The folder of the period that holds an instant, made if need be.
    fn period_of(&self, at: DateTime<Utc>) -> Result<PathBuf> {
        let room = self.room("open");
        let folder = room.join(Period::of(at, self.period_seconds).to_string());
        if !folder.is_dir() {
            std::fs::create_dir(&folder).map_err(failed("making", &folder))?;
        }
        let index = folder.join(INDEX);
        if !index.exists() {
            File::create(&index).map_err(failed("making", &index))?;
            sync_folder(&folder).and_then(|()| sync_folder(&room)).map_err(failed("syncing", &folder))?;
        }
        Ok(folder)
    }

    /// Closes the periods that are over, or all of them, and names those that are to be packed, the oldest first.
    ///
    /// # Errors
    /// `Storage` when the spool cannot be written.
    pub fn close(&mut self, now: DateTime<Utc>, is_last: bool) -> Result<Vec<PathBuf>> {
        let (open, closing) = (self.room("open"), self.room("closing"));
        for name in names(&open).map_err(failed("listing", &open))? {
            let is_over =
                Period::told_by(&name).is_some_and(|period| period.end() + TimeDelta::seconds(GRACE_SECONDS) <= now);
            let to = closing.join(&name);
            // One of the same name is packed first.
            if (is_over || is_last) && !to.exists() {
                move_folder(&open.join(&name), &to).map_err(failed("closing", &to))?;
            }
        }
        let closed = names(&closing).map_err(failed("listing", &closing))?;
        Ok(closed.into_iter().map(|name| closing.join(name)).collect())
    }

    /// Whether recordings are in no archive yet.
    pub fn has_open(&self) -> Result<bool> {
        let open = self.room("open");
        names(&open).map(|names| !names.is_empty()).map_err(failed("listing", &open))
    }

    /// Where archives are made.
    pub fn archives_folder(&self) -> PathBuf {
        self.room("archives")
    }

    /// Takes away a closed period whose archive is whole.
    ///
    /// # Errors
    /// `Storage` when the spool cannot be written.
    pub fn packed(&mut self, period: &Path) -> Result<()> {
        let trash = self.room("trash").join(period.file_name().unwrap_or_default());
        move_folder(period, &trash).map_err(failed("tidying", period))?;
        self.empty_trash()
    }

    fn empty_trash(&mut self) -> Result<()> {
        let trash = self.room("trash");
        for name in names(&trash).map_err(failed("listing", &trash))? {
            std::fs::remove_dir_all(trash.join(name)).map_err(failed("emptying", &trash))?;
        }
        self.used_bytes = bytes_below(&self.folder).map_err(failed("measuring", &self.folder))?;
        Ok(())
    }

    /// The archives that wait for their upload, the oldest first.
    ///
    /// # Errors
    /// `Storage` when the spool cannot be read.
    pub fn archives(&self) -> Result<Vec<(Period, String)>> {
        let room = self.room("archives");
        let found = names(&room).map_err(failed("listing", &room))?;
        let told = |name: String| Some((Period::told_by(name.strip_suffix(ARCHIVE)?)?, name));
        Ok(found.into_iter().filter_map(told).collect())
    }

    /// Deletes an archive whose copy is verified.
    ///
    /// # Errors
    /// `Storage` when the spool cannot be written.
    pub fn uploaded(&mut self, archive: &str) -> Result<()> {
        let file = self.room("archives").join(archive);
        let bytes = std::fs::metadata(&file).map_err(failed("deleting", &file))?.len();
        std::fs::remove_file(&file).map_err(failed("deleting", &file))?;
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Bytes in the spool, and how many there may be.
    pub fn space(&self) -> (u64, u64) {
        (self.used_bytes, self.limit_bytes)
    }
}

/// One recording, packed so that damage shows.
pub(super) fn packed(message: &[u8]) -> Result<Vec<u8>> {
    let pack = || {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(message)?;
        encoder.finish()
    };
    pack().map_err(|e: std::io::Error| Error::storage(format!("a message cannot be packed: {e}")).because(e))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = open.map_err(failed("opening", &path))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without it the message says less, and is right.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                return Err(Error::conflict(format!(
                    "the spool {} is in use by another recorder (process {holder}), expected one recorder for each spool; \
                     end that one, or name another spool",
                    folder.display()
                ))
                .with("spool", folder.display()));
            }
            Err(TryLockError::Error(e)) => return Err(failed("locking", &path)(e)),
        }
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed("writing", &path))?;
    Ok(file)
}

/// Whether a recorder has the spool open.
pub(super) fn is_in_use(folder: &Path) -> bool {
    File::open(folder.join("lock")).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
