"""The day of the raw transport data: wait, calendar, stage, dimensions, facts, mart, quality.

The raw day is the run's own (the scheduled run just after midnight loads the day before) unless the parameter
`partition` names another. A run by hand loads the day before, or the day that its form or its `conf` says:

    airflow dags trigger metropulse_daily --conf '{"partition": "2024-05-01"}'

    airflow backfill create --dag-id metropulse_daily --from-date 2024-05-02 --to-date 2024-05-04

Where the data lies is decided outside of this file: by the connection `metropulse_default` (a state folder of the
embedded engines), by `metropulse_lake_default`, `metropulse_warehouse_default` and `metropulse_mart_default`, or by
environment variables.

Days may be loaded in any order, and again, so a run that waits for its day holds up no other: each step works on a few
days at once, and waiting takes no worker. When it runs and how much at once is set in the section `[metropulse]` of
Airflow's configuration.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from metropulse.airflow.partitions import YESTERDAY
from metropulse.airflow.schedule import daily_schedule, day_defaults, first_day, mart_in_daily, max_active_runs
from metropulse.airflow.task_group import MetropulseDayTaskGroup

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
    default_args=day_defaults(),
    params={
        "partition": Param(
            YESTERDAY,
            type=["null", "string"],
            title="Raw day",
            pattern=r"^(\d{4}-\d{2}-\d{2}|yesterday)?$",
            description="The raw day (dt) as YYYY-MM-DD. A scheduled run has its own; for a run by hand `yesterday` is "
            "the day before it, in the service zone.",
        ),
        "lake": Param(
            None, type=["null", "string"], description="Folder or URL of the lake; empty: as the connections say."
        ),
        "positions": Param(
            None,
            type=["null", "string"],
            enum=[None, "", "warehouse", "telemetry"],
            description="Where positions are kept: warehouse (PostgreSQL) or telemetry (ClickHouse); empty: as the "
            "connection says, else where the warehouse has them.",
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
    MetropulseDayTaskGroup(
        "day",
        prefix_group_id=False,
        lake="{{ params.lake or '' }}",
        positions="{{ params.positions or '' }}",
        required="{{ params.required }}",
        stable_seconds="{{ params.stable_seconds }}",
        mart=mart_in_daily(),
    )
