"""The session of a job that needs none."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("metropulse._core")

FILE = Path(__file__).parents[3] / "spark_jobs" / "etl_batch.py"
SESSION = nullcontext("a session")


@pytest.fixture
def etl_batch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("etl_batch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
