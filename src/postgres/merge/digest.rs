//! Digests of rows: of a key, and of what is said of it.
//!
//! SipHash 1-3 of 128 bits with a random key: the same in every build and process that knows the key, and nobody who does
//! not know it can make rows whose digests are equal.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::super::history::wire::{Column, Field, put_canonical};

/// A digest of 128 bits.
pub(super) type Digest = [u64; 2];

/// Makes digests.
#[derive(Clone)]
pub(super) struct Digester {
    hasher: SipHasher13,
}

impl Default for Digester {
    /// With a new key.
    fn default() -> Self {
        // The standard library's own seeds come from the operating system's random source.
        let word = || RandomState::new().build_hasher().finish();
        Self::new([word(), word()])
    }
}

impl Digester {
    /// With the key of another.
    pub(super) fn new(key: [u64; 2]) -> Self {
        Self { hasher: SipHasher13::new_with_keys(key[0], key[1]) }
    }

    /// The key.
    pub(super) fn key(&self) -> [u64; 2] {
        let (first, second) = self.hasher.keys();
        [first, second]
    }

    /// The digest of some fields. `scratch` saves allocations.
    pub(super) fn digest(&self, columns: &[Column], fields: &[Field<'_>], scratch: &mut Vec<u8>) -> Digest {
        scratch.clear();
        for (column, field) in columns.iter().zip(fields) {
            put_canonical(scratch, column, *field);
        }
        let digest = self.hasher.hash(scratch);
        [digest.h1, digest.h2]
    }

    /// The digest of what a row says that takes its key away, whatever stands in its other columns.
    pub(super) fn gone(&self) -> Digest {
        self.after(Digest::default(), &[Some(b"gone")])
    }

    /// The digest of a row of pieces and of everything before it; NULL is not the same as an empty piece.
    pub(super) fn after(&self, before: Digest, pieces: &[Option<&[u8]>]) -> Digest {
        let mut hasher = self.hasher;
        before.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
        for piece in pieces {
            let length = piece.map_or(u64::MAX, |bytes| bytes.len() as u64);
            hasher.write(&length.to_le_bytes());
            hasher.write(piece.unwrap_or_default());
        }
        let digest = hasher.finish128();
        [digest.h1, digest.h2]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::copy::PgType;
    use super::*;

    /// Stored digests are compared with those of later builds.
    #[test]
    fn a_digest_is_a_function_of_its_key_and_the_values_alone() {
        let column = |kind| Column { name: "c".into(), kind, sql_type: String::new() };
        let columns = [column(PgType::Text), column(PgType::Int8)];
        let fields = [Some(&b"a"[..]), None];
        let digester = Digester::new([1, 2]);
        let digest = digester.digest(&columns, &fields, &mut Vec::new());
        assert_eq!(digest, GOLDEN);
        assert_eq!(Digester::new(digester.key()).digest(&columns, &fields, &mut vec![9]), digest);
        assert_ne!(Digester::default().digest(&columns, &fields, &mut Vec::new()), digest);
    }

    #[test]
    fn a_row_of_digests_depends_on_every_piece_its_place_and_what_came_before() {
        let digester = Digester::new([1, 2]);
        let of = |before, pieces: &[Option<&[u8]>]| digester.after(before, pieces);
        let (a, b) = (Some(&b"a"[..]), Some(&b"b"[..]));
        let digests = [
            of([0, 0], &[a, b]),
            of([0, 0], &[b, a]),
            of([0, 0], &[Some(b"ab"), Some(b"")]),
            of([0, 0], &[Some(b"ab"), None]),
            of([0, 1], &[a, b]),
            of(of([0, 0], &[a]), &[b]),
            of(of([0, 0], &[b]), &[a]),
            Digester::new([1, 3]).after([0, 0], &[a, b]),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
        assert_eq!(of([0, 0], &[a, b]), digests[0]);
    }

    const GOLDEN: Digest = [17_692_103_306_088_902_868, 6_646_594_499_962_986_146];
}
