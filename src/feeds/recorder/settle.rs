//! What becomes of an answer: compared with the last one, looked over, and kept.

use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::index::{Became, Poll};
use super::source::{Answer, Known};
use super::spool::{Spool, packed};
use crate::feeds::realtime::{LARGEST_BYTES, why_unreadable};

/// A poll that was dealt with.
#[derive(Debug)]
pub struct Settled {
    /// Its line of the index.
    pub poll: Poll,
    /// What is known of the feed now; `None` where the answer says nothing new, or was not kept and must come again.
    pub known: Option<Known>,
}

/// Deals with an answer. Once it returns, a new message and its name are synced to disk, or the poll says why it is not kept.
pub fn settle(answer: Answer, known: &Known, spool: &Mutex<Spool>) -> Settled {
    let Answer { mut poll, body, is_gzip, says, .. } = answer;
    let message = match body.map(|body| unpacked(body, is_gzip)).transpose() {
        Ok(Some(message)) => message,
        Ok(None) => return Settled { poll: noted(poll, spool), known: None },
        Err(why) => {
            poll.error = Some(why);
            return Settled { poll: noted(poll, spool), known: None };
        }
    };
    poll.bytes = Some(message.len() as u64);
    poll.error = why_unreadable(&message).map(|why| format!("the answer is no message that can be read: {why}"));
    let digest = Some(Sha256::digest(&message).into());
    // A broken answer must not be taken for the feed's state: what comes after it is asked for without a condition.
    let says = if poll.is_good() { says } else { Known::default() };
    let known_now = Some(Known { digest, ..says });
    if known.digest == digest {
        poll.became = Became::Unchanged;
        return Settled { poll: noted(poll, spool), known: known_now };
    }
    // Packed without the lock: other feeds go on meanwhile.
    match packed(&message).and_then(|packed| locked(spool).record(poll.clone(), &packed)) {
        Ok(poll) => {
            let is_kept = match poll.became {
                Became::Recorded => true,
                Became::Unchanged | Became::Failed | Became::NotKept => false,
            };
            Settled { poll, known: known_now.filter(|_| is_kept) }
        }
        // The disk is full, or gone: the index can hardly be written either.
        Err(e) => Settled { poll: Poll { became: Became::NotKept, error: Some(e.to_string()), ..poll }, known: None },
    }
}

fn locked(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A poll without a message, once it stands in the index.
fn noted(poll: Poll, spool: &Mutex<Spool>) -> Poll {
    match locked(spool).note(&poll) {
        Ok(()) => poll,
        Err(e) => Poll { error: poll.error.or_else(|| Some(e.to_string())), ..poll },
    }
}

/// The message without what the transfer packed it in.
fn unpacked(body: Bytes, is_gzip: bool) -> std::result::Result<Bytes, String> {
    if !is_gzip {
        return Ok(body);
    }
    let mut message = Vec::new();
    let plain = flate2::read::MultiGzDecoder::new(body.as_ref());
    plain
        .take(LARGEST_BYTES + 1)
        .read_to_end(&mut message)
        .map_err(|e| format!("the answer cannot be unpacked: {e}"))?;
    if message.len() as u64 > LARGEST_BYTES {
        return Err(format!("the answer unpacks to more than {LARGEST_BYTES} bytes, which no message has"));
    }
    Ok(message.into())
}
