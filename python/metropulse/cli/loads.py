"""Loads that are no step of a day: into any table of PostgreSQL."""

from __future__ import annotations

from typing import Any

import click

from metropulse.cli.options import examples, option, options, reading
from metropulse.cli.output import print_report
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.copy import copy_parquet as copy

__all__ = ["COMMANDS"]


@click.command(
    "copy-parquet",
    epilog=examples(
        "copy-parquet trips.parquet --table public.trips --create",
        "copy-parquet 'data/*.parquet' --table trips --connections 2",
        "copy-parquet s3://bucket/trips/ --table trips --truncate --warehouse postgresql://u@h/db",
    ),
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options(
    option(copy, "table"),
    option(copy, "create"),
    option(copy, "truncate"),
    option(copy, "connections", type=click.IntRange(min=1)),
    reading(copy),
)
@target_options(skip=("mart",))
def copy_parquet(target: Target, sources: tuple[str, ...], **chosen: Any) -> None:
    """Copy Parquet files into a table of PostgreSQL.

    SOURCE is a path, folder, glob or URL.
    """
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = copy(sources, pipeline, progress=show, **chosen)
    print_report(report, as_json=target.as_json)


COMMANDS: tuple[click.Command, ...] = (copy_parquet,)
