"""Fixtures: a warehouse of one's own inside the session's engines; the long tests run only when asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("truth.warehouse")

from .warehouse import Truth

_SOAK = "METROPULSE_SOAK" in os.environ


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the long tests of this folder unless METROPULSE_SOAK is set."""
    for item in items:
        if item.get_closest_marker("soak") and not _SOAK:
            item.add_marker(pytest.mark.skip(reason="long: set METROPULSE_SOAK=1 (make soak)"))


@pytest.fixture(scope="session")
def session_truth(running_engines: Any) -> Iterator[Truth]:
    """A database and a lake for all tests of this folder; made once, emptied between tests."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-truth-"))
    truth = Truth(running_engines, folder)
    yield truth
    truth.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def truth(session_truth: Truth) -> Truth:
    """An empty warehouse, mart and lake."""
    session_truth.empty()
    return session_truth
