"""Any number of days, mapped: one run loads them all, each step several days side by side.

    airflow dags trigger example_mapped_days --conf '{"days": ["2024-05-01", "2024-05-02"]}'

Days may come in any order, so the tasks of one step need not follow each other. A mapped task is made when it runs,
so its outlets are named here. `max_active_tis_per_dagrun` bounds what the warehouse is given to do at once.
"""

from __future__ import annotations

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Param, chain

from metropulse.airflow.assets import facts_asset
from metropulse.airflow.operators import (
    BuildRouteHourlyOperator,
    CheckQualityOperator,
    LoadDimensionsOperator,
    LoadFactsOperator,
    StageRawOperator,
)


def days_of(params: dict[str, list[str]]) -> list[str]:
    """Return the days that the run names; the arguments of the mapped tasks."""
    return params["days"]


with DAG(
    "example_mapped_days",
    schedule=None,
    doc_md=__doc__,
    tags=["metropulse", "example"],
    default_args={"retries": 2, "max_active_tis_per_dagrun": 4},
    params={
        "days": Param(
            ["2024-05-01", "2024-05-02", "2024-05-03"], type="array", items={"type": "string", "format": "date"}
        )
    },
) as dag:
    days = PythonOperator(task_id="days", python_callable=days_of)
    chain(
        StageRawOperator.partial(task_id="stage").expand(dt=days.output),
        LoadDimensionsOperator.partial(task_id="dimensions").expand(dt=days.output),
        LoadFactsOperator.partial(task_id="facts", outlets=[facts_asset()]).expand(dt=days.output),
        BuildRouteHourlyOperator(task_id="mart"),
        CheckQualityOperator.partial(task_id="quality").expand(dt=days.output),
    )
