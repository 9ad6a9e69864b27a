"""Commands that write raw days as packages for others."""

from __future__ import annotations

from typing import Any

import click

from metropulse.cli.options import examples, option, options
from metropulse.cli.output import console, print_left_out, print_report
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options
from metropulse.export import export_tides

__all__ = ["COMMANDS"]


@click.group(
    "export",
    epilog=examples("export tides --date-from 2024-05-01 --date-to 2024-06-01 --to package/"),
)
@target_options(skip=("warehouse", "mart"))
def export(_target: Target) -> None:
    """Write raw days as packages for others."""


@export.command(
    "tides",
    epilog=examples(
        "export tides --date-from 2024-05-01 --date-to 2024-06-01 --to package/",
        "export tides --date-from 2024-05-01 --date-to 2024-05-02 --to s3://bucket/package --format parquet",
        "export tides --date-from 2024-05-01 --date-to 2024-05-02 --to package/ "
        "--fill fare_action=Enter --fill fare_capped=false",
    ),
)
@options(
    option(export_tides, "date_from", metavar="YYYY-MM-DD"),
    option(export_tides, "date_to", metavar="YYYY-MM-DD"),
    option(export_tides, "to", metavar="FOLDER|URL"),
    option(export_tides, "file_format", "--format", "file_format", type=click.Choice(["csv", "parquet"])),
    option(export_tides, "fill", metavar="FIELD=VALUE", multiple=True),
    option(export_tides, "agency", metavar="NAME"),
)
@target_options(skip=("warehouse", "mart"))
def tides(target: Target, date_from: str, date_to: str, to: str, fill: tuple[str, ...], **chosen: Any) -> None:
    """Write raw days as a package of TIDES 1.0.

    Tables of which raw days do not know a required field are left out, unless --fill gives its value.
    """
    with progress(quiet=target.quiet) as show:
        report = export_tides(target.lake_only(), to, date_from, date_to, fill=_rules(fill), progress=show, **chosen)
    print_report(report, as_json=target.as_json, more=_print_gaps)


def _rules(fill: tuple[str, ...]) -> dict[str, str]:
    """Return the rules by field."""
    rules = {}
    for rule in fill:
        field, found, value = rule.partition("=")
        if not found or not field:
            raise click.UsageError(f"--fill is {rule!r}, expected FIELD=VALUE such as fare_action=Enter")
        if field in rules:
            raise click.UsageError(f"--fill names {field} twice, expected one value")
        rules[field] = value
    return rules


def _print_gaps(report: Any) -> None:
    """Print what the package does not hold, and why."""
    out = console()
    if report.days_missing:
        out.print(f"days that the lake does not have: {', '.join(report.days_missing)}")
    print_left_out(out, report.left_out)
    for what, counted in (("rows without", report.rows_left_out), ("values left out of", report.values_left_out)):
        for name, fields in counted.items():
            told = ", ".join(f"{field} {count:,}" for field, count in fields.items())
            out.print(f"{what} a field of {name}: {told}")


COMMANDS: tuple[click.Command, ...] = (export,)
