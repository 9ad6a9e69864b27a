"""Native work that ends with its task.

Spark cancels a task in Python by closing the socket of its worker, which nobody looks at in the middle of a native
call: it would run to its end, for nobody. So a thread waits for the socket's end, and stops the call as Ctrl-C does.
"""

from __future__ import annotations

import _thread
import functools
import inspect
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Task", "interrupting", "lifeline", "with_lifeline"]

# A native call that heeds the interrupt rolls back within this time; what does not heed it ends with the process.
_GRACE_SECONDS = 0.4
_INTERRUPT = "spark.job.interruptOnCancel"
_WORKER = Path("pyspark", "worker.py").parts

Task = Callable[..., Iterator[Any]]
"""What ``mapInArrow`` calls."""


@contextmanager
def interrupting(spark: SparkSession) -> Iterator[None]:
    """Let a cancelled job close the sockets of its tasks at once, whatever the caller's job group says.

    Without it Spark looks every two seconds for tasks that were cancelled, and kills their workers two seconds later.

    Args:
        spark: The session.
    """
    context = spark.sparkContext
    before = context.getLocalProperty(_INTERRUPT)
    context.setLocalProperty(_INTERRUPT, "true")
    try:
        yield
    finally:
        context.setLocalProperty(_INTERRUPT, before)


def with_lifeline(task: Task) -> Task:
    """Make a task of ``mapInArrow`` end with its socket.

    Args:
        task: Gives batches.

    Returns:
        The same, inside of `lifeline`.
    """

    @functools.wraps(task)
    def tied(*arguments: Any, **named: Any) -> Iterator[Any]:
        with lifeline():
            yield from task(*arguments, **named)

    return tied


@contextmanager
def lifeline() -> Iterator[None]:
    """End the work of the block, and this worker, soon after Spark closed the worker's socket.

    It closes it when the task is cancelled, lost to its speculative twin, or not needed any more (a limit is reached);
    such a worker is never used again. Outside of a worker of Spark nothing is watched.
    """
    socket = _socket()
    if socket is None:
        yield
        return
    over, ended = threading.Event(), os.pipe()
    watcher = threading.Thread(target=_watch, args=(socket, ended[0], over), name="metropulse-lifeline", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        os.close(ended[1])
        watcher.join()
        os.close(ended[0])


def _watch(socket: int, ended: int, over: threading.Event) -> None:
    poll = select.poll()
    # Either end of a pipe or socket is told without being asked for; TCP tells the peer's end by this alone.
    poll.register(socket, getattr(select, "POLLRDHUP", 0))
    poll.register(ended, 0)
    poll.poll()
    if over.is_set():
        return
    _thread.interrupt_main()
    if not over.wait(_GRACE_SECONDS):
        os._exit(1)


def _socket() -> int | None:
    """Return the socket of this worker, which PySpark hands to no task: it stands in the frame of the worker's loop."""
    frame = inspect.currentframe()
    while frame is not None:
        if Path(frame.f_code.co_filename).parts[-2:] == _WORKER and "outfile" in frame.f_locals:
            return int(frame.f_locals["outfile"].fileno())
        frame = frame.f_back
    return None
