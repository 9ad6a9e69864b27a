"""A range of the mart anew, from the raw files, month by month: here or on a Spark cluster.

    airflow dags trigger metropulse_backfill --conf '{"date_from": "2023-01-01", "date_to": "2024-01-01"}'

Add `"engine": "spark"` for the cluster; the rows are the same. `local` reads the lake in the task itself; `spark`
submits `spark_jobs/mart_route_hourly.py`, with Airflow's Spark provider (connection `spark_default`) where it is
installed and with `spark-submit` where it is not. That job takes its places from its environment: see docs/spark.md.
"""

from __future__ import annotations

import shlex
import subprocess
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task

from metropulse.airflow.operators import BuildRouteHourlyOperator
from metropulse.airflow.schedule import first_day

JOB = Path(__file__).resolve().parents[1] / "spark_jobs" / "mart_route_hourly.py"
HAS_PROVIDER = (
    find_spec("airflow.providers.apache") is not None and find_spec("airflow.providers.apache.spark") is not None
)


def months(date_from: str, date_to: str) -> list[dict[str, str]]:
    """Cut a half-open range of dates at the firsts of months."""
    start, end = date.fromisoformat(date_from), date.fromisoformat(date_to)
    cut = []
    while start < end:
        following = min(end, (start.replace(day=1) + timedelta(days=31)).replace(day=1))
        cut.append({"date_from": start.isoformat(), "date_to": following.isoformat()})
        start = following
    return cut


@task
def months_of(engine: str, params: dict[str, Any] | None = None) -> list[dict[str, str]]:
    """Give the months to the engine that was chosen, and none to the other, whose tasks are skipped then."""
    assert params is not None
    found = months(params["date_from"], params["date_to"])
    if not found:
        raise ValueError(f"the dates run from {params['date_from']} to {params['date_to']}; the end must be later")
    return found if params["engine"] == engine else []


@task
def arguments_of(months: list[dict[str, str]]) -> list[list[str]]:
    """Give the job's arguments for each month."""
    return [["--date-from", month["date_from"], "--date-to", month["date_to"]] for month in months]


@task
def submit(arguments: list[str], params: dict[str, Any] | None = None) -> str:
    """Run the job by spark-submit and give what it said: its report."""
    assert params is not None
    command = ["spark-submit", *shlex.split(params["spark_options"]), str(JOB), *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"spark-submit ended with status {done.returncode}; its log stands above")
    return done.stdout.strip().splitlines()[-1]


with DAG(
    dag_id="metropulse_backfill",
    description="A range of the hourly mart anew from the raw files, by month",
    doc_md=__doc__,
    schedule=None,
    start_date=first_day("2000-01-01"),
    max_active_runs=1,
    tags=["metropulse"],
    default_args={"owner": "metropulse", "retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "date_from": Param(type="string", format="date", description="First service date.", default="2024-05-01"),
        "date_to": Param(
            type="string", format="date", description="The date after the last one.", default="2024-06-01"
        ),
        "engine": Param("local", enum=["local", "spark"], description="Where the work is done."),
        "lake": Param(
            None,
            type=["null", "string"],
            description="Folder or URL of the lake, for the engine local; empty: as the connections say.",
        ),
        "spark_options": Param(
            "", type="string", description="Options of spark-submit, such as --master and --archives."
        ),
    },
) as dag:
    # Months run side by side as far as pools and max_active_tis allow; each date is swapped in as a whole.
    BuildRouteHourlyOperator.partial(task_id="local", lake="{{ params.lake or '' }}", source="lake").expand_kwargs(
        months_of.override(task_id="local_months")("local")
    )
    chosen = arguments_of(months_of.override(task_id="spark_months")("spark"))
    if HAS_PROVIDER:
        from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

        SparkSubmitOperator.partial(task_id="spark", application=str(JOB), conn_id="spark_default").expand(
            application_args=chosen
        )
    else:
        submit.override(task_id="spark").expand(arguments=chosen)
