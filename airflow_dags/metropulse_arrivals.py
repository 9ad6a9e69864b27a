"""Waits for all raw days at once, and tells of those that have arrived.

Every few minutes one short task compares lake and ledger. For each raw day that is complete and not loaded as it lies
there it emits an event of the raw asset, with the day as its partition; a day that was told of is told of again only
when its files change. With `[metropulse] schedule = arrivals` each event starts a run of `metropulse_daily` for that
day. So a day that is late holds no run, no trigger and no worker, be it one day or two hundred.

Runs that never came, because the daily DAG was paused, come after a run of this DAG with the parameter `again`.
It needs Airflow 3.3.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from metropulse.airflow.operators import AnnounceRawOperator
from metropulse.airflow.schedule import arrivals_schedule, first_day

with DAG(
    dag_id="metropulse_arrivals",
    description="Tells of raw days that have arrived",
    doc_md=__doc__,
    schedule=arrivals_schedule(),
    start_date=first_day("2000-01-01"),
    catchup=False,
    max_active_runs=1,
    tags=["metropulse"],
    default_args={"owner": "metropulse", "execution_timeout": timedelta(minutes=30)},
    params={
        "date_from": Param(None, type=["null", "string"], format="date", description="The first raw day to look for."),
        "date_to": Param(None, type=["null", "string"], format="date", description="The day after the last one."),
        "required": Param(
            "routes,vehicle_positions",
            type="string",
            description="Datasets that must be there when a day has no manifest.",
        ),
        "again": Param(False, type="boolean", description="Tell also of days that were told of before."),
    },
) as dag:
    AnnounceRawOperator(
        task_id="announce",
        date_from="{{ params.date_from or '' }}",
        date_to="{{ params.date_to or '' }}",
        required="{{ params.required }}",
        again="{{ params.again }}",
    )
