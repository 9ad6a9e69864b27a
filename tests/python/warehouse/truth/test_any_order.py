"""Whatever the order, the repeats, the corrections, the days taken out: the warehouse and the mart are what the model says."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import metropulse as mp
from thoroughness import cases

from .model import DIMENSIONS, FACTS, Day, Model
from .warehouse import Truth
from .worlds import World, worlds

pytestmark = [pytest.mark.core, pytest.mark.embedded]

_EACH_STEP = "TRUTH_CHECK_EACH_STEP" in os.environ
# Shrinking replays a world hundreds of times: worth it at a desk, not in a run of everything.
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if "TRUTH_SHRINK" in os.environ else [])]
_RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=_PHASES)


def play(truth: Truth, world: World) -> Model:
    """Load a world step by step; the model follows."""
    truth.empty()
    model = Model(world.zone, dict(world.absent))
    pipeline = truth.open(time_zone=world.zone, absent=dict(world.absent))
    lake: dict[int, dict[str, tuple]] = {number: {} for number in range(len(world.days))}
    for number, dataset, parts in world.files:
        lake[number][dataset] = parts
        truth.write(dataset, world.days[number], parts)
    for step in world.steps:
        day = world.days[step.day]
        if step.what == "write":
            lake[step.day][step.dataset] = step.parts
            truth.write(step.dataset, day, step.parts)
        elif step.what == "dimensions":
            pipeline.load_dimensions(day)
            model.load(DIMENSIONS, day, lake[step.day])
        elif step.what == "facts":
            pipeline.load_facts(day)
            model.load(FACTS, day, lake[step.day])
        elif step.what == "undo":
            take_out(pipeline, model, day)
        else:
            after = sorted({loaded for days in model.loaded.values() for loaded in days if loaded > day}, reverse=True)
            assert list(pipeline.rewind(day).days) == [str(undone) for undone in after]
            for undone in after:
                model.forget(undone)
        if _EACH_STEP:
            truth.check(model)
    truth.check(model)
    pipeline.build_route_hourly()
    truth.check_mart(model)
    assert truth.rows("SELECT count(*) FROM dwh.mart_dirty") == [(0,)]
    for number, day in enumerate(world.days):
        if all(
            model.loaded[dataset].get(day, ()) == lake[number].get(dataset, ()) for dataset in (*DIMENSIONS, *FACTS)
        ):
            for report in (pipeline.load_dimensions(day), pipeline.load_facts(day)):
                assert (report.rows, report.unchanged) == (0, True)
            break
    return model


def take_out(pipeline: mp.Pipeline, model: Model, day: Day) -> None:
    """Undo a day; one that is not loaded is told so."""
    if any(day in days for days in model.loaded.values()):
        pipeline.undo(day)
        model.forget(day)
        return
    with pytest.raises(mp.NotFoundError, match="not loaded"):
        pipeline.undo(day)


@pytest.mark.slow(seconds=60)
@settings(_RELAXED, max_examples=cases(200))
@given(world=worlds())
def test_any_order_gives_what_the_model_says(session_truth: Truth, world: World):
    play(session_truth, world)


@pytest.mark.soak
@settings(_RELAXED, max_examples=int(os.environ.get("METROPULSE_SOAK_CASES", "5000")))
@given(world=worlds())
def test_any_order_gives_what_the_model_says_thousands_of_times(session_truth: Truth, world: World):
    play(session_truth, world)
