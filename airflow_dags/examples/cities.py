"""One DAG for several cities: each has connections of its own, and the run says which city it is for.

    airflow dags trigger example_cities --conf '{"city": "austin", "partition": "2024-05-01"}'

The connections are `austin_lake`, `austin_warehouse` and `austin_mart`, and so on. Where a table lies is known only
when a run has named its city. So the tasks declare aliases (`metropulse_facts`), which take up the city's own assets.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from metropulse.airflow.partitions import YESTERDAY
from metropulse.airflow.task_group import MetropulseDayTaskGroup

with DAG(
    "example_cities",
    schedule=None,
    doc_md=__doc__,
    tags=["metropulse", "example"],
    max_active_runs=8,
    default_args={"retries": 2, "max_active_tis_per_dag": 4},
    params={
        "city": Param("austin", type="string", enum=["austin", "boston"]),
        "time_zone": Param("America/Chicago", type="string"),
        "partition": Param(YESTERDAY, type="string", title="Raw day"),
    },
) as dag:
    MetropulseDayTaskGroup(
        "city",
        time_zone="{{ params.time_zone }}",
        lake_conn_id="{{ params.city }}_lake",
        warehouse_conn_id="{{ params.city }}_warehouse",
        mart_conn_id="{{ params.city }}_mart",
    )
