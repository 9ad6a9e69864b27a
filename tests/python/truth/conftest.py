"""Fixtures: a warehouse of one's own inside the session's engines, and how far the random tests go."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .warehouse import Truth

SOAK = "METROPULSE_SOAK" in os.environ


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
