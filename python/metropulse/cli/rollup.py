"""`rollup-hourly`: an hourly rollup of any Parquet files."""

from __future__ import annotations

import json

import click

from metropulse.cli.options import examples, option, reading, row_limit
from metropulse.cli.output import print_rows
from metropulse.cli.progress import progress
from metropulse.pipeline import Pipeline
from metropulse.rollup import Measure, merge_rollups, rollup_into
from metropulse.rollup import rollup_hourly as roll_up
from metropulse.settings import resolve

__all__ = ["rollup_hourly"]


def _measures(texts: tuple[str, ...]) -> dict[str, Measure]:
    """Read ``name=count`` and ``name=operation:column``."""
    found: dict[str, Measure] = {}
    for text in texts:
        name, equals, what = text.partition("=")
        operation, colon, column = what.partition(":")
        if not name or not equals or not operation:
            raise click.UsageError(f"--measure {text} reads NAME=OPERATION:COLUMN or NAME=count")
        found[name] = (operation, column) if colon else operation
    return found


@click.command(
    "rollup-hourly",
    epilog=examples(
        "rollup-hourly 'raw/dt=*/vehicle_positions.parquet' --time event_ts --key route_id \\\n"
        "    --measure avg_speed=avg:speed --measure n=count",
        "rollup-hourly day1.parquet --time event_ts --key route_id --measure n=count \\\n"
        "    --partial --output s1.parquet",
        "rollup-hourly s1.parquet s2.parquet --merge",
    ),
)
@click.argument("source", nargs=-1, required=True, metavar="SOURCE...")
@option(
    rollup_into, "keys", "--key", "keys", multiple=True, metavar="COLUMN", help="Column to group by. May be repeated."
)
@option(roll_up, "time", required=False, metavar="COLUMN")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME=OPERATION:COLUMN",
    help="A column of the result: count, or sum, avg, min, max or count_distinct of a column. May be repeated.",
)
@option(roll_up, "time_zone", metavar="NAME")
@option(rollup_into, "partial")
@option(rollup_into, "merge")
@reading(roll_up)
@click.option("--output", metavar="PATH", help="Write Parquet to a path or URL instead of printing.")
@row_limit
@click.option("--json", "as_json", is_flag=True, help="Print each row as a JSON document.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def rollup_hourly(
    source: tuple[str, ...],
    keys: tuple[str, ...],
    time: str | None,
    measures: tuple[str, ...],
    time_zone: str,
    partial: bool,
    merge: bool,
    plain_files: bool,
    folder_columns: bool,
    output: str | None,
    limit: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Group Parquet files by columns and hour.

    SOURCE is a path, folder, glob or URL.
    """
    if merge and (keys or measures or time):
        raise click.UsageError("--merge combines states as they are, expected no --key, --time or --measure")
    if not merge and not (time and measures):
        raise click.UsageError("name the time with --time and at least one --measure")
    asked = _measures(measures)
    with progress(quiet=quiet) as show:
        if output is not None:
            settings = resolve(time_zone=time_zone)
            report = rollup_into(
                Pipeline.from_settings(settings),
                source,
                output,
                keys=keys,
                time=time,
                measures=asked,
                partial=partial,
                merge=merge,
                plain_files=plain_files,
                folder_columns=folder_columns,
                progress=show,
            )
        elif merge:
            found = merge_rollups(list(source), partial=partial)
        else:
            found = roll_up(
                source,
                keys=keys,
                time=time or "",
                measures=asked,
                time_zone=time_zone,
                partial=partial,
                plain_files=plain_files,
                folder_columns=folder_columns,
                progress=show,
            )
    if output is not None:
        click.echo(json.dumps(report) if as_json else f"{report.rows:,} rows in {report.output}")
        return
    if as_json:
        for row in found.to_pylist():
            click.echo(json.dumps(row, default=str))
    else:
        print_rows(found.column_names, found.to_pylist(), limit=limit)
