"""Checks of how vehicles report, against a model: hours counted one by one, metres along the globe."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import metropulse as mp

from . import feeds
from .city import ask, load
from .feeds import FIRST, local
from .marts import VERSIONS, mart_of

RATE, AGE, WAY = "vehicles_report_each_minute", "positions_are_fresh", "positions_keep_to_their_shape"
EARTH_M = 6_371_008.8


@pytest.fixture(params=["warehouse", *VERSIONS])
def pipeline(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Iterator[mp.Pipeline]:
    """A pipeline whose positions are in PostgreSQL, and those whose positions are in ClickHouse, by its version."""
    if request.param == "warehouse":
        yield feeds.pipeline_on(tmp_path / "raw", database)
        return
    with mart_of(request.param, request) as settings:
        yield feeds.pipeline_on(tmp_path / "raw", database, positions="telemetry", **settings)


def found(pipeline: mp.Pipeline, positions: list[dict[str, Any]], **schedule: Any) -> dict[str, tuple[int, bool]]:
    """Load a day of positions, with a schedule where one is given; return percent and verdict by check."""
    lake = Path(str(pipeline.settings.lake))
    if schedule:
        feeds.write_day(lake, FIRST, {**feeds.schedule(1), **schedule})
    feeds.write(lake / f"dt={FIRST}", "vehicle_positions", positions)
    load(pipeline, FIRST)
    report = pipeline.check_quality(FIRST)
    assert {c.severity for c in report.checks if c.name in (RATE, AGE, WAY)} == {"warn"}
    return {check.name: (check.found, check.passed) for check in report.checks if check.name in (RATE, AGE, WAY)}


def share(part: int, whole: int) -> tuple[int, bool]:
    percent = -(-100 * part // whole) if whole else 0
    return percent, percent <= 10


def test_a_day_without_positions_has_nothing_to_find(pipeline):
    feeds.write_day(Path(str(pipeline.settings.lake)), FIRST, feeds.schedule(1))
    load(pipeline, FIRST)
    checks = {c.name: (c.found, c.passed) for c in pipeline.check_quality(FIRST).checks}
    assert [checks[name] for name in (RATE, AGE, WAY)] == [(0, True)] * 3


@pytest.mark.parametrize("seed", range(3))
def test_hours_of_vehicles_are_counted_as_one_by_one(pipeline, seed):
    chance = random.Random(seed)
    positions, hours = [], defaultdict(list)
    for vehicle in range(30):
        at = local(1, 6) + timedelta(seconds=chance.randrange(7200))
        step = chance.choice([0, 0.5, 1, 10, 30, 59, 60, 61, 90, 600])
        for _ in range(chance.choice([1, 2, 3, 150])):
            positions.append(feeds.position(f"V{vehicle}", at))
            hours[vehicle, at.replace(minute=0, second=0, microsecond=0)].append(at)
            at += timedelta(seconds=step)
    positions = [dict(one) for one in {tuple(one.items()) for one in positions}]
    for hour in hours.values():
        hour[:] = sorted(set(hour))
    many = [hour for hour in hours.values() if len(hour) > 1]

    def is_odd(hour: list[datetime]) -> bool:
        seconds = max(hour[-1] - hour[0], timedelta(seconds=1)) / timedelta(seconds=1)
        return not seconds <= 60 * (len(hour) - 1) <= 60 * seconds

    assert found(pipeline, positions)[RATE] == share(sum(map(is_odd, many)), len(many))


@pytest.mark.parametrize(("old", "verdict"), [(0, (0, True)), (4, (10, True)), (5, (13, False))])
def test_the_age_of_a_report_is_that_at_its_receipt_else_of_its_feed(pipeline, old, verdict):
    at = local(1, 8)

    def aged(vehicle: int, seconds: float, column: str) -> dict[str, Any]:
        told = {"provider_ts": at, "received_at": None} | {column: at + timedelta(seconds=seconds)}
        return feeds.position(f"V{vehicle}", at, **told)

    ages = [90, -300, 0, 45.5] * 10
    ages[:old] = [90.001, -300.001, 91, 5_000, -86_400][:old]
    positions = [aged(n, age, ("received_at", "provider_ts")[n % 2]) for n, age in enumerate(ages)]
    # What says neither is not judged.
    positions += [feeds.position(f"W{n}", at, provider_ts=None, received_at=None) for n in range(20)]
    assert found(pipeline, positions)[AGE] == verdict


def vector(lat: float, lon: float) -> tuple[float, float, float]:
    lat, lon = math.radians(lat), math.radians(lon)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def metres(place: tuple[float, float], path: list[tuple[float, float]]) -> float:
    """How far a place is from a path, in a plane that touches the globe there."""
    here = vector(*place)
    east = (-math.sin(math.radians(place[1])), math.cos(math.radians(place[1])), 0.0)
    north = (
        here[1] * east[2] - here[2] * east[1], here[2] * east[0] - here[0] * east[2], here[0] * east[1] - here[1] * east[0],
    )  # fmt: skip

    def flat(point: tuple[float, float]) -> complex:
        away = [a - b for a, b in zip(vector(*point), here, strict=True)]
        return EARTH_M * complex(*(sum(a * b for a, b in zip(away, axis, strict=True)) for axis in (east, north)))

    def to_line(a: complex, b: complex) -> float:
        along = 0.0 if a == b else max(0.0, min(1.0, ((-a) * (b - a).conjugate()).real / abs(b - a) ** 2))
        return abs(a + along * (b - a))

    points = [flat(point) for point in path]
    return min(to_line(a, b) for a, b in itertools.pairwise(points))


@pytest.mark.parametrize(
    ("seed", "lat", "lon"), [(1, 40.0, -74.0), (2, -33.9, 151.2), (3, 64.1, -21.9), (4, 0.0, 0.01)]
)
def test_positions_are_measured_as_along_the_globe(pipeline, seed, lat, lon):
    chance = random.Random(seed)
    path = [(lat, lon)]
    for _ in range(40):
        path.append((path[-1][0] + chance.uniform(-0.002, 0.004), path[-1][1] + chance.uniform(-0.002, 0.006)))
    positions, far, measured = [], 0, 0
    while measured < 300:
        on, off = chance.choice(path), chance.choice([0.0005, 0.001, 0.002])
        place = (on[0] + chance.uniform(-off, off), on[1] + chance.uniform(-off, off) / math.cos(math.radians(lat)))
        distance = metres(place, path)
        if 99 < distance < 101:
            continue  # a map's last metre is not worth a dispute
        measured, far = measured + 1, far + (distance > 100)
        at = local(1, 8) + timedelta(seconds=measured)
        positions.append(feeds.position("V1", at, trip_id="T1", lat=place[0], lon=place[1]))
    assert 20 < far < 280
    # Runs without a shape, strange runs and strange places are not measured.
    positions += [
        feeds.position("V2", local(1, 9, n), trip_id=trip, lat=1.0) for n, trip in enumerate(("T2", "TX", None))
    ]
    points = json.dumps([[*point, float(n)] for n, point in enumerate(path)])
    shapes = [{"shape_id": "SH1", "points": points}]
    assert found(pipeline, positions, shapes=shapes)[WAY] == share(far, measured)


@pytest.mark.parametrize(
    "points", ["null", "[]", "[[40.0, -74.0]]", '{"a": 1}', '[["x", null], 7, [1e400, 0], [95, 0]]']
)
def test_a_shape_that_is_no_line_measures_nothing(pipeline, points):
    shapes = [{"shape_id": "SH1", "points": points}]
    assert found(pipeline, [feeds.position("V1", local(1, 8), trip_id="T1")], shapes=shapes)[WAY] == (0, True)


def test_positions_are_held_against_the_shape_of_their_own_time(pipeline):
    """The second day moves the shape; a report of the first day that the second brings is on the old one."""
    lake = Path(str(pipeline.settings.lake))
    moved = "[[50.0, -74.0], [50.1, -74.1]]"
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    feeds.write_day(lake, feeds.SECOND, feeds.schedule(2, moved))
    on_old, on_new = {"lat": 40.05, "lon": -74.05}, {"lat": 50.05, "lon": -74.05}
    reports = [
        feeds.position("V1", local(1, 23, 50), trip_id="T1", **on_old),
        feeds.position("V1", local(2, 8), trip_id="T1", **on_new),
        feeds.position("V2", local(2, 8), trip_id="T1", **on_old),
        feeds.position("V3", local(1, 23, 50), trip_id="T1", **on_new),
    ]
    feeds.write(lake / f"dt={feeds.SECOND}", "vehicle_positions", reports)
    load(pipeline, FIRST, feeds.SECOND)
    (way,) = (check for check in pipeline.check_quality(feeds.SECOND).checks if check.name == WAY)
    assert (way.found, way.passed) == (50, False)


@pytest.mark.slow
def test_of_a_large_day_a_part_is_measured_that_tells_the_share(pipeline, database):
    count = 400_000
    start = local(1, 8)
    positions = [
        {"event_ts": start + timedelta(milliseconds=n), "vehicle_id": f"V{n % 50}", "trip_id": "T1",
         "lat": 40.05 if n % 50 else 41.0, "lon": -74.05}
        for n in range(count)
    ]  # fmt: skip
    shares = found(pipeline, positions, shapes=feeds.schedule(1)["shapes"])
    assert 1 <= shares[WAY][0] <= 3  # two of a hundred, give or take what the part errs
    (sql,) = (check.sql for check in pipeline.check_quality(FIRST).checks if check.name == WAY)
    whole, _, _ = sql.rpartition("SELECT ceil")
    where, _, rows = whole.splitlines()[0].partition(": ")
    if where == "-- over the rows of ClickHouse":
        measured = pipeline.mart.query(rows).num_rows
    else:
        ((measured,),) = ask(database, f"{whole} SELECT count(*) FROM measured")
    assert 190_000 < measured < 210_000
