"""What an error of metropulse means to Airflow; decided here alone.

No use retrying: the task fails at once. Transient: the error goes on, so Airflow's ordinary retries apply. Nothing
to do: the task is skipped, but only when its author asked for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metropulse.airflow._compat import AirflowFailException, AirflowSkipException
from metropulse.exceptions import (
    CancelledError,
    ConfigError,
    ConflictError,
    DatabaseError,
    DataError,
    InternalError,
    MetropulseError,
    NotFoundError,
    QualityError,
    SchemaError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metropulse.airflow._compat import Context

__all__ = ["ERROR_XCOM_KEY", "airflow_errors", "error_from_dict", "small"]

ERROR_XCOM_KEY = "metropulse_error"
"""The XCom under which a failed task leaves kind, message and context of its error."""

_CLASSES: dict[str, type[MetropulseError]] = {
    error.kind: error
    for error in (
        CancelledError,
        ConfigError,
        ConflictError,
        DataError,
        DatabaseError,
        InternalError,
        NotFoundError,
        QualityError,
        SchemaError,
        StorageError,
    )
}


@contextmanager
def airflow_errors(context: Context | Mapping[str, Any], *, skip_if_missing: bool = False) -> Iterator[None]:
    """Translate errors of metropulse that leave the block.

    Args:
        context: The task's context; the error is left there as an XCom.
        skip_if_missing: Skip the task when the partition is not there.

    Raises:
        AirflowSkipException: The partition is missing and the caller asked to skip.
        AirflowFailException: A retry cannot help.
        MetropulseError: A retry may help.
    """
    try:
        yield
    except MetropulseError as error:
        # What is not retryable will not come, such as a bucket that does not exist: that is no day to skip.
        if skip_if_missing and isinstance(error, NotFoundError) and error.retryable:
            raise AirflowSkipException(str(error)) from error
        if (instance := context.get("ti")) is not None:
            instance.xcom_push(key=ERROR_XCOM_KEY, value=_parts(error))
        if error.retryable:
            raise
        raise AirflowFailException(f"{error.kind} error: {error}") from error


def error_from_dict(parts: Mapping[str, Any]) -> MetropulseError:
    """Return the error that a trigger sent as a dict.

    Args:
        parts: What `MetropulseError.to_dict` returned.

    Returns:
        An error of the same class.
    """
    error = _CLASSES.get(str(parts.get("error")), InternalError)
    return error(str(parts.get("message", "")), parts.get("context"), parts.get("retryable"))


def small(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as it is left as an XCom.

    Args:
        report: The report.

    Returns:
        The same; of quality checks only those that failed, and ``checked``, how many there were.
    """
    parts = dict(report)
    if (checks := parts.get("checks")) is not None:
        parts["checked"] = len(checks)
        parts["checks"] = [check for check in checks if not check.get("passed")]
    return parts


def _parts(error: MetropulseError) -> dict[str, Any]:
    parts = error.to_dict()
    if isinstance(error, QualityError):
        parts["report"] = small(error.report)
    return parts
