//! What a table shows, as digests in memory: sorted, and found through a directory of their leading bits.
//!
//! Digests are spread evenly, so a directory with half as many entries as there are digests leads straight to the few that
//! a digest can be among. That is one place of memory to wait for, where a hash table has three.

use super::digest::Digest;
use crate::error::{Error, Result};

/// Bytes of one entry in a chunk: the digest of the key, and half of the digest of what is said of it.
pub(super) const ENTRY_BYTES: usize = 24;
/// Bytes of a key's digest.
pub(super) const IDENTITY_BYTES: usize = 16;

/// What the rows read so far say of a stored key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unseen,
    Same,
    Changed,
}

/// One open version. Contents are compared between rows of one key only, for which 64 bits are plenty.
#[derive(Clone, Copy, Debug)]
struct Entry {
    identity: Digest,
    content: u64,
    state: State,
}

/// How a row stands to what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It says something new.
    New,
    /// It says what is stored.
    Same,
    /// It says so for the second time.
    Again,
    /// Another row of its key said otherwise.
    Contradicts,
}

/// The open versions of a table.
#[derive(Debug, Default)]
pub(super) struct Stored {
    entries: Vec<Entry>,
    /// By leading bits, where their entries begin; one more at the end.
    directory: Vec<u32>,
    shift: u32,
    unseen: usize,
    same: u64,
}

impl Stored {
    /// Takes a chunk of the base. Chunks come in the order of their digests.
    pub(super) fn load(&mut self, chunk: &[u8]) -> Result<()> {
        self.entries.reserve(chunk.len() / ENTRY_BYTES);
        for (identity, content) in entries(chunk)? {
            if self.entries.last().is_some_and(|last| last.identity >= identity) {
                return Err(torn());
            }
            self.entries.push(Entry { identity, content, state: State::Unseen });
        }
        Ok(())
    }

