"""How every benchmark here measures: two processes that take turns, results compared first, one JSON line a row.

A suite is a script of this folder. `benches/run.py` calls it as

    .venv/bin/python benches/<suite>.py --size small --data <folder>

and reads JSON lines from its standard output (whatever else it has to say goes to standard error). A line is

    {"work": "rollup of positions by route and hour", "rows": 4000000, "bytes": 123456789,
     "ours": [0.05, ...], "peer": "polars", "peer_seconds": [0.1, ...], "equal": true, "required": 1.8,
     "versions": {"metropulse": "0.1.0", "polars": "2.1.0"}, "note": "optional"}

with the seconds of every run, in order. `measure` makes such a line: ours and the peer live in a process each (ours in
this environment, the peer in `.venv-bench`), show the same result first, and then run in turn: A B A B. Each run is
timed inside its process. What a process runs is a `Trial` of the suite's own module:

    class Polars(Trial):
        distributions = ("polars",)

        def __init__(self, path: str) -> None:   # after start-up, not timed
            import polars
            ...
        def run(self) -> None: ...               # timed
        def result(self) -> object: ...          # not timed: plain JSON values, compared with `equal`

    measure("rollup ...", rows=..., size_bytes=..., ours=Arm("metropulse", "rollup:Ours", {"path": path}),
            peer=Arm("polars", "rollup:Polars", {"path": path}), required=1.8)

A module of trials imports neither metropulse nor a peer at its head: both environments load it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REPEATS = 5


class Trial:
    """One way of doing a piece of work, in a process of its own."""

    #: Distributions whose versions the report names.
    distributions: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Make ready for one run; not timed."""

    def run(self) -> None:
        """Do the work; timed."""
        raise NotImplementedError

    def result(self) -> Any:
        """Return what the last run made, as plain JSON values; not timed."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""


def python_of(name: str) -> Path:
    """Return the interpreter that has a contestant: ours has metropulse, `.venv-bench` the peers."""
    if name == "metropulse":
        return Path(sys.executable)
    return Path(os.environ.get("METROPULSE_BENCH_PEERS", ROOT / ".venv-bench")) / "bin" / "python"


@dataclass(frozen=True)
class Arm:
    """One contestant: its name, `module:Class` of its trial, and the trial's arguments.

    A cold one starts a new process for every run, and its time counts from before that start.
    """

    name: str
    trial: str
    arguments: dict[str, Any] = field(default_factory=dict)
    cold: bool = False


class Process:
    """A process that holds one trial and runs it when told."""

    def __init__(self, arm: Arm) -> None:
        """Start the process; it is ready when this returns."""
        self.arm = arm
        self.started = time.perf_counter()
        command = [str(python_of(arm.name)), str(HERE / "protocol.py"), arm.trial, json.dumps(arm.arguments)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions: dict[str, str] = self._answer()["versions"]

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.arm.name} ({self.arm.trial}) ended with {self._child.wait()}")
        return json.loads(line)

    def ask(self, word: str) -> dict[str, Any]:
        """Send one word (`run` or `result`) and return the answer."""
        assert self._child.stdin is not None
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()
        return self._answer()

    def run(self) -> float:
        """Run once and return the seconds, counted from the process's start where the arm is cold."""
        seconds = self.ask("run")["seconds"]
        return time.perf_counter() - self.started if self.arm.cold else seconds

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._child.stdin.close()  # type: ignore[union-attr]
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


@contextlib.contextmanager
def running(arm: Arm) -> Iterator[Process]:
    """Run a process for as long as the block lasts."""
    process = Process(arm)
    try:
        yield process
    finally:
        process.close()


def equal(ours: Any, theirs: Any, relative: float = 1e-9) -> bool:
    """Whether two results are the same: floats within a relative difference, everything else exactly."""
    if isinstance(ours, bool) or isinstance(theirs, bool) or ours is None or theirs is None:
        return ours is theirs
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        if isinstance(ours, int) and isinstance(theirs, int):
            return ours == theirs
        return math.isclose(ours, theirs, rel_tol=relative, abs_tol=1e-9)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(equal(a, b, relative) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k], relative) for k in ours)
    return bool(ours == theirs)


