"""The demo: the Airflow DAG itself, in this process, on the embedded engines, and a summary to read.

Everything lies under the state folder: ``lake/raw``, ``warehouse``, ``mart``, and ``airflow`` for the DAG's metadata
and logs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from metropulse.days import DATASETS, iso_day
from metropulse.exceptions import NotFoundError
from metropulse.stores import variable

if TYPE_CHECKING:
    from metropulse.airflow.local import RunResult
    from metropulse.pipeline import Pipeline

__all__ = ["GENERATED_START", "Outcome", "Plan", "by_the_feed", "raw_days", "run_demo"]

GENERATED_START = "2024-05-01"
"""The first day of a synthetic city when nobody names one."""

_REASONS = {
    "recorded": "the first of the feed's dates that has recordings",
    "today": "today",
    "weekday": "the first working day of the feed",
    "beginning": "the first date of the feed",
}
_BUSIEST = """
    select route_id, name, transport_type, toString(hour_bucket) as hour, trip_cnt, round(avg_speed, 1) as avg_speed
    from mart_route_hourly order by trip_cnt desc, hour_bucket, route_id limit 8
"""
_BUSIEST_SCHEDULE = """
    select route_id, name, transport_type, toString(hour_bucket) as hour, trip_cnt, scheduled_trip_cnt,
        round(avg_speed, 1) as avg_speed
    from mart_route_hourly order by scheduled_trip_cnt desc, hour_bucket, route_id limit 8
"""
_BUSIEST_TELEMETRY = """
    select route_id, name, transport_type, toString(hour_bucket) as hour, trip_cnt, round(avg_speed, 1) as avg_speed
    from mart_route_hourly where avg_speed is not null order by avg_speed desc, hour_bucket, route_id limit 8
"""


@dataclass(frozen=True)
class Plan:
    """What the demo is to do."""

    state: str
    raw: str | None = None
    gtfs: str | None = None
    gtfs_rt: tuple[str, ...] = ()
    start: str = ""
    """Empty: as the feed and its recordings say, or that of the synthetic city."""
    days: int = 3
    seed: int = 7
    scale: float = 1.0
    time_zone: str = ""
    """Empty: that of the feed's agencies, or of the environment."""


@dataclass(frozen=True)
class Outcome:
    """What the demo did."""

    plan: Plan
    lake: str
    log: str
    generated: dict[str, Any] | None
    runs: tuple[RunResult, ...]
    busiest: tuple[dict[str, Any], ...]
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether every task of every run did: Airflow calls a run without any task a success."""
        return bool(self.runs) and all(_succeeded(run) for run in self.runs)

    @property
    def error_kind(self) -> str | None:
        """The kind of the first error that a task left, or None."""
        return next((str(task.error.get("error")) for run in self.runs for task in run.tasks if task.error), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as a dict, for JSON."""
        return {**asdict(self), "succeeded": self.succeeded}


def raw_days(folder: str | os.PathLike[str]) -> list[str]:
    """Return the days whose ``dt=`` folders lie in a folder.

    Args:
        folder: The lake.

    Returns:
        The days, oldest first.

    Raises:
        NotFoundError: There is none.
    """
    names = sorted(entry.name.removeprefix("dt=") for entry in Path(folder).iterdir() if entry.name.startswith("dt="))
    if not names:
        raise NotFoundError(f"{os.fspath(folder)} holds no dt= folder, expected dt=YYYY-MM-DD/<dataset>.parquet")
    return [iso_day(name, f"the folder dt={name}") for name in names]


