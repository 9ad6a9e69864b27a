"""Commands for operating a warehouse: status, undo, rewind, migrate, purge."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from metropulse.cli.options import examples
from metropulse.cli.output import console, headline, print_report, table
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.operations import DEFAULT_RETENTION

__all__ = ["COMMANDS"]

_STEPS = {
    "stage": "stage",
    "load_dimensions": "dimensions",
    "load_facts": "facts",
    "build_route_hourly": "mart",
    "check_quality": "quality",
}
_COLOURS = {"loaded": "green", "purged": "cyan", "missing": "yellow", "stale": "yellow", "failed": "red", "none": "dim"}
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")


@click.command(
    "status",
    epilog=examples("status", "status --date-from 2024-05-01 --date-to 2024-05-08", "status --verify --json"),
)
@click.option("--date-from", metavar="YYYY-MM-DD", help="First raw day; without it all days.")
@click.option("--date-to", metavar="YYYY-MM-DD", help="The day after the last one (half-open).")
@click.option("--verify", is_flag=True, help="Hash every file instead of trusting names, sizes and manifests.")
@target_options
def status(target: Target, date_from: str | None, date_to: str | None, verify: bool) -> None:
    """Show how every raw day stands, and how fresh tables are.

    Each step of a day is loaded, stale, failed, missing, purged or none; the table says why.
    """
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.status(date_from, date_to, verify=verify, progress=show)
    if target.as_json:
        click.echo(json.dumps(report, default=str))
        return
    out = console()
    if not report.days:
        out.print("no raw day, neither in the lake nor in the warehouse")
    else:
        days = [_day_row(day) for day in report.days]
        out.print(
            table(("dt", *_STEPS.values(), "read", "rejected", "misses", "why"), days, right=("read", "rejected"))
        )
    for day in report.days:
        if odd := day.get("oddities"):
            out.print(f"{day.dt}: {', '.join(f'{count:,} {name}' for name, count in odd.items())}", markup=False)
    if report.misnamed_folders:
        out.print(f"folders that name no day and are not read: {_few(report.misnamed_folders)}", markup=False)
    out.print(_freshness(report))
    mart, zone = report.mart, report.time_zone or "not fixed yet"
    waiting = f", {len(mart.dirty)} to be built ({_few(mart.dirty)})" if mart.dirty else ""
    newest = f", newest {mart.newest_service_date}, built {_age(mart.age_seconds)} ago" if mart.service_dates else ""
    out.print(f"[bold]mart[/] {mart.service_dates:,} service dates, {mart.rows:,} rows{newest}{waiting}")
    settings = f"zone {zone}, positions in {report.positions}, schema version {report.schema_version}"
    out.print(f"[dim]{settings}, lake {report.lake or 'none'}[/]")


def _day_row(day: Any) -> list[str]:
    states = [_state(day.steps[step].state) for step in _STEPS]
    staged = day.steps.stage.get("tables", {}).values()
    whys = [why for step in _STEPS if (why := day.steps[step].get("why"))]
    if not day.in_lake:
        whys.append("not in the lake")
    misses = sum(missed.before_first + missed.gap for missed in day.get("as_of_misses", ()))
    counts = (sum(t.rows_read for t in staged), sum(t.rows_rejected for t in staged))
    return [day.dt, *states, *(f"{count:,}" for count in counts), f"{misses:,}", whys[0] if whys else ""]


def _state(name: str) -> str:
    return f"[{_COLOURS.get(name, 'default')}]{'-' if name == 'none' else name}[/]"


def _freshness(report: Any) -> Any:
    rows = [
        [one.table, f"{one.days:,}", one.newest_dt or "-", f"{one.rows_loaded:,}", _age(one.age_seconds)]
        for one in report.tables
    ]
    return table(("table", "days", "newest dt", "rows", "loaded ago"), rows, right=("days", "rows", "loaded ago"))


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _few(items: tuple[str, ...]) -> str:
    return ", ".join(items[:5]) + (", ..." if len(items) > 5 else "")


@click.command("undo", epilog=examples("undo 2024-05-02", "undo 2024-05-02 --dry-run"))
@click.argument("dt", metavar="YYYY-MM-DD")
@_dry_run
@target_options
def undo(target: Target, dt: str, dry_run: bool) -> None:
    """Take out exactly what a raw day brought.

    Run build-route-hourly afterwards, so that the mart follows.
    """
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.undo(dt, dry_run=dry_run, progress=show)
    _print_changes(target, report)


@click.command("rewind", epilog=examples("rewind --to 2024-05-01", "rewind --to 2024-05-01 --dry-run"))
@click.option("--to", required=True, metavar="YYYY-MM-DD", help="The last raw day that stays.")
@_dry_run
@target_options
def rewind(target: Target, to: str, dry_run: bool) -> None:
    """Take out every later raw day, as if it had never been loaded."""
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.rewind(to, dry_run=dry_run, progress=show)
    _print_changes(target, report)


@click.command("migrate", epilog=examples("migrate --dry-run", "migrate"))
@_dry_run
@target_options
def migrate(target: Target, dry_run: bool) -> None:
    """Bring warehouse and mart to this version's schema.

    Tables of the prototype are moved aside, complete.
    """
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.migrate(dry_run=dry_run, progress=show)
    if target.as_json:
        print_report(report, as_json=True)
        return
    out = console()
    out.print(headline(report))
    moved = [[one.table, one.now, "-" if one.rows is None else f"{one.rows:,}"] for one in report.moved]
    if report.mart_moved:
        moved.append(["mart_route_hourly (ClickHouse)", report.mart_moved, "-"])
    if moved:
        out.print(table(("table", "would go to" if dry_run else "is now", "rows"), moved, right=("rows",)))


@click.command(
    "purge",
    epilog=examples(
        "purge --dry-run", "purge --older-than 90d", "purge --older-than 26w --staging --rejected --quality"
    ),
)
@click.option(
    "--older-than",
    metavar="AGE",
    default=DEFAULT_RETENTION,
    show_default=True,
    help="Age of the raw days to drop, such as 90d or 12w.",
)
@click.option("--staging", is_flag=True, help="Drop rows of staging.*_raw; the default.")
@click.option("--rejected", is_flag=True, help="Drop rows of staging.rejected.")
@click.option("--quality", is_flag=True, help="Drop results of quality checks.")
@click.option("--scheduled-stop-times", is_flag=True, help="Drop rows of dwh.fact_scheduled_stop_time.")
@click.option("--trip-updates", is_flag=True, help="Drop rows of dwh.fact_trip_update.")
@click.option("--alerts", is_flag=True, help="Drop rows of dwh.fact_alert.")
@_dry_run
@target_options
def purge(target: Target, older_than: str, dry_run: bool, **asked: bool) -> None:
    """Drop staging of old raw days; history, ledger and what the mart is built from stay."""
    what = [name for name, wanted in asked.items() if wanted] or ["staging"]
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.purge(older_than, what=what, dry_run=dry_run, progress=show)
    _print_changes(target, report)


def _print_changes(target: Target, report: Any) -> None:
    if target.as_json:
        print_report(report, as_json=True)
        return
    out = console()
    steps = report.get("steps", (report,)) if report.step == "rewind" else (report,)
    if not steps:
        out.print(headline(report))
    for step in steps:
        out.print(headline(step))
        rows = [[name, ", ".join(_changes(counts))] for name, counts in step.tables.items()]
        out.print(table(("table", "would change" if step.dry_run else "changed"), rows))
        if dirty := step.get("dirty_dates"):
            out.print(f"service dates for build-route-hourly: {_few(dirty)}")


def _changes(counts: Mapping[str, Any]) -> Iterator[str]:
    named = [name for name in counts if name.startswith(("rows_re", "rejects_", "versions_")) and counts[name]]
    for name in [n for n in named if n not in ("rows_read", "rows_rejected")] or ["rows_written"]:
        yield f"{name.replace('_', ' ')} {counts[name]:,}"


COMMANDS: tuple[click.Command, ...] = (status, undo, rewind, migrate, purge)
