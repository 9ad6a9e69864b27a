"""What jobs do beside the package: a session that a cluster waits for, and settings that Airflow hands over."""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("metropulse._core")

from metropulse.settings import resolve

JOBS = Path(__file__).parents[3] / "spark_jobs"
SESSION = nullcontext("a session")


def job(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, JOBS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def etl_batch() -> ModuleType:
    return job("etl_batch")


@pytest.mark.parametrize(("mode", "expected"), [("cluster", "a session"), ("client", None), (None, None)])
def test_a_cluster_that_runs_the_driver_is_given_the_session_it_waits_for(monkeypatch, etl_batch, mode, expected):
    """By stand-ins: Yarn is not here."""
    builder = SimpleNamespace(appName=lambda _: SimpleNamespace(getOrCreate=lambda: SESSION))
    pyspark, sql = ModuleType("pyspark"), ModuleType("pyspark.sql")
    pyspark.SparkConf = lambda: {"spark.submit.deployMode": mode}
    sql.SparkSession = SimpleNamespace(builder=builder)
    monkeypatch.setitem(sys.modules, "pyspark", pyspark)
    monkeypatch.setitem(sys.modules, "pyspark.sql", sql)
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    with etl_batch.expected_session() as found:
        assert found == expected


def test_without_spark_there_is_none(monkeypatch, etl_batch):
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with etl_batch.expected_session() as found:
        assert found is None


def test_the_mart_is_built_where_airflow_says_and_nothing_of_the_environment_completes_it(monkeypatch, capsys):
    """By stand-ins of session and build."""
    pytest.importorskip("pyspark")
    module, builds = job("mart_route_hourly"), []
    session = SimpleNamespace(stop=lambda: None)
    builder = SimpleNamespace(appName=lambda _: SimpleNamespace(getOrCreate=lambda: session))
    monkeypatch.setattr(module, "SparkSession", SimpleNamespace(builder=builder))
    monkeypatch.setattr(module, "build_route_hourly", lambda _, **asked: builds.append(asked) or {"rows": 0})
    monkeypatch.setattr(sys, "argv", ["job", "--date-from", "2024-05-01", "--date-to", "2024-06-01"])
    told = resolve(
        lake="s3://raw", lake_options={"aws_region": "eu"}, mart="http://mart:8123", reject_limit=0.2, environ={}
    )
    environment = {**told.handed_over(), "CH_PASSWORD": "of another mart", "PG_URL": "postgresql://another/dwh"}
    with monkeypatch.context() as only:
        only.setattr(os, "environ", environment)
        module.main()
    [asked] = builds
    assert {name: asked[name] for name in ("lake", "lake_options", "mart", "reject_limit")} == {
        "lake": "s3://raw",
        "lake_options": {"aws_region": "eu"},
        "mart": "http://mart:8123/default",
        "reject_limit": 0.2,
    }
    assert (str(asked["date_from"]), str(asked["date_to"])) == ("2024-05-01", "2024-06-01")
    assert environment == {}
    assert capsys.readouterr().out == '{"rows": 0}\n'
