"""The summary at the end of the demo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from metropulse.cli.output import console, quality_table, table
from metropulse.results import size

if TYPE_CHECKING:
    from rich.console import Console

    from metropulse.airflow.local import RunResult, TaskResult
    from metropulse.cli.demo import Outcome

__all__ = ["print_summary"]

_NEXT_WAREHOUSE = "select route_id, name, base_fare, valid_from, valid_to from dwh.dim_route order by 1, 4"
_NEXT_MART = "select service_date, sum(trip_cnt), count() from mart_route_hourly group by 1 order by 1"


def print_summary(outcome: Outcome) -> None:
    """Print rows and seconds for each step, quality, the busiest route-hours, where things are, and what to type next.

    Args:
        outcome: What the demo did.
    """
    out = console()
    out.print()
    out.print("[bold]The DAG metropulse_daily[/]: rows and seconds by step and raw day")
    out.print(_steps(outcome.runs))
    if outcome.generated:
        rows, written = outcome.generated.get("rows", 0), outcome.generated.get("bytes", 0)
        verb = "Read from the feeds" if outcome.plan.gtfs else "Generated"
        out.print(f"{verb}: {rows:,} rows, {size(written)} of Parquet, in {outcome.generated.get('seconds', 0):.1f} s")
    _print_quality(out, outcome.runs)
    if outcome.busiest:
        by = _rank(outcome.busiest)
        out.print(f"[bold]Busiest route-hours of the mart[/], by {by}")
        out.print(_route_hours(outcome.busiest))
    for run in outcome.runs:
        for task in run.tasks:
            if task.error:
                out.print(f"[red]{run.dt} {task.task_id} failed[/]: {task.error.get('message')}", soft_wrap=True)
                for name, value in (task.error.get("context") or {}).items():
                    out.print(f"    {name}: {value}", soft_wrap=True, markup=False)
            elif task.state == "failed":
                out.print(
                    f"[red]{run.dt} {task.task_id} failed[/]; the log has the reason: {outcome.log}", soft_wrap=True
                )
    _print_places(out, outcome)


def _steps(runs: Iterable[RunResult]) -> Any:
    runs = list(runs)
    names = [task.task_id for task in runs[0].tasks] if runs else []
    rows = []
    for name in names:
        tasks = [next(task for task in run.tasks if task.task_id == name) for run in runs]
        cells = [_cell(task) for task in tasks]
        rows.append([name, *(part for cell in cells for part in cell)])
    rows.append(
        ["[bold]all[/]", *(part for run in runs for part in (f"[bold]{run.state}[/]", f"[bold]{run.seconds:.1f}[/]"))]
    )
    heads = ["step", *(head for run in runs for head in (run.dt, "s"))]
    return table(heads, rows, right=heads[1:])


def _cell(task: TaskResult) -> tuple[str, str]:
    seconds = f"{task.seconds:.1f}" if task.seconds else ""
    if task.state != "success":
        return f"[red]{task.state}[/]" if task.state == "failed" else f"[dim]{task.state}[/]", seconds
    report = task.report
    if report.get("checks") is not None:
        failed = sum(not check.get("passed") for check in report["checks"])
        return f"{_checked(report) - failed} of {_checked(report)} passed", seconds
    if report.get("unchanged"):
        return "unchanged", seconds
    rows = report.get("rows")
    return (f"{rows:,}" if isinstance(rows, int) else "done"), seconds


def _print_quality(out: Console, runs: Iterable[RunResult]) -> None:
    checks: dict[tuple[Any, Any], dict[str, Any]] = {}
    checked = 0
    for run in runs:
        for task in run.tasks:
            report = task.report if task.report.get("checks") is not None else task.error.get("report") or {}
            checked = max(checked, _checked(report))
            for check in report.get("checks", ()):
                key = (check.get("table"), check.get("name"))
                # Of the days' results for one check, a failure is what must be seen.
                if key not in checks or not check.get("passed"):
                    checks[key] = check
    bad = [check for check in checks.values() if not check.get("passed")]
    if checked:
        said = "all passed" if not bad else f"{len(bad)} did not pass"
        out.print(f"[bold]Quality[/]: {checked} check{'s' * (checked != 1)}, {said}")
    if bad:
        out.print(quality_table(bad))


def _checked(report: Mapping[str, Any]) -> int:
    """Count the checks of a report, of which a task leaves only those that failed."""
    return int(report.get("checked", len(report.get("checks", ()))))


def _rank(rows: Iterable[dict[str, Any]]) -> str:
    """Say what the route-hours are ordered by."""
    rows = list(rows)
    if any(row.get("scheduled_trip_cnt") for row in rows):
        return "planned runs"
    return "trips" if any(row["trip_cnt"] for row in rows) else "mean speed"


def _route_hours(rows: Iterable[dict[str, Any]]) -> Any:
    rows = list(rows)
    planned = any("scheduled_trip_cnt" in row for row in rows)
    heads = ("route", "name", "type", "hour (UTC)", *(("planned",) * planned), "trips", "km/h")
    cells = [
        (
            str(row["route_id"]),
            str(row["name"]),
            str(row["transport_type"]),
            str(row["hour"])[:16],
            *((str(row.get("scheduled_trip_cnt")),) * planned),
            str(row["trip_cnt"]),
            "-" if row["avg_speed"] is None else str(row["avg_speed"]),
        )
        for row in rows
    ]
    return table(heads, cells, right=("planned", "trips", "km/h"))


def _print_places(out: Console, outcome: Outcome) -> None:
    state = outcome.plan.state
    option = "" if state == "metropulse_state" else f" --state {state}"
    day = outcome.runs[0].dt if outcome.runs else outcome.plan.start
    places = {
        "lake": f"{outcome.lake}/dt=*/",
        "warehouse": f"{state}/warehouse (PostgreSQL: staging.*_raw, dwh.dim_*, dwh.fact_*)",
        "mart": f"{state}/mart (ClickHouse: mart_route_hourly)",
        "log": outcome.log,
    }
    out.print(f"\n[bold]Where it lies[/] (after {outcome.seconds:.0f} s)")
    for name, place in places.items():
        out.print(f"  {name:<10}{place}", soft_wrap=True, markup=False)
    lake = f" --lake {outcome.lake}" if outcome.plan.raw else ""
    zone = f" --time-zone {outcome.plan.time_zone}" if outcome.plan.time_zone else ""
    out.print("\n[bold]What to type next[/]")
    for line in (
        f'metropulse query{option} "{_NEXT_WAREHOUSE}"',
        f'metropulse query{option} --mart "{_NEXT_MART}"',
        f"metropulse run{option}{lake}{zone} --date {day}     # again: nothing is written",
        f"metropulse start{option}     # leave the engines running; metropulse stop{option} ends them",
    ):
        out.print(f"  {line}", soft_wrap=True, markup=False)
