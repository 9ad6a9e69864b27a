"""The verbs of a pipeline as commands."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import click

from metropulse.cli.options import examples, option, options, row_limit
from metropulse.cli.output import print_report, print_rows
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.days import calendar_span, iso_day
from metropulse.pipeline import Pipeline

__all__ = ["COMMANDS"]

_DATES = (
    click.option("--date", "dates", metavar="YYYY-MM-DD", multiple=True, help="The raw day (dt). May be repeated."),
    click.option("--date-from", metavar="YYYY-MM-DD", help="First of several days."),
    click.option("--date-to", metavar="YYYY-MM-DD", help="The day after the last of several days (half-open)."),
)
# Limits that a call may exceed on purpose, by the settings' names.
_REJECT_LIMIT = click.option(
    "--reject-limit",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of a file's rows that may be rejected. Default: 0.05.",
)
_ALLOW_VANISHING = click.option(
    "--allow-vanishing",
    is_flag=True,
    default=None,
    help="Accept a file that is empty, or lacks more than 30 % of a dimension's keys (and at least 10).",
)
_UNKNOWN_FILES = click.option(
    "--unknown-files",
    type=click.Choice(["fail", "allow"]),
    help="What Parquet in a day's folder means that no dataset takes. Default: fail.",
)
_POSITIONS = click.option(
    "--positions",
    type=click.Choice(["warehouse", "telemetry"]),
    help="Where positions are kept: in PostgreSQL or in ClickHouse. Or $METROPULSE_POSITIONS. Default: where the "
    "warehouse has them; in PostgreSQL for a new one.",
)


def _days(dates: tuple[str, ...], date_from: str | None, date_to: str | None) -> list[str]:
    """Return the days a command names, in order and once each."""
    if (date_from is None) != (date_to is None):
        raise click.UsageError("--date-from and --date-to go together (half-open: --date-to is not included)")
    days = [iso_day(day, "--date") for day in dates]
    if date_from is not None and date_to is not None:
        first, end = (
            date.fromisoformat(iso_day(d, n)) for d, n in ((date_from, "--date-from"), (date_to, "--date-to"))
        )
        if first >= end:
            raise click.UsageError(f"--date-to is {end}, expected a day after --date-from {first}")
        days += [(first + timedelta(days=n)).isoformat() for n in range((end - first).days)]
    if not days:
        raise click.UsageError("name the day with --date, or several with --date-from and --date-to")
    return list(dict.fromkeys(days))


def _day_verb(
    name: str,
    summary: str,
    verb: Callable[..., Any],
    *lines: str,
    limits: tuple[Callable[..., Any], ...] = (),
    arguments: tuple[Callable[..., Any], ...] = (),
) -> click.Command:
    """Make a command that runs one verb for each day named, under the limits and arguments that the call may set."""

    def call(target: Target, dates: tuple[str, ...], date_from: str | None, date_to: str | None, **given: Any) -> None:
        days = _days(dates, date_from, date_to)
        ours = set(inspect.signature(verb).parameters)
        asked = {key: value for key, value in given.items() if key in ours}
        with target.pipeline(**{key: value for key, value in given.items() if key not in ours}) as pipeline:
            for day in days:
                with progress(quiet=target.quiet) as show:
                    report = verb(pipeline, day, **asked, progress=show)
                print_report(report, as_json=target.as_json)

    call.__doc__ = summary
    decorated: Any = target_options(call)
    return click.command(name, epilog=examples(*lines))(options(*_DATES, *limits, *arguments)(decorated))


@click.command(
    "generate",
    epilog=examples(
        "generate --start 2024-05-01 --days 3",
        "generate --days 3 --output data/raw            into a folder",
        "generate --days 3 --output data/raw --upload   and into the object store",
    ),
)
@option(Pipeline.generate, "start", default="2024-05-01", required=False, show_default=True, metavar="YYYY-MM-DD")
@option(Pipeline.generate, "days", type=click.IntRange(min=1))
@option(Pipeline.generate, "seed")
@option(Pipeline.generate, "scale", type=click.FloatRange(min=0, min_open=True))
@click.option("--output", metavar="DIR", type=click.Path(file_okay=False), help="Write into this folder.")
@click.option("--upload", is_flag=True, help="With --output: write into the configured lake as well.")
@target_options
def generate(target: Target, start: str, days: int, seed: int, scale: float, output: str | None, upload: bool) -> None:
    """Write raw days of a synthetic city into the lake."""
    places = [output] if output and not upload else [output, None] if output else [None]
    for place in places:
        with progress(quiet=target.quiet) as show:
            report = target.lake_only(place).generate(start, days, seed=seed, scale=scale, progress=show)
        print_report(report, as_json=target.as_json)


@click.command(
    "load-calendar",
    epilog=examples("load-calendar --start 2024-01-01 --end 2026-12-31", "load-calendar --date 2024-05-01"),
)
@click.option("--start", metavar="YYYY-MM-DD", help="First day.")
@click.option("--end", metavar="YYYY-MM-DD", help="Last day, included.")
@click.option(
    "--date", "day", metavar="YYYY-MM-DD", help="Instead: the year of this day, and a month before and after it."
)
@target_options
def load_calendar(target: Target, start: str | None, end: str | None, day: str | None) -> None:
    """Fill dim_date and dim_time."""
    if day and not (start or end):
        start, end = calendar_span(day)
    if not start or not end:
        raise click.UsageError("name --start and --end, or --date")
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.load_calendar(start, end, progress=show)
    print_report(report, as_json=target.as_json)


@click.command(
    "build-route-hourly",
    epilog=examples(
        "build-route-hourly                                                   all dirty service dates",
        "build-route-hourly --date-from 2024-05-01 --date-to 2024-05-02 --force",
        "build-route-hourly --from lake                                       straight from the raw files",
    ),
)
@click.option("--date-from", metavar="YYYY-MM-DD", help="First service date.")
@click.option("--date-to", metavar="YYYY-MM-DD", help="The date after the last one (half-open).")
@click.option("--force", is_flag=True, help="Rebuild all dates of the range, clean ones too.")
@click.option(
    "--from",
    "source",
    type=click.Choice(["warehouse", "lake"]),
    default="warehouse",
    show_default=True,
    help="Read the warehouse, or the raw files themselves.",
)
@target_options
def build_route_hourly(target: Target, date_from: str | None, date_to: str | None, force: bool, source: str) -> None:
    """Rebuild the service dates of the mart that changed."""
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.build_route_hourly(date_from, date_to, force=force, source=source, progress=show)
    print_report(report, as_json=target.as_json)


@click.command("check-quality", epilog=examples("check-quality --date 2024-05-01", "check-quality    everything"))
@click.option("--date", "day", metavar="YYYY-MM-DD", help="The raw day (dt); without it everything is checked.")
@target_options
def check_quality(target: Target, day: str | None) -> None:
    """Check what a day brought, and store the results."""
    from metropulse.exceptions import QualityError

    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        try:
            report: Any = pipeline.check_quality(day, progress=show)
        except QualityError as error:
            if not target.as_json:
                print_report({"step": "check_quality", **error.report}, as_json=False)
            raise
    print_report(report, as_json=target.as_json)


@click.command(
    "query",
    epilog=examples(
        'query "select route_id, name, valid_from, valid_to from dwh.dim_route order by 1, 3"',
        'query --mart "select service_date, sum(trip_cnt) from mart_route_hourly group by 1"',
    ),
)
@click.argument("sql")
@click.option("--mart", "on_mart", is_flag=True, help="Query ClickHouse instead of PostgreSQL.")
@row_limit
@target_options(skip=("mart",))
def query(target: Target, sql: str, on_mart: bool, limit: int) -> None:
    """Query the warehouse, or the mart, in SQL."""
    with target.pipeline() as pipeline:
        answer = (pipeline.mart if on_mart else pipeline.warehouse).query(sql)
        columns, rows = answer.column_names, answer.to_pylist()
    if target.as_json:
        for row in rows:
            click.echo(json.dumps({name: _plain(value) for name, value in row.items()}, default=str))
    else:
        print_rows(columns, rows, limit=limit)


def _plain(value: Any) -> Any:
    """Return NaN and the infinities as text, as PostgreSQL's `to_json` does: JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return [_plain(item) for item in value] if isinstance(value, list) else value


