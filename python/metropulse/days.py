"""Days and datasets as arguments: what callers may pass, and the one form the core takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from metropulse.exceptions import ConfigError

__all__ = [
    "DATASETS",
    "FEED_DATASETS",
    "REQUIRED_DATASETS",
    "Day",
    "calendar_span",
    "dataset_names",
    "iso_day",
    "optional_day",
]

Day = str | date
"""A day: a date, or text as ``YYYY-MM-DD``."""

DATASETS = ("routes", "stops", "users", "vehicles", "trips", "payments", "vehicle_positions")
"""The raw datasets that any producer of a day delivers."""

FEED_DATASETS = ("scheduled_trips", "scheduled_stop_times", "shapes", "trip_updates", "alerts")
"""Raw datasets that an agency's own feeds bring beside them; no day has to have them."""

REQUIRED_DATASETS = ("routes", "vehicle_positions")
"""The datasets without which a partition that has no manifest does not count as complete."""


def iso_day(value: Day, name: str = "dt") -> str:
    """Return a day as ``YYYY-MM-DD``.

    Args:
        value: A date, or text of exactly that form.
        name: The argument's name, for the error.

    Returns:
        The text.

    Raises:
        ConfigError: The value is no day.
    """
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    try:
        if len(value) == 10:
            return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"{name} is {value!r}, expected a day as YYYY-MM-DD")


def optional_day(value: Day | None, name: str = "dt") -> str | None:
    """Return a day that may be left out as ``YYYY-MM-DD``.

    Args:
        value: What `iso_day` takes, or None.
        name: The argument's name, for the error.

    Returns:
        The text; None for None.

    Raises:
        ConfigError: The value is no day.
    """
    return None if value is None else iso_day(value, name)


def calendar_span(dt: Day) -> tuple[str, str]:
    """Return the first and last day of the calendar that one raw day needs, as `Pipeline.run` loads it.

    Args:
        dt: The day.

    Returns:
        The year of the day with a month on either side, for days that spill over New Year.
    """
    year = int(iso_day(dt)[:4])
    return f"{year - 1:04}-12-01", f"{year + 1:04}-01-31"


def dataset_names(names: Sequence[str]) -> list[str]:
    """Return dataset names as a list.

    Args:
        names: Names, or one string of names with commas between.

    Returns:
        The names.

    Raises:
        ConfigError: A name is none of the datasets.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    known = (*DATASETS, *FEED_DATASETS)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"unknown dataset {unknown[0]!r}, expected some of {', '.join(known)}")
    return list(names)
