"""The DAG that builds a range of the mart anew, by both of its engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from answers import DATA, mart_rows, same_rows

pytest.importorskip("airflow.sdk")
pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.end_to_end]

FILE = Path(__file__).parents[3] / "airflow_dags" / "metropulse_backfill.py"
RUN = textwrap.dedent("""
    import importlib.util, json, os, sys
    from pathlib import Path
    from metropulse.airflow import local

    home, file, conf, variables = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
    local.configure(home, {})
    os.environ.update(variables)
    local.prepare()
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    spec = importlib.util.spec_from_file_location("metropulse_backfill", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bag = DagBag(dag_folder=os.devnull, collect_dags=False)
    bag.bag_dag(module.dag)
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
    run = module.dag.test(run_conf=conf)
    tasks = [[t.task_id, t.map_index, str(t.state)] for t in run.get_task_instances()]
    print("RESULT", json.dumps({"months": module.months("2023-11-20", "2024-02-01"), "tasks": sorted(tasks)}))
""")


def run(home: Path, conf: dict, variables: dict[str, str]) -> tuple[dict, str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(home), str(FILE), json.dumps(conf), json.dumps(variables)],
        capture_output=True, text=True, timeout=200, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
    )  # fmt: skip
    printed = done.stdout + done.stderr
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert results, printed[-5000:]
    return json.loads(results[0].removeprefix("RESULT ")), printed


def test_the_local_engine_builds_month_by_month_what_one_call_does(pipeline_on, tmp_path):
    lake = DATA / "prototype_raw"
    p, other = pipeline_on(lake), pipeline_on(lake)
    p.build_route_hourly("2024-04-01", "2024-06-01", source="lake")
    found = other.settings
    variables = {
        "METROPULSE_LAKE": str(lake),
        "PG_URL": found.warehouse,
        "CH_JDBC_URL": found.mart,
        "CH_USER": found.mart_user,
        "CH_PASSWORD": found.mart_password,
    }
    outcome, printed = run(tmp_path / "airflow", {"date_from": "2024-04-01", "date_to": "2024-06-01"}, variables)
    states = {(name, number): state for name, number, state in outcome["tasks"]}
    assert states["local", 0] == states["local", 1] == "success", printed[-5000:]
    assert states["spark", -1] == "skipped"
    same_rows(mart_rows(other), mart_rows(p))
    assert outcome["months"] == [
        {"date_from": "2023-11-20", "date_to": "2023-12-01"},
        {"date_from": "2023-12-01", "date_to": "2024-01-01"},
        {"date_from": "2024-01-01", "date_to": "2024-02-01"},
    ]


def test_the_spark_engine_submits_a_job_for_each_month(tmp_path):
    """By spark-submit, which stands for a cluster here: the job itself is tested in tests/python/spark."""
    programs = tmp_path / "bin"
    programs.mkdir()
    submit = programs / "spark-submit"
    submit.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\necho "a line of log"\necho "{{}}"\n')
    submit.chmod(0o755)
    conf = {
        "date_from": "2024-01-15",
        "date_to": "2024-03-01",
        "engine": "spark",
        "spark_options": "--master yarn --archives 'a b.tar.gz#packages'",
    }
    outcome, printed = run(tmp_path / "airflow", conf, {"PATH": f"{programs}:{os.environ['PATH']}"})
    states = {(name, number): state for name, number, state in outcome["tasks"]}
    assert states["spark", 0] == states["spark", 1] == "success", printed[-5000:]
    assert states["local", -1] == "skipped"
    job = FILE.parents[1] / "spark_jobs" / "mart_route_hourly.py"
    options = "--master yarn --archives a b.tar.gz#packages"
    assert sorted((tmp_path / "called").read_text().splitlines()) == [
        f"{options} {job} --date-from 2024-01-15 --date-to 2024-02-01",
        f"{options} {job} --date-from 2024-02-01 --date-to 2024-03-01",
    ]
