"""The example DAGs over real input, each in a process of its own."""

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

pytest.importorskip("airflow.sdk")
pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.end_to_end]
EXAMPLES = Path(__file__).parents[3] / "airflow_dags" / "examples"

PROGRAM = textwrap.dedent("""
    import json, os, sys
    from pathlib import Path
    from metropulse.airflow import local

    home, file, conf = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    connections = {k: v for k, v in os.environ.items() if k.startswith("AIRFLOW_CONN_")}
    local.configure(home, {})
    os.environ.pop("AIRFLOW_CONN_METROPULSE_DEFAULT")
    os.environ.update(connections)
    with local.to_file(home / "log") as screen:
        local.prepare()
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
        bag = DagBag(dag_folder=file)
        DagBundlesManager().sync_bundles_to_db()
        sync_bag_to_db(bag, "dags-folder", None)
        (dag,) = bag.dags.values()
        for task in dag.tasks:
            task.retries = 0
        run = dag.test(logical_date=None, run_conf=conf)
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session
        with create_session() as session:
            events = [(e.uri, e.partition_key, e.extra.get("days")) for e in session.query(AssetEvent)]
        tasks = sorted((t.task_id, t.map_index, str(t.state)) for t in run.get_task_instances())
        print(json.dumps({"state": run.state, "tasks": tasks, "events": events}), file=screen)
""")


def run_example(name: str, home: Path, conf: dict, connections: dict[str, dict]) -> dict:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    environment |= {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(value) for conn_id, value in connections.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home), str(EXAMPLES / f"{name}.py"), json.dumps(conf)],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    printed = [line for line in done.stdout.splitlines() if line.startswith("{")]
    log = home / "log"
    assert printed, done.stderr[-3000:] + (log.read_text()[-5000:] if log.exists() else "")
    found = json.loads(printed[0])
    assert found["state"] == "success", f"{found['tasks']}\n{log.read_text()[-5000:]}"
    return found


def servers_of(p: mp.Pipeline) -> dict[str, dict]:
    s = p.settings
    return {
        "lake": {"conn_type": "fs", "extra": {"path": str(s.lake)}},
        "warehouse": {"conn_type": "postgres", "host": s.warehouse},
        "mart": {"conn_type": "http", "host": s.mart, "login": s.mart_user, "password": s.mart_password},
    }


def test_mapped_days_load_all_days_and_each_tells_of_its_own(pipeline_on, tmp_path):
    p = pipeline_on(DATA / "prototype_raw")
    connections = {f"metropulse_{role}_default": value for role, value in servers_of(p).items()}
    days = list(reversed(PROTOTYPE_DAYS))
    found = run_example("mapped_days", tmp_path / "airflow", {"days": days}, connections)
    mapped = [(task, index) for task, index, _ in found["tasks"] if index >= 0]
    assert mapped == [(task, index) for task in ("dimensions", "facts", "quality", "stage") for index in range(3)]
    facts = sorted((key, told) for uri, key, told in found["events"] if uri.endswith("/dwh/facts"))
    assert facts == [(day, [day]) for day in PROTOTYPE_DAYS]
    check_prototype(p)


def test_a_city_is_loaded_by_its_own_connections_and_its_alias_takes_up_its_assets(pipeline_on, tmp_path):
    p = pipeline_on(DATA / "prototype_raw")
    connections = {f"austin_{role}": value for role, value in servers_of(p).items()}
    conf = {"city": "austin", "time_zone": "UTC", "partition": PROTOTYPE_DAYS[0]}
    found = run_example("cities", tmp_path / "airflow", conf, connections)
    assert {state for _, _, state in found["tasks"]} == {"success"}
    (facts,) = [(uri, told) for uri, _, told in found["events"] if uri.endswith("/dwh/facts")]
    assert facts[0].startswith("postgres://austin_warehouse:5432/")
    assert facts[1] == [PROTOTYPE_DAYS[0]]
    assert p.warehouse.query("select count(*) as n from dwh.fact_trip").to_pylist() == [{"n": 73}]
