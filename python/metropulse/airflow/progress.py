"""What one reads in a task's log: a line every few seconds while a step works, one line and one table at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from metropulse.results import size

__all__ = ["ProgressLog", "failed_checks", "headline", "summary"]

_EVERY_SECONDS = 5.0
# A phase this young has no speed yet.
_SHORT_SECONDS = 0.5
# What the phases count that do not count rows, by the beginning of their label.
_UNITS = {
    "build mart": "service dates",
    "check quality": "checks",
    "purge staging": "days",
    "take out": "tables",
}
_COUNTS = {
    "files": "files",
    "rows_read": "read",
    "rows_loaded": "loaded",
    "rows_duplicate": "duplicate",
    "rows_superseded": "superseded",
    "rows_rejected": "rejected",
    "rows_removed": "removed",
    "rows_written": "written",
}
# Dates that one line names one by one.
_MOST_DATES = 7


class ProgressLog:
    """A progress callback that tells a log: the phase, what is done of how much, and how fast."""

    def __init__(
        self,
        log: logging.Logger,
        *,
        every_seconds: float = _EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count the time.

        Args:
            log: Where the lines go.
            every_seconds: Time between two lines.
            clock: Seconds of a clock that only goes forward.
        """
        self._log = log
        self._every_seconds = every_seconds
        self._clock = clock
        self._told_at = clock()
        self._phase = ""
        self._phase_at = self._told_at
        self._told_done = 0

    def __call__(self, label: str, done: int, total: int) -> None:
        """Hear of the work; a line is written when it is time for one.

        Args:
            label: The phase.
            done: Rows, or whatever the phase counts, that are done.
            total: How many there are; 0 when nobody knows.
        """
        now = self._clock()
        if label != self._phase:
            self._phase, self._phase_at, self._told_done = label, now, 0
        elapsed = now - self._told_at
        if elapsed < self._every_seconds:
            return
        # A phase that is younger than the last line has not had all of that time.
        since = min(elapsed, now - self._phase_at)
        self._log.info("%s", _line(label, done, total, done - self._told_done, since, now - self._phase_at))
        self._told_at, self._told_done = now, done


def headline(report: Mapping[str, Any]) -> str:
    """Return one line on a step: what it did, how much, how long.

    Args:
        report: Its report.

    Returns:
        The line.
    """
    parts = []
    if report.get("dry_run"):
        parts.append("dry run, nothing kept")
    elif report.get("unchanged"):
        parts.append("unchanged, nothing written")
    if (checks := report.get("checks")) is not None:
        failed, warned = report.get("failed", 0), report.get("warned", 0)
        verdict = "FAILED" if failed else "passed with warnings" if warned else "passed"
        parts.append(f"{verdict}: {len(checks)} checks, {failed} failed, {warned} warned")
    elif isinstance(report.get("rows"), int):
        parts.append(f"{report['rows']:,} rows written")
    if report.get("files"):
        files = "1 file" if report["files"] == 1 else f"{report['files']:,} files"
        parts.append(f"from {files} of {size(report.get('bytes', 0))}")
    for name, label in (("service_dates_rebuilt", "rebuilt"), ("service_dates_lost", "lost before"), ("days", "days")):
        if dates := report.get(name):
            parts.append(f"{label} {_dates(dates)}")
    if report.get("table"):
        parts.append(f"table {report['table']}")
    name = " ".join(str(part) for part in (report.get("step"), report.get("dt")) if part)
    seconds = report.get("seconds")
    took = f" ({seconds:,.2f} s)" if isinstance(seconds, (int, float)) else ""
    return f"{name}: {', '.join(parts) or 'done'}{took}"


def summary(report: Mapping[str, Any]) -> str:
    """Return what a task's log says at the end: one line, and a table where there is more than one fact.

    Args:
        report: The report of the step.

    Returns:
        Lines of text. Of quality checks there are only those that failed; all of them are in ``dwh.quality_result``.
    """
    lines = [headline(report)]
    if tables := report.get("tables"):
        lines += _counts(tables)
    if checks := report.get("checks"):
        lines += failed_checks(checks)
    return "\n".join(lines)


def failed_checks(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the failed checks as a table.

    Args:
        checks: The checks of a quality report.

    Returns:
        Its lines; none when nothing failed.
    """
    failed = [check for check in checks if not check.get("passed")]
    if not failed:
        return []
    rows = [
        [str(check.get(name, "")) for name in ("severity", "table", "name", "found", "expected")] for check in failed
    ]
    return _aligned(["severity", "table", "check", "found", "expected"], rows, numbers={3})


def _counts(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    columns = [name for name in _COUNTS if any(table.get(name) for table in tables.values())]
    rows = []
    for name, table in tables.items():
        notes = [f"{reason} {rows:,}" for reason, rows in (table.get("rejected_by_reason") or {}).items()]
        notes += ["unchanged"] if table.get("unchanged") else []
        notes += [f"columns left out: {', '.join(table['unknown_columns'])}"] if table.get("unknown_columns") else []
        rows.append([name, *(f"{table.get(column) or 0:,}" for column in columns), ", ".join(notes)])
    head = ["table", *(_COUNTS[column] for column in columns), ""]
    return _aligned(head, rows, numbers=set(range(1, len(columns) + 1)))


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: set[int]) -> list[str]:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def _line(label: str, done: int, total: int, more: int, since_seconds: float, phase_seconds: float) -> str:
    unit = next((unit for start, unit in _UNITS.items() if label.startswith(start)), "rows")
    if not done and not total:
        return f"{label}: under way for {phase_seconds:,.0f} s"
    counted = f"{done:,} of {total:,} {unit} ({done / total:.0%})" if total else f"{done:,} {unit}"
    if since_seconds < _SHORT_SECONDS:
        return f"{label}: {counted}"
    if more <= 0:
        return f"{label}: {counted}, none in the last {since_seconds:,.0f} s"
    return f"{label}: {counted}, {more / since_seconds:,.0f} {unit}/s"


def _dates(dates: Sequence[Any]) -> str:
    named = ", ".join(str(date["dt"] if isinstance(date, Mapping) else date) for date in dates[:_MOST_DATES])
    return named + (f" and {len(dates) - _MOST_DATES} more" if len(dates) > _MOST_DATES else "")
