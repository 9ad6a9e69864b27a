//! The messages of a file of recordings, fetched from wherever it lies.

use std::io::Cursor;
use std::path::Path;

use crate::control::Cancel;
use crate::error::Result;
use crate::feeds::realtime::{Found, message_in, messages};
use crate::lake::{Body, Object};

/// The size up to which a file is held in memory.
const IN_MEMORY_BYTES: u64 = 4 << 20;

/// Fetches a file of recordings.
///
/// # Errors
/// The store's, and those of the scratch space for a large file.
pub(in crate::pipeline) async fn fetch(object: &Object, spool: Option<&Path>, cancel: &Cancel) -> Result<Body> {
    object.body(IN_MEMORY_BYTES, spool, cancel).await
}

/// Hands each message of a fetched file to `each`, with the name to call it by. What cannot be read is told to `each` and
/// stops nothing.
///
/// # Errors
/// Those of `each` alone.
pub(in crate::pipeline) fn each_message(
    name: &str,
    body: Body,
    each: &mut dyn FnMut(&str, Found<'_>) -> Result<()>,
) -> Result<()> {
    match body {
        Body::Bytes(bytes) => match message_in(name, &bytes) {
            Some(message) => each(name, Ok(message)),
            None => messages(name, &mut Cursor::new(bytes), each),
        },
        Body::File(mut file) => messages(name, &mut file, each),
    }
}
