"""Runs every benchmark beside its peer and writes docs/benchmarks.md: `make bench`, or `make bench BENCH_SIZE=full`.

    .venv/bin/python benches/run.py [--size small|full] [--data FOLDER] [--only SUITE ...] [--no-report]

The peers live in `.venv-bench`, made from benches/requirements.txt at the first run. Inputs are generated from seeds
and kept in the data folder, so only the first run makes them. See benches/protocol.py for how a row is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from protocol import HERE, ROOT, say
from report import table, write

_ORDER = (
    "rollup",
    "copy_rows",
    "facts",
    "telemetry",
    "gtfs",
    "realtime",
    "merge_snapshot",
    "spark_day",
    "spark_rollup",
    "spark_mart",
    "growth",
)
SUITES = tuple(name for name in _ORDER if (HERE / f"{name}.py").exists())
ENVIRONMENT = Path(os.environ.get("METROPULSE_BENCH_PEERS", ROOT / ".venv-bench"))


def prepare_peers() -> None:
    """Make the environment of the peers, anew when the requirements changed."""
    wanted, stamp = HERE / "requirements.txt", ENVIRONMENT / ".ready"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return
    say(f"making {ENVIRONMENT} (once)")
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "--requirement", str(wanted)], check=True)
    stamp.write_text(wanted.read_text())


def run_suite(name: str, size: str, data: Path) -> list[dict[str, Any]]:
    """Run one suite and return its lines."""
    started = time.perf_counter()
    say(f"== {name} ({size})")
    command = [sys.executable, str(HERE / f"{name}.py"), "--size", size, "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as suite:
        assert suite.stdout is not None
        lines = [{**json.loads(line), "suite": name} for line in suite.stdout if line.startswith("{")]
    if suite.returncode != 0:
        lines.append({"suite": name, "failed": f"exit status {suite.returncode}"})
    say(f"== {name}: {time.perf_counter() - started:.0f} s")
    return lines


def main() -> int:
    """Run the suites, show and write the report; the exit code says whether all results were equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "full"), default=os.environ.get("BENCH_SIZE") or "small")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BENCH_DATA") or ROOT / "target" / "bench"))
    parser.add_argument("--only", nargs="+", choices=SUITES, metavar="SUITE", default=list(SUITES))
    parser.add_argument("--no-report", action="store_true", help="do not write docs/benchmarks.md")
    found = parser.parse_args()
    prepare_peers()
    data: Path = found.data.resolve() / found.size
    data.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    lines = [line for name in found.only for line in run_suite(name, found.size, data)]
    (data / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(table(lines))
    say(f"all of it took {time.perf_counter() - started:.0f} s")
    if not found.no_report:
        write(ROOT / "docs" / "benchmarks.md", lines, found.size, time.perf_counter() - started)
    return 1 if any("failed" in line or line.get("equal") is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
