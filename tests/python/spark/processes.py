"""The processes of a cluster on this machine, as /proc tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process at one moment."""

    pid: int
    parent: int
    busy_seconds: float
    words: tuple[bytes, ...]


def process(pid: int) -> Process | None:
    """Return a process, if it is there and has not ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        words = tuple(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except OSError:
        return None
    busy = (int(fields[11]) + int(fields[12])) / _TICKS
    return None if fields[0] in "ZX" else Process(pid, int(fields[1]), busy, words)


def processes() -> Iterator[Process]:
    """Give all processes of this machine."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := process(int(entry.name))) is not None:
            yield found


def python_workers(executors: list[int]) -> list[Process]:
    """Return the Python workers of some executors: the children of their daemons."""
    every = list(processes())
    daemons = {one.pid for one in every if one.parent in executors and b"pyspark.daemon" in one.words}
    return [one for one in every if one.parent in daemons]
