"""What fails in a task, on its way to the driver: class, context and whether a retry helps stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metropulse import states
from metropulse.exceptions import MetropulseError
from metropulse.spark.lifeline import Task

if TYPE_CHECKING:
    from metropulse import _core

__all__ = ["Telling", "batches_of", "told_by"]

_TOLD = re.compile(r'^metropulse: (\{"failed".*\})$', re.MULTILINE)


def batches_of(stream: _core.ArrowStream) -> Iterator[pa.RecordBatch]:
    """Give the batches of a native stream.

    Args:
        stream: The stream.

    Yields:
        Its batches.

    Raises:
        MetropulseError: The stream broke off; through Arrow's interface passes a text alone.
    """
    try:
        yield from pa.RecordBatchReader.from_stream(stream)
    except pa.ArrowInvalid:
        stream.raise_failure()
        raise


class Telling:
    """A task whose error is told whole by its traceback: the driver sees nothing else of what an executor raised."""

    def __init__(self, task: Task) -> None:
        """Keep the task.

        Args:
            task: Gives batches.
        """
        self._task = task

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Give the task's batches."""
        try:
            yield from self._task(batches)
        except MetropulseError as error:
            error.add_note(f"metropulse: {states.failure_text(error)}")
            raise


def told_by(text: str) -> MetropulseError | None:
    """Return the error that a text of Spark tells.

    Args:
        text: Of an exception.

    Returns:
        The last error of a task in it, as it was; None where no task of ours failed.
    """
    told = _TOLD.findall(text)
    return states.failure_of(told[-1]) if told else None
