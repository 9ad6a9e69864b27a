"""Fixtures: a clean environment, engines of our own, and the stand-in for the native core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import metropulse

if TYPE_CHECKING:
    from metropulse.embedded import Engines

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

    class StandIn:
        lake = tmp_path / "state" / "lake" / "raw"
        warehouse_url = "postgresql://postgres@/postgres?host=/run/metropulse"
        mart_url = "http://127.0.0.1:18123/default"
        mart_user = "metropulse"
        mart_password = "engine-secret"

        def close(self) -> None:
            module.ended.append("close")

    module = types.ModuleType("metropulse.embedded")
    module.started, module.ended = [], []
    module.start = lambda folder: module.started.append(os.fspath(folder)) or StandIn()
    module.stop = lambda folder: {"warehouse": True, "mart": False}
    monkeypatch.setitem(sys.modules, "metropulse.embedded", module)
    monkeypatch.setattr(metropulse, "embedded", module, raising=False)
    return module


def _reachable_folder() -> Path:
    """Make a folder that PostgreSQL's own account can reach too (pytest's are closed to it when root tests)."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-test-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def empty_engines() -> Iterator[Path]:
    """A state folder whose engines were made, and stopped: making one takes seconds, copying it does not."""
    from metropulse import embedded

    folder = _reachable_folder()
    embedded.start(folder / "state").stop()
    yield folder / "state"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def running_engines(empty_engines: Path) -> Iterator[Engines]:
    """Engines that run for the whole session, for tests that use tables of their own."""
    from metropulse import embedded

    folder = _reachable_folder()
    subprocess.run(["cp", "-a", str(empty_engines), str(folder / "state")], check=True)
    with embedded.start(folder / "state") as engines:
        yield engines
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_state_dir() -> Iterator[Path]:
    """A state folder that does not exist yet."""
    from metropulse import embedded

    folder = _reachable_folder()
    yield folder / "state"
    embedded.stop(folder / "state")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def state_dir(new_state_dir: Path, empty_engines: Path) -> Path:
    """A state folder with engines that hold nothing and do not run."""
    subprocess.run(["cp", "-a", str(empty_engines), str(new_state_dir)], check=True)
    return new_state_dir
