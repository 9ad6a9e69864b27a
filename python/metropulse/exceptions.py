"""The tree of errors metropulse raises, rooted at `MetropulseError`.

The classes answer one question: what can the caller do? They are defined here, in Python, and raised by the native
core as well, so that ``except metropulse.DataError`` means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from metropulse.redaction import redact

__all__ = [
    "CancelledError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "InternalError",
    "MetropulseError",
    "NotFoundError",
    "QualityError",
    "SchemaError",
    "StorageError",
]


class MetropulseError(Exception):
    """Root of everything metropulse raises on purpose.

    Passwords in URLs and ``name=value`` pairs are hidden in message and context, whatever a driver put there.

    Attributes:
        message: One clause: what was found, what was expected, what to do.
        context: Named facts such as ``file``, ``column``, ``row``, ``table`` or ``sqlstate``.
        retryable: Whether the same call may succeed later without any change.
    """

    kind: ClassVar[str] = "internal"
    """Short name of the class of errors, as the command line prints it."""

    retryable_by_default: ClassVar[bool] = False
    """What `retryable` is when the one who raises does not say."""

    def __init__(
        self,
        message: str,
        context: Mapping[str, str] | None = None,
        retryable: bool | None = None,
    ) -> None:
        """Keep message, context and retryability.

        Args:
            message: One clause: what was found, what was expected, what to do.
            context: Named facts about the place of the error.
            retryable: Whether the same call may succeed later; the class decides when None.
        """
        self.message = redact(message)
        super().__init__(self.message)
        self.context: dict[str, str] = {str(k): redact(str(v)) for k, v in (context or {}).items()}
        self.retryable = self.retryable_by_default if retryable is None else retryable

    def __str__(self) -> str:
        """Return the message, followed by the context in brackets."""
        if not self.context:
            return self.message
        facts = ", ".join(f"{name}={value}" for name, value in self.context.items())
        return f"{self.message} [{facts}]"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by message, context and retryability."""
        return type(self), (self.message, self.context, self.retryable)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as a JSON-safe dict, as ``--json`` prints it.

        Returns:
            Keys ``error`` (the kind), ``message``, ``context`` and ``retryable``.
        """
        return {
            "error": self.kind,
            "message": self.message,
            "context": dict(self.context),
            "retryable": self.retryable,
        }


class ConfigError(MetropulseError, ValueError):
    """A setting is missing, unknown or contradictory: change the call."""

    kind = "config"


class NotFoundError(MetropulseError, FileNotFoundError):
    """The partition, file or table asked for is not there (yet)."""

    kind = "not_found"
    retryable_by_default = True


class SchemaError(MetropulseError):
    """Columns or types of the input cannot become ours: change the producer."""

    kind = "schema"


class DataError(MetropulseError):
    """Values of the input break a promise: repair the input."""

    kind = "data"


class QualityError(DataError):
    """A check of severity *error* failed.

    Attributes:
        report: The report of all checks, passed and failed, as a dict.
    """

    kind = "quality"

    def __init__(
        self,
        message: str,
        context: Mapping[str, str] | None = None,
        retryable: bool | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the parts of the error and the report of the checks.

        Args:
            message: One clause: how many checks failed, and which.
            context: Named facts about the place of the error.
            retryable: Whether the same call may succeed later; False when None.
            report: The report of all checks.
        """
        super().__init__(message, context, retryable)
        self.report: dict[str, Any] = dict(report or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the report."""
        return type(self), (self.message, self.context, self.retryable, self.report)

    def to_dict(self) -> dict[str, Any]:
        """Return the error and the report of the checks as a JSON-safe dict.

        Returns:
            The keys of `MetropulseError.to_dict` and ``report``.
        """
        return {**super().to_dict(), "report": dict(self.report)}


class ConflictError(MetropulseError):
    """Another run holds the lock, or the state changed underneath: run again."""

    kind = "conflict"
    retryable_by_default = True


class StorageError(MetropulseError):
    """The lake could not be read or written."""

    kind = "storage"
    retryable_by_default = True


class DatabaseError(MetropulseError):
    """PostgreSQL or ClickHouse refused or went away."""

    kind = "database"
    retryable_by_default = True


class CancelledError(MetropulseError):
    """The caller stopped the work; the message says what was published before."""

    kind = "cancelled"


class InternalError(MetropulseError):
    """A defect of metropulse itself: please report it."""

    kind = "internal"
