"""Importing metropulse is light: Airflow does so in every process, before it forks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import metropulse

SOURCE = str(Path(metropulse.__file__).parents[1])
PROBE = """
import json, logging, os, sys, time
sys.path.insert(0, {source!r})
import_environ, before = dict(os.environ), set(sys.modules)
loggers = set(logging.root.manager.loggerDict)
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
import threading
print(json.dumps({{
    "seconds": seconds,
    "threads": threading.active_count(),
    "tasks": len(os.listdir("/proc/self/task")),
    "modules": sorted(set(sys.modules) - before),
    "loggers": sorted(set(logging.root.manager.loggerDict) - loggers),
    "environ": dict(os.environ) == import_environ,
}}))
"""
HEAVY = ("airflow", "pyarrow", "pandas", "chdb", "click", "rich", "asyncio", "metropulse._core", "metropulse.embedded")


def probe(module: str) -> dict:
    program = PROBE.format(source=SOURCE, module=module)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.alone
def test_importing_the_package_takes_under_50_ms():
    assert min(probe("metropulse")["seconds"] for _ in range(7)) < 0.05


@pytest.mark.parametrize("module", ["metropulse", "metropulse.airflow.get_provider_info"])
def test_importing_starts_nothing_and_loads_nothing_heavy(module):
    found = probe(module)
    assert (found["threads"], found["tasks"]) == (1, 1)
    assert [m for m in found["modules"] if m.startswith(HEAVY) and not m.startswith("metropulse.airflow")] == []
    assert found["loggers"] == []
    assert found["environ"]


def test_the_facade_loads_neither_core_nor_airflow_by_itself():
    modules = probe("metropulse.pipeline")["modules"]
    assert [m for m in modules if m.startswith(HEAVY)] == []


def test_public_names_resolve_lazily_and_unknown_ones_do_not():
    for name in metropulse.__all__:
        if name != "__version__":
            assert getattr(metropulse, name).__module__.startswith("metropulse.")
    assert set(metropulse.__all__) <= set(dir(metropulse))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = metropulse.nonsense