    /// Makes the directory; afterwards digests are found.
    pub(super) fn index(&mut self) {
        let bits = self.entries.len().max(2).ilog2();
        self.shift = u64::BITS - bits;
        self.directory.clear();
        self.directory.resize((1 << bits) + 1, 0);
        for entry in &self.entries {
            self.directory[(entry.identity[0] >> self.shift) as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut self.directory {
            sum += *start;
            *start = sum;
        }
        self.unseen = self.entries.len();
    }

    /// Applies what later merges changed: keys that are gone, and keys that are new or say something else.
    pub(super) fn change(&mut self, gone: &[u8], stated: &[u8]) -> Result<()> {
        let mut added = Vec::new();
        let mut is_gone = false;
        for bytes in exact(gone, IDENTITY_BYTES)? {
            let position = self.find(identity(bytes)).ok_or_else(torn)?;
            // For now the mark of an entry that goes; no row was read yet.
            self.entries[position].state = State::Changed;
            is_gone = true;
        }
        if is_gone {
            self.entries.retain(|entry| entry.state != State::Changed);
            self.index();
        }
        for (identity, content) in entries(stated)? {
            match self.find(identity) {
                Some(position) => self.entries[position].content = content,
                None => added.push(Entry { identity, content, state: State::Unseen }),
            }
        }
        if !added.is_empty() {
            added.sort_unstable_by_key(|entry| entry.identity);
            self.entries.append(&mut added);
            // Two sorted runs: a stable sort only merges them.
            self.entries.sort_by_key(|entry| entry.identity);
            self.index();
        }
        Ok(())
    }

    fn find(&self, identity: Digest) -> Option<usize> {
        let bucket = (identity[0] >> self.shift) as usize;
        let (start, end) = (*self.directory.get(bucket)? as usize, *self.directory.get(bucket + 1)? as usize);
        let found = self.entries[start..end].iter().position(|entry| entry.identity == identity);
        found.map(|offset| start + offset)
    }

    /// Where each of these digests is. Digests lie far apart in memory; asked for together, their waits overlap.
    fn find_all(&self, identities: impl Iterator<Item = Digest> + Clone) -> Vec<Option<usize>> {
        let start =
            |identity: Digest| self.directory.get((identity[0] >> self.shift) as usize).map_or(0, |s| *s as usize);
        let starts: Vec<usize> = identities.clone().map(start).collect();
        let at_start = identities.clone().zip(&starts);
        let is_there: Vec<bool> = at_start
            .map(|(identity, &at)| self.entries.get(at).is_some_and(|entry| entry.identity == identity))
            .collect();
        let found = identities.zip(starts.into_iter().zip(is_there));
        found.map(|(identity, (at, is_there))| if is_there { Some(at) } else { self.find(identity) }).collect()
    }

    /// Holds rows, of a key and what is said of it, against what is stored and what the rows before them said.
    pub(super) fn meet_all(&mut self, rows: impl Iterator<Item = (Digest, u64)> + Clone) -> Vec<Met> {
        let positions = self.find_all(rows.clone().map(|(identity, _)| identity));
        positions.into_iter().zip(rows).map(|(position, (_, content))| self.meet(position, content)).collect()
    }

    fn meet(&mut self, position: Option<usize>, content: u64) -> Met {
        let Some(entry) = position.and_then(|position| self.entries.get_mut(position)) else { return Met::New };
        let is_equal = entry.content == content;
        match (entry.state, is_equal) {
            (State::Unseen, _) => {
                self.unseen -= 1;
                entry.state = if is_equal { State::Same } else { State::Changed };
                self.same += u64::from(is_equal);
                if is_equal { Met::Same } else { Met::New }
            }
            (State::Same, true) => Met::Again,
            (State::Changed, false) => Met::New,
            _ => Met::Contradicts,
        }
    }

    /// How many keys are stored.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many rows say what is stored.
    pub(super) fn same(&self) -> u64 {
        self.same
    }

    /// How many keys no row named.
    pub(super) fn unseen(&self) -> usize {
        self.unseen
    }

    /// Whether a key is stored and no row named it.
    pub(super) fn is_unseen(&self, identity: Digest) -> bool {
        self.find(identity).is_some_and(|position| self.entries[position].state == State::Unseen)
    }

    /// Whether a row named a stored key.
    pub(super) fn is_seen(&self, identity: Digest) -> bool {
        self.find(identity).is_some_and(|position| self.entries[position].state != State::Unseen)
    }

    /// The digests of the keys that no row named.
    pub(super) fn gone(&self) -> impl Iterator<Item = Digest> {
        self.entries.iter().filter(|entry| entry.state == State::Unseen).map(|entry| entry.identity)
    }

    /// What the rows left as it is.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Digest, u64)> {
        let kept = self.entries.iter().filter(|entry| entry.state == State::Same);
        kept.map(|entry| (entry.identity, entry.content))
    }
}

/// Appends an entry to a chunk.
pub(super) fn put_entry(out: &mut Vec<u8>, identity: Digest, content: u64) {
    put_identity(out, identity);
    out.extend_from_slice(&content.to_le_bytes());
}

/// Appends a key's digest to a chunk.
pub(super) fn put_identity(out: &mut Vec<u8>, identity: Digest) {
    identity.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

fn entries(chunk: &[u8]) -> Result<impl Iterator<Item = (Digest, u64)>> {
    Ok(exact(chunk, ENTRY_BYTES)?.map(|bytes| (identity(bytes), word(&bytes[IDENTITY_BYTES..]))))
}

fn exact(chunk: &[u8], length: usize) -> Result<std::slice::ChunksExact<'_, u8>> {
    let parts = chunk.chunks_exact(length);
    if parts.remainder().is_empty() { Ok(parts) } else { Err(torn()) }
}

fn identity(bytes: &[u8]) -> Digest {
    [word(bytes), word(&bytes[8..])]
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn torn() -> Error {
    Error::data("the digests beside the table are torn")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: u64 = 1000;

    fn spread(number: u64) -> Digest {
        [number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number]
    }

    fn chunk(numbers: impl Iterator<Item = (u64, u64)>) -> Vec<u8> {
        let mut entries: Vec<_> = numbers.map(|(number, content)| (spread(number), content)).collect();
        entries.sort_unstable();
        let mut out = Vec::new();
        entries.iter().for_each(|(identity, content)| put_entry(&mut out, *identity, *content));
        out
    }

    fn stored() -> Stored {
        let mut stored = Stored::default();
        stored.load(&chunk((0..WORDS).map(|n| (n, n)))).unwrap();
        stored.index();
        stored
    }

    #[test]
    fn rows_are_new_the_same_again_or_contradict_what_was_said() {
        let mut stored = stored();
        let meet = |stored: &mut Stored, number, content| {
            let found = stored.find_all([spread(number)].into_iter());
            assert_eq!(found, [stored.find(spread(number))]);
            stored.meet_all([(spread(number), content)].into_iter())[0]
        };
        assert_eq!(meet(&mut stored, WORDS, 0), Met::New);
        let met = |stored: &mut Stored, content| meet(stored, 7, content);
        assert_eq!(
            [met(&mut stored, 7), met(&mut stored, 7), met(&mut stored, 8)],
            [Met::Same, Met::Again, Met::Contradicts]
        );
        assert_eq!(
            [meet(&mut stored, 8, 9), meet(&mut stored, 8, 9), meet(&mut stored, 8, 8)],
            [Met::New, Met::New, Met::Contradicts]
        );
        assert_eq!((stored.same(), stored.unseen()), (1, WORDS as usize - 2));
        assert!(stored.is_seen(spread(8)) && stored.is_unseen(spread(9)) && !stored.is_unseen(spread(WORDS)));
        assert_eq!((stored.gone().count(), stored.kept().count()), (WORDS as usize - 2, 1));
    }

    #[test]
    fn changes_are_what_a_new_base_would_be() {
        let mut stored = stored();
        let mut gone = Vec::new();
        (0..WORDS / 2).for_each(|n| put_identity(&mut gone, spread(n)));
        stored.change(&gone, &chunk((WORDS - 5..WORDS + 5).map(|n| (n, 1)))).unwrap();
        assert_eq!(stored.len() as u64, WORDS / 2 + 5);
        for number in 0..WORDS + 10 {
            let expected = match number {
                n if !(WORDS / 2..WORDS + 5).contains(&n) => None,
                n if n >= WORDS - 5 => Some(1),
                n => Some(n),
            };
            let found = stored.find(spread(number)).map(|position| stored.entries[position].content);
            assert_eq!(found, expected, "{number}");
        }
        let all = stored.find_all((0..WORDS + 10).map(spread));
        assert_eq!(all, (0..WORDS + 10).map(|number| stored.find(spread(number))).collect::<Vec<_>>());
    }

    #[test]
    fn no_digest_is_found_among_none_and_torn_chunks_are_refused() {
        let mut none = Stored::default();
        none.index();
        assert_eq!((none.find_all([spread(1)].into_iter()), none.meet(None, 1), none.len()), (vec![None], Met::New, 0));
        assert!(none.change(&[1, 2], &[]).is_err() && none.change(&[0; 16], &[]).is_err());
        assert!(none.load(&[0; 25]).is_err());
        assert!(none.load(&[chunk([(1, 1)].into_iter()), chunk([(1, 1)].into_iter())].concat()).is_err());
    }
}
