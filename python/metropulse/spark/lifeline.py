"""Native work that ends with its task.

Spark tells a Python worker nothing. It notices that a task is cancelled, lost to its speculative twin, or not needed
any more when it reads what the worker sends; then it closes the worker's socket, which the worker notices when it
writes. A native call may run for minutes, so it runs in a thread, and meanwhile empty batches go to Spark.
"""

from __future__ import annotations

import functools
import gc
import inspect
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from metropulse import _core

__all__ = ["Lifeline", "Task", "opened"]

# The first empty batch lets Spark see that the task is over, one of the next two finds the socket closed.
_BEAT_SECONDS = 0.1
# A native call that can be cancelled rolls back within this time; what cannot ends with the process.
_GRACE_SECONDS = 0.4
_WORKER = Path("pyspark", "worker.py").parts

Task = Callable[[Iterator[Any]], Iterator[Any]]
"""What ``mapInArrow`` calls."""

# The pipelines of the task that this process runs: a worker has one task at a time.
_OPENED: list[_core.Pipeline] = []


def opened(settings: str) -> _core.Pipeline:
    """Open a native pipeline whose calls are cancelled when Spark lets go of the task.

    Args:
        settings: As JSON.

    Returns:
        The pipeline.
    """
    from metropulse import _core

    _OPENED.append(_core.Pipeline(settings))
    return _OPENED[-1]


class Lifeline:
    """A task of ``mapInArrow`` that ends, with its worker, soon after Spark let go of it.

    Such a worker is never used again. Outside of a worker of Spark it is the task alone.
    """

    def __init__(self, task: Task, schema: pa.Schema) -> None:
        """Keep the task.

        Args:
            task: Gives batches.
            schema: Of these batches.
        """
        self._task, self._schema = task, schema

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Give the task's batches."""
        to_spark = _to_spark()
        return self._task(batches) if to_spark is None else self._beating(batches, to_spark)

    def _beating(self, batches: Iterator[Any], to_spark: IO[bytes]) -> Iterator[Any]:
        beat = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in self._schema], schema=self._schema)
        given = iter(self._task(batches))
        thread = ThreadPoolExecutor(1, "metropulse-task")
        step = thread.submit(next, given, None)
        try:
            while True:
                if wait([step], _BEAT_SECONDS).not_done:
                    yield beat
                    to_spark.flush()
                elif (batch := step.result()) is None:
                    return
                else:
                    yield batch
                    step = thread.submit(next, given, None)
        finally:
            if not step.done():
                _leave(step)
            thread.shutdown()
            _OPENED.clear()
            _settle()


def _leave(step: Future[Any]) -> None:
    for pipeline in _OPENED:
        pipeline.cancel()
    if _OPENED:
        wait([step], _GRACE_SECONDS)
    os._exit(1)


@functools.cache
def _settle() -> None:
    """Leave what this worker has imported out of later collections of garbage, once.

    PySpark collects after each task, which takes as long as rolling up half a million rows.
    """
    gc.freeze()


def _to_spark() -> IO[bytes] | None:
    """Return what this worker writes to: PySpark hands it to no task, but it stands in the frame of the worker."""
    frame, is_worker = inspect.currentframe(), False
    while frame is not None:
        if Path(frame.f_code.co_filename).parts[-2:] == _WORKER:
            is_worker = True
            if "outfile" in frame.f_locals:
                found: IO[bytes] = frame.f_locals["outfile"]
                return found
        frame = frame.f_back
    if is_worker:
        _warn_of_orphans()
    return None


@functools.cache
def _warn_of_orphans() -> None:
    logging.getLogger("metropulse.spark").warning(
        "this version of PySpark is not known: native work of a task that Spark cancels runs to its end"
    )
