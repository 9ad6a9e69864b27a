"""History of any table: merging snapshots and changes, and going back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from metropulse.cli.output import print_report
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.settings import resolve

__all__ = ["COMMANDS"]

_NAMES: tuple[Callable[..., Any], ...] = (
    click.option("--surrogate", metavar="NAME", help="Name of the surrogate key. Default: <table>_sk."),
    click.option("--valid-from", metavar="NAME", default="valid_from", show_default=True, help="First instant."),
    click.option("--valid-to", metavar="NAME", default="valid_to", show_default=True, help="First instant after."),
    click.option("--current", metavar="NAME", default="is_current", show_default=True, help="Flag; empty for none."),
)


def _with(options: tuple[Callable[..., Any], ...]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command(
    "merge-snapshot",
    epilog="""\b
Examples:
  metropulse merge-snapshot customers.parquet --table dim_customer --key customer_id --effective 2024-05-01
  metropulse merge-snapshot 'changes/*.parquet' --table dim_price --key shop --key item --effective-column changed_at
  metropulse merge-snapshot customers.parquet --table dim_customer --key customer_id --effective 2024-05-02 --dry-run
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--table", required=True, help="The table as SQL names it; it is made when missing.")
@click.option("--key", multiple=True, required=True, metavar="COLUMN", help="Key column. May be repeated.")
@click.option("--tracked", multiple=True, metavar="COLUMN", help="Column whose changes open a version. Default: all.")
@click.option("--overwritten", multiple=True, metavar="COLUMN", help="Column that shows its newest value everywhere.")
@click.option("--effective", metavar="INSTANT", help="When a full snapshot holds from: a date or a time.")
@click.option("--effective-column", metavar="COLUMN", help="Instead: the column with each row's time (a change feed).")
@click.option(
    "--absent",
    type=click.Choice(["close", "ignore", "error"]),
    default="close",
    show_default=True,
    help="What a key's absence from a full snapshot means.",
)
@click.option("--allow-vanishing", is_flag=True, help="Let pass that many keys, or all, are gone.")
@click.option("--dry-run", is_flag=True, help="Show what would change, write nothing.")
@_with(_NAMES)
@target_options(skip=("mart",))
def merge_snapshot(target: Target, sources: tuple[str, ...], table: str, current: str, **merge: Any) -> None:
    """Merge a snapshot or changes (Parquet) into a table that keeps their history."""
    from metropulse.merge import merge_into
    from metropulse.pipeline import Pipeline
    from metropulse.sources import first_url

    merge["tracked"] = merge["tracked"] or None
    with target.pipeline() as opened:
        url = first_url(sources)
        options = resolve(lake=url).lake_options if url else {}
        pipeline = Pipeline.from_settings(replace(opened.settings, lake_options=options))
        with progress(quiet=target.quiet) as show:
            report = merge_into(pipeline, sources, table, current=current or None, progress=show, **merge)
    print_report(report, as_json=target.as_json)


@click.command(
    "rewind-snapshot",
    epilog="""\b
Examples:
  metropulse rewind-snapshot --table dim_customer --to 2024-05-01 --dry-run
  metropulse rewind-snapshot --table dim_customer --to 2024-05-01
""",
)
@click.option("--table", required=True, help="The table as SQL names it.")
@click.option("--to", required=True, metavar="INSTANT", help="The last instant that stays: a date or a time.")
@click.option("--dry-run", is_flag=True, help="Show what would change, write nothing.")
@target_options(skip=("mart", "lake"))
def rewind_snapshot(target: Target, table: str, to: str, dry_run: bool) -> None:
    """Forget, exactly, what was merged into a table after an instant."""
    from metropulse.merge import rewind_in

    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = rewind_in(pipeline, table, to=to, dry_run=dry_run, progress=show)
    print_report(report, as_json=target.as_json)


COMMANDS: tuple[click.Command, ...] = (merge_snapshot, rewind_snapshot)
