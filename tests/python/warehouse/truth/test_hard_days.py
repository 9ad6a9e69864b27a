"""Days that ordinary data never show, one promise a test, with the exact rows that must result."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from metropulse.exceptions import DataError, MetropulseError, NotFoundError

from .model import DIMENSIONS, FACTS, Day, Model
from .warehouse import Truth, part

pytestmark = [pytest.mark.core, pytest.mark.embedded]

UTC = dt.UTC
D1, D2, D3, D4 = (dt.date(2024, 5, n) for n in (1, 2, 3, 4))


def at(day: Day, hour: int = 0, minute: int = 0) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


class Days:
    """Writes days, loads them, and lets the model follow."""

    def __init__(self, truth: Truth, **settings: Any) -> None:
        self.truth = truth
        self.pipeline = truth.open(**settings)
        self.model = Model(settings.get("time_zone", "UTC"), settings.get("absent"))
        self.files: dict[Day, dict[str, list]] = {}

    def write(self, day: Day, **rows: list[dict[str, Any]] | None) -> None:
        """Set what the files of a day say; None removes a file."""
        for dataset, content in rows.items():
            parts = [] if content is None else [part(dataset, day, content)]
            self.files.setdefault(day, {})[dataset] = parts
            self.truth.write(dataset, day, parts)

    def dimensions(self, *days: Day) -> None:
        for day in days:
            self.pipeline.load_dimensions(day)
            self.model.load(DIMENSIONS, day, self.files[day])
            self.truth.check(self.model)

    def facts(self, *days: Day) -> None:
        for day in days:
            self.pipeline.load_facts(day)
            self.model.load(FACTS, day, self.files[day])
            self.truth.check(self.model)

    def load(self, *days: Day) -> None:
        for day in days:
            self.dimensions(day)
            self.facts(day)
        self.pipeline.build_route_hourly()
        self.truth.check_mart(self.model)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.truth.rows(statement)


@pytest.fixture
def days(truth: Truth) -> Days:
    return Days(truth)


def route(name: str = "Ring", key: str = "R1", **more: Any) -> dict[str, Any]:
    return {"route_id": key, "name": name, "transport_type": "bus"} | more


def trip(key: str, when: dt.datetime, **more: Any) -> dict[str, Any]:
    return {"trip_id": key, "route_id": "R1", "user_id": "U1", "vehicle_id": "V1", "start_ts": when} | more


def payment(key: str, when: dt.datetime, **more: Any) -> dict[str, Any]:
    return {"payment_id": key, "route_id": "R1", "paid_at": when, "payment_method": "card"} | more


@pytest.mark.parametrize("order", [(D1, D2, D3), (D3, D2, D1), (D2, D3, D1)], ids=["old first", "new first", "mixed"])
def test_of_a_trip_in_three_days_the_newest_wins_and_the_older_ones_come_back(days: Days, order: tuple[Day, ...]):
    for number, day in enumerate((D1, D2, D3), 1):
        days.write(day, routes=[route()], trips=[trip("T1", at(day, 8), status=f"s{number}")])
    days.load(*order)
    fact = "SELECT dt, status FROM dwh.fact_trip"
    assert days.rows(fact) == [(D3, "s3")]
    counts = "SELECT dt, rows_loaded, rows_superseded FROM dwh.load_ledger WHERE target = 'dwh.fact_trip' ORDER BY dt"
    assert days.rows(counts) == [(D1, 0, 1), (D2, 0, 1), (D3, 1, 0)]
    surrogate = days.rows("SELECT trip_sk FROM dwh.fact_trip")
    days.write(D3, trips=[trip("T2", at(D3, 8))])
    days.load(D3)
    assert days.rows(f"{fact} ORDER BY dt") == [(D2, "s2"), (D3, None)]
    assert days.rows(counts) == [(D1, 0, 1), (D2, 1, 0), (D3, 1, 0)]
    days.write(D2, trips=None)
    days.load(D2)
    assert days.rows(f"{fact} ORDER BY dt") == [(D1, "s1"), (D3, None)]
    assert days.rows("SELECT trip_sk FROM dwh.fact_trip WHERE trip_id = 'T1'") == surrogate


def test_equal_rows_of_two_days_are_one_row_of_the_newer_day(days: Days):
    same = trip("T1", at(D1, 23, 50))
    for day in (D2, D1):
        days.write(day, routes=[route()], trips=[same])
    days.load(D2, D1)
    assert days.rows("SELECT dt FROM dwh.fact_trip") == [(D2,)]


def test_a_payment_before_its_trip_finds_it_when_it_comes_and_loses_it_when_it_goes(days: Days):
    days.write(D1, routes=[route()], payments=[payment("P1", at(D1, 9), trip_id="T1")])
    days.write(D2, routes=[route()], trips=[trip("T1", at(D1, 8))])
    days.load(D1)
    found = "SELECT p.trip_id, t.trip_id FROM dwh.fact_payment p LEFT JOIN dwh.fact_trip t ON t.trip_sk = p.trip_sk"
    assert days.rows(found) == [("T1", None)]
    assert days.rows("SELECT trip_sk FROM dwh.fact_payment") == [(None,)]
    days.load(D2)
    assert days.rows(found) == [("T1", "T1")]
    days.write(D2, trips=[trip("T2", at(D1, 8))])
    days.load(D2)
    assert days.rows("SELECT trip_sk FROM dwh.fact_payment") == [(None,)]


def test_a_user_absent_for_a_day_stays_and_comes_back_as_one_version(days: Days):
    days.write(D1, users=[{"user_id": "U1", "city": "x"}, {"user_id": "U2", "city": "x"}])
    days.write(D2, users=[{"user_id": "U2", "city": "y"}])
    days.write(D3, users=[{"user_id": "U1", "city": "x"}, {"user_id": "U2", "city": "x"}])
    days.load(D3, D1, D2)
    history = "SELECT user_id, city, effective_from, effective_to FROM dwh.dim_user WHERE user_sk > 0 ORDER BY 1, 3"
    assert days.rows(history) == [
        ("U1", "x", at(D1), None),
        ("U2", "x", at(D1), at(D2)),
        ("U2", "y", at(D2), at(D3)),
        ("U2", "x", at(D3), None),
    ]


def test_where_absence_closes_a_user_who_comes_back_has_a_gap(truth: Truth):
    days = Days(truth, absent={"users": "close"})
    days.write(D1, users=[{"user_id": "U1", "city": "x"}, {"user_id": "U2"}], trips=[trip("T1", at(D2, 8))])
    days.write(D2, users=[{"user_id": "U2"}])
    days.write(D3, users=[{"user_id": "U1", "city": "x"}, {"user_id": "U2"}])
    days.load(D1, D2, D3)
    history = "SELECT effective_from, effective_to FROM dwh.dim_user WHERE user_id = 'U1' ORDER BY 1"
    assert days.rows(history) == [(at(D1), at(D2)), (at(D3), None)]
    taken = "SELECT u.effective_from FROM dwh.fact_trip f JOIN dwh.dim_user u USING (user_sk)"
    assert days.rows(taken) == [(at(D1),)]


def test_events_after_a_route_was_closed_keep_its_last_version(days: Days):
    days.write(D1, routes=[route("Ring"), route("Arc", "R2")])
    days.write(D2, routes=[route("Arc", "R2")], trips=[trip("T1", at(D3, 12))])
    days.load(D1, D2)
    assert days.rows("SELECT valid_from, valid_to FROM dwh.dim_route WHERE route_id = 'R1'") == [(at(D1), at(D2))]
    asked = "SELECT r.route_id, r.valid_from FROM dwh.fact_trip f JOIN dwh.dim_route r USING (route_sk)"
    assert days.rows(asked) == [("R1", at(D1))]
    assert days.truth.mart()["R1", at(D3, 12)]["name"] == "Ring"


def test_an_event_before_the_first_version_takes_the_first_until_an_older_day_is_loaded(days: Days):
    days.write(D2, routes=[route("New")], trips=[trip("T1", at(D1, 22))])
    days.load(D2)
    asked = "SELECT r.name, r.valid_from FROM dwh.fact_trip f JOIN dwh.dim_route r USING (route_sk)"
    assert days.rows(asked) == [("New", at(D2))]
    days.write(D1, routes=[route("Old")])
    days.load(D1)
    assert days.rows(asked) == [("Old", at(D1))]
    assert days.truth.mart()["R1", at(D1, 22)]["name"] == "Old"


def test_events_after_midnight_take_the_version_that_begins_there(days: Days):
    late = [trip("T1", at(D1, 23, 59)), trip("T2", at(D2)), trip("T3", at(D2, 0, 30))]
    days.write(D1, routes=[route("Old")], trips=late)
    days.write(D2, routes=[route("New")])
    days.load(D1)
    asked = "SELECT f.trip_id, r.name FROM dwh.fact_trip f JOIN dwh.dim_route r USING (route_sk) ORDER BY 1"
    assert days.rows(asked) == [("T1", "Old"), ("T2", "Old"), ("T3", "Old")]
    days.load(D2)
    assert days.rows(asked) == [("T1", "Old"), ("T2", "New"), ("T3", "New")]
    assert {place: row["name"] for place, row in days.truth.mart().items()} == {
        ("R1", at(D1, 23)): "Old",
        ("R1", at(D2)): "New",
    }


def test_a_day_begins_in_the_service_zone(truth: Truth):
    days = Days(truth, time_zone="America/Chicago")
    # Chicago is five hours behind: the second day begins at 05:00 UTC.
    days.write(D1, routes=[route("Old")], trips=[trip("T1", at(D2, 4, 59)), trip("T2", at(D2, 5))])
    days.write(D2, routes=[route("New")])
    days.load(D2, D1)
    asked = "SELECT f.trip_id, r.name FROM dwh.fact_trip f JOIN dwh.dim_route r USING (route_sk) ORDER BY 1"
    assert days.rows(asked) == [("T1", "Old"), ("T2", "New")]


def test_an_inferred_vehicle_that_arrives_later_keeps_its_row_and_its_facts(days: Days):
    days.write(D1, routes=[route()], trips=[trip("T1", at(D1, 8), vehicle_id="V7")])
    days.load(D1)
    member = "SELECT vehicle_sk, vendor, is_inferred FROM dwh.dim_vehicle WHERE vehicle_id = 'V7'"
    ((surrogate, vendor, is_inferred),) = days.rows(member)
    assert (vendor, is_inferred) == (None, True)
    days.write(D2, routes=[route()], vehicles=[{"vehicle_id": "V7", "vendor": "Skoda"}])
    days.load(D2)
    assert days.rows(member) == [(surrogate, "Skoda", False)]
    assert days.rows("SELECT vehicle_sk FROM dwh.fact_trip") == [(surrogate,)]
    # Its only observation is taken back: it turns inferred again, under the same key.
    days.write(D2, vehicles=None)
    days.load(D2)
    assert days.rows(member) == [(surrogate, None, True)]


@pytest.mark.parametrize("fact", ["trips", "positions"])
def test_an_inferred_member_goes_with_its_last_fact(days: Days, fact: str):
    seen = {"vehicle_id": "V7", "route_id": "R8", "event_ts": at(D1, 8), "lat": 55.7, "lon": 37.6}
    rides = [trip("T1", at(D1, 8), vehicle_id="V7", route_id="R8")]
    days.write(D1, routes=[route()], **({"trips": rides} if fact == "trips" else {"vehicle_positions": [seen]}))
    days.load(D1)
    inferred = "SELECT route_id FROM dwh.dim_route WHERE is_inferred UNION SELECT vehicle_id FROM dwh.dim_vehicle WHERE is_inferred"
    assert sorted(days.rows(inferred)) == [("R8",), ("V7",)]
    days.write(D1, trips=None, vehicle_positions=None)
    days.load(D1)
    assert days.rows(inferred) == []
    assert days.rows("SELECT route_id FROM dwh.dim_route WHERE route_id IS NOT NULL") == [("R1",)]


def test_a_key_that_only_rejected_rows_name_makes_no_member(days: Days):
    fine = {"vehicle_id": "V1", "route_id": "R1", "event_ts": at(D1, 8), "lat": 55.7, "lon": 37.6, "speed": 20.0}
    days.write(
        D1,
        routes=[route()],
        vehicle_positions=[fine, fine | {"vehicle_id": "V7", "route_id": "R7", "speed": 900.0}],
        trips=[trip("T1", at(D1, 8)), trip("T2", at(D1, 8), user_id="U7", end_ts=at(D1, 7))],
    )
    days.load(D1)
    members = "SELECT vehicle_id FROM dwh.dim_vehicle UNION SELECT route_id FROM dwh.dim_route UNION SELECT user_id FROM dwh.dim_user"
    assert {key for (key,) in days.rows(members)} == {None, "V1", "R1", "U1"}


def test_a_rejected_row_of_a_dimension_keeps_an_open_key_open_and_a_closed_one_closed(days: Days):
    bad = {"base_fare": -1}
    days.write(D1, routes=[route("a"), route("b", "R2"), route("c", "R3")])
    days.write(D2, routes=[route("x", **bad), route("c", "R3")])
    days.write(D3, routes=[route("a"), route("x", "R2", **bad), route("c", "R3")])
    days.load(D3, D2, D1)
    history = "SELECT route_id, name, valid_from, valid_to FROM dwh.dim_route WHERE route_sk > 0 ORDER BY 1, 3"
    assert days.rows(history) == [
        ("R1", "a", at(D1), None),
        ("R2", "b", at(D1), at(D2)),
        ("R3", "c", at(D1), None),
    ]


def test_a_column_that_a_day_lacks_keeps_what_the_newest_day_before_said(days: Days):
    days.write(D1, routes=[{"route_id": "R1", "name": "a", "transport_type": "bus"}])
    days.write(D2, routes=[{"route_id": "R1", "name": "b"}])
    days.write(D3, routes=[{"route_id": "R1", "name": "b", "transport_type": None}])
    days.load(D2, D3, D1)
    history = "SELECT name, transport_type, valid_from FROM dwh.dim_route WHERE route_sk > 0 ORDER BY 3"
    assert days.rows(history) == [("a", "bus", at(D1)), ("b", "bus", at(D2)), ("b", None, at(D3))]


def test_an_overwritten_column_shows_its_newest_value_in_every_version(days: Days):
    days.write(D1, users=[{"user_id": "U1", "city": "x", "gender": "f"}])
    days.write(D2, users=[{"user_id": "U1", "city": "y", "gender": "m"}])
    days.write(D3, users=[{"user_id": "U1", "city": "y"}])
    days.load(D3, D2, D1)
    history = "SELECT city, gender, effective_from FROM dwh.dim_user WHERE user_sk > 0 ORDER BY 3"
    assert days.rows(history) == [("x", "m", at(D1)), ("y", "m", at(D2))]


def test_an_unchanged_day_writes_nothing_and_touches_no_row(days: Days):
    days.write(D1, routes=[route()], users=[{"user_id": "U1"}], trips=[trip("T1", at(D1, 8))])
    days.load(D1)
    days.pipeline.stage(D1)
    marks = (
        "SELECT tableoid::regclass::text, xmin::text, ctid::text FROM dwh.dim_route UNION ALL "
        "SELECT tableoid::regclass::text, xmin::text, ctid::text FROM dwh.fact_trip UNION ALL "
        "SELECT tableoid::regclass::text, xmin::text, ctid::text FROM staging.trips_raw UNION ALL "
        "SELECT tableoid::regclass::text, xmin::text, ctid::text FROM dwh.load_ledger UNION ALL "
        "SELECT tableoid::regclass::text, xmin::text, ctid::text FROM dwh.mart_build ORDER BY 1, 2, 3"
    )
    before = days.rows(marks)
    report = days.pipeline.run(D1)
    written = {step.step: step.rows for step in report.steps if step.step not in ("load_calendar", "check_quality")}
    assert written == {"stage": 0, "load_dimensions": 0, "load_facts": 0, "build_route_hourly": 0}
    assert days.rows(marks) == before


def test_a_day_without_any_file_is_not_found_and_changes_nothing(days: Days):
    days.write(D1, routes=[route()], trips=[trip("T1", at(D1, 8))])
    days.load(D1)
    days.truth.write("routes", D1, [])
    days.truth.write("trips", D1, [])
    for verb in (days.pipeline.stage, days.pipeline.load_dimensions, days.pipeline.load_facts):
        with pytest.raises(NotFoundError):
            verb(D1)
    days.truth.check(days.model)


def test_two_values_for_a_key_in_one_snapshot_are_an_error_that_names_the_key(days: Days):
    days.write(D1, routes=[route("a"), route("b")])
    with pytest.raises(DataError, match="R1"):
        days.pipeline.load_dimensions(D1)
    days.truth.check(Model())


def test_an_empty_or_shrunken_snapshot_is_refused_and_changes_nothing(truth: Truth):
    days = Days(truth)
    many = [route(f"n{n}", f"R{n}") for n in range(40)]
    days.write(D1, routes=many)
    days.load(D1)
    for rows in ([], many[:27]):
        days.truth.write("routes", D2, [part("routes", D2, rows)])
        with pytest.raises(MetropulseError, match="allow_vanishing"):
            days.pipeline.load_dimensions(D2)
        days.truth.check(days.model)
    days.pipeline = truth.open(allow_vanishing=True)
    days.write(D2, routes=many[:27])
    days.load(D2)
    assert days.rows("SELECT count(*) FROM dwh.dim_route WHERE valid_to IS NOT NULL") == [(13,)]


def test_parts_with_different_columns_of_one_key_are_one_statement(days: Days):
    first = part("routes", D1, [{"route_id": "R1", "name": "a"}], name="p1")
    second = part("routes", D1, [{"route_id": "R1", "transport_type": "bus"}], name="p2")
    days.truth.write("routes", D1, [first, second])
    days.pipeline.load_dimensions(D1)
    assert days.rows("SELECT name, transport_type FROM dwh.dim_route WHERE route_sk > 0") == [("a", "bus")]


def test_a_new_code_of_payment_is_a_member_and_stays(days: Days):
    days.write(D1, routes=[route()], payments=[payment("P1", at(D1, 9), payment_method="cash")])
    days.load(D1)
    days.write(D1, payments=None)
    days.load(D1)
    assert days.rows("SELECT name, provider FROM dwh.dim_payment_method WHERE code = 'cash'") == [("cash", None)]


def test_a_new_partition_has_statistics(days: Days) -> None:
    """Without them whatever reads it before autovacuum's round is planned for an empty table, as the mart once was."""
    many = [trip(f"T{n}", at(D1, 6) + dt.timedelta(minutes=n)) for n in range(300)]
    days.write(D1, routes=[route()], trips=many, payments=[payment(f"P{n}", at(D1, 7)) for n in range(300)])
    place = {"vehicle_id": "V1", "route_id": "R1", "lat": 55.5, "lon": 37.5}
    days.write(D1, vehicle_positions=[place | {"event_ts": row["start_ts"]} for row in many])
    days.load(D1)
    seen = "SELECT attname::text FROM pg_stats WHERE schemaname = 'dwh' AND tablename = '{}_20240501'"
    for fact, time in (("fact_trip", "start_ts"), ("fact_payment", "paid_at"), ("fact_vehicle_position", "event_ts")):
        assert {(time,), ("route_sk",), ("dt",)} <= set(days.rows(seen.format(fact)))
        assert days.rows(f"SELECT reltuples::int FROM pg_class WHERE oid = 'dwh.{fact}_20240501'::regclass") == [(300,)]
