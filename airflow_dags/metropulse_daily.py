"""The day of the raw transport data: wait, calendar, stage, dimensions, facts, mart, quality.

The raw day is the run's own (the scheduled run just after midnight loads the day before) unless the parameter
`partition` names another:

    airflow dags trigger metropulse_daily --conf '{"partition": "2024-05-01"}'
    airflow backfill create --dag-id metropulse_daily --from-date 2024-05-02 --to-date 2024-05-04

Where the data lies is decided outside of this file: by the connection `metropulse_default` (a state folder of the
embedded engines), by `metropulse_lake_default`, `metropulse_warehouse_default` and `metropulse_mart_default`, or by
environment variables. Days may be loaded in any order, and again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from metropulse.airflow.operators import (
    BuildRouteHourlyOperator,
    CheckQualityOperator,
    LoadCalendarOperator,
    LoadDimensionsOperator,
    LoadFactsOperator,
    StageRawOperator,
)
from metropulse.airflow.schedule import daily_schedule, first_day, max_active_runs
from metropulse.airflow.sensors import RawPartitionSensor

LAKE = "{{ params.lake or '' }}"

with DAG(
    dag_id="metropulse_daily",
    description="Raw transport data of a day to the warehouse and the hourly mart",
    doc_md=__doc__,
    schedule=daily_schedule(),
    # Airflow runs nothing for days before this one, and calls that a success: it must precede every raw day.
    start_date=first_day("2000-01-01"),
    catchup=False,
    max_active_runs=max_active_runs(),
    tags=["metropulse"],
    default_args={
        "owner": "metropulse",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
    },
    params={
        "partition": Param(
            None, type=["null", "string"], format="date", description="Raw day (dt); empty: the run's own day."
        ),
        "lake": Param(
            None, type=["null", "string"], description="Folder or URL of the lake; empty: as the connections say."
        ),
        "required": Param(
            "routes,vehicle_positions",
            type="string",
            description="Datasets that must be there when the day has no manifest.",
        ),
        "stable_seconds": Param(
            60,
            type=["null", "number"],
            minimum=0,
            description="How long a day without a manifest must stay unchanged; empty: only a manifest counts.",
        ),
    },
) as dag:
    chain(
        RawPartitionSensor(
            task_id="wait",
            lake=LAKE,
            required="{{ params.required }}",
            stable_seconds="{{ params.stable_seconds }}",
            poke_interval=60,
            timeout=timedelta(hours=12).total_seconds(),
            execution_timeout=None,
        ),
        LoadCalendarOperator(task_id="calendar", lake=LAKE),
        StageRawOperator(task_id="stage", lake=LAKE),
        LoadDimensionsOperator(task_id="dimensions", lake=LAKE),
        LoadFactsOperator(task_id="facts", lake=LAKE),
        BuildRouteHourlyOperator(task_id="mart", lake=LAKE),
        CheckQualityOperator(task_id="quality", lake=LAKE),
    )
