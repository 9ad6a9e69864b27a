"""Checks of a day against its own schedule: small shares of strangers pass, large ones are a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import metropulse as mp

from . import feeds
from .city import load
from .feeds import FIRST, local


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake without a day."""
    return tmp_path / "raw"


@pytest.fixture(params=["warehouse", "telemetry"])
def pipeline(request: pytest.FixtureRequest, database: str, lake: Path, mart: dict[str, str]) -> mp.Pipeline:
    """A pipeline whose positions are in PostgreSQL, and one whose positions are in ClickHouse."""
    return feeds.pipeline_on(lake, database, positions=request.param, **mart)


def shares(pipeline: mp.Pipeline) -> dict[str, tuple[int, bool]]:
    """Percent found and whether that passed, by check."""
    report = pipeline.check_quality(FIRST)
    return {check.name: (check.found, check.passed) for check in report.checks if check.name.find("planned") >= 0}


def reports(strangers: int, **more: Any) -> list[dict[str, Any]]:
    """Forty reports, all of T1 but for some strangers."""
    known = {"trip_id": "T1", "stop_id": "S1"}
    return [feeds.position(f"V{n}", local(1, 8, n), **known | (more if n < strangers else {})) for n in range(40)]


def test_a_day_without_a_schedule_or_without_reports_has_nothing_to_compare(pipeline, lake):
    nothing = {
        "positions_name_planned_runs": (0, True),
        "positions_name_planned_routes": (0, True),
        "positions_name_planned_stops": (0, True),
        "planned_runs_are_seen": (0, True),
    }
    feeds.write(lake / f"dt={FIRST}", "vehicle_positions", reports(40, trip_id="TX"))
    load(pipeline, FIRST)
    assert shares(pipeline) == nothing
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    (lake / f"dt={FIRST}" / "vehicle_positions.parquet").unlink()
    pipeline.undo(FIRST)
    load(pipeline, FIRST)
    assert shares(pipeline) == nothing


@pytest.mark.parametrize(
    ("strangers", "more", "check", "found"),
    [
        (4, {"trip_id": "TX"}, "positions_name_planned_runs", (10, True)),
        (5, {"trip_id": "TX"}, "positions_name_planned_runs", (13, False)),
        (5, {"trip_id": None}, "positions_name_planned_runs", (0, True)),
        (5, {"route_id": "R9"}, "positions_name_planned_routes", (13, False)),
        (5, {"route_id": None}, "positions_name_planned_routes", (0, True)),
        (5, {"stop_id": "S8"}, "positions_name_planned_stops", (13, False)),
    ],
)
def test_the_share_of_reports_that_the_schedule_does_not_know(pipeline, lake, strangers, more, check, found):
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    feeds.write(lake / f"dt={FIRST}", "vehicle_positions", reports(strangers, **more))
    load(pipeline, FIRST)
    assert shares(pipeline)[check] == found


def unseen_runs(pipeline: mp.Pipeline, lake: Path, **datasets: list[dict[str, Any]]) -> tuple[int, bool]:
    """Percent of runs that nobody saw once the day has these datasets too, and whether that passed."""
    feeds.write_day(lake, FIRST, datasets)
    load(pipeline, FIRST)
    return shares(pipeline)["planned_runs_are_seen"]


def performed(trip: str, start_time: str | None) -> dict[str, Any]:
    """A trip that was made of a run."""
    row = {"trip_id": f"{trip}/{start_time}", "vehicle_id": "V1", "start_ts": local(1, 8), "end_ts": local(1, 9)}
    return row | {"scheduled_trip_id": trip, "scheduled_start_time": start_time}


def cancelled(trip: str, start_time: str | None) -> dict[str, Any]:
    """A run that is called off."""
    return feeds.update(trip, None, None, local(1, 7), start_time=start_time, schedule_relationship="CANCELED")


def test_runs_that_nobody_saw_but_not_headways_and_cancelled_ones(pipeline, lake):
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    # Of T1 at eight and T2 one is seen; T1 at half past eight is a headway.
    seen = {"vehicle_positions": reports(0), "trips": [performed("T1", "08:00:00")]}
    assert unseen_runs(pipeline, lake, **seen) == (50, False)
    assert unseen_runs(pipeline, lake, trip_updates=[cancelled("T2", "25:10:00")]) == (0, True)


def every_ten_minutes(lake: Path) -> None:
    """A schedule of T1 at four exact times and of T2 at one."""
    starts = [("08:00:00", local(1, 8)), ("08:10:00", local(1, 8, 10)), ("08:20:00", local(1, 8, 20))]
    runs = [feeds.run("T1", text, "R1", at, exact_times=True) for text, at in [*starts, ("08:30:00", local(1, 8, 30))]]
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    feeds.write(lake / f"dt={FIRST}", "scheduled_trips", [*runs, feeds.run("T2", "09:00:00", "R2", local(1, 9))])


def test_each_run_of_a_trip_is_looked_for_by_its_start_time(pipeline, lake):
    every_ten_minutes(lake)
    # Every position names T1, as the performed trip does, which tells that it was the one at eight.
    seen = {"vehicle_positions": reports(0), "trips": [performed("T1", "08:00:00")]}
    assert unseen_runs(pipeline, lake, **seen) == (80, False)
    updates = [cancelled("T1", "08:10:00")]
    assert unseen_runs(pipeline, lake, trip_updates=updates) == (75, False)
    # Which of four is called off nobody can tell; of T2 there is but one.
    updates += [cancelled("T1", None), cancelled("T2", None)]
    assert unseen_runs(pipeline, lake, trip_updates=updates) == (67, False)
    trips = [performed("T1", f"08:{minute}0:00") for minute in range(4)]
    assert unseen_runs(pipeline, lake, trips=trips) == (0, True)


def test_runs_that_nobody_can_tell_apart_are_not_looked_for(pipeline, lake):
    every_ten_minutes(lake)
    # T1 is named without a start time alone, so T2 is all that can be missed.
    assert unseen_runs(pipeline, lake, vehicle_positions=reports(0)) == (100, False)
    assert unseen_runs(pipeline, lake, vehicle_positions=reports(1, trip_id="T2")) == (0, True)
    # A performed trip names what it was, with positions or without.
    (lake / f"dt={FIRST}" / "vehicle_positions.parquet").unlink()
    pipeline.undo(FIRST)
    assert unseen_runs(pipeline, lake, trips=[performed("T2", None), performed("T1", "08:20:00")]) == (60, False)
