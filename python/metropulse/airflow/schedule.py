"""When the daily DAG runs: read from the environment and Airflow's configuration while the DAG file is parsed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from metropulse.airflow._compat import conf, daily_timetable
from metropulse.settings import default_time_zone

__all__ = ["daily_schedule", "first_day", "max_active_runs"]


def daily_schedule() -> Any:
    """Return the timetable of a DAG that loads the day before, in the service zone.

    Returns:
        A timetable for the cron expression ``[metropulse] schedule``, in the zone ``METROPULSE_TIME_ZONE``.
    """
    return daily_timetable(conf.get("metropulse", "schedule", fallback="0 0 * * *"), default_time_zone())


def first_day(day: str) -> datetime:
    """Return the start of a day in the service zone, for ``start_date``.

    Args:
        day: The day as ``YYYY-MM-DD``.

    Returns:
        An aware datetime.
    """
    return datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(default_time_zone()))


def max_active_runs() -> int:
    """Return how many days may be loaded side by side.

    Returns:
        ``[metropulse] max_active_runs``.
    """
    return int(conf.getint("metropulse", "max_active_runs", fallback=1))
