"""The DAG that builds a range of the mart anew, by both of its engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import metropulse
from answers import DATA, mart_rows, same_rows

pytest.importorskip("airflow.sdk")
pytestmark = [pytest.mark.core, pytest.mark.embedded, pytest.mark.airflow, pytest.mark.end_to_end]

ALONE, BY_PROVIDER = "without the provider", "by the provider"
FILE = Path(__file__).parents[3] / "airflow_dags" / "metropulse_backfill.py"
RUN = textwrap.dedent("""
    import importlib.util, json, os, sys
    from pathlib import Path
    from metropulse.airflow import local

    home, file, conf, variables = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
    local.configure(home, {})
    os.environ.update(variables)
    if sys.argv[5] == "without the provider":
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "airflow.providers.apache.spark" else found(name)
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
    told = {"months": module.months("2023-11-20", "2024-02-01"), "two": module.months("2023-11-20", "2024-02-01", 2), "tasks": sorted(tasks), "provider": module.HAS_PROVIDER}
    print("RESULT", json.dumps(told))
""")


def run(home: Path, conf: dict, variables: dict[str, str], submits: str = ALONE) -> tuple[dict, str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(home), str(FILE), json.dumps(conf), json.dumps(variables), submits],
        capture_output=True, text=True, timeout=600, check=False,
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
    assert outcome["two"] == [
        {"date_from": "2023-11-20", "date_to": "2024-01-01"},
        {"date_from": "2024-01-01", "date_to": "2024-02-01"},
    ]


@pytest.fixture
def programs(tmp_path) -> Path:
    """A folder with a spark-submit that keeps its words and what it is told of places, and says nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    submit = folder / "spark-submit"
    submit.write_text(
        f"#!{sys.executable}\n"
        + textwrap.dedent(f"""
        import json, os, sys
        with open({str(tmp_path / "called")!r}, "a") as called:
            print(json.dumps([sys.argv[1:], json.loads(os.environ["METROPULSE_SETTINGS"])]), file=called)
    """)
    )
    submit.chmod(0o755)
    return folder


@pytest.mark.parametrize("submits", [ALONE, BY_PROVIDER])
def test_the_spark_engine_submits_a_job_for_each_month(tmp_path, programs, submits):
    """By spark-submit, which stands for a cluster here: the job itself is tested in tests/python/spark."""
    if submits == BY_PROVIDER:
        pytest.importorskip("airflow.providers.apache.spark", reason="Airflow's Spark provider is not installed")
    conf = {
        "date_from": "2024-01-15",
        "date_to": "2024-03-01",
        "engine": "spark",
        "lake": "s3://raw",
        "spark_options": "--master yarn --archives 'a b.tar.gz#packages' --conf spark.task.cpus=2",
    }
    mart = {"conn_type": "http", "host": "clickhouse", "port": 8123, "login": "writer", "password": "mart-pass"}
    base = {"conn_type": "metropulse", "extra": {"reject_limit": 0.2, "memory_bytes": 1 << 28, "threads": 9}}
    variables = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "MINIO_ENDPOINT": "http://minio:9000",
        "MINIO_ACCESS_KEY": "reader",
        "MINIO_SECRET_KEY": "lake-pass",
        "PG_URL": "postgresql://dwh:dwh-pass@postgres/dwh",
        "AIRFLOW_CONN_METROPULSE_DEFAULT": json.dumps(base),
        "AIRFLOW_CONN_METROPULSE_MART_DEFAULT": json.dumps(mart),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[1]"}),
    }
    outcome, printed = run(tmp_path / "airflow", conf, variables, submits)
    assert outcome["provider"] == (submits == BY_PROVIDER)
    states = {(name, number): state for name, number, state in outcome["tasks"]}
    assert states["spark", 0] == states["spark", 1] == "success", printed[-5000:]
    assert states["local", -1] == "skipped"
    job = Path(metropulse.__file__).parent / "spark" / "jobs" / "mart_route_hourly.py"
    options = ["--master", "yarn", "--archives", "a b.tar.gz#packages", "--conf", "spark.task.cpus=2", str(job)]
    called = [json.loads(line) for line in (tmp_path / "called").read_text().splitlines()]
    assert sorted(words[-len(options) - 4 :] for words, _ in called) == [
        [*options, "--date-from", "2024-01-15", "--date-to", "2024-02-01"],
        [*options, "--date-from", "2024-02-01", "--date-to", "2024-03-01"],
    ]
    for words, settings in called:
        assert settings["lake"] == "s3://raw"
        assert settings["lake_options"]["aws_secret_access_key"] == "lake-pass"
        assert settings["warehouse"] == "postgresql://dwh:dwh-pass@postgres/dwh"
        assert (settings["mart_user"], settings["mart_password"]) == ("writer", "mart-pass")
        assert (settings["reject_limit"], settings["memory_bytes"]) == (0.2, 1 << 28)
        assert "threads" not in settings, "those of Airflow's machine are not those of a task of Spark"
        assert "-pass" not in " ".join(words)
    assert "-pass" not in printed
