//! SHA-256 as manifests, names and reports have it.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

const PIECE_BYTES: usize = 1 << 16;

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes all that is left of a file into a digest.
pub fn add_file(digest: &mut Sha256, input: &mut impl Read) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match input.read(&mut piece)? {
            0 => return Ok(()),
            read => digest.update(&piece[..read]),
        }
    }
}
