"""The DAGs on a real scheduler, triggerer and API server, into real engines."""

from __future__ import annotations

import hashlib
import json
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from answers import DATA, PROTOTYPE_DAYS, check_prototype
from waiting import until

pytest.importorskip("airflow.sdk")
from airflow_server import Server, airflow_server

pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.end_to_end]
ROOT = Path(__file__).parents[3]
FIRST, SECOND, THIRD = PROTOTYPE_DAYS

CONSUMER = textwrap.dedent("""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from metropulse.airflow.assets import mart_asset
    from metropulse.airflow.schedule import after, first_day

    with DAG("report", schedule=after(mart_asset()), start_date=first_day("2024-01-01"), catchup=False) as dag:
        EmptyOperator(task_id="report")
""")


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def deliver(lake: Path, day: str) -> None:
    """Put a day into the lake as a whole, with its manifest."""
    shutil.copytree(DATA / "prototype_raw" / f"dt={day}", lake / f".{day}")
    files = [
        {
            "path": file.name,
            "rows": pq.read_metadata(file).num_rows,
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted((lake / f".{day}").iterdir())
    ]
    (lake / f".{day}" / "_manifest.json").write_text(json.dumps({"version": 1, "files": files}))
    (lake / f".{day}").rename(lake / f"dt={day}")


@contextmanager
def airflow_over(p, tmp_path: Path, **variables: str) -> Iterator[Server]:
    """An Airflow whose connections are the pipeline's engines."""
    dags = tmp_path / "dags"
    dags.mkdir()
    for file in (ROOT / "airflow_dags").glob("*.py"):
        shutil.copy(file, dags)
    (dags / "report.py").write_text(CONSUMER)
    mart = {
        "conn_type": "http",
        "host": p.settings.mart,
        "login": p.settings.mart_user,
        "password": p.settings.mart_password,
    }
    connections = {
        "AIRFLOW_CONN_METROPULSE_LAKE_DEFAULT": json.dumps({"conn_type": "fs", "extra": {"path": p.settings.lake}}),
        "AIRFLOW_CONN_METROPULSE_WAREHOUSE_DEFAULT": json.dumps(
            {"conn_type": "postgres", "host": p.settings.warehouse}
        ),
        "AIRFLOW_CONN_METROPULSE_MART_DEFAULT": json.dumps(mart),
    }
    with airflow_server(tmp_path / "airflow", dags, **connections, **variables) as server:
        yield server


def keyed(server: Server, dag: str) -> dict[str, str]:
    """The state of each run of a DAG, by partition key."""
    return {run["partition_key"]: run["state"] for run in server.runs(dag)}


def test_a_run_that_waits_blocks_no_other_and_a_day_counts_whichever_way_it_came(pipeline_on, lake, tmp_path):
    p = pipeline_on(lake)
    for day in PROTOTYPE_DAYS:
        deliver(lake, day)
    with airflow_over(p, tmp_path, AIRFLOW__METROPULSE__MART_IN_DAILY="False") as airflow:
        airflow.unpause("metropulse_daily", "metropulse_mart", "report")
        # Switching the DAG on starts yesterday's run, whose day nobody has delivered; so does the form, as it is.
        until(lambda: len(airflow.runs("metropulse_daily")) == 1, 240, "no scheduled run")
        (scheduled,) = airflow.runs("metropulse_daily")
        form = airflow.call("GET", "/api/v2/dags/metropulse_daily/details")["params"]
        by_form = airflow.trigger("metropulse_daily", {name: param["value"] for name, param in form.items()})
        waiting = (scheduled["dag_run_id"], by_form)
        for run in waiting:
            until(
                lambda run=run: airflow.tasks("metropulse_daily", run)["wait"]["state"] == "deferred",
                240,
                f"{run} does not wait",
            )
        by_conf = airflow.trigger("metropulse_daily", {"partition": FIRST})
        by_key = airflow.trigger("metropulse_daily", None, partition_key=SECOND)
        airflow.call("POST", "/api/v2/backfills", {
            "dag_id": "metropulse_daily", "from_date": f"{THIRD}T00:00:00Z", "to_date": f"{THIRD}T00:00:00Z",
        })  # fmt: skip
        for run in (by_conf, by_key):
            assert airflow.wait_for_run("metropulse_daily", run)["state"] == "success", airflow.tasks(
                "metropulse_daily", run
            )
        until(lambda: keyed(airflow, "metropulse_daily").get(THIRD) == "success", 120, "the backfill does not end")
        assert {airflow.run("metropulse_daily", run)["state"] for run in waiting} == {"running"}

        facts = airflow.events("/dwh/facts")
        assert {event["partition_key"] for event in facts} == set(PROTOTYPE_DAYS)
        assert {event["extra"]["days"][0]: event["extra"]["rows"] > 0 for event in facts} == dict.fromkeys(
            PROTOTYPE_DAYS, True
        )
        until(
            lambda: keyed(airflow, "metropulse_mart") == dict.fromkeys(PROTOTYPE_DAYS, "success"),
            120,
            f"the mart's runs do not end: {keyed(airflow, 'metropulse_mart')}",
        )
        marts = {event["partition_key"] for event in airflow.events("/mart_route_hourly")}
        assert marts
        until(
            lambda: keyed(airflow, "report") == dict.fromkeys(marts, "success"), 240, "the mart's reader does not run"
        )
        check_prototype(p)

        # An unchanged day tells nothing.
        again = airflow.trigger("metropulse_daily", {"partition": FIRST})
        assert airflow.wait_for_run("metropulse_daily", again)["state"] == "success"
        assert len(airflow.events("/dwh/facts")) == len(facts)
        shown = json.dumps(airflow.call("GET", "/api/v2/assets?limit=100")) + json.dumps(airflow.events(""))
        assert p.settings.mart_password not in shown


def test_days_that_arrive_are_loaded_without_a_run_that_waits(pipeline_on, lake, tmp_path):
    p = pipeline_on(lake)
    p.apply_schema()
    with airflow_over(
        p,
        tmp_path,
        AIRFLOW__METROPULSE__SCHEDULE="arrivals",
        AIRFLOW__METROPULSE__ARRIVALS_SCHEDULE="* * * * *",
    ) as airflow:
        airflow.unpause("metropulse_daily", "metropulse_arrivals", "report")

        def look() -> str:
            return airflow.wait_for_run("metropulse_arrivals", airflow.trigger("metropulse_arrivals"))["state"]

        assert look() == "success"
        assert airflow.runs("metropulse_daily") == []
        for day in (FIRST, SECOND):
            deliver(lake, day)
        assert look() == "success"
        until(lambda: set(keyed(airflow, "metropulse_daily")) == {FIRST, SECOND}, 240, "the days start no run")
        assert look() == "success"
        until(
            lambda: keyed(airflow, "metropulse_daily") == dict.fromkeys((FIRST, SECOND), "success"),
            240,
            f"the days are not loaded: {keyed(airflow, 'metropulse_daily')}",
        )
        assert sorted(event["partition_key"] for event in airflow.events("/dt=")) == [FIRST, SECOND]
        assert len(airflow.runs("metropulse_daily")) == 2
        p.check_quality(FIRST)
