"""Turns the lines of the suites into a table for the terminal and into docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

Line = dict[str, Any]


def _machine() -> str:
    """Describe the processor and the memory."""
    try:
        names = [
            s.partition(":")[2].strip() for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s
        ]
        kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    except (OSError, ValueError):
        return platform.platform()
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {kilobytes / 1024**2:.0f} GiB, {platform.platform()}"


def seconds(value: float) -> str:
    """Show a time with three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def count(value: float) -> str:
    """Show a number of rows or bytes in thousands, millions or thousand millions."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.0f}"


def ratio(line: Line) -> float | None:
    """How many times as fast as the peer ours is."""
    if not line["ours"] or not line["peer_seconds"]:
        return None
    return median(line["peer_seconds"]) / median(line["ours"])


def verdict(line: Line) -> str:
    """Say whether a row reached what it must."""
    reached, required = ratio(line), line.get("required")
    if not line["equal"]:
        return "RESULTS DIFFER"
    if reached is None:
        return "not measured"
    if required is None:
        return ""
    return "reached" if reached >= required else "**missed**"


def _cells(line: Line) -> list[str]:
    reached, required = ratio(line), line.get("required")
    ours = seconds(median(line["ours"])) if line["ours"] else ""
    theirs = seconds(median(line["peer_seconds"])) if line["peer_seconds"] else ""
    return [
        line["work"],
        count(line["rows"]),
        count(line["bytes"]),
        ours,
        line["peer"],
        theirs,
        f"{reached:.2f} x" if reached else "",
        f"{required:g} x" if required else "",
        verdict(line),
    ]


_HEAD = ["work", "rows", "bytes", "ours, s", "peer", "peer, s", "ratio", "required", ""]


def _grid(rows: Iterable[list[str]], head: list[str]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rule = "-|-".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in [shown[0], rule, *shown[1:]])


def rows_of(lines: list[Line]) -> list[Line]:
    """Pick the rows with a peer."""
    return [line for line in lines if "work" in line]


def table(lines: list[Line]) -> str:
    """Return all rows with a peer as one table, and what failed."""
    parts = [_grid([_cells(line) for line in rows_of(lines)], _HEAD)]
    parts += [f"{line['suite']} FAILED: {line['failed']}" for line in lines if "failed" in line]
    return "\n".join(parts)


def _series(lines: list[Line]) -> str:
    """Return the tables of cost and memory over growing input, each with bars of the time for each row."""
    named: dict[str, list[Line]] = {}
    for line in lines:
        if "series" in line:
            named.setdefault(line["series"], []).append(line)
    parts = []
    for name, members in named.items():
        costs = [median(m["seconds"]) / m["rows"] for m in members]
        body = [
            [
                f"{m['times']} x",
                count(m["rows"]),
                seconds(median(m["seconds"])),
                f"{cost * 1e6:.3f}",
                "#" * max(1, round(20 * cost / max(costs))),
                f"{m['peak_bytes'] / 1e6:.0f}",
            ]
            for m, cost in zip(members, costs, strict=True)
        ]
        head = ["input", "rows", "s", "s a million rows", "the same as bars", "peak memory, MB"]
        parts.append(f"### {name}\n\n{_grid(body, head)}")
    return "\n\n".join(parts)


def _why(line: Line) -> str:
    reached, bound = ratio(line), line.get("bounded_by")
    shown = f"{reached:.2f} x" if reached and line["equal"] else verdict(line).strip("*")
    return f"{shown}; {bound}" if bound else shown


def _spread(line: Line) -> list[str]:
    def runs(values: list[float]) -> str:
        return " ".join(seconds(value) for value in values)

    peaks = line.get("peak_bytes", {})
    shown = ", ".join(f"{name} {value / 1e6:.0f}" for name, value in peaks.items())
    return [line["work"], line["peer"], runs(line["ours"]), runs(line["peer_seconds"]), shown]


def _storage(path: Path) -> list[str]:
    """Return the section on storage, which `benches/storage.py` measures apart, as the last report has it."""
    old = path.read_text() if path.exists() else ""
    _, head, rest = old.partition("## Storage\n")
    return [head + rest.partition("\n## ")[0].rstrip("\n"), ""] if head else []


def write(path: Path, lines: list[Line], size: str, took: float) -> None:
    """Write the report."""
    rows = rows_of(lines)
    versions: dict[str, str] = {}
    for line in rows:
        versions |= line.get("versions", {})
    missed = [line for line in rows if verdict(line) not in ("", "reached")]
    text = [
        "# Benchmarks",
        "",
        f"Made by `make bench{' BENCH_SIZE=full' if size == 'full' else ''}` on {datetime.now(UTC):%Y-%m-%d}, "
        f"in {took / 60:.0f} minutes, on {_machine()}.",
        "",
        "Each row is ours and one peer in a process each. They show equal results first (counts and decimals exactly, "
        "float sums and averages within 1e-9), then run in turn, A B A B; the times are medians, measured inside the "
        "process after its start-up except where the row says *cold*. A ratio of 2 x means half the peer's time.",
        "",
        _grid([_cells(line) for line in rows], _HEAD),
        "",
    ]
    text += [f"The suite `{line['suite']}` did not finish: {line['failed']}." for line in lines if "failed" in line]
    if missed:
        text += ["## What falls short", ""]
        text += [f"- {line['work']}, beside {line['peer']}: {_why(line)}." for line in missed]
        text += [""]
    notes = {line["note"]: line["work"] for line in rows if line.get("note")}
    if notes:
        text += ["## Notes", "", *[f"- *{work}*: {note}" for note, work in notes.items()], ""]
    grown = _series(lines)
    if grown:
        text += ["## Growth", "", "A flat bar is a cost that grows linearly with the input.", "", grown, ""]
    text += _storage(path)
    text += ["## Every run", "", "Seconds in the order measured, and the peak memory of each first run.", ""]
    text += [_grid([_spread(line) for line in rows], ["work", "peer", "ours, s", "peer, s", "peak memory, MB"]), ""]
    text += ["## Versions", "", ", ".join(f"{name} {number}" for name, number in sorted(versions.items())) + ".", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text))
