"""When the daily DAG runs, and how much of it at once: read from Airflow's configuration while the file is parsed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from metropulse.airflow._compat import asset_timetable, conf, daily_timetable
from metropulse.airflow.assets import raw_asset
from metropulse.settings import default_time_zone

__all__ = [
    "ARRIVALS",
    "WAITING",
    "after",
    "agency_feed",
    "agency_gtfs",
    "agency_schedule",
    "agency_waits",
    "arrivals_schedule",
    "daily_schedule",
    "day_defaults",
    "days_at_once",
    "first_day",
    "mart_in_daily",
    "max_active_runs",
    "wait_seconds",
    "work_defaults",
    "work_pool",
]

ARRIVALS = "arrivals"
"""The word for ``[metropulse] schedule`` that starts a run when a raw day has arrived, instead of at a time."""

WAITING: dict[str, Any] = {"execution_timeout": None, "pool": "default_pool", "max_active_tis_per_dag": None}
"""Arguments of a step that waits. It works for moments only: what bounds those that work must not bound the waiting."""


def daily_schedule() -> Any:
    """Return the timetable of a DAG that loads a raw day.

    Returns:
        A timetable for the cron expression ``[metropulse] schedule`` in the zone ``METROPULSE_TIME_ZONE``, whose run
        loads the day before; or one that follows the raw days themselves, where the setting is ``arrivals``.
    """
    when = conf.get("metropulse", "schedule", fallback="0 0 * * *").strip()
    return after(raw_asset()) if when == ARRIVALS else daily_timetable(when, default_time_zone())


def agency_schedule() -> Any:
    """Return the timetable of the DAG that loads an agency's own feeds.

    Returns:
        A timetable for the cron expression ``[metropulse] agency_schedule`` in the zone ``METROPULSE_TIME_ZONE``, whose
        run loads the service date of the time before.
    """
    when = conf.get("metropulse", "agency_schedule", fallback="30 12 * * *").strip()
    return daily_timetable(when, default_time_zone())


def agency_gtfs() -> str:
    """Return where the agency's timetable is; empty when there is none to read.

    Returns:
        ``[metropulse] agency_gtfs``.
    """
    return str(conf.get("metropulse", "agency_gtfs", fallback="")).strip()


def agency_feed() -> str:
    """Return the name of the agency's feeds in a lake of several agencies; empty when the lake is theirs alone.

    Returns:
        ``[metropulse] agency_feed``.
    """
    return str(conf.get("metropulse", "agency_feed", fallback="")).strip()


def agency_waits() -> bool:
    """Return whether the agency's DAG waits for the recordings of the whole service date.

    Returns:
        ``[metropulse] agency_wait``.
    """
    return bool(conf.getboolean("metropulse", "agency_wait", fallback=True))


def after(asset: Any) -> Any:
    """Return the schedule of a DAG that follows an asset of ours, one run for each raw day.

    Args:
        asset: The asset, such as that of `metropulse.airflow.assets.facts_asset`, or an expression of several.

    Returns:
        What ``DAG(schedule=...)`` takes: from Airflow 3.2 on a timetable of partitions, before a list of assets.
    """
    return asset_timetable(asset)


def arrivals_schedule() -> str:
    """Return when to look for raw days that arrived.

    Returns:
        The cron expression ``[metropulse] arrivals_schedule``.
    """
    return str(conf.get("metropulse", "arrivals_schedule", fallback="*/5 * * * *"))


def first_day(day: str) -> datetime:
    """Return the start of a day in the service zone, for ``start_date``.

    Args:
        day: The day as ``YYYY-MM-DD``.

    Returns:
        An aware datetime.
    """
    return datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(default_time_zone()))


def max_active_runs() -> int:
    """Return how many days may be under way side by side, those that only wait among them.

    Returns:
        ``[metropulse] max_active_runs``.
    """
    return int(conf.getint("metropulse", "max_active_runs", fallback=8))


def days_at_once() -> int:
    """Return how many days each step may work on side by side; a day that only waits is none of them.

    Returns:
        ``[metropulse] days_at_once``, for ``max_active_tis_per_dag``.
    """
    return int(conf.getint("metropulse", "days_at_once", fallback=4))


def work_pool() -> str:
    """Return the pool of the steps that work. It has to exist: Airflow queues nothing into a pool that does not.

    Returns:
        ``[metropulse] pool``.
    """
    return str(conf.get("metropulse", "pool", fallback="default_pool"))


def work_defaults() -> dict[str, Any]:
    """Return the ``default_args`` of a DAG whose steps work.

    Returns:
        Two retries, at most two hours for each try, and the pool of the steps that work.
    """
    return {
        "owner": "metropulse",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
        "pool": work_pool(),
    }


def day_defaults() -> dict[str, Any]:
    """Return the ``default_args`` of a DAG that loads raw days, several side by side.

    Returns:
        Those of `work_defaults`, and how many days each step may work on at once.
    """
    return {**work_defaults(), "max_active_tis_per_dag": days_at_once()}


def mart_in_daily() -> bool:
    """Return whether the daily DAG builds the mart, or leaves that to the DAG ``metropulse_mart``.

    Returns:
        ``[metropulse] mart_in_daily``.
    """
    return bool(conf.getboolean("metropulse", "mart_in_daily", fallback=True))


def wait_seconds() -> float:
    """Return how long a run waits for its raw day.

    Returns:
        ``[metropulse] wait_minutes``, in seconds.
    """
    return 60.0 * float(conf.getfloat("metropulse", "wait_minutes", fallback=720.0))
