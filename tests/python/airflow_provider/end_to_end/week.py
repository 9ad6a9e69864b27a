"""A week of days, caught up four at a time."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import DAG

from metropulse.airflow.schedule import daily_schedule, first_day
from metropulse.airflow.task_group import MetropulseDayTaskGroup

with DAG(
    "week",
    schedule=daily_schedule(),
    # A run loads the day before.
    start_date=first_day("2024-06-02"),
    end_date=first_day("2024-06-08"),
    catchup=True,
    max_active_runs=4,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
) as dag:
    MetropulseDayTaskGroup(
        "day",
        prefix_group_id=False,
        lake_conn_id="week_lake",
        warehouse_conn_id="week_warehouse",
        mart_conn_id="week_mart",
        stable_seconds=0,
    )
enable_lineage(dag)
