"""The recipe of docs/spark.md, as the page has it: a wheel, an environment of its own, an archive."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WHEELS = os.environ.get("METROPULSE_WHEEL")
REQUIRED = os.environ.get("METROPULSE_REQUIRE_SERVICES") == "1"
_PAGE = ROOT / "docs" / "spark.md"
_WHEEL = re.compile(r"metropulse-\S+\.whl")
_IMPORTED = "import pandas, pyarrow.compute, pyarrow.parquet, metropulse.states"


@dataclass(frozen=True)
class Shipped:
    """What the recipe left."""

    folder: Path
    archives: str
    python: str
    submit: str


def missing(what: str) -> None:
    """Skip, or fail where everything must be there."""
    if REQUIRED:
        pytest.fail(f"{what}, but METROPULSE_REQUIRE_SERVICES=1")
    pytest.skip(what)


def wheel(folder: Path) -> Path:
    """The wheel in METROPULSE_WHEEL; else one of what `make build` compiled, which takes seconds."""
    if not WHEELS:
        command = [Path(sys.executable).with_name("maturin"), "build", "--release", "--locked", "--out", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    [found] = Path(WHEELS or folder).resolve().glob("*.whl")
    return found


def recipe() -> list[str]:
    """The lines of the page, the last of which submits."""
    section = _PAGE.read_text(encoding="utf-8").partition("\n## Shipping it\n")[2]
    lines = section.partition("```text\n")[2].partition("```")[0].splitlines()
    assert "spark-submit" in lines[-1]
    return lines


def ship(folder: Path) -> Shipped:
    """Do what the page says in an empty folder."""
    *before, submit = recipe()
    package = wheel(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    # The page's commands, less thorough: only what tests import is compiled, and the archive stays on this machine.
    environment |= {"PIP_COMPILE": "0", "GZIP": "-1"}
    for line in before:
        command = _WHEEL.sub(str(package), line)
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
        )
        if "pip install" in line and re.search("No matching distribution|Max retries", done.stderr):
            missing("pip reaches no index, and the archive for Spark needs pyarrow and pandas")
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        if "pip install" in line:
            subprocess.run([shlex.split(line)[0], "-c", _IMPORTED], cwd=folder, env=environment, check=True)
    words = shlex.split(submit)
    [python] = [word.partition("=")[2] for word in words if word.startswith("PYSPARK_PYTHON=")]
    file, _, name = words[words.index("--archives") + 1].partition("#")
    return Shipped(folder, f"{folder / file}#{name}", python, submit)
