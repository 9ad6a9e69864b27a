"""A range of the mart anew, from the raw files, month by month: here or on a Spark cluster.

    airflow dags trigger metropulse_backfill --conf '{"date_from": "2023-01-01", "date_to": "2024-01-01"}'

Add `"engine": "spark"` for the cluster; the rows are the same. `local` reads the lake in the task itself; `spark`
submits `mart_route_hourly.py` of the wheel, with Airflow's Spark provider (connection `spark_default`) where it is
installed and with `spark-submit` alone where it is not. Both are told of the connections of lake, warehouse and mart.

A task reads all raw days, whichever its months: `"months_at_once": 12` reads them once for a year. Service dates of the
range whose raw days have left the lake go from the mart.
"""

from __future__ import annotations

import shlex
import subprocess
from datetime import date, timedelta
from importlib.util import find_spec
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from metropulse.airflow.operators import BuildRouteHourlyOperator
from metropulse.airflow.schedule import first_day
from metropulse.airflow.submission import MART_JOB, submitting

HAS_PROVIDER = (
    find_spec("airflow.providers.apache") is not None and find_spec("airflow.providers.apache.spark") is not None
)


def months(date_from: str, date_to: str, at_once: int = 1) -> list[dict[str, str]]:
    """Cut a half-open range of dates at the firsts of months, so many months a piece."""
    start, end = date.fromisoformat(date_from), date.fromisoformat(date_to)
    cut = []
    while start < end:
        following = start
        for _ in range(at_once):
            following = min(end, (following.replace(day=1) + timedelta(days=31)).replace(day=1))
        cut.append({"date_from": start.isoformat(), "date_to": following.isoformat()})
        start = following
    return cut


@task
def months_of(engine: str, params: dict[str, Any] | None = None) -> list[dict[str, str]]:
    """Give the months to the engine that was chosen, and none to the other, whose tasks are skipped then."""
    assert params is not None
    found = months(params["date_from"], params["date_to"], params["months_at_once"])
    if not found:
        raise ValueError(f"the dates run from {params['date_from']} to {params['date_to']}; the end must be later")
    return found if params["engine"] == engine else []


@task
def submissions(months: list[dict[str, str]], params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Give for each month what follows spark-submit: options, the job and its arguments.

    The operator of the provider knows options of its own alone. But it ends the command with its application and the
    arguments of that, and spark-submit takes for the application the first word that is no option.
    """
    assert params is not None
    options = shlex.split(params["spark_options"])
    every = [[*options, str(MART_JOB), "--date-from", m["date_from"], "--date-to", m["date_to"]] for m in months]
    return [{"application": first, "application_args": rest} for first, *rest in every]


@task
def submit(application: str, application_args: list[str], params: dict[str, Any] | None = None) -> str | None:
    """Run the job by spark-submit and give what it said last: its report, where the driver runs here."""
    assert params is not None
    command = ["spark-submit", application, *application_args]
    with submitting(get_current_context(), MART_JOB, lake=params["lake"]):
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"spark-submit ended with status {done.returncode}; its log stands above")
    return next(iter(done.stdout.strip().splitlines()[-1:]), None)


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
        "months_at_once": Param(
            1, type="integer", minimum=1, description="Months of a task, which reads all raw days."
        ),
        "engine": Param("local", enum=["local", "spark"], description="Where the work is done."),
        "lake": Param(
            None,
            type=["null", "string"],
            description="Folder or URL of the lake; empty: as the connections say.",
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
    chosen = submissions(months_of.override(task_id="spark_months")("spark"))
    if HAS_PROVIDER:
        from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

        class SubmitOperator(SparkSubmitOperator):
            """Submits a job that is told of Airflow's connections, which `env_vars` would show on the command line."""

            def execute(self, context: Any) -> Any:
                """Submit the job."""
                with submitting(context, MART_JOB, lake=context["params"]["lake"]):
                    return super().execute(context)

        SubmitOperator.partial(task_id="spark", conn_id="spark_default").expand_kwargs(chosen)
    else:
        submit.override(task_id="spark").expand_kwargs(chosen)
