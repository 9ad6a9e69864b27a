"""Commands for rejected rows: list them, and requeue them."""

from __future__ import annotations

import json
from typing import Any

import click

from metropulse.cli.options import options
from metropulse.cli.output import console, print_report, table
from metropulse.cli.progress import progress
from metropulse.cli.target import Target, target_options

__all__ = ["COMMANDS"]

_EXAMPLES = """\b
Examples:
  metropulse rejected list --dataset trips --reason speed
  metropulse rejected list --json --limit 1000 > rejected.json
  metropulse rejected requeue --dt 2024-05-01
  metropulse rejected requeue --rows repaired.json
"""

_FILTERS = (
    click.option("--dataset", metavar="NAME", help="Only this dataset."),
    click.option("--dt", metavar="YYYY-MM-DD", help="Only this raw day."),
    click.option("--reason", metavar="CODE", help="Only rows with this reason, such as speed or no_key."),
)


_filters = options(*_FILTERS)


@click.group("rejected", epilog=_EXAMPLES)
@target_options
def rejected(_target: Target) -> None:
    """List rejected rows, and requeue them."""


@rejected.command("list", epilog=_EXAMPLES)
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many rows to show.")
@target_options
def list_rejected(target: Target, dataset: str | None, dt: str | None, reason: str | None, limit: int) -> None:
    """List rejected rows with all their reasons."""
    with target.pipeline() as pipeline:
        report = pipeline.rejected(dataset=dataset, dt=dt, reason=reason, limit=limit)
    if target.as_json:
        click.echo(json.dumps(report, default=str))
        return
    rows = [
        [one.file, f"{one.row_number:,}", ", ".join(one.reasons), json.dumps(one.row, ensure_ascii=False)]
        for one in report.rejected
    ]
    out = console()
    out.print(table(("file", "row", "reasons", "row as read"), rows, right=("row",)))
    out.print(f"{len(rows):,} of {report.total:,} rejected rows")


@rejected.command("requeue", epilog=_EXAMPLES)
@_filters
@click.option(
    "--rows",
    "file",
    type=click.File(encoding="utf-8"),
    help="Repaired rows as JSON: a list, or one object a line, each with file, row_number and row, which holds the "
    "columns that change; the output of `rejected list --json` works as well. - reads standard input.",
)
@target_options
def requeue(target: Target, dataset: str | None, dt: str | None, reason: str | None, file: Any) -> None:
    """Check rejected rows again, repaired or under today's rules, and load what passes."""
    rows = _read(file.read()) if file else []
    if file and not rows:
        raise click.UsageError("the file holds no repaired row")
    if rows and (dataset or dt or reason):
        raise click.UsageError("--rows names the rows itself, expected no --dataset, --dt or --reason with it")
    with target.pipeline() as pipeline, progress(quiet=target.quiet) as show:
        report = pipeline.requeue(rows, dataset=dataset, dt=dt, reason=reason, progress=show)
    print_report(report, as_json=target.as_json)
    if not target.as_json and not report.get("steps"):
        click.echo("no rejected rows")


def _read(text: str) -> list[dict[str, Any]]:
    """Return the rows of a JSON document or of JSON lines."""
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise click.UsageError(f"the file is neither JSON nor one JSON object a line: {error}") from error
    documents = [found] if isinstance(found, dict) else found
    rows = [row for document in documents for row in document.get("rejected", [document])]
    return [{name: row.get(name) for name in ("file", "row_number", "row")} for row in rows]


COMMANDS: tuple[click.Command, ...] = (rejected,)
