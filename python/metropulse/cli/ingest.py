"""Commands that turn an agency's own feeds into raw days."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from metropulse.cli.options import examples, option, options
from metropulse.cli.output import console, print_left_out, print_report, table
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.ingest import ingest_gtfs, ingest_gtfs_rt, ingest_tides

__all__ = ["COMMANDS"]


@click.group(
    "ingest",
    epilog=examples(
        "ingest gtfs google_transit.zip --date 2024-05-01 --days 7",
        "ingest gtfs https://agency.example/gtfs.zip --date 2024-05-01 --time-zone America/Chicago --json",
    ),
)
@target_options(skip=("warehouse", "mart"))
def ingest(_target: Target) -> None:
    """Turn an agency's own feeds into raw days of the lake."""


@ingest.command(
    "gtfs",
    epilog=examples(
        "ingest gtfs google_transit.zip --date 2024-05-01",
        "ingest gtfs old.zip new.zip --date 2024-05-01 --days 31      each date from the version that holds",
        "ingest gtfs s3://feeds/tram.zip --date 2024-05-01 --feed tram",
    ),
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options(
    option(ingest_gtfs, "dt", "--date", "dt", metavar="YYYY-MM-DD"),
    option(ingest_gtfs, "days", type=click.IntRange(min=1)),
    option(ingest_gtfs, "feed", metavar="NAME"),
    option(ingest_gtfs, "folder", metavar="FOLDER"),
    option(ingest_gtfs, "replace_newer"),
    option(ingest_gtfs, "dry_run"),
)
@target_options(skip=("warehouse", "mart"))
def gtfs(target: Target, sources: tuple[str, ...], dt: str, **chosen: Any) -> None:
    """Write the timetable of service dates, from GTFS Schedule.

    SOURCE is a zip or a folder, as path or URL; several are versions of one feed.
    """
    with progress(quiet=target.quiet) as show:
        report = ingest_gtfs(sources, target.lake_only(), dt, progress=show, **chosen)
    print_report(report, as_json=target.as_json, more=_print_days)


def _print_days(report: Any) -> None:
    """Print a line for each service date, and what of the feeds was left out."""
    from rich.markup import escape

    out = console()
    columns = ("dt", "trips", "stop times", "rejected", "", "source")
    rows = [
        [day.dt, f"{day.trips:,}", f"{day.stop_times:,}", f"{day.rejected:,}", _remark(day, report), escape(day.source)]
        for day in report.days
    ]
    out.print(table(columns, rows, right=("trips", "stop times", "rejected")))
    for said, days in _kept(report).items():
        out.print(f"kept: {days} day{'s' * (days != 1)} {escape(said)}; --replace-newer replaces them", soft_wrap=True)
    for feed in report.feeds:
        if feed.unread_files:
            out.print(f"files left out: {escape(', '.join(feed.unread_files))}")
        if never := feed.get("files", {}).get("trips.txt", {}).get("rows_without_service"):
            out.print(f"{never:,} trip{'s' * (never != 1)} of services that no calendar names: they never run")
        for name, file in feed.get("files", {}).items():
            if gone := file.get("rows_of_rejected_trips"):
                out.print(f"{gone:,} row{'s' * (gone != 1)} of {name} went with the rejected trips that they belong to")


def _kept(report: Any) -> Counter[str]:
    """Count the days that were left as they are, by the version that they have."""
    why = {"newer": "is newer", "unclaimed": "claims them, as this one does not"}
    versions = [kept for day in report.days if (kept := day.get("kept"))]
    return Counter(
        f"of version {kept.feed_version or '(none)'}, {kept.valid_from} to {kept.valid_to}, which {why[kept.why]}"
        for kept in versions
    )


def _remark(day: Any, report: Any) -> str:
    remarks = []
    if day.unchanged:
        remarks.append("kept" if day.get("kept") else "unchanged")
    if report.dry_run:
        remarks.append("not written")
    if not day.is_claimed:
        remarks.append("outside the feed's dates")
    return ", ".join(remarks)


@ingest.command(
    "gtfs-rt",
    epilog=examples(
        "ingest gtfs-rt --date 2024-05-01                           what `collect` brought into the lake",
        "ingest gtfs-rt --date 2024-05-01 --feed tram               what `collect --feed tram` brought",
        "ingest gtfs-rt recordings/ --date 2024-05-01",
        "ingest gtfs-rt 'recordings/2024-05-0[12]*.tar' --date 2024-05-01",
        "ingest gtfs-rt tram/ --date 2024-05-01 --schedule tram.zip --feed tram",
        "ingest gtfs-rt s3://bucket/recordings/ --date 2024-05-01 --dry-run",
    ),
)
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@options(
    option(ingest_gtfs_rt, "dt", "--date", "dt", metavar="YYYY-MM-DD"),
    option(ingest_gtfs_rt, "schedule", metavar="LAKE|FEED"),
    option(ingest_gtfs_rt, "feed", metavar="NAME"),
    option(ingest_gtfs_rt, "dry_run"),
)
@target_options(skip=("warehouse", "mart"))
def gtfs_rt(target: Target, sources: tuple[str, ...], dt: str, **chosen: Any) -> None:
    """Write what recordings of GTFS-Realtime say of one service date.

    SOURCE is a file, folder, glob or URL (of an object store) of recordings: .pb, .json, plain or packed, or a tar or
    zip of them. Without any, what `metropulse collect` brought into the lake, from the start of the date until noon of
    the day after.
    """
    with progress(quiet=target.quiet) as show:
        report = ingest_gtfs_rt(sources or None, target.lake_only(), dt, progress=show, **chosen)
    print_report(report, as_json=target.as_json, more=_print_recordings)


def _print_recordings(report: Any) -> None:
    """Print what was read and what was odd about it."""
    out = console()
    odd = {
        "empty": report.recordings_empty,
        "without a time": report.recordings_without_time,
        "from the future": report.recordings_in_the_future,
        "unreadable": report.recordings_unreadable,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in odd.items() if count)
    out.print(f"{report.recordings:,} recordings read" + (f" ({told})" if told else ""))
    for name in ("vehicle_positions", "trip_updates", "alerts"):
        if left := _not_written(report[name]):
            out.print(f"{name} not written: {left}")
    if report.damaged:
        rows = [[one.file, one.why] for one in report.damaged[:10]]
        out.print(table(("damaged recording", "why"), rows))


def _not_written(counts: Any) -> str:
    """Say what of a kind was read and is no row of the day: of other dates, or of none that can be told."""
    lacking = {"without a day": counts.without_day, "without a trip": counts.get("without_trip", 0)}
    other = [f"{rows:,} of {day}" for day, rows in counts.other_days.items()]
    return ", ".join([*other, *(f"{count:,} {what}" for what, count in lacking.items() if count)])


@ingest.command(
    "tides",
    epilog=examples(
        "ingest tides package/",
        "ingest tides https://agency.example/tides.zip --date-from 2024-05-01 --date-to 2024-06-01",
        "ingest tides s3://bucket/package/datapackage.json --dry-run",
    ),
)
@click.argument("source", metavar="SOURCE")
@options(
    option(ingest_tides, "date_from", metavar="YYYY-MM-DD"),
    option(ingest_tides, "date_to", metavar="YYYY-MM-DD"),
    option(ingest_tides, "dry_run"),
)
@target_options(skip=("warehouse", "mart"))
def tides(target: Target, source: str, **chosen: Any) -> None:
    """Write the rows of a TIDES package into raw days.

    SOURCE is a folder, a zip or a datapackage.json, as path or URL.
    """
    with progress(quiet=target.quiet) as show:
        report = ingest_tides(source, target.lake_only(), progress=show, **chosen)
    print_report(report, as_json=target.as_json, more=_print_package)


def _print_package(report: Any) -> None:
    """Print a line for each day, and what of the package was left out."""
    from rich.markup import escape

    out = console()
    rows = [
        [
            day.dt,
            ", ".join(f"{count:,} {name}" for name, count in day.rows.items()),
            f"{day.rejected:,}",
            "unchanged" if day.unchanged else "not written" if report.dry_run else "",
        ]
        for day in report.days
    ]
    out.print(table(("dt", "rows", "rejected", ""), rows, right=("rejected",)))
    print_left_out(out, report.left_out)
    for name, count in report.rows_of_other_days.items():
        out.print(f"rows of other days, not written: {count:,} of {escape(name)}")


COMMANDS: tuple[click.Command, ...] = (ingest,)
