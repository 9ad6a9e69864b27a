"""The recipe of docs/spark.md, as the page has it: a wheel, an environment of its own, an archive."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import metropulse

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
    """The wheel in METROPULSE_WHEEL; else the package that `make build` left, packed as a wheel is."""
    if WHEELS:
        [found] = Path(WHEELS).resolve().glob("*.whl")
        return found
    package = Path(metropulse.__file__).parent
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    name = f"metropulse-{version}"
    about = f"Metadata-Version: 2.1\nName: metropulse\nVersion: {version}\n"
    about += "".join(f"Requires-Dist: {line}\n" for line in ("click>=8.1", "rich>=13"))
    tag = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\nTag: cp311-abi3-linux_x86_64\n"
    made = folder / f"{name}-cp311-abi3-linux_x86_64.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, Path("metropulse") / file.relative_to(package))
        archive.writestr(f"{name}.dist-info/METADATA", about)
        archive.writestr(f"{name}.dist-info/WHEEL", tag)
        names = [*archive.namelist(), f"{name}.dist-info/RECORD"]
        archive.writestr(f"{name}.dist-info/RECORD", "".join(f"{entry},,\n" for entry in names))
    return made


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
