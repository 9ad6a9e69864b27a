//! What one thread waits for and another finds out.

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::error::{Error, Result};

/// Something that somebody else finds out meanwhile.
pub(super) struct Awaited<T>(Option<oneshot::Receiver<T>>);

impl<T> Awaited<T> {
    /// It, and where to give it.
    pub(super) fn new() -> (oneshot::Sender<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Some(receiver)))
    }

    /// What was found out, once; with `waits` not before it is. Blocking.
    pub(super) fn poll(&mut self, waits: bool) -> Result<Option<T>> {
        let Some(mut receiver) = self.0.take() else { return Ok(None) };
        let found = match receiver.try_recv() {
            Err(TryRecvError::Empty) if waits => receiver.blocking_recv().ok(),
            Err(TryRecvError::Empty) => {
                self.0 = Some(receiver);
                return Ok(None);
            }
            other => other.ok(),
        };
        found.map(Some).ok_or_else(|| Error::cancelled("the reading of the snapshot was stopped"))
    }
}
