"""Whatever the order, the repeats, the corrections, the days taken out: with positions in ClickHouse the warehouse is what the
model says, and says of itself what a warehouse with a fact table says."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import metropulse as mp
from thoroughness import cases

from .telemetry import TelemetryTruth
from .test_any_order import _RELAXED, play
from .warehouse import Truth
from .worlds import World, worlds

pytestmark = [pytest.mark.core, pytest.mark.embedded]


@pytest.fixture(scope="module")
def telemetry_truth(running_engines: Any) -> Iterator[TelemetryTruth]:
    """A database, a mart and a lake whose positions are in ClickHouse."""
    folder = Path(tempfile.mkdtemp(prefix="metropulse-truth-"))
    truth = TelemetryTruth(running_engines, folder, "truth_telemetry")
    yield truth
    truth.close()
    shutil.rmtree(folder, ignore_errors=True)


def said(truth: Truth, world: World) -> dict[str, Any]:
    """What a warehouse says of itself: counts, misses, freshness, verdicts."""
    pipeline = truth.open(time_zone=world.zone, absent=dict(world.absent))
    report = pipeline.status()
    tables = {t.table: (t.days, t.newest_dt, t.rows_loaded) for t in report.tables if t.table.startswith("dwh.")}
    days = {
        day.dt: (
            {name: step.state for name, step in day.steps.items()},
            [(m.fact, m.dimension, m.before_first, m.gap) for m in day.get("as_of_misses", ())],
        )
        for day in report.days
    }
    try:
        checks: Any = pipeline.check_quality().checks
        found = [(c.name, c.table, c.severity, c.found, c.passed, c.get("dt")) for c in checks]
    except mp.QualityError as error:
        found = [
            (c["name"], c["table"], c["severity"], c["found"], c["passed"], c["dt"]) for c in error.report["checks"]
        ]
    return {"days": days, "tables": tables, "mart": report.mart.rows, "checks": sorted(map(repr, found))}


def both(here: Truth, apart: TelemetryTruth, world: World) -> None:
    """Play a world with either setting: each is what the model says, and both say the same of themselves."""
    play(here, world)
    play(apart, world)
    assert said(apart, world) == said(here, world)
    assert apart.mart() == here.mart()


@pytest.mark.slow(seconds=60)
@settings(_RELAXED, max_examples=cases(60))
@given(world=worlds())
def test_any_order_gives_the_same_with_positions_in_clickhouse(
    session_truth: Truth, telemetry_truth: TelemetryTruth, world: World
):
    both(session_truth, telemetry_truth, world)


@pytest.mark.soak
@settings(_RELAXED, max_examples=int(os.environ.get("METROPULSE_SOAK_CASES", "5000")) // 5)
@given(world=worlds())
def test_any_order_gives_the_same_with_positions_in_clickhouse_many_times(
    session_truth: Truth, telemetry_truth: TelemetryTruth, world: World
):
    both(session_truth, telemetry_truth, world)
