"""The provider on the Airflow releases before the one that the other tests use: each in an environment of its own.

Soak tests, because each release is installed at first (30 s, 300 MB), and kept for the next time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import metropulse as mp
from answers import DATA, PROTOTYPE_DAYS, check_prototype

pytestmark = [
    pytest.mark.core,
    pytest.mark.embedded,
    pytest.mark.airflow,
    pytest.mark.soak,
    pytest.mark.skipif(os.environ.get("METROPULSE_SOAK") != "1", reason="set METROPULSE_SOAK=1 (make soak)"),
]
ROOT = Path(__file__).parents[3]
# What Airflow's own constraints would say: newer releases of these do not go with that Airflow.
RELEASES = {
    "3.0.6": ("pydantic<2.12", "cadwyn==5.4.6", "fastapi==0.117.1"),
    "3.1.8": (),
    "3.2.2": ("pydantic<2.13", "cadwyn==7.0.0", "fastapi<0.137", "starlette<1.2"),
}
# Without its constraints file, the API server of 3.2.2 inside a process answers no request of a task.
RUNS_NOTHING = {"3.2.2"}

PROGRAM = textwrap.dedent("""
    import json, os, sys, warnings
    from pathlib import Path
    from metropulse.airflow import local

    home, dags, days = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    connections = {k: v for k, v in os.environ.items() if k.startswith("AIRFLOW_CONN_METROPULSE")}
    local.configure(home, {})
    os.environ.pop("AIRFLOW_CONN_METROPULSE_DEFAULT")
    os.environ.update(connections)
    with local.to_file(home / "log") as screen:
        local.prepare()
        import airflow
        try:
            from airflow.dag_processing.dagbag import DagBag
        except ImportError:
            from airflow.models.dagbag import DagBag
        try:
            from airflow.serialization.serialized_objects import DagSerialization as Dags
            there, back = Dags.serialize_dag, Dags.deserialize_dag
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG
            there, back = SerializedDAG.to_dict, SerializedDAG.from_dict
        bag = DagBag(dags, include_examples=False)
        again = {name: sorted(t.task_id for t in back(json.loads(json.dumps(there(dag)))).tasks)
                 for name, dag in bag.dags.items()}
        runs = [local.run_dag_in_process(day, {"stable_seconds": 0}, begins=lambda task: None) for day in days]
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session
        with create_session() as session:
            events = [(event.uri, event.extra.get("days"), event.extra.get("rows")) for event in session.query(AssetEvent)]
        print(json.dumps({
            "version": airflow.__version__, "errors": bag.import_errors, "again": again,
            "tasks": {name: sorted(dag.task_ids) for name, dag in bag.dags.items()},
            "runs": [run.state for run in runs], "failed": [t.error for run in runs for t in run.tasks if t.error],
            "events": events,
        }), file=screen)
""")


def environment_of(release: str) -> Path:
    """The Python of an environment with that release of Airflow; made when it is not there."""
    place = Path.home() / ".cache" / "metropulse-tests" / "airflow" / release
    python = place / "bin" / "python"
    if not (place / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True, timeout=120)
        wanted = [
            *RELEASES[release],
            f"apache-airflow=={release}",
            "apache-airflow-providers-common-compat>=1.23",
            "apache-airflow-providers-smtp",
        ]
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *wanted,
            "click",
            "rich",
        ]
        subprocess.run(install, check=True, timeout=600)
        (place / ".ready").touch()
    return python


@pytest.mark.parametrize("release", RELEASES)
def test_the_dags_import_survive_serialisation_and_load_days_on_each_release(release, pipeline_on, tmp_path):
    p = pipeline_on(DATA / "prototype_raw")
    s, days = p.settings, [] if release in RUNS_NOTHING else list(PROTOTYPE_DAYS)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PYTHONPATH": str(Path(mp.__file__).parents[1]),
        "AIRFLOW_CONN_METROPULSE_LAKE_DEFAULT": json.dumps({"conn_type": "fs", "extra": {"path": str(s.lake)}}),
        "AIRFLOW_CONN_METROPULSE_WAREHOUSE_DEFAULT": json.dumps({"conn_type": "postgres", "host": s.warehouse}),
        "AIRFLOW_CONN_METROPULSE_MART_DEFAULT": json.dumps(
            {"conn_type": "http", "host": s.mart, "login": s.mart_user, "password": s.mart_password}
        ),
    }
    home = tmp_path / "airflow"
    done = subprocess.run(
        [environment_of(release), "-c", PROGRAM, str(home), str(ROOT / "airflow_dags"), json.dumps(days)],
        capture_output=True, text=True, timeout=500, check=False, env=environment,
    )  # fmt: skip
    printed = [line for line in done.stdout.splitlines() if line.startswith("{")]
    log = home / "log"
    assert printed, f"{done.stderr[-3000:]}{log.read_text()[-5000:] if log.exists() else ''}"
    found = json.loads(printed[0])
    assert (found["version"], found["errors"]) == (release, {})
    assert found["again"] == found["tasks"]
    assert {"metropulse_daily", "metropulse_mart", "example_mapped_days", "example_cities"} <= found["tasks"].keys()
    assert found["runs"] == ["success"] * len(days), f"{found['failed']}{log.read_text()[-3000:]}"
    facts = [(days, rows > 0) for uri, days, rows in found["events"] if uri.endswith("/dwh/facts")]
    assert facts == [([day], True) for day in days]
    if days:
        check_prototype(p)
