//! Batches that a thread makes while somebody reads them: bounded memory for what is larger than memory.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::{Error, Result};

/// Batches that wait to be read.
const AHEAD: usize = 2;

/// A stream of batches of one schema.
pub type Stream = Box<dyn RecordBatchReader + Send>;

/// Where batches go.
pub(super) type Sink<'a> = dyn FnMut(RecordBatch) -> Result<()> + 'a;

/// A batch, or the end: a channel that closes without it lost its thread.
enum Step {
    Batch(RecordBatch),
    End,
}

/// Why a stream broke off, kept for who asks: through Arrow's interface passes a text alone.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    /// The error, once.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: Error) -> ArrowError {
        let told = ArrowError::ExternalError(error.to_string().into());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }
}

/// What a thread makes while it is read.
pub struct Streamed {
    schema: SchemaRef,
    steps: Option<Receiver<Result<Step>>>,
    failure: Failure,
}

impl Streamed {
    /// Where the error will be if it breaks off.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

/// Runs work on a thread of its own and streams what it hands over. When the reader goes, the work ends at its next
/// batch.
pub(super) fn streamed(schema: SchemaRef, work: impl FnOnce(&mut Sink<'_>) -> Result<()> + Send + 'static) -> Streamed {
    let (sender, steps) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let gone = || Error::cancelled("nobody reads the rows any more");
        let done = work(&mut |batch| sender.send(Ok(Step::Batch(batch))).map_err(|_| gone()));
        // A reader that is gone hears nothing.
        let _ = sender.send(done.map(|()| Step::End));
    });
    Streamed { schema, steps: Some(steps), failure: Failure::default() }
}

impl Iterator for Streamed {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.as_ref()?.recv();
        let error = match step {
            Ok(Ok(Step::Batch(batch))) => return Some(Ok(batch)),
            Ok(Ok(Step::End)) => None,
            Ok(Err(e)) => Some(e),
            Err(_) => Some(Error::internal("the thread that makes the rows broke off")),
        };
        self.steps = None;
        error.map(|e| Err(self.failure.keep(e)))
    }
}

impl RecordBatchReader for Streamed {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(n: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![n])) as ArrayRef)]).unwrap()
    }

    #[test]
    fn batches_come_in_order_and_then_the_error_alone_which_is_kept_as_it_was() {
        let mut stream = streamed(batch(0).schema(), |sink| {
            (0..3).try_for_each(|n| sink(batch(n)))?;
            Err(Error::storage("row 4 is broken").with("file", "a.parquet").retryable(false))
        });
        let failure = stream.failure();
        for n in 0..3 {
            assert_eq!(stream.next().unwrap().unwrap(), batch(n));
        }
        assert!(stream.next().unwrap().unwrap_err().to_string().contains("row 4 is broken"));
        assert!(stream.next().is_none());
        drop(stream);
        let kept = failure.take().unwrap();
        assert_eq!(
            (kept.kind(), kept.is_retryable(), kept.detail().context["file"].as_str()),
            ("storage", false, "a.parquet")
        );
        assert!(failure.take().is_none());
    }

    #[test]
    fn a_thread_that_breaks_off_is_no_end() {
        let mut stream = streamed(batch(0).schema(), |_| panic!("a defect"));
        assert!(stream.next().unwrap().unwrap_err().to_string().contains("broke off"));
    }

    #[test]
    fn work_ends_when_its_reader_goes() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let mut stream = streamed(batch(0).schema(), move |sink| {
            loop {
                sink(batch(0))?;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        stream.next().unwrap().unwrap();
        drop(stream);
        std::thread::sleep(Duration::from_millis(100));
        assert!(made.load(Ordering::Relaxed) <= AHEAD + 2);
    }
}
