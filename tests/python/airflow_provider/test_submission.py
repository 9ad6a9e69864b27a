"""What a job is told that a task of Airflow gives to spark-submit, and what is told where it cannot be given."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("airflow.sdk")
pytest.importorskip("metropulse._core")

from airflow.sdk.exceptions import AirflowFailException

import metropulse as mp
from metropulse.airflow import hooks
from metropulse.airflow.submission import MART_JOB, submitting

pytestmark = [pytest.mark.core, pytest.mark.airflow]

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_connections(monkeypatch):
    """The environment alone says where things are."""
    monkeypatch.setattr(hooks.MetropulseHook, "_find", lambda *_: None)


def test_the_wheel_has_the_jobs_and_the_dag_that_submits_one():
    package = Path(mp.__file__).parent
    for place, source in (("spark/jobs", "spark_jobs"), ("airflow/dags", "airflow_dags")):
        shipped = {file.name: file.read_bytes() for file in (package / place).glob("*.py")}
        assert shipped == {file.name: file.read_bytes() for file in (ROOT / source).glob("*.py")}
    assert MART_JOB.is_file()


def test_a_job_is_told_in_its_environment_and_only_while_it_is_submitted(monkeypatch):
    monkeypatch.setenv("METROPULSE_LAKE", "/lake")
    monkeypatch.setenv("CH_JDBC_URL", "http://clickhouse:8123/default")
    monkeypatch.setenv("CH_PASSWORD", "secret")
    before = dict(os.environ)
    with submitting({}, MART_JOB):
        told = json.loads(os.environ["METROPULSE_SETTINGS"])
    assert (told["lake"], told["mart_password"]) == ("/lake", "secret")
    assert dict(os.environ) == before


def test_what_no_retry_mends_is_not_retried(monkeypatch, tmp_path):
    with pytest.raises(AirflowFailException, match=r"job .*/gone\.py is missing"), submitting({}, tmp_path / "gone.py"):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    told = r'spark-submit is not on the PATH.*"metropulse\[spark\]"'
    with pytest.raises(AirflowFailException, match=told), submitting({}, MART_JOB):
        subprocess.run(["spark-submit"], check=True)
    monkeypatch.setenv("MINIO_SECURE", "perhaps")
    monkeypatch.setenv("MINIO_ENDPOINT", "minio:9000")
    with pytest.raises(AirflowFailException, match="MINIO_SECURE is 'perhaps'"), submitting({}, MART_JOB):
        pass


PROVIDER = "airflow.providers.apache.spark"
MONTH = {"date_from": "2024-01-15", "date_to": "2024-02-01"}
OPTIONS = {
    "lake": "s3://raw",
    "spark_options": "--master yarn --archives 'a b.tar.gz#packages' --conf spark.task.cpus=2",
}


@pytest.fixture(params=["by the provider", "without the provider"])
def backfill(request, monkeypatch) -> ModuleType:
    """The DAG's module, with Airflow's Spark provider and without."""
    if request.param == "by the provider":
        pytest.importorskip(PROVIDER, reason="Airflow's Spark provider is not installed")
    else:
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == PROVIDER else find_spec(name))
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps({"conn_type": "spark", "host": "local[1]"}))
    spec = importlib.util.spec_from_file_location("backfill", ROOT / "airflow_dags" / "metropulse_backfill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (request.param == "by the provider") == module.HAS_PROVIDER
    return module


def submitted(module: ModuleType, monkeypatch) -> object:
    """Run the task of a month: by the operator that the DAG made of the provider's own, or by the DAG's function."""
    [words] = module.submissions.function([MONTH], params=OPTIONS)
    context = {"params": OPTIONS}
    if module.HAS_PROVIDER:
        operator = module.dag.get_task("spark").operator_class
        return operator(task_id="month", conn_id="spark_default", **words).execute(context)
    monkeypatch.setattr(module, "get_current_context", lambda: context)
    return module.submit.function(**words, params=OPTIONS)


@pytest.fixture
def called(tmp_path, monkeypatch) -> Path:
    """What a stand-in of spark-submit, which says nothing, was called with."""
    program = tmp_path / "spark-submit"
    keep = f"json.dump([sys.argv[1:], json.loads(os.environ['METROPULSE_SETTINGS'])], open({str(tmp_path / 'called')!r}, 'w'))"
    program.write_text(f"#!{sys.executable}\nimport json, os, sys\n{keep}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "called"


def test_options_and_places_reach_the_job_and_secrets_no_command_line(backfill, called, monkeypatch, capfd, caplog):
    for name, value in (("ENDPOINT", "http://minio:9000"), ("ACCESS_KEY", "reader"), ("SECRET_KEY", "lake-pass")):
        monkeypatch.setenv(f"MINIO_{name}", value)
    monkeypatch.setenv("PG_URL", "postgresql://dwh:dwh-pass@postgres/dwh")
    monkeypatch.setenv("CH_JDBC_URL", "http://writer:mart-pass@clickhouse:8123/default")
    assert submitted(backfill, monkeypatch) is None, "a driver elsewhere says nothing here, and its month is done"
    words, settings = json.loads(called.read_text())
    options = ["--master", "yarn", "--archives", "a b.tar.gz#packages", "--conf", "spark.task.cpus=2"]
    expected = [*options, str(MART_JOB), "--date-from", "2024-01-15", "--date-to", "2024-02-01"]
    assert words[-len(expected) :] == expected, "last, so that they override what the connection says"
    assert (settings["lake"], settings["lake_options"]["aws_secret_access_key"]) == ("s3://raw", "lake-pass")
    assert settings["warehouse"] == "postgresql://dwh:dwh-pass@postgres/dwh"
    assert settings["mart_password"] == "mart-pass"
    shown = capfd.readouterr()
    assert "-pass" not in " ".join(words) + shown.out + shown.err + caplog.text


def test_a_missing_spark_submit_is_told_and_not_retried(backfill, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AirflowFailException, match="spark-submit is not on the PATH of Airflow's workers"):
        submitted(backfill, monkeypatch)
