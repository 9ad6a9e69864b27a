"""`MetropulseDayTaskGroup`: the steps of a raw day, to embed in a DAG of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metropulse.airflow._compat import TaskGroup, chain
from metropulse.airflow.assets import Places, assets_of
from metropulse.airflow.hooks import DEFAULT_CONN_ID, LAKE_CONN_ID, MART_CONN_ID, WAREHOUSE_CONN_ID
from metropulse.airflow.operators import (
    BuildRouteHourlyOperator,
    CheckQualityOperator,
    LoadCalendarOperator,
    LoadDimensionsOperator,
    LoadFactsOperator,
    StageRawOperator,
)
from metropulse.airflow.schedule import WAITING, wait_seconds
from metropulse.airflow.sensors import RawPartitionSensor
from metropulse.days import REQUIRED_DATASETS

__all__ = ["MetropulseDayTaskGroup"]


class MetropulseDayTaskGroup(TaskGroup):
    """The steps of a raw day as a task group: wait, calendar, stage, dimensions, facts, mart, quality.

    What holds for each step is given once. A step is found again by its name, to hang other tasks onto it:
    ``group.get_child_by_label("facts")``.

    Args:
        group_id: The group's id; the steps' ids begin with it unless ``prefix_group_id=False``.
        dt: The raw day as ``YYYY-MM-DD``; the run's own when None.
        lake: URL or folder of the lake, over all connections; it must not hold a secret.
        time_zone: Service zone, over all connections.
        positions: ``"warehouse"`` or ``"telemetry"``, over all connections; where the warehouse has them when None.
        metropulse_conn_id: Connection of type ``metropulse``.
        lake_conn_id: Connection of the lake.
        warehouse_conn_id: Connection of PostgreSQL.
        mart_conn_id: Connection of ClickHouse.
        required: Datasets that must be there when the day has no manifest.
        stable_seconds: How long a day without a manifest must stay unchanged; None accepts only a manifest.
        poll_seconds: Time between two looks at the lake.
        timeout_seconds: How long to wait for the day; by default ``[metropulse] wait_minutes``.
        wait: Whether there is a step that waits for the day.
        mart: Whether there is the step that builds the mart, which may be a DAG of its own.
        quality: Whether there is the step that checks what was loaded.
        **kwargs: Those of every task group (``tooltip``, ``default_args``, ``prefix_group_id``, ...).
    """

    def __init__(
        self,
        group_id: str = "metropulse_day",
        *,
        dt: str | None = None,
        lake: str | None = None,
        time_zone: str | None = None,
        positions: str | None = None,
        metropulse_conn_id: str = DEFAULT_CONN_ID,
        lake_conn_id: str = LAKE_CONN_ID,
        warehouse_conn_id: str = WAREHOUSE_CONN_ID,
        mart_conn_id: str = MART_CONN_ID,
        required: Sequence[str] | str = REQUIRED_DATASETS,
        stable_seconds: float | str | None = 60.0,
        poll_seconds: float = 60.0,
        timeout_seconds: float | None = None,
        wait: bool = True,
        mart: bool = True,
        quality: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, **kwargs)
        near: dict[str, Any] = {"lake": lake, "metropulse_conn_id": metropulse_conn_id, "lake_conn_id": lake_conn_id}
        servers: dict[str, Any] = {
            "time_zone": time_zone,
            "positions": positions,
            "warehouse_conn_id": warehouse_conn_id,
            "mart_conn_id": mart_conn_id,
        }
        day: dict[str, Any] = {"dt": dt, **near, **servers}
        with self:
            steps: list[Any] = []
            if wait:
                sensor = RawPartitionSensor(
                    task_id="wait",
                    dt=dt,
                    required=required,
                    stable_seconds=stable_seconds,
                    deferrable=True,
                    inlets=assets_of(("raw",), Places.of(near)),
                    poke_interval=poll_seconds,
                    timeout=wait_seconds() if timeout_seconds is None else timeout_seconds,
                    **WAITING,
                    **near,
                )
                steps.append(sensor)
            steps += [
                LoadCalendarOperator(task_id="calendar", **day),
                StageRawOperator(task_id="stage", **day),
                LoadDimensionsOperator(task_id="dimensions", **day),
                LoadFactsOperator(task_id="facts", **day),
            ]
            if mart:
                steps.append(BuildRouteHourlyOperator(task_id="mart", **near, **servers))
            if quality:
                steps.append(CheckQualityOperator(task_id="quality", **day))
            chain(*steps)