COMMANDS: tuple[click.Command, ...] = (
    generate,
    load_calendar,
    _day_verb(
        "stage",
        "Load raw days into staging; keep rejected rows with their reasons.",
        Pipeline.stage,
        "stage --date 2024-05-01",
        "stage --date-from 2024-05-01 --date-to 2024-05-04",
        "stage --date 2024-05-01 --reject-limit 0.2",
        limits=(_REJECT_LIMIT, _UNKNOWN_FILES, _POSITIONS),
    ),
    _day_verb(
        "load-dimensions",
        "Merge the snapshots of raw days into the dimensions and their history.",
        Pipeline.load_dimensions,
        "load-dimensions --date 2024-05-01",
        "load-dimensions --date 2024-05-01 --allow-vanishing",
        "load-dimensions --date 2024-05-01 --dry-run     show what would change",
        limits=(_ALLOW_VANISHING, _UNKNOWN_FILES),
        arguments=(option(Pipeline.load_dimensions, "dry_run"),),
    ),
    _day_verb(
        "load-facts",
        "Load trips, payments and positions of raw days.",
        Pipeline.load_facts,
        "load-facts --date 2024-05-01",
        limits=(_UNKNOWN_FILES, _POSITIONS),
    ),
    build_route_hourly,
    _day_verb(
        "load-telemetry",
        "Load positions of raw days straight into ClickHouse.",
        Pipeline.load_telemetry,
        "load-telemetry --date 2024-05-01",
        limits=(_UNKNOWN_FILES,),
    ),
    check_quality,
    _day_verb(
        "run",
        "Run every step of raw days in order, from calendar to quality.",
        Pipeline.run,
        "run --date 2024-05-01",
        "run --date 2024-05-01 --date 2024-05-03",
        "run --date-from 2024-05-01 --date-to 2024-05-04 --json",
        limits=(_REJECT_LIMIT, _ALLOW_VANISHING, _UNKNOWN_FILES, _POSITIONS),
    ),
    query,
)
