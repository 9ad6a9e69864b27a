"""Trips, payments and positions come in side by side: members that only facts know, shared and handed on between them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from .model import Day
from .test_hard_days import D1, D2, Days, at, payment, route, trip
from .warehouse import Truth

pytestmark = [pytest.mark.core, pytest.mark.embedded]


@pytest.fixture(params=[1, 2, 4])
def days(truth: Truth, request: pytest.FixtureRequest) -> Days:
    return Days(truth, connections=request.param)


def position(when: dt.datetime, **more: Any) -> dict[str, Any]:
    return {"event_ts": when, "vehicle_id": "V1", "route_id": "R1", "lat": 55.0, "lon": 37.0, "speed": 20.0} | more


def inferred(days: Days) -> list[tuple[Any, ...]]:
    return days.rows(
        "SELECT route_id FROM dwh.dim_route WHERE is_inferred UNION ALL "
        "SELECT vehicle_id FROM dwh.dim_vehicle WHERE is_inferred ORDER BY 1"
    )


def one_number(days: Days, key: str) -> None:
    """All three facts refer to the key's only row."""
    assert days.rows(f"SELECT count(*) FROM dwh.dim_route WHERE route_id = '{key}'") == [(1,)]


def write(days: Days, day: Day, *, trips: str, payments: str, positions: str) -> None:
    """One row of each fact, on these routes."""
    days.write(
        day,
        routes=[route()],
        vehicles=[{"vehicle_id": "V1"}],
        trips=[trip("T1", at(day, 8), route_id=trips)],
        payments=[payment("P1", at(day, 9), route_id=payments, trip_id="T1")],
        vehicle_positions=[position(at(day, 8, n), route_id=positions) for n in range(3)],
    )


def test_a_key_that_nobody_knows_gets_one_row_whichever_fact_meets_it_first(days: Days):
    write(days, D1, trips="X", payments="X", positions="X")
    days.load(D1)
    assert inferred(days) == [("X",)]
    one_number(days, "X")


def test_each_fact_may_bring_a_key_of_its_own(days: Days):
    write(days, D1, trips="X", payments="Y", positions="Z")
    days.load(D1)
    assert inferred(days) == [("X",), ("Y",), ("Z",)]


def test_a_member_that_trips_give_up_and_positions_take_over_stays_one(days: Days):
    write(days, D1, trips="X", payments="R1", positions="R1")
    days.load(D1)
    write(days, D1, trips="R1", payments="R1", positions="X")
    days.load(D1)
    assert inferred(days) == [("X",)]
    write(days, D1, trips="R1", payments="X", positions="R1")
    days.load(D1)
    assert inferred(days) == [("X",)]
    write(days, D1, trips="R1", payments="R1", positions="R1")
    days.load(D1)
    assert inferred(days) == []


def test_a_trip_that_comes_back_and_positions_name_the_same_unknown_route(days: Days):
    write(days, D1, trips="Y", payments="R1", positions="R1")
    days.load(D1)
    write(days, D2, trips="R1", payments="R1", positions="R1")
    days.load(D2)
    assert inferred(days) == []
    write(days, D2, trips="R1", payments="R1", positions="Y")
    days.write(D2, trips=[trip("T2", at(D2, 8))])
    days.load(D2)
    assert inferred(days) == [("Y",)]
    one_number(days, "Y")
    assert days.rows("SELECT trip_id FROM dwh.fact_trip ORDER BY 1") == [("T1",), ("T2",)]


def test_a_partition_built_aside_has_all_that_its_parent_has(days: Days):
    write(days, D1, trips="R1", payments="R1", positions="R1")
    days.load(D1)
    write(days, D2, trips="X", payments="X", positions="X")
    days.load(D2)
    keys = (
        "SELECT conrelid::regclass::text, count(*) FILTER (WHERE contype = 'p'), count(*) FILTER (WHERE contype = 'f'), "
        "count(*) FILTER (WHERE contype = 'c'), bool_and(convalidated) FROM pg_constraint "
        "WHERE conrelid::regclass::text ~ '^dwh.fact_.*_2024050[12]$' GROUP BY 1 ORDER BY 1"
    )
    wanted = {"fact_payment": 3, "fact_trip": 5, "fact_vehicle_position": 2}
    assert days.rows(keys) == [
        (f"dwh.{fact}_2024050{n}", 1, foreign, 0, True) for fact, foreign in wanted.items() for n in (1, 2)
    ]
    indexes = (
        "SELECT c.relname::text, count(i.indexrelid), count(h.inhrelid) FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid "
        "LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid WHERE c.relname ~ '^fact_.*_2024050[12]$' GROUP BY 1 ORDER BY 1"
    )
    made = {"fact_payment": 6, "fact_trip": 7, "fact_vehicle_position": 4}
    assert days.rows(indexes) == [(f"{fact}_2024050{n}", k, k) for fact, k in made.items() for n in (1, 2)]
    defaults = (
        "SELECT count(*) FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_attribute a "
        "ON (a.attrelid, a.attnum) = (d.adrelid, d.adnum) WHERE c.relname ~ '_2024050[12]$' AND a.attname IN ('dt', 'load_id')"
    )
    assert days.rows(defaults) == [(0,)]
