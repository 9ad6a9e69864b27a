"""Sixty small days, mapped; and a step that finds fifty of them unchanged, one after the other."""

from __future__ import annotations

from datetime import date, timedelta

from airflow.sdk import DAG, chain
from stopwatch import TimedStageOperator

from metropulse.airflow.assets import facts_asset
from metropulse.airflow.operators import (
    BuildRouteHourlyOperator,
    LoadDimensionsOperator,
    LoadFactsOperator,
    StageRawOperator,
)

DAYS = [(date(2023, 1, 1) + timedelta(days=number)).isoformat() for number in range(60)]
NEAR = {"lake_conn_id": "sixty_lake", "warehouse_conn_id": "sixty_warehouse", "mart_conn_id": "sixty_mart"}

with DAG("sixty", schedule=None, default_args={"max_active_tis_per_dagrun": 4}):
    chain(
        StageRawOperator.partial(task_id="stage", **NEAR).expand(dt=DAYS),
        LoadDimensionsOperator.partial(task_id="dimensions", **NEAR).expand(dt=DAYS),
        LoadFactsOperator.partial(task_id="facts", outlets=[facts_asset(**NEAR)], **NEAR).expand(dt=DAYS),
        BuildRouteHourlyOperator(task_id="mart", **NEAR),
    )

with DAG("unchanged", schedule=None, default_args={"max_active_tis_per_dagrun": 1}):
    TimedStageOperator.partial(task_id="stage", **NEAR).expand(dt=DAYS[:50])
