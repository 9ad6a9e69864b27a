"""Nine inputs that corrupt the history of other tools, one test each."""

from __future__ import annotations

import pytest

pytest.importorskip("metropulse._core")
pytestmark = [pytest.mark.core, pytest.mark.embedded]

import psycopg
import pyarrow as pa

import metropulse as mp
from merging import Dim, empty_schema, start

ROUTE = pa.schema([("id", pa.string()), ("name", pa.string())])
CHANGE = pa.schema([("id", pa.string()), ("name", pa.string()), ("changed_at", pa.timestamp("us", "UTC"))])


@pytest.fixture
def connection(running_engines):
    with empty_schema(running_engines, "nine") as connection:
        yield connection


@pytest.fixture
def dim(connection, running_engines):
    return Dim(connection, running_engines.warehouse_url, "nine.route", key="id")


@pytest.fixture
def feed(connection, running_engines):
    return Dim(connection, running_engines.warehouse_url, "nine.change", key="id", effective_column="changed_at")


def named(**names: str | None):
    return [{"id": key, "name": name} for key, name in names.items()]


def change(name: str, number: int, key: str = "r"):
    return {"id": key, "name": name, "changed_at": start(number)}


def keys(dim: Dim):
    return dim.connection.execute(f"SELECT name, {dim.name.split('.')[1]}_sk FROM {dim.name}").fetchall()


def test_1_a_late_older_version_of_a_key_splits_the_interval(dim, feed):
    dim.load(named(r="one", s="same"), 1)
    dim.load(named(r="three", s="same"), 3)
    before = dict(keys(dim))
    report = dim.load(named(r="two", s="same"), 2)
    assert dim.spans("id, name") == [
        ("r", "one", 1, 2),
        ("r", "two", 2, 3),
        ("r", "three", 3, None),
        ("s", "same", 1, None),
    ]
    assert (report.versions_inserted, report.versions_updated, report.versions_deleted) == (1, 1, 0)
    assert before.items() <= dict(keys(dim)).items()
    feed.load([change("one", 1), change("three", 3)], schema=CHANGE)
    feed.load([change("two", 2)], schema=CHANGE)
    assert feed.spans("id, name") == [("r", "one", 1, 2), ("r", "two", 2, 3), ("r", "three", 3, None)]


def test_2_two_versions_of_a_key_in_one_batch_are_chained_or_refused(dim, feed):
    feed.load([change("later", 4), change("earlier", 2)], schema=CHANGE)
    assert feed.spans("id, name") == [("r", "earlier", 2, 4), ("r", "later", 4, None)]
    with pytest.raises(mp.DataError, match=r"id='r' has two rows in one snapshot that differ.*effective_column"):
        dim.load([*named(r="a"), *named(r="b")], 1)
    with pytest.raises(mp.DataError, match="id='r' has two rows with one effective time that differ"):
        feed.load([change("a", 9), change("b", 9)], schema=CHANGE)
    assert len(feed.spans("id, name")) == 2
    assert dim.connection.execute("SELECT to_regclass('nine.route')").fetchone() == (None,)


def test_3_an_exact_duplicate_row_collapses_and_is_counted(dim, feed):
    report = dim.load([*named(r="a", s="b"), *named(r="a"), *named(r="a")], 1)
    assert (report.rows_read, report.rows_duplicate, report.keys_read) == (4, 2, 2)
    assert dim.spans("id, name") == [("r", "a", 1, None), ("s", "b", 1, None)]
    again = dim.load([*named(r="z", s="b"), *named(r="z")], 2)
    assert (again.rows_duplicate, again.keys_changed) == (1, 1)
    report = feed.load([change("a", 1), change("a", 1)], schema=CHANGE)
    assert (report.rows_duplicate, report.versions_inserted) == (1, 1)


def test_4_a_replay_of_day_1_after_day_2_writes_zero_rows(dim, feed):
    first, second = named(r="a", s="b", t="c"), named(r="a2", s="b")
    dim.load(first, 1)
    dim.load(second, 2)
    spans = dim.spans("id, name")
    state = dim.connection.execute("SELECT xmin::text, ctid::text FROM nine.route ORDER BY 2").fetchall()
    loads = dim.connection.execute("SELECT xmin::text, ctid::text FROM nine.route_loads ORDER BY 2").fetchall()
    for rows, number in ((first, 1), (second, 2), (first, 1)):
        report = dim.load(rows, number)
        assert (report.unchanged, report.rows, report.said_rows) == (True, 0, 0)
    assert dim.spans("id, name") == spans
    assert dim.connection.execute("SELECT xmin::text, ctid::text FROM nine.route ORDER BY 2").fetchall() == state
    assert dim.connection.execute("SELECT xmin::text, ctid::text FROM nine.route_loads ORDER BY 2").fetchall() == loads
    feed.load([change("a", 1)], schema=CHANGE)
    feed.load([change("b", 2)], schema=CHANGE)
    assert feed.load([change("a", 1)], schema=CHANGE).unchanged
    assert feed.spans("id, name") == [("r", "a", 1, 2), ("r", "b", 2, None)]


