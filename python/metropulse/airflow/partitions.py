"""Which raw day a task works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metropulse.days import iso_day
from metropulse.exceptions import ConfigError

if TYPE_CHECKING:
    from metropulse.airflow._compat import Context

__all__ = ["resolve_partition"]

_NOTHING = {"", "None", "null"}


def resolve_partition(context: Context | Mapping[str, Any], explicit: object = None) -> str:
    """Return the raw day of a run.

    The operator's argument comes first, then the run's ``partition``, its partition key, its data interval. The current
    date is never guessed: a run that was triggered by hand or by an asset has no date of its own.

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
    for value in (explicit, conf.get("partition"), params.get("partition"), context.get("partition_key")):
        if value is not None and str(value).strip() not in _NOTHING:
            text = str(value).strip()
            # A partition key may carry the time of day as well.
            return iso_day(text[:10] if len(text) > 10 and text[10] in "T " else text, "partition")
    if (start := context.get("data_interval_start")) is not None:
        zone = getattr(context.get("dag"), "timezone", None)
        return iso_day(start.astimezone(zone).date() if zone is not None else start.date())
    raise ConfigError('no partition: pass conf={"partition": "YYYY-MM-DD"} with the run, or dt= to the operator')
