"""Lengths of time as people write them: ``10s``, ``15m``, ``1h``."""

from __future__ import annotations

import re
from datetime import timedelta

from metropulse.exceptions import ConfigError

__all__ = ["Duration", "seconds"]

Duration = str | float | timedelta
"""A text such as ``10s``, ``500ms``, ``15m`` or ``1h``, a number of seconds, or a timedelta."""

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(value: Duration, what: str) -> float:
    """Return a length of time in seconds.

    Args:
        value: The time.
        what: What messages call it.

    Returns:
        The seconds.

    Raises:
        ConfigError: It is no length of time.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value) if isinstance(value, str) else None
    if found is None or found[2] not in _UNITS:
        raise ConfigError(f"{what} is {value!r}, expected a time such as 10s, 500ms, 15m or 1h", {"setting": what})
    return float(found[1]) * _UNITS[found[2]]