def run_demo(plan: Plan, *, quiet: bool = False) -> Outcome:
    """Run the demo.

    Args:
        plan: What to do.
        quiet: Do not say what is under way.

    Returns:
        What was done; a failed task does not raise.

    Raises:
        ConfigError: Airflow or the embedded engines are not installed.
        NotFoundError: The raw folder holds no day.
        MetropulseError: The agency's feed or recordings cannot be read.
    """
    from metropulse.airflow import local

    state = Path(plan.state).absolute()
    lake = Path(plan.raw).absolute() if plan.raw else state / "lake" / "raw"
    # Engines of our own: the addresses of other servers must not reach the DAG's tasks.
    for name in [name for name in os.environ if name.startswith(("PG_", "CH_", "MINIO_"))]:
        del os.environ[name]
    plan, why = by_the_feed(plan) if plan.gtfs else (replace(plan, start=plan.start or GENERATED_START), "")
    days = raw_days(lake) if plan.raw else _calendar_days(plan.start, plan.days)
    extra = {"state": str(state), "lake": str(lake)} | ({"time_zone": plan.time_zone} if plan.time_zone else {})
    log = state / "airflow" / "demo.log"
    local.configure(state / "airflow", extra)

    from metropulse.pipeline import Pipeline

    started = time.monotonic()
    with local.to_file(log) as screen:
        say = _Teller(None if quiet else screen)
        if why:
            say.line(why)
        say.line("starting PostgreSQL and ClickHouse under " + plan.state)
        with Pipeline.embedded(state, lake=lake, time_zone=plan.time_zone or None) as pipeline:
            generated = None
            if plan.gtfs:
                generated = _ingest(pipeline, plan, days, say)
            elif not plan.raw:
                say.line(f"generating {plan.days} days of raw data, seed {plan.seed}")
                generated = pipeline.generate(plan.start, plan.days, seed=plan.seed, scale=plan.scale).to_dict()
            say.line("preparing Airflow's metadata")
            local.prepare()
            # Recordings need not cover every day that the timetable has.
            expected = days if plan.gtfs else days[:1]
            runs = _runs(days, say, _required([lake / f"dt={day}" for day in expected]))
            busiest = (
                _busiest(pipeline, _BUSIEST_SCHEDULE if plan.gtfs else _BUSIEST)
                if all(_succeeded(run) for run in runs)
                else []
            )
    return Outcome(plan, str(lake), str(log), generated, tuple(runs), tuple(busiest), time.monotonic() - started)


def by_the_feed(plan: Plan) -> tuple[Plan, str]:
    """Take from the feed and its recordings what nobody named: the zone and the first day.

    Args:
        plan: What to do, with a feed.

    Returns:
        The plan with both, and what is said of them.
    """
    from metropulse.pipeline import Pipeline

    feed = Pipeline().describe_gtfs(str(plan.gtfs), recordings=plan.gtfs_rt)
    zone = plan.time_zone or variable(os.environ, "METROPULSE_TIME_ZONE") or feed.zone
    start = plan.start or feed.first_day
    reason = "" if plan.start else f" ({_REASONS[feed.first_day_is]})"
    return replace(plan, start=start, time_zone=zone), f"first day {start}{reason}, zone {zone}"


def _ingest(pipeline: Pipeline, plan: Plan, days: Sequence[str], say: _Teller) -> dict[str, Any]:
    """Write the feed's days, and what recordings say of each, into the lake."""
    say.line(f"reading the timetable of {len(days)} day{'s' * (len(days) != 1)} from {plan.gtfs}")
    reports = [pipeline.ingest_gtfs(str(plan.gtfs), days[0], days=len(days))]
    for day in days if plan.gtfs_rt else ():
        say.line(f"reading what the recordings say of {day}")
        reports.append(pipeline.ingest_gtfs_rt(list(plan.gtfs_rt), day))
    return {name: sum(report[name] for report in reports) for name in ("rows", "bytes", "seconds")}


class _Teller:
    """Says what is under way, over the log that takes everything else."""

    def __init__(self, screen: IO[str] | None) -> None:
        self._screen = screen

    def line(self, text: str) -> None:
        if self._screen is not None:
            print(text, file=self._screen, flush=True)

    def step(self, text: str) -> None:
        if self._screen is not None:
            print(text, end=" ", file=self._screen, flush=True)


def _runs(days: Sequence[str], say: _Teller, required: str) -> list[RunResult]:
    from metropulse.airflow import local

    # The files lie still: a folder without a manifest need not be watched for changes.
    conf = {"stable_seconds": 0, "required": required}
    runs: list[RunResult] = []
    for day in days:
        say.step(f"{local.DAG_ID} {day}:")
        runs.append(local.run_dag_in_process(day, conf, begins=say.step))
        say.line(f"- {runs[-1].state} in {runs[-1].seconds:.1f} s")
        if not _succeeded(runs[-1]):
            break
    return runs


def _succeeded(run: RunResult) -> bool:
    return run.state == "success" and bool(run.tasks) and all(task.state == "success" for task in run.tasks)


def _required(folders: Sequence[Path]) -> str:
    """Name the datasets that all these days have, so that a day which lacks one of them is noticed."""
    present = [
        {entry.name.removesuffix(".parquet") for entry in folder.iterdir()} for folder in folders if folder.is_dir()
    ]
    return ",".join(name for name in DATASETS if present and all(name in day for day in present))


def _busiest(pipeline: Pipeline, query: str) -> list[dict[str, Any]]:
    rows = pipeline.mart.query(query).to_pylist()
    if rows and not (rows[0]["trip_cnt"] or rows[0].get("scheduled_trip_cnt")):
        rows = pipeline.mart.query(_BUSIEST_TELEMETRY).to_pylist()
    return rows


def _calendar_days(start: str, days: int) -> list[str]:
    first = date.fromisoformat(iso_day(start, "start"))
    return [(first + timedelta(days=n)).isoformat() for n in range(days)]
