"""A whole deployment of servers: DAGs triggered over REST, from S3 over TLS into PostgreSQL and into ClickHouse 18.16.

All tests share one Airflow.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pytest

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS, check_prototype, state
from waiting import until

pytest.importorskip("airflow.sdk")
psutil = pytest.importorskip("psutil")
from browser import page_text
from deployment import Deployment, Servers, deployed

ROOT = Path(__file__).parents[3]
DAGS = Path(__file__).parent / "end_to_end"
LINEAGE = """
from airflow.providers.openlineage.utils.selective_enable import enable_lineage

enable_lineage(dag)
"""
"""Only DAGs that ask for it tell lineage: its provider forks twice for each task."""
pytestmark = [pytest.mark.core, pytest.mark.airflow, pytest.mark.end_to_end]
WEEK = tuple(f"2024-06-{day:02}" for day in range(1, 8))
LONG, BROKEN = WEEK[2], WEEK[4]
OF_THE_METADATA = {"xcom": "load_facts", "rendered_task_instance_fields": "2024-05-01", "asset_event": "payment"}
"""Tables of Airflow's metadata that show what a task was given and gave, and what stands there of the days."""


@pytest.fixture(scope="module")
def deployment(
    debian_postgres: str, clickhouse_18_with_password: str, minio_server, tmp_path_factory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "certificates").mkdir()
    dags = folder / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    (dags / "metropulse_daily.py").write_text((ROOT / "airflow_dags" / "metropulse_daily.py").read_text() + LINEAGE)
    servers = Servers(debian_postgres, clickhouse_18_with_password, minio_server, folder / "certificates")
    # The reference has the same files, loaded one day after the other, to compare with.
    cities = {"prototype": "prototype", "week": "week", "reference": "week"}
    with deployed(servers, folder, dags, cities) as running:
        yield running


@pytest.fixture(scope="module")
def prototype(deployment: Deployment) -> mp.Pipeline:
    """The prototype's three days, loaded by runs that were triggered over REST."""
    airflow, pipeline = deployment.airflow, deployment.cities["prototype"].pipeline()
    for file in sorted((DATA / "prototype_raw").rglob("*.parquet")):
        deployment.put("prototype", str(file.relative_to(DATA / "prototype_raw")), file.read_bytes())
    airflow.unpause("metropulse_daily")
    runs = [airflow.trigger("metropulse_daily", {"partition": d, "stable_seconds": 0}) for d in PROTOTYPE_DAYS]
    for run in runs:
        ended = airflow.wait_for_run("metropulse_daily", run)
        assert ended["state"] == "success", airflow.tasks("metropulse_daily", run)
    return pipeline


def test_days_triggered_over_rest_come_from_s3_over_tls_into_clickhouse_18(prototype, deployment):
    check_prototype(prototype)
    assert deployment.servers.ask_mart("SELECT version()").startswith("18.16")
    with pytest.raises(mp.MetropulseError):
        mp.Pipeline(warehouse=f"{deployment.cities['prototype'].warehouse}?sslmode=disable").warehouse.query("select 1")


def test_assets_and_their_events_are_seen_in_a_browser(prototype, deployment, chromium, tmp_path):
    airflow = deployment.airflow
    [event, *_] = airflow.events("/prototype/dwh/facts")
    listed = page_text(chromium, airflow.base, "/assets", tmp_path / "list")
    for ending in ("/prototype/dwh/facts", "/prototype/mart_route_hourly", "s3://prototype/dt="):
        assert ending in listed, listed
    shown = page_text(chromium, airflow.base, f"/assets/{event['asset_id']}", tmp_path / "facts")
    assert "/prototype/dwh/facts" in shown, shown
    for day in PROTOTYPE_DAYS:
        assert f"Source: metropulse_daily Partition Key: {day}" in shown, shown
    for secret in deployment.secrets().values():
        assert secret not in listed + shown


