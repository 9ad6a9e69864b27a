"""What to tell people of a failed task: the file, the reason, the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from metropulse.airflow.partitions import resolve_partition
from metropulse.exceptions import ConfigError, MetropulseError, QualityError

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context

__all__ = ["failure_message"]

_REMEDIES = {
    "config": "Correct the connection or the setting, then clear the task.",
    "not_found": "Have the day delivered, then clear the task.",
    "schema": "Have the file delivered with the columns that it needs, then clear the task.",
    "data": "Have the file delivered again, or repair its rows with `requeue`, then clear the task.",
    "quality": "Look at the rows that the checks name (dwh.quality_result has their SQL), then clear the task.",
    "conflict": "Another load held what this one needs. See that it has ended, then clear the task.",
    "storage": "See that the lake can be reached with these credentials, then clear the task.",
    "database": "See that the server is up and has room, then clear the task.",
    "cancelled": "Somebody stopped the step, or its execution_timeout was over. Clear the task to run it again.",
    "internal": "This is a fault of metropulse: please report it with the task's log.",
}


def failure_message(context: Context | Mapping[str, Any]) -> str:
    """Return what to tell people of a failed task, for ``on_failure_callback`` and for notifiers.

    Args:
        context: The callback's context.

    Returns:
        Some lines: task and raw day, the error with file and reason, the checks that failed, what to do, and how often
        Airflow tried.
    """
    return "\n".join(_lines(context))


def _lines(context: Context | Mapping[str, Any]) -> Iterator[str]:
    instance = context.get("ti")
    name = f"{getattr(instance, 'dag_id', '?')}.{getattr(instance, 'task_id', '?')}"
    try:
        day = resolve_partition(context, getattr(context.get("task"), "dt", None))
    except ConfigError:
        day = "a day that nothing names"
    yield f"{name} failed for {day}, try {getattr(instance, 'try_number', 1)}."
    raised = context.get("exception")
    error = _ours(raised)
    if error is None:
        yield (
            f"{type(raised).__name__}: {raised}"
            if isinstance(raised, BaseException)
            else str(raised or "no reason given")
        )
        return
    yield f"{error.kind} error: {error}"
    if isinstance(error, QualityError):
        for check in error.report.get("checks", ()):
            if not check.get("passed"):
                wanted = f"found {check.get('found')}, expected {check.get('expected')}"
                yield f"  {check.get('severity', 'error')}: {check.get('table')}: {check.get('name')}: {wanted}"
    yield _REMEDIES[error.kind]


def _ours(raised: object) -> MetropulseError | None:
    """Return the error of metropulse that an exception is, or was raised from."""
    seen: object = raised
    while isinstance(seen, BaseException):
        if isinstance(seen, MetropulseError):
            return seen
        seen = seen.__cause__
    return None
