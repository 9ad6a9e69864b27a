"""The hourly mart, whenever facts were published: instead of the daily DAG's own mart task.

Each partition of the facts' asset makes one run; it rebuilds the service dates that are dirty by then, so of several
runs the first does the work and the others find nothing to do, and emit no event. The daily DAG leaves its mart task
out with `[metropulse] mart_in_daily = False`. A DAG that reads the mart is scheduled by the mart's asset in the same
way: `DAG(schedule=after(mart_asset()))`.
"""

from __future__ import annotations

from airflow.sdk import DAG

from metropulse.airflow.assets import facts_asset
from metropulse.airflow.operators import BuildRouteHourlyOperator
from metropulse.airflow.schedule import after, first_day, work_defaults

with DAG(
    dag_id="metropulse_mart",
    description="The hourly mart, after facts were published",
    doc_md=__doc__,
    schedule=after(facts_asset()),
    start_date=first_day("2000-01-01"),
    catchup=False,
    max_active_runs=1,
    tags=["metropulse"],
    default_args=work_defaults(),
) as dag:
    BuildRouteHourlyOperator(task_id="mart")
