"""Fixtures: a clean environment, and the stand-in for the native core."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

import metropulse

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parents[2]


def pytest_configure(config: pytest.Config) -> None:
    """Give Airflow a home of its own before anything imports it."""
    home = tempfile.TemporaryDirectory(prefix="metropulse-airflow-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["AIRFLOW_HOME"] = home.name
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    os.environ.setdefault("AIRFLOW__USAGE_DATA_COLLECTION__ENABLED", "False")
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "airflow_dags")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the back ends that the machine's own environment may name."""
    for name in list(os.environ):
        if name.startswith(("PG_", "CH_", "MINIO_", "METROPULSE_", "AWS_", "AIRFLOW_CONN_")):
            monkeypatch.delenv(name)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch):
    """Put the stand-in for the native core in its place."""
    import fake_core

    fake_core.reset()
    monkeypatch.setitem(sys.modules, "metropulse._core", fake_core)
    monkeypatch.setattr(metropulse, "_core", fake_core, raising=False)
    yield fake_core.Pipeline
    fake_core.reset()


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a stand-in for the embedded engines in their place; it remembers what was started and ended."""
    import types

    class Engines:
        lake = tmp_path / "state" / "lake" / "raw"
        warehouse_url = "postgresql://postgres@/postgres?host=/run/metropulse"
        mart_url = "http://127.0.0.1:18123/default"
        mart_user = "metropulse"
        mart_password = "engine-secret"

        def close(self) -> None:
            module.ended.append("close")

    module = types.ModuleType("metropulse.embedded")
    module.started, module.ended = [], []
    module.start = lambda folder: module.started.append(os.fspath(folder)) or Engines()
    module.stop = lambda folder: {"warehouse": True, "mart": False}
    monkeypatch.setitem(sys.modules, "metropulse.embedded", module)
    monkeypatch.setattr(metropulse, "embedded", module, raising=False)
    return module
