//! A limit of what is copied of one source.

use crate::error::{Error, Result};

/// The most bytes that are copied of one source. Feeds and packages are smaller; a server that claims more may send on and on
/// until the disk is full.
const MOST_BYTES: u64 = 8 << 30;

/// How many bytes of a source may still be copied.
pub(super) struct BytesLeft(u64);

impl Default for BytesLeft {
    fn default() -> Self {
        Self(MOST_BYTES)
    }
}

impl BytesLeft {
    /// Counts bytes that are copied, or announced, of `source`.
    ///
    /// # Errors
    /// `Data` when they are more than is copied.
    pub(super) fn take(&mut self, bytes: u64, source: &str) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            Error::data(format!(
                "{source} has more than {MOST_BYTES} bytes, which is no feed; if it is one, download it and name the file"
            ))
            .with("source", source)
        })?;
        Ok(())
    }
}
