"""Errors on the command line: one clear line, a hint, and an exit code."""

from __future__ import annotations

import json
import signal
import sys
import traceback
from typing import NoReturn

from metropulse.exceptions import ConfigError, InternalError, MetropulseError

__all__ = ["EXIT_CODES", "fail", "print_error", "stop_on_terminate"]

EXIT_CODES = {
    "internal": 1,
    "config": 2,
    "not_found": 3,
    "schema": 4,
    "data": 5,
    "quality": 6,
    "conflict": 7,
    "storage": 8,
    "database": 9,
    "cancelled": 130,
}
"""Exit code by kind of error."""

_HINTS = {
    "schema": "change the producer, or the file; nothing was written",
    "quality": "the results are in dwh.quality_result",
    "storage": "check the lake's address and credentials with `metropulse doctor`",
    "internal": "this is a defect; --debug shows where",
}
# Where the error is about a raw day.
_DAY_HINTS = {
    "not_found": "`metropulse status` lists the days that are there; `metropulse generate` makes some",
    "data": "`metropulse rejected list` shows the rows that staging rejected",
}


def fail(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Print an error and return the exit code.

    Args:
        error: What was raised.
        as_json: Also print the error as a JSON object on standard output.
        debug: Show the traceback.

    Returns:
        The exit code.
    """
    known = error if isinstance(error, MetropulseError) else _wrap(error)
    if debug:
        traceback.print_exception(error)
    if as_json:
        print_error(known)
    print(f"error: {known}", file=sys.stderr)
    if hint := _hint(known):
        print(f"hint: {hint}", file=sys.stderr)
    return EXIT_CODES.get(known.kind, 1)


def print_error(error: MetropulseError) -> None:
    """Print an error as one line of JSON on standard output.

    Args:
        error: The error.
    """
    print(json.dumps(error.to_dict(), default=str), flush=True)


def stop_on_terminate() -> None:
    """Turn SIGTERM into an orderly exit with code 143: a native step sees it, rolls back and cleans up."""

    def leave(_number: int, _frame: object) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)


def _hint(error: MetropulseError) -> str | None:
    """Return what helps beyond the message; wrong SQL, for one, is not the server's fault."""
    if error.kind == "database" and error.retryable:
        return "check the servers with `metropulse doctor`"
    if "dt" in error.context and error.kind in _DAY_HINTS:
        return _DAY_HINTS[error.kind]
    return _HINTS.get(error.kind)


def _wrap(error: BaseException) -> MetropulseError:
    if isinstance(error, ImportError) and (error.name or "").startswith("metropulse"):
        return ConfigError(f"metropulse is not installed completely: {error}")
    if isinstance(error, OSError) and error.strerror:
        return MetropulseError(f"{error.strerror.lower()}: {error.filename}")
    return InternalError(f"unexpected {type(error).__name__}: {error}")
