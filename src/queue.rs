//! The one way to share work over threads and connections: whoever is free takes the next piece.
//!
//! Standard library only, so that the pure rooms may use it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The numbers of pieces of work, each given out once.
#[derive(Debug)]
pub struct Queue {
    next: AtomicUsize,
    len: usize,
}

impl Queue {
    /// A queue of `len` pieces, numbered from 0.
    pub fn new(len: usize) -> Self {
        Self { next: AtomicUsize::new(0), len }
    }

    /// The next piece nobody has, or `None` when all are given out.
    pub fn take(&self) -> Option<usize> {
        let piece = self.next.fetch_add(1, Ordering::Relaxed);
        (piece < self.len).then_some(piece)
    }

    /// Whether every piece is given out.
    pub fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.len
    }

    /// Does all pieces on up to `threads` threads, of which the caller's is one. Blocking.
    ///
    /// # Errors
    /// The first error found; no further piece is taken then.
    pub fn drain(&self, threads: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        self.drain_with(threads, || (), |piece, ()| work(piece)).map(drop)
    }

    /// The same, where each thread keeps something of its own; what they kept, in no order.
    ///
    /// # Errors
    /// The first error found; no further piece is taken then.
    pub fn drain_with<T: Send>(
        &self,
        threads: usize,
        begin: impl Fn() -> T + Sync,
        work: impl Fn(usize, &mut T) -> Result<()> + Sync,
    ) -> Result<Vec<T>> {
        let run = || {
            let mut kept = begin();
            while let Some(piece) = self.take() {
                if let Err(e) = work(piece, &mut kept) {
                    self.next.store(self.len, Ordering::Relaxed);
                    return Err(e);
                }
            }
            Ok::<_, Error>(kept)
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads.min(self.len)).map(|_| scope.spawn(run)).collect();
            let mut outcome = run().map(|kept| vec![kept]);
            for helper in helpers {
                let helped = helper.join().map_err(|_| Error::internal("a working thread broke off")).and_then(|o| o);
                outcome = match (outcome, helped) {
                    (Ok(mut all), Ok(kept)) => {
                        all.push(kept);
                        Ok(all)
                    }
                    (Err(e), _) | (Ok(_), Err(e)) => Err(e),
                };
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn each_piece_is_done_once_on_any_number_of_threads() {
        for threads in [0, 1, 3, 40] {
            let done = Mutex::new(vec![0; 20]);
            Queue::new(20)
                .drain(threads, |piece| {
                    done.lock().unwrap()[piece] += 1;
                    Ok(())
                })
                .unwrap();
            assert_eq!(done.into_inner().unwrap(), [1; 20], "{threads} threads");
        }
    }

    #[test]
    fn an_error_of_any_thread_is_the_outcome() {
        let failed = Queue::new(50).drain(4, |piece| match piece {
            37 => Err(Error::data("piece 37")),
            _ => Ok(()),
        });
        assert_eq!(failed.unwrap_err().to_string(), Error::data("piece 37").to_string());
    }
}
