"""The one module of Airflow imports, from 3.0 on.

Everything comes from ``common.compat.sdk``, which follows the names as Airflow moves them; what it does not carry is
found here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    Asset,
    AssetAlias,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    Param,
    PokeReturnValue,
    TaskGroup,
    chain,
    conf,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "BaseTrigger",
    "Context",
    "Param",
    "PokeReturnValue",
    "TaskGroup",
    "TriggerEvent",
    "aget_connection",
    "asset_timetable",
    "chain",
    "conf",
    "daily_timetable",
    "operator_lineage",
]

# Where the timetables live, newest Airflow first.
_PARTITION_TIMETABLES = (("airflow.sdk", "CronPartitionTimetable"),)
_ASSET_TIMETABLES = (("airflow.sdk", "PartitionedAssetTimetable"),)
_INTERVAL_TIMETABLES = (
    ("airflow.sdk", "CronDataIntervalTimetable"),
    ("airflow.timetables.interval", "CronDataIntervalTimetable"),
)


async def aget_connection(conn_id: str) -> Any:
    """Return a connection from inside the triggerer's event loop.

    Args:
        conn_id: The connection's id.

    Returns:
        The connection.
    """
    if hasattr(BaseHook, "aget_connection"):  # Airflow 3.1 and later
        return await BaseHook.aget_connection(conn_id)
    from asgiref.sync import sync_to_async

    return await sync_to_async(BaseHook.get_connection)(conn_id)


def daily_timetable(cron: str, time_zone: str) -> Any:
    """Return a timetable whose run just after midnight loads the day before.

    From Airflow 3.2 on it is a partition timetable, whose run carries the day as its partition key; before, a
    data-interval timetable.

    Args:
        cron: When to run, in `time_zone`.
        time_zone: IANA name.

    Returns:
        The timetable.
    """
    partitioned = _first(_PARTITION_TIMETABLES)
    if partitioned is not None:
        return partitioned(cron, timezone=time_zone, run_offset=-1, key_format="%Y-%m-%d")
    interval = _first(_INTERVAL_TIMETABLES)
    if interval is None:
        raise AirflowException("this Airflow has no CronDataIntervalTimetable, expected Airflow 3.0 or later")
    return interval(cron, timezone=time_zone)


def asset_timetable(asset: Any) -> Any:
    """Return a schedule whose run follows an event of an asset.

    From Airflow 3.2 on it is a partition timetable: each partition of the asset makes a run with that partition key,
    and an event without one makes none. Before, events have no partitions.

    Args:
        asset: The asset, or an expression of assets.

    Returns:
        What ``DAG(schedule=...)`` takes.
    """
    partitioned = _first(_ASSET_TIMETABLES)
    return [asset] if partitioned is None else partitioned(assets=asset)


def operator_lineage(**facets: Any) -> Any:
    """Return what a task read and wrote, in the class of Airflow's OpenLineage provider, which alone asks for it.

    Args:
        **facets: ``inputs``, ``outputs``, ``run_facets`` and ``job_facets``.

    Returns:
        An ``OperatorLineage``.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(**facets)


def _first(places: tuple[tuple[str, str], ...]) -> Any:
    for module, name in places:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    return None
