"""`metropulse collect`: the recorder of an agency's feeds, and how it is."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from metropulse.cli.options import examples, option, options
from metropulse.cli.output import console, print_report, table
from metropulse.cli.target import Target, target_options
from metropulse.exceptions import ConfigError
from metropulse.recorder import collect, collect_status

if TYPE_CHECKING:
    from metropulse.results import Report

__all__ = ["COMMANDS"]

_UNHEALTHY = 6


def _bytes(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """Read a size such as 20GB, 500MB or a number of bytes."""
    number = value.strip().upper().removesuffix("B")
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    unit = units.get(number[-1:], 1)
    try:
        return int(float(number.rstrip("KMGT")) * unit)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no size, expected such as 20GB") from error


def _headers(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME: VALUE`` pairs; a value that is given itself could be read by everybody on the machine."""
    pairs = [value.partition(":") for value in values]
    if any(not colon for _, colon, _ in pairs):
        raise click.BadParameter("a header has no colon, expected 'NAME: VALUE'")
    return {name.strip(): value.strip() for name, _, value in pairs}


@click.command(
    "collect",
    epilog=examples(
        "collect --vehicle-positions https://agency.example/vp.pb --every 10s --to s3://raw",
        "collect --vehicle-positions URL --trip-updates URL --alerts URL --to raw/ --spool /var/lib/recorder",
        "collect --vehicle-positions 'https://agency.example/vp?key=${FEED_KEY}' --secrets /run/secrets/feed --to raw/",
        "collect --vehicle-positions URL --to s3://raw --feed tram          in a lake of several agencies",
        "collect --trip-updates URL --header 'X-Api-Key: ${FEED_KEY}' --to raw/ --for 1h",
        "collect --status --spool /var/lib/recorder",
    ),
)
@options(
    option(collect, "vehicle_positions", metavar="URL"),
    option(collect, "trip_updates", metavar="URL"),
    option(collect, "alerts", metavar="URL"),
    option(collect, "feed", metavar="NAME"),
    option(collect, "every", metavar="TIME"),
    option(collect, "to", metavar="LAKE"),
    option(collect, "headers", "--header", "headers", metavar="'NAME: VALUE'", multiple=True, callback=_headers),
    option(collect, "secrets", metavar="FILE"),
    option(collect, "spool", metavar="DIR"),
    option(
        collect,
        "spool_limit_bytes",
        "--spool-limit",
        "spool_limit_bytes",
        default="20GB",
        metavar="SIZE",
        callback=_bytes,
    ),
    option(collect, "archive_every", metavar="TIME"),
    option(collect, "timeout", metavar="TIME"),
    option(collect, "duration", "--for", "duration", metavar="TIME"),
    click.option(
        "--status", is_flag=True, help="Say how the recorder of --spool or --feed is; exit code 6 if anything is wrong."
    ),
)
@target_options(skip=("warehouse", "mart", "time_zone"))
def collect_command(target: Target, to: str | None, status: bool, **chosen: Any) -> int | None:
    """Record GTFS-Realtime feeds into the lake, until it is stopped.

    What is new is synced to a spool on this machine; each hour, once it is over, becomes one archive below recordings/,
    which `ingest gtfs-rt` reads. The next call on the same spool goes on, however this one ends.
    """
    if status:
        return _status(target, chosen["spool"], chosen["feed"])
    if not any(chosen[feed] for feed in ("vehicle_positions", "trip_updates", "alerts")):
        raise ConfigError("no feed is named, expected --vehicle-positions, --trip-updates or --alerts with a URL")
    show = None if target.quiet else _Log()
    report = collect(target.lake_only(to), progress=show, **chosen)
    print_report(report, as_json=target.as_json)
    return None


class _Log:
    """One line on standard error for each thing that happens, for a journal to keep."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, label: str, _done: int, _total: int) -> None:
        if label and label != self._said:
            self._said = label
            print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {label}", file=sys.stderr, flush=True)


def _status(target: Target, spool: str | None, feed: str | None) -> int | None:
    found = collect_status(spool, feed=feed)
    if target.as_json:
        print_report(found, as_json=True)
    else:
        _print_status(found)
    return None if found.is_healthy else _UNHEALTHY


def _print_status(found: Report) -> None:
    """Print feeds, spool and uploads, and what is wrong with them."""
    from rich.markup import escape

    out = console()
    columns = ("feed", "polls", "recorded", "unchanged", "failed", "last good answer", "last failure")
    rows = [
        [
            name,
            *(f"{feed[count]:,}" for count in ("polls", "recorded", "unchanged", "failed")),
            str(feed.good_at or "none")[:19],
            escape(feed.error or ""),
        ]
        for name, feed in found.feeds.items()
    ]
    out.print(table(columns, rows, right=("polls", "recorded", "unchanged", "failed")))
    named = f"feed {found.feed}: " if found.feed else ""
    out.print(
        f"{named}{'running' if found.is_running else 'not running'}, process {found.process_id}, "
        f"since {found.started_at[:19]}; "
        f"{found.archives_uploaded:,} archives uploaded, {found.archives_waiting:,} waiting, "
        f"{found.spool_bytes:,} of {found.spool_limit_bytes:,} bytes in the spool"
    )
    for problem in found.problems:
        out.print(f"[red]problem[/]: {escape(problem)}")
    if found.is_healthy:
        out.print("all is well")


COMMANDS: tuple[click.Command, ...] = (collect_command,)
