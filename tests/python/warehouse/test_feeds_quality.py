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


def test_runs_that_nobody_saw_but_not_headways_and_cancelled_ones(pipeline, lake):
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    feeds.write(lake / f"dt={FIRST}", "vehicle_positions", reports(0))
    load(pipeline, FIRST)
    # Of T1 at eight and T2 one is seen; T1 at half past eight is a headway.
    assert shares(pipeline)["planned_runs_are_seen"] == (50, False)
    cancelled = feeds.update("T2", None, None, local(1, 9), schedule_relationship="CANCELED")
    feeds.write(lake / f"dt={FIRST}", "trip_updates", [cancelled])
    load(pipeline, FIRST)
    assert shares(pipeline)["planned_runs_are_seen"] == (0, True)
