"""Reports and rows for the eye: a headline each, and tables where there is more than one fact."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metropulse.results import size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "headline", "print_left_out", "print_report", "print_rows", "quality_table", "table"]

_COUNTS = {
    "rows_read": "read",
    "rows_loaded": "loaded",
    "rows_duplicate": "duplicate",
    "rows_superseded": "superseded",
    "rows_rejected": "rejected",
    "rows_written": "written",
    "rows": "rows",
    "files": "files",
}
_NOTES = {
    "added_columns": "columns added",
    "missing_columns": "columns that the snapshot lacks and that keep what they showed",
    "unknown_columns": "columns left out",
    "changed_rules": "rules changed, which the whole history follows from now on",
}
_MARKS = {"pass": "[green]pass[/]", "warn": "[yellow]WARN[/]", "error": "[red]FAIL[/]"}


def console() -> Console:
    """Return a console on standard output; wide when that is no terminal, so that nothing is cut off."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def print_report(report: Mapping[str, Any], *, as_json: bool, more: Callable[[Any], None] | None = None) -> None:
    """Print the report of one call.

    Args:
        report: The report.
        as_json: As one line of JSON instead of text.
        more: Prints what else the text says of the report; JSON has all of it.
    """
    if as_json:
        print(json.dumps(report, default=str), flush=True)
        return
    out = console()
    from rich.markup import escape

    for step in report.get("steps") or (report,):
        out.print(headline(step))
        for name, note in _NOTES.items():
            if named := step.get(name):
                out.print(f"{note}: {escape(', '.join(named))}")
        if sample := step.get("sample"):
            out.print(_rows_table(list(sample[0]), sample))
        if tables := step.get("tables"):
            out.print(_counts_table(tables))
            for counts in tables.values():
                if sample := counts.get("sample"):
                    out.print(_rows_table(list(sample[0]), sample))
        if checks := step.get("checks"):
            out.print(quality_table(checks))
    if report.get("steps"):
        whole = " ".join(str(part) for part in (report.get("step", "run"), report.get("dt")) if part)
        out.print(f"[bold]{whole}[/] done in {_seconds(report)}")
    if more is not None:
        more(report)


def print_left_out(out: Console, left_out: Mapping[str, str]) -> None:
    """Print what of a package was left out.

    Args:
        out: Where to print it.
        left_out: Why, by name of the table or file.
    """
    from rich.markup import escape

    for name, why in left_out.items():
        out.print(f"left out: {escape(name)}: {escape(why)}")


def headline(step: Mapping[str, Any]) -> str:
    """Return one line on a step: what it did, how much, how long.

    Args:
        step: The report of the step.

    Returns:
        Rich markup.
    """
    name = str(step.get("step", "")).replace("_", " ")
    day = step.get("dt") or ""
    parts = []
    if step.get("dry_run"):
        parts.append("dry run, nothing written")
    elif step.get("unchanged"):
        parts.append("unchanged, nothing written")
    if isinstance(step.get("rows"), int):
        parts.append(f"{step['rows']:,} rows")
    if isinstance(step.get("files"), int):
        parts.append(f"{step['files']:,} files")
    if isinstance(step.get("bytes"), int):
        parts.append(size(step["bytes"]))
    if (checks := step.get("checks")) is not None:
        failed, warned = step.get("failed", 0), step.get("warned", 0)
        parts.append(f"{len(checks)} checks, {failed} failed, {warned} warned")
    known = {"step", "dt", "seconds", "unchanged", "rows", "files", "bytes", "tables", "checks", "failed", "warned"}
    parts += [f"{k.replace('_', ' ')} {_fact(v)}" for k, v in step.items() if k not in known and _is_fact(v)]
    said = ", ".join(parts) or "done"
    return f"[bold]{name}[/] {day}: {said} [dim]({_seconds(step)})[/]".replace(" :", ":")


def quality_table(checks: Iterable[Mapping[str, Any]]) -> Table:
    """Return the checks as a table, failures first.

    Args:
        checks: The checks of a quality report.

    Returns:
        A rich table.
    """
    ordered = sorted(checks, key=lambda check: (bool(check.get("passed")), str(check.get("table", ""))))
    rows = [
        (
            _MARKS["pass" if check.get("passed") else str(check.get("severity", "error"))],
            str(check.get("table", "")),
            str(check.get("name", "")),
            _fact(check.get("found")),
            str(check.get("expected", "")),
        )
        for check in ordered
    ]
    return table(("", "table", "check", "found", "expected"), rows, right=("found",))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """Return a table without heavy lines.

    Args:
        columns: The heads.
        rows: The cells, as text.
        right: Heads of the columns to align right.

    Returns:
        A rich table.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def print_rows(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, limit: int) -> None:
    """Print the rows of a query.

    Args:
        columns: The names of the columns.
        rows: The rows.
        limit: How many to print; 0 for all.
    """
    shown = rows[:limit] if limit else rows
    out = console()
    out.print(_rows_table(columns, shown))
    left_out = len(rows) - len(shown)
    out.print(
        f"[dim]{len(rows):,} rows" + (f", {left_out:,} not shown (--limit 0 shows all)" if left_out else "") + "[/]"
    )


def _rows_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return rows as a table, columns of numbers to the right."""
    from rich.markup import escape

    numeric = [c for c in columns if rows and all(isinstance(r[c], (int, float, type(None))) for r in rows)]
    return table(columns, ([escape(_fact(row[c])) for c in columns] for row in rows), right=numeric)


def _counts_table(tables: Mapping[str, Mapping[str, Any]]) -> Table:
    present = [name for name in _COUNTS if any(name in counts for counts in tables.values())]
    rows = [[name, *(_fact(counts.get(n)) for n in present), _remark(counts)] for name, counts in tables.items()]
    return table(("table", *(_COUNTS[n] for n in present), ""), rows, right=[_COUNTS[n] for n in present])


def _remark(counts: Mapping[str, Any]) -> str:
    remarks = ["unchanged"] if counts.get("unchanged") else []
    if reasons := counts.get("rejected_by_reason"):
        remarks.append("rejected: " + ", ".join(f"{k} {v}" for k, v in reasons.items()))
    if unknown := counts.get("unknown_columns"):
        remarks.append(f"{_NOTES['unknown_columns']}: " + ", ".join(unknown))
    return "; ".join(remarks)


def _is_fact(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool) and value != ""


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return "-" if value is None else str(value)


def _seconds(step: Mapping[str, Any]) -> str:
    return f"{float(step.get('seconds') or 0):.2f} s"
