"""The events that tell of a task's assets: with the counts of its report, by raw day, of what changed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from metropulse.airflow._compat import AssetAlias
from metropulse.airflow.assets import GROUP, KINDS, concrete

if TYPE_CHECKING:
    from metropulse.airflow._compat import Asset, BaseOperator, Context
    from metropulse.airflow.assets import Places

__all__ = ["announce"]

_TABLES = {table for kind in ("staging", "calendar", "dimensions") for table in KINDS[kind][1]}


def announce(
    task: BaseOperator,
    context: Context | Mapping[str, Any],
    report: Mapping[str, Any],
    *,
    days: Sequence[str] = (),
    writes: Sequence[str] = (),
    places: Places | None = None,
) -> None:
    """Give the events of a task their counts and partitions, and take out those of what did not change.

    Airflow emits one event for each outlet that a task has when it ends. So an outlet of ours whose tables were not
    changed is taken from this try of the task. On a later try all stay: the one before may have published, and been
    killed before Airflow heard of it.

    Args:
        task: The task that runs; its outlets of others stay as they are.
        context: Its context.
        report: The verb's report.
        days: The raw days that it worked on.
        writes: The kinds of assets it writes.
        places: Where they are.
    """
    events = context.get("outlet_events")
    if events is None or not task.outlets:
        return
    sure = int(getattr(context.get("ti"), "try_number", 1) or 1) > 1

    def tells(asset: Asset) -> bool:
        return not report.get("dry_run") and (sure or _changed(asset, report))

    kept = []
    for outlet in task.outlets:
        if isinstance(outlet, AssetAlias):
            kept.append(outlet)
            kind = outlet.name.removeprefix("metropulse_")
            for asset in concrete(kind, places) if kind in writes and places else ():
                if tells(asset):
                    events[outlet].add(asset, extra=_extra(asset, report, days))
        elif getattr(outlet, "group", None) != GROUP:
            kept.append(outlet)
        elif tells(outlet):
            kept.append(outlet)
            accessor = events[outlet]
            accessor.extra = _extra(outlet, report, days)
            own = getattr(context.get("dag_run"), "partition_key", None)
            if days and list(days) != [own] and hasattr(accessor, "add_partitions"):  # Airflow 3.3 and later
                accessor.add_partitions(list(days))
    task.outlets = kept


def _changed(asset: Asset, report: Mapping[str, Any]) -> bool:
    counts = _counts(asset, report)
    if counts is None and report.get("tables") and _table(asset) in _TABLES:
        return False  # The report tells of each table, and not of this one.
    return not (report if counts is None else counts).get("unchanged")


def _extra(asset: Asset, report: Mapping[str, Any], days: Sequence[str]) -> dict[str, Any]:
    """Return what an event tells: the counts of its table where the report has them, else of the whole step."""
    counts = _counts(asset, report)
    extra: dict[str, Any] = {"step": report.get("step"), "days": list(days)}
    if counts is not None:
        return extra | _scalars(counts)
    names = ("rows", "files", "bytes", "seconds", "failed", "warned")
    extra |= {name: report[name] for name in names if report.get(name) is not None}
    return extra | {"tables": {name: _scalars(table) for name, table in (report.get("tables") or {}).items()}}


def _counts(asset: Asset, report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tables: Mapping[str, Mapping[str, Any]] = report.get("tables") or {}
    return tables.get(_table(asset), tables.get(_table(asset).rpartition(".")[2]))


def _table(asset: Asset) -> str:
    return ".".join(unquote(part) for part in asset.uri.split("/")[-2:])


def _scalars(counts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in counts.items() if isinstance(value, (bool, int, float, str))}