def differences(ours: Any, theirs: Any, where: str = "result") -> Iterator[str]:
    """Say where two results differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key), theirs.get(key), f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(a, b, f"{where}[{number}]")
    elif not equal(ours, theirs):
        yield f"{where}: ours {str(ours)[:200]}, theirs {str(theirs)[:200]}"


def measure(
    work: str,
    *,
    rows: int,
    size_bytes: int,
    ours: Arm,
    peer: Arm,
    required: float | None = None,
    repeats: int = REPEATS,
    warm_ups: int = 1,
    before: Callable[[Arm], None] | None = None,
    note: str = "",
    bounded_by: str = "",
) -> dict[str, Any]:
    """Compare the results of both, then time them in turn, and print the row.

    Args:
        work: What is done.
        rows: Rows of input.
        size_bytes: Bytes of input.
        ours: This project.
        peer: What a user would pick instead.
        required: How many times as fast as the peer ours must be.
        repeats: Timed runs of each. The first run of each is compared.
        warm_ups: Runs of each before the timed ones; none where both are cold.
        before: Called before every run, untimed, in this process (to empty the target, say).
        note: What a reader of the row must know.
        bounded_by: What keeps the ratio from growing, as a profile shows it.

    Returns:
        The row that was printed.
    """
    arms = (ours, peer)
    untimed = 0 if ours.cold and peer.cold else warm_ups
    last = untimed + repeats - 1
    seconds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    results: dict[str, Any] = {}
    versions: dict[str, str] = {}
    peak: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        warm = {arm.name: stack.enter_context(running(arm)) for arm in arms if not arm.cold}
        for turn in range(last + 1):
            is_timed = turn >= untimed
            for arm in arms:
                if before is not None:
                    before(arm)
                with contextlib.nullcontext(warm.get(arm.name)) if arm.name in warm else running(arm) as process:
                    assert process is not None
                    took = process.run()
                    if turn == 0:
                        # Before the result is looked at, which may take more memory than the work did.
                        peak[arm.name] = process.ask("peak")["bytes"]
                        results[arm.name] = process.ask("result")["result"]
                        versions |= process.versions
                    if is_timed:
                        seconds[arm.name].append(took)
                say(f"{work}: {arm.name} {took:.3f} s{'' if is_timed else ' (not counted)'}")
            if turn == 0 and not equal(results[ours.name], results[peer.name]):
                for line in list(differences(results[ours.name], results[peer.name]))[:10]:
                    say(f"{work}: {peer.name} differs: {line}")
                break
    row = {
        "work": work,
        "rows": rows,
        "bytes": size_bytes,
        "ours": seconds[ours.name],
        "peer": peer.name,
        "peer_seconds": seconds[peer.name],
        "equal": equal(results[ours.name], results[peer.name]),
        "required": required,
        "versions": versions,
        "peak_bytes": peak,
        "note": note,
        "bounded_by": bounded_by,
    }
    print(json.dumps(row), flush=True)
    return row


def grow(
    work: str,
    times: int,
    *,
    rows: int,
    size_bytes: int,
    arm: Arm,
    repeats: int = 3,
    before: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Time one contestant on `times` the smallest input, in a process of its own, and print a line of the series.

    Args:
        work: What is done; the lines of one name are one series.
        times: How many times the smallest input this is.
        rows: Rows of this input.
        size_bytes: Bytes of this input.
        arm: Who does it.
        repeats: Timed runs, after one that is not counted.
        before: Called before every run, untimed.

    Returns:
        The line that was printed.
    """
    with running(arm) as process:
        took = []
        for _ in range(repeats + 1):
            if before is not None:
                before()
            took.append(process.run())
        took = took[1:]
        peak = process.ask("peak")["bytes"]
    line = {
        "series": work,
        "times": times,
        "rows": rows,
        "bytes": size_bytes,
        "seconds": took,
        "peak_bytes": peak,
    }
    say(f"{work}: {times}x {sorted(took)[len(took) // 2]:.3f} s, peak {peak / 1e6:.0f} MB")
    print(json.dumps(line), flush=True)
    return line


def peak_bytes() -> int:
    """Return the most memory that this process has held, in bytes.

    Linux counts the peak of whoever started a process into its `ru_maxrss`; the line `VmHWM` of its status is its own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(text: str) -> None:
    """Tell how far it is, on standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Options:
    """What a suite is called with."""

    size: str
    data: Path

    def pick(self, small: Any, full: Any) -> Any:
        """Choose by size."""
        return full if self.size == "full" else small


def options(description: str | None) -> Options:
    """Read a suite's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--size", choices=("small", "full"), default=os.environ.get("BENCH_SIZE", "small"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BENCH_DATA", ROOT / "target" / "bench")))
    found = parser.parse_args()
    found.data.mkdir(parents=True, exist_ok=True)
    return Options(found.size, found.data.resolve())


def _serve(target: str, arguments: dict[str, Any]) -> None:
    """Hold a trial and run it when told; libraries may print, so the answers have a descriptor of their own."""
    from importlib.metadata import version

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    sys.path.insert(0, str(HERE))
    module, _, name = target.partition(":")
    trial: Trial = getattr(importlib.import_module(module), name)(**arguments)
    answer(versions={d: version(d) for d in trial.distributions})
    for word in sys.stdin:
        if word.strip() == "run":
            trial.prepare()
            started = time.perf_counter()
            trial.run()
            answer(seconds=time.perf_counter() - started)
        elif word.strip() == "result":
            answer(result=trial.result())
        else:
            answer(bytes=peak_bytes())
    trial.close()


if __name__ == "__main__":
    sys.modules["protocol"] = sys.modules["__main__"]
    _serve(sys.argv[1], json.loads(sys.argv[2]))
