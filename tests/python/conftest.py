"""Fixtures shared by the Python tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from metropulse.embedded import Engines


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
