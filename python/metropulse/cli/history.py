"""History of any table: merging snapshots and changes, and going back."""

from __future__ import annotations

from typing import Any

import click

from metropulse.cli.options import examples, option, options, reading
from metropulse.cli.output import print_report
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.merge import merge_snapshot as merge
from metropulse.merge import rewind_snapshot as rewind

__all__ = ["COMMANDS"]


@click.command(
    "merge-snapshot",
    epilog=examples(
        "merge-snapshot customers.parquet --table dim_customer --key customer_id --effective 2024-05-01",
        "merge-snapshot 'changes/*.parquet' --table dim_price --key shop --key item --effective-column changed_at",
        "merge-snapshot changes.parquet --table dim_price --key item --effective-column changed_at --deleted op=D",
        "merge-snapshot customers.parquet --table dim_customer --key customer_id --effective 2024-05-02 --dry-run",
    ),
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options(
    option(merge, "table"),
    option(merge, "key", multiple=True, metavar="COLUMN"),
    option(merge, "tracked", multiple=True, metavar="COLUMN"),
    option(merge, "overwritten", multiple=True, metavar="COLUMN"),
    option(merge, "effective", metavar="INSTANT"),
    option(merge, "effective_column", metavar="COLUMN"),
    option(merge, "deleted", metavar="COLUMN[=VALUE]"),
    option(merge, "renamed", multiple=True, metavar="OLD=NEW"),
    option(merge, "adopt"),
    option(merge, "absent", type=click.Choice(["close", "ignore", "error"])),
    option(merge, "allow_vanishing"),
    option(merge, "dry_run"),
    option(merge, "surrogate", metavar="NAME"),
    option(merge, "valid_from", metavar="NAME"),
    option(merge, "valid_to", metavar="NAME"),
    option(
        merge, "current", metavar="NAME", help="Name of the column that flags open versions; empty for no such column."
    ),
    reading(merge),
)
@target_options(skip=("mart",))
def merge_snapshot(target: Target, sources: tuple[str, ...], **chosen: Any) -> None:
    """Merge a snapshot, or changes, into a table with history."""
    # The command line has no None: nothing named means all others, an empty name no column.
    chosen |= {"tracked": chosen["tracked"] or None, "current": chosen["current"] or None}
    chosen |= {"deleted": _deleted(chosen["deleted"]), "renamed": _renamed(chosen["renamed"])}
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = merge(sources, pipeline, progress=show, **chosen)
    print_report(report, as_json=target.as_json)


def _deleted(text: str | None) -> str | tuple[str, str] | None:
    """Read COLUMN, or COLUMN=VALUE."""
    column, equals, value = (text or "").partition("=")
    return (column, value) if equals else column or None


def _renamed(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read OLD=NEW, several times."""
    renamed = {}
    for pair in pairs:
        old, _, new = pair.partition("=")
        if not (old and new):
            raise click.BadParameter(f"{pair!r} names no two columns, expected OLD=NEW", param_hint="--renamed")
        renamed[old] = new
    return renamed


@click.command(
    "rewind-snapshot",
    epilog=examples(
        "rewind-snapshot --table dim_customer --to 2024-05-01 --dry-run",
        "rewind-snapshot --table dim_customer --to 2024-05-01",
    ),
)
@options(
    option(rewind, "table"),
    option(rewind, "to", metavar="INSTANT"),
    option(rewind, "dry_run"),
)
@target_options(skip=("mart", "lake"))
def rewind_snapshot(target: Target, **chosen: Any) -> None:
    """Take out exactly what was merged for later instants."""
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = rewind(pipeline, progress=show, **chosen)
    print_report(report, as_json=target.as_json)


COMMANDS: tuple[click.Command, ...] = (merge_snapshot, rewind_snapshot)
