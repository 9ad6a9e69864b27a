"""The wheel that `make wheel` built and tries here, in an environment that holds nothing else. METROPULSE_WHEEL names its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from answers import DATA

FOLDER = os.environ.get("METROPULSE_WHEEL")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="METROPULSE_WHEEL does not name the wheel's folder"),
]

IMPORT = "import time; start = time.perf_counter(); import metropulse; print(time.perf_counter() - start)"
ROLLUP = """
import json, sys
import metropulse as mp
hours = mp.rollup_hourly(sys.argv[1], keys=["route_id"], time="event_ts", measures={"n": "count"}, time_zone="Europe/Moscow")
rows = hours.to_pylist()
print(json.dumps([len(rows), sum(row["n"] for row in rows)]))
"""


@pytest.fixture(scope="module")
def wheel() -> Path:
    [found] = Path(FOLDER).glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The programs of a new environment into which the wheel was installed without extras."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(command, check=True, timeout=300)
    return folder / "bin"


def run(*command: object) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_one_wheel_for_every_python_and_linux(wheel):
    """Its tag is checked against the symbols it needs when it is built."""
    assert "-cp311-abi3-" in wheel.name
    if sys.platform == "linux":
        assert "-manylinux_2_28_" in wheel.name


def test_without_extras_it_brings_the_command_line_and_no_more(programs):
    listed = json.loads(
        run(programs / "python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    )
    installed = {package["name"].lower() for package in listed}
    assert installed - {"pip", "setuptools"} == {
        "click", "markdown-it-py", "mdurl", "metropulse", "pygments", "rich"
    }  # fmt: skip
    assert "Usage: metropulse" in run(programs / "metropulse", "--help")


def test_it_is_imported_within_50_ms(programs):
    assert min(float(run(programs / "python", "-c", IMPORT)) for _ in range(7)) < 0.05


def test_it_rolls_parquet_up_without_any_other_package(programs):
    positions = DATA / "prototype_raw" / "dt=*" / "vehicle_positions.parquet"
    rows, counted = json.loads(run(programs / "python", "-c", ROLLUP, positions))
    assert (rows > 0, counted) == (True, 54_516)


def test_it_needs_no_library_but_the_systems_own(wheel, tmp_path):
    """No libpython, no OpenSSL: what is linked is the C library, and what belongs to it."""
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, tmp_path], check=True)
    [core] = (tmp_path / "metropulse").glob("_core*.so")
    needed = {line.split()[0] for line in run("ldd", core).splitlines()}
    expected = (
        "linux-vdso",
        "libc.so",
        "libm.so",
        "libdl.so",
        "libpthread.so",
        "librt.so",
        "libutil.so",
        "libgcc_s.so",
        "/lib",
    )
    assert [name for name in needed if not name.startswith(expected)] == []
