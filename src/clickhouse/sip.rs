//! SipHash-2-4 with a zero key, 64 and 128 bits wide, as ClickHouse's `sipHash64` and `sipHash128` compute it.
//!
//! The 128-bit form is ClickHouse's own: the 64-bit state cut in two halves, not the published SipHash-128.

struct State([u64; 4]);

impl State {
    fn round(&mut self) {
        let v = &mut self.0;
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    }

    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn of(bytes: &[u8]) -> [u64; 4] {
        let mut state =
            Self([0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573]);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| state.absorb(u64::from_le_bytes(*word)));
        let mut last = [0_u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        state.absorb(u64::from_le_bytes(last) | (bytes.len() as u64) << 56);
        state.0[2] ^= 0xff;
        (0..4).for_each(|_| state.round());
        state.0
    }
}

/// `sipHash64(bytes)`.
pub(super) fn hash64(bytes: &[u8]) -> u64 {
    let [a, b, c, d] = State::of(bytes);
    a ^ b ^ c ^ d
}

/// `sipHash128(bytes)`: an element of a `uniqExact` state.
pub(super) fn hash128(bytes: &[u8]) -> [u8; 16] {
    let [a, b, c, d] = State::of(bytes);
    let mut out = [0; 16];
    out[..8].copy_from_slice(&(a ^ b).to_le_bytes());
    out[8..].copy_from_slice(&(c ^ d).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_clickhouse() {
        assert_eq!(hash64(b"abc"), 4_596_069_200_710_135_518);
        let hex: String = hash128(b"abc").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "b6b415a2da966b6c685a65e54c12a353");
    }
}
