"""Loads that are no step of a day: into any table of PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import click

from metropulse.cli.output import print_report
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.settings import resolve

__all__ = ["COMMANDS"]


@click.command(
    "copy-parquet",
    epilog="""\b
Examples:
  metropulse copy-parquet trips.parquet --table public.trips --create
  metropulse copy-parquet 'data/*.parquet' --table trips --connections 2
  metropulse copy-parquet s3://bucket/trips/ --table trips --truncate --warehouse postgresql://u@h/db
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--table", required=True, help="The table as SQL names it.")
@click.option("--create", is_flag=True, help="Make the table after the first file when it is not there.")
@click.option("--truncate", is_flag=True, help="Empty the table in the same transaction.")
@click.option("--connections", type=click.IntRange(min=1), default=1, show_default=True, help="Connections at most.")
@target_options(skip=("mart",))
def copy_parquet(
    target: Target, sources: tuple[str, ...], table: str, create: bool, truncate: bool, connections: int
) -> None:
    """Copy Parquet files (paths, folders, globs, URLs) into a table of PostgreSQL."""
    from metropulse.copy import copy_into
    from metropulse.pipeline import Pipeline
    from metropulse.sources import first_url

    with target.pipeline() as opened:
        options = resolve(lake=first_url(sources)).lake_options if first_url(sources) else {}
        pipeline = Pipeline.from_settings(replace(opened.settings, lake_options=options))
        with progress(quiet=target.quiet) as show:
            report = copy_into(
                pipeline,
                sources,
                table,
                create=create,
                truncate=truncate,
                connections=connections,
                progress=show,
            )
    print_report(report, as_json=target.as_json)


COMMANDS: tuple[click.Command, ...] = (copy_parquet,)