def test_5_changed_content_of_the_same_time_replaces_it(dim, feed):
    dim.load(named(r="wrong", s="b"), 1)
    dim.load(named(r="right", s="b"), 2)
    report = dim.load(named(r="right", s="b"), 1)
    assert dim.spans("id, name") == [("r", "right", 1, None), ("s", "b", 1, None)]
    assert report.keys_changed == 1
    feed.load([change("wrong", 1)], schema=CHANGE)
    feed.load([change("right", 1)], schema=CHANGE)
    assert feed.spans("id, name") == [("r", "right", 1, None)]


def test_6_an_empty_extract_is_refused(dim, feed):
    for absent in ("close", "error"):
        with pytest.raises(mp.DataError, match="the snapshot has no row, and no earlier one has brought any key"):
            dim.load([], 1, schema=ROUTE, absent=absent)
    dim.load(named(r="a"), 1)
    for absent in ("close", "error"):
        with pytest.raises(mp.DataError, match="would close every key \\(1 before it\\)"):
            dim.load([], 2, schema=ROUTE, absent=absent)
    assert dim.load([], 2, schema=ROUTE, absent="ignore").empty_snapshot
    assert dim.spans("id, name") == [("r", "a", 1, None)]
    dim.load([], 2, schema=ROUTE, allow_vanishing=True)
    assert dim.spans("id, name") == [("r", "a", 1, 2)]
    feed.load([change("a", 1)], schema=CHANGE)
    assert feed.load([], schema=CHANGE).unchanged


def test_7_null_in_a_part_of_a_composite_key_is_a_value_and_stable(connection, running_engines):
    dim = Dim(connection, running_engines.warehouse_url, "nine.stop", key=["city", "code"])
    schema = pa.schema([("city", pa.string()), ("code", pa.int64()), ("name", pa.string())])

    def stops(name: str):
        return [
            {"city": "x", "code": 1, "name": "plain"},
            {"city": "x", "code": None, "name": name},
            {"city": None, "code": 1, "name": "no city"},
            {"city": "", "code": 1, "name": "empty city"},
        ]

    dim.load(stops("a"), 1, schema=schema)
    assert dim.load(stops("a"), 2, schema=schema).rows == 0
    assert dim.load(stops("b"), 3, schema=schema).keys_changed == 1
    dim.load(stops("c"), 4, schema=schema)
    dim.load(stops("late"), 2, schema=schema)
    dim.load(stops("late")[:2], 5, schema=schema)
    expected = [
        ("", 1, "empty city", 1, 5),
        ("x", 1, "plain", 1, None),
        ("x", None, "a", 1, 2),
        ("x", None, "late", 2, 3),
        ("x", None, "b", 3, 4),
        ("x", None, "c", 4, 5),
        ("x", None, "late", 5, None),
        (None, 1, "no city", 1, 5),
    ]
    found = sorted(
        dim.spans("city, code, name"), key=lambda r: ((r[0] is None, r[0] or ""), (r[1] is None, r[1] or 0), r[3])
    )
    assert found == expected
    with pytest.raises(mp.DataError, match="a row has no key: city and code is NULL"):
        dim.load([{"city": None, "code": None, "name": "nothing"}], 6, schema=schema)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO nine.stop (city, code, valid_from) VALUES ('x', NULL, '2030-01-01')")


def test_8_a_new_column_of_nulls_opens_no_version(dim, feed):
    dim.load(named(r="a", s="b"), 1)
    wider = ROUTE.append(pa.field("colour", pa.string()))
    report = dim.load(named(r="a", s="b"), 2, schema=wider)
    assert (report.rows, list(report.added_columns)) == (0, ["colour"])
    assert dim.spans("id, name, colour") == [("r", "a", None, 1, None), ("s", "b", None, 1, None)]
    dim.load([{"id": "r", "name": "a", "colour": "red"}, {"id": "s", "name": "b", "colour": None}], 3)
    assert dim.spans("id, name, colour") == [
        ("r", "a", None, 1, 3),
        ("r", "a", "red", 3, None),
        ("s", "b", None, 1, None),
    ]
    # A snapshot without the column says nothing of it.
    assert dim.load(named(r="a", s="b"), 4).rows == 0
    feed.load([change("a", 2)], schema=CHANGE)
    feed.load([{**change("a", 3), "colour": None}], schema=CHANGE.append(pa.field("colour", pa.string())))
    assert feed.spans("id, name, colour") == [("r", "a", None, 2, None)]
    feed.load([{**change("a", 1), "colour": "red"}])
    assert feed.spans("id, name, colour") == [("r", "a", "red", 1, 3), ("r", "a", None, 3, None)]


def test_9_a_value_that_comes_back_makes_three_versions(dim, feed):
    for number, name in enumerate(("a", "b", "a"), start=1):
        dim.load(named(r=name), number)
    assert dim.spans("id, name") == [("r", "a", 1, 2), ("r", "b", 2, 3), ("r", "a", 3, None)]
    feed.load([change("a", 1), change("b", 2), change("a", 3)], schema=CHANGE)
    assert feed.spans("id, name") == [("r", "a", 1, 2), ("r", "b", 2, 3), ("r", "a", 3, None)]
