//! Running async work for Python: GIL released, signals heeded, progress reported, panics contained.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::FutureExt;
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{ContextExt, Runtime};

use super::errors::raise;
use crate::control::STOPPED;
use crate::error::{Error, Result};
use crate::pipeline::Pipeline;

/// How often a running call looks for signals and tells its progress.
const TICK: Duration = Duration::from_millis(100);
/// How long a stopped call may take to roll back by itself before it is dropped (which rolls back as well).
const GRACE: Duration = Duration::from_millis(600);

/// Blocks on a call of the pipeline. The GIL is free meanwhile; Ctrl-C and other signals stop the work.
pub(super) fn block_on<T: Send>(
    py: Python<'_>,
    pipeline: &Pipeline,
    progress: Option<&Py<PyAny>>,
    work: impl Future<Output = Result<T>> + Send,
) -> PyResult<T> {
    let runtime = crate::runtime::current().map_err(|e| raise(py, &e))?;
    let outcome = py.detach(|| {
        runtime.block_on(async {
            let outcome = watch(pipeline, progress, work).await;
            pipeline.end().await;
            outcome
        })
    });
    pipeline.explained(outcome?).map_err(|e| raise(py, &e))
}

/// Drives the work and, every tick, Python's signal handlers and the progress callback.
async fn watch<T>(
    pipeline: &Pipeline,
    progress: Option<&Py<PyAny>>,
    work: impl Future<Output = Result<T>>,
) -> PyResult<Result<T>> {
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let mut reported = None;
    loop {
        tokio::select! {
            outcome = &mut work => {
                report_progress(pipeline, progress, &mut reported)?;
                return Ok(outcome.unwrap_or_else(|panic| Err(panicked(&*panic))));
            }
            () = tokio::time::sleep(TICK) => {}
        }
        let signalled = Python::attach(|py| py.check_signals());
        if let Err(stop) = signalled.and_then(|()| report_progress(pipeline, progress, &mut reported)) {
            pipeline.stop().await;
            // A call that ends in time has rolled back; the reason to stop is what the caller hears either way.
            let _ = tokio::time::timeout(GRACE, &mut work).await;
            let standing = format!("metropulse: {STOPPED}; {}", pipeline.progress().standing());
            // The note is for the reader: without it the reason to stop is still the right one.
            let _ = Python::attach(|py| stop.value(py).call_method1("add_note", (standing,)).map(drop));
            return Err(stop);
        }
        if pipeline.is_stopping() {
            pipeline.stop().await;
            return Ok(match tokio::time::timeout(GRACE, &mut work).await {
                Ok(outcome) => outcome.unwrap_or_else(|panic| Err(panicked(&*panic))),
                Err(_) => Err(Error::cancelled(STOPPED)
                    .and("the server rolls back what was under way, unless it was committing it: the ledger tells")),
            });
        }
    }
}

/// How often a callback hears of work that does not move, so that it can say so.
const STILL: Duration = Duration::from_secs(1);

type Reported = Option<((String, u64, u64), Instant)>;

fn report_progress(pipeline: &Pipeline, progress: Option<&Py<PyAny>>, reported: &mut Reported) -> PyResult<()> {
    let Some(callback) = progress else { return Ok(()) };
    let now = pipeline.progress().read();
    if now.0.is_empty() || reported.as_ref().is_some_and(|(before, at)| *before == now && at.elapsed() < STILL) {
        return Ok(());
    }
    Python::attach(|py| callback.call1(py, now.clone()))?;
    *reported = Some((now, Instant::now()));
    Ok(())
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::internal(format!("a defect of metropulse stopped the call; please report it: {text}"))
}

/// Our runtime for coroutines: made anew in a forked child, which the library's own global one is not.
struct Forkable;

impl Runtime for Forkable {
    type JoinError = tokio::task::JoinError;
    type JoinHandle = tokio::task::JoinHandle<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(work: F) -> Self::JoinHandle {
        runtime().spawn(work)
    }

    fn spawn_blocking<F: FnOnce() + Send + 'static>(work: F) -> Self::JoinHandle {
        runtime().spawn_blocking(work)
    }
}

/// [`coroutine`] has made sure that there is one.
fn runtime() -> &'static tokio::runtime::Runtime {
    match crate::runtime::current() {
        Ok(runtime) => runtime,
        Err(e) => unreachable!("the runtime was there a moment ago: {e}"),
    }
}

tokio::task_local! {
    static LOCALS: TaskLocals;
}

impl ContextExt for Forkable {
    fn scope<F, R>(locals: TaskLocals, work: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(locals, work))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(Clone::clone).ok()
    }
}

/// A Python awaitable for work that thousands may wait on at once.
pub(super) fn coroutine<'py>(
    py: Python<'py>,
    work: impl Future<Output = Result<String>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    crate::runtime::current().map_err(|e| raise(py, &e))?;
    pyo3_async_runtimes::generic::future_into_py::<Forkable, _, String>(py, async move {
        work.await.map_err(|e| Python::attach(|py| raise(py, &e)))
    })
}
