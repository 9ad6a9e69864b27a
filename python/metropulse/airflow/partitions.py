"""Which raw day a task works on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from metropulse.days import iso_day
from metropulse.exceptions import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from metropulse.airflow._compat import Context

__all__ = ["YESTERDAY", "resolve_partition"]

YESTERDAY = "yesterday"
"""What the form of the daily DAG proposes: the day before the run, by the calendar of the service zone."""

_NOTHING = {"", "None", "null"}


def resolve_partition(context: Context | Mapping[str, Any], explicit: object = None) -> str:
    """Return the raw day of a run.

    The operator's argument comes first, then the run's ``partition``, its partition key, its data interval. The word
    ``yesterday`` as the run's ``partition`` gives way to these; where there is none of them, it is the day before the
    run, and stays that day when the run is cleared. The current date is never guessed: without that word a run that
    was triggered by hand or by an asset has no date of its own.

    Args:
        context: The task's context.
        explicit: The operator's argument, rendered.

    Returns:
        The day as ``YYYY-MM-DD``.

    Raises:
        ConfigError: Nothing names the day, or what names it is no day.
    """
    run = context.get("dag_run")
    conf = getattr(run, "conf", None) or {}
    params = context.get("params") or {}
    given = [_text(value) for value in (explicit, conf.get("partition"), params.get("partition"))]
    for text in (*given, _text(context.get("partition_key"))):
        if text and text != YESTERDAY:
            # A partition key may carry the time of day as well.
            return iso_day(text[:10] if len(text) > 10 and text[10] in "T " else text, "partition")
    if (start := context.get("data_interval_start")) is not None and not _is_an_instant(context):
        return _local_day(context, start)
    if YESTERDAY in given and (run_after := getattr(run, "run_after", None)) is not None:
        return _local_day(context, run_after, timedelta(days=-1))
    raise ConfigError('no partition: pass conf={"partition": "YYYY-MM-DD"} with the run, or dt= to the operator')


def _text(value: object) -> str:
    text = "" if value is None else str(value).strip()
    return "" if text in _NOTHING else text


def _is_an_instant(context: Context | Mapping[str, Any]) -> bool:
    """Whether the data interval of a run by hand is the moment somebody pressed the button, which is no day."""
    run = context.get("dag_run")
    by_hand = str(getattr(run, "run_type", "")).rpartition(".")[2].lower() == "manual"
    return by_hand and context.get("data_interval_start") == context.get("data_interval_end")


def _local_day(context: Context | Mapping[str, Any], instant: datetime, offset: timedelta = timedelta()) -> str:
    zone = getattr(context.get("dag"), "timezone", None)
    local = instant.astimezone(zone) if zone is not None else instant
    return iso_day(local.date() + offset)