def test_a_week_is_caught_up_four_days_at_a_time_through_a_kill_and_a_damaged_day(deployment, tmp_path):
    airflow, week, reference = deployment.airflow, deployment.cities["week"], deployment.cities["reference"].pipeline()
    pipeline = week.pipeline()
    pipeline.generate(WEEK[0], len(WEEK), seed=3, scale=0.05)
    # One day has enough positions to be killed in the middle of them, another a file that was cut off.
    mp.Pipeline(lake=tmp_path).generate(LONG, 1, seed=4, scale=2)
    positions = "vehicle_positions.parquet"
    deployment.put("week", f"dt={LONG}/{positions}", (tmp_path / f"dt={LONG}" / positions).read_bytes())
    trips = f"dt={BROKEN}/trips.parquet"
    whole = deployment.get("week", trips)
    deployment.put("week", trips, whole[:1000])
    for day in (LONG, BROKEN):  # What their manifests say no longer holds, and they would be waited for.
        deployment.delete("week", f"dt={day}/_manifest.json")

    airflow.unpause("week")
    until(lambda: LONG in runs_by_day(airflow, "week"), 120, "the days are not caught up")
    long_run = runs_by_day(airflow, "week")[LONG]["dag_run_id"]
    kill_in_the_middle_of_its_copy(deployment, long_run, "facts")
    until(
        lambda: [run["state"] for run in runs_by_day(airflow, "week").values()].count("success") == 6,
        400,
        "the week is not caught up",
    )
    runs = runs_by_day(airflow, "week")
    assert set(runs) == set(WEEK)
    assert {day: run["state"] for day, run in runs.items() if run["state"] != "success"} == {BROKEN: "failed"}
    assert most_at_once(runs.values()) == 4
    assert airflow.tasks("week", long_run)["facts"]["try_number"] == 2
    broken = airflow.tasks("week", runs[BROKEN]["dag_run_id"])
    assert (broken["stage"]["state"], broken["stage"]["try_number"]) == ("failed", 1), "a retry cannot help"

    deployment.put("week", trips, whole)
    airflow.clear("week", runs[BROKEN]["dag_run_id"])
    assert airflow.wait_for_run("week", runs[BROKEN]["dag_run_id"])["state"] == "success"
    for day in WEEK:
        reference.run(day)
    assert state(pipeline) == state(reference)


def runs_by_day(airflow, dag: str) -> dict[str, dict]:
    return {run["partition_key"]: run for run in airflow.runs(dag)}


def most_at_once(runs) -> int:
    """How many runs were under way at the same time, at most."""
    marks = [(run["start_date"], 1) for run in runs] + [(run["end_date"], -1) for run in runs]
    running = [0]
    for _, change in sorted(marks):
        running.append(running[-1] + change)
    return max(running)


def kill_in_the_middle_of_its_copy(deployment: Deployment, run: str, task: str) -> None:
    """Kill the process of a task with SIGKILL while one of its own sessions has copied rows, and not all of them."""
    airflow = deployment.airflow
    until(lambda: airflow.tasks("week", run)[task]["pid"], 400, f"{task} does not start", every=0.1)
    process = psutil.Process(airflow.tasks("week", run)[task]["pid"])
    copying = (
        "select client_port from pg_stat_progress_copy join pg_stat_activity using (pid) where tuples_processed > 0"
    )
    with psycopg.connect(deployment.servers.postgres, autocommit=True) as admin:

        def in_its_copy() -> bool:
            ports = {port for (port,) in admin.execute(copying)}
            return any(connection.laddr.port in ports for connection in process.net_connections("tcp"))

        until(in_its_copy, 200, "no COPY of the task was seen", every=0.01)
    os.kill(process.pid, signal.SIGKILL)


def test_no_secret_is_in_any_log_xcom_template_asset_or_lineage_event(prototype, deployment):
    texts = {str(path): path.read_text(errors="replace") for path in (deployment.airflow.home).rglob("*.log*")}
    assert any("dag_id=metropulse_daily" in name for name in texts), "no log of a task"
    texts["lineage"] = deployment.lineage.read_text()
    with psycopg.connect(deployment.metadata.replace("+psycopg", "")) as link:
        for (table,) in link.execute("select tablename from pg_tables where schemaname = 'public'").fetchall():
            rows = link.execute(f'select t::text from "{table}" t').fetchall()
            texts[table] = "\n".join(text for (text,) in rows)
    for table, told in OF_THE_METADATA.items():
        assert told in texts[table], f"{table} tells nothing of the days"
    assert "dwh.fact_trip" in texts["lineage"]
    assert "s3://prototype" in texts["asset"]
    shown = [
        (whose, place)
        for whose, secret in deployment.secrets().items()
        for place, text in texts.items()
        if any(form in text for form in forms(secret))
    ]
    assert shown == []


def forms(secret: str) -> set[str]:
    """The secret as it may be written."""
    return {secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode()}
