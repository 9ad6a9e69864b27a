"""Loads of dimensions: what a dry run shows, and what a load leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

import metropulse as mp

from .city import DAYS, ask, load, routes, state, users, write_day

_COUNTS = ("versions_inserted", "versions_updated", "versions_deleted", "rekeyed", "rows_read", "rows_loaded")


def counts(report: mp.Report) -> dict[str, dict[str, Any]]:
    return {name: {key: table[key] for key in _COUNTS if key in table} for name, table in report.tables.items()}


def test_a_dry_run_shows_what_a_load_would_do_and_keeps_nothing_of_it(pipeline, database):
    # The second day comes late: it splits versions to which facts of the third refer.
    load(pipeline, DAYS[0], DAYS[2])
    before = state(database)
    dry = pipeline.load_dimensions(DAYS[1], dry_run=True)
    assert state(database) == before
    assert (dry.dry_run, dry.rows, dry.unchanged) == (True, 0, False)
    sample = {(row["change"], row["route_id"], row["base_fare"]) for row in dry.tables["dwh.dim_route"]["sample"]}
    assert sample == {
        ("update", "R2", 20.0),
        ("insert", "R2", 25.0),
        ("insert", "R2", 20.0),
        ("update", "R3", 5.0),
        ("insert", "R3", 5.0),
    }
    assert dry.tables["dwh.dim_route"]["rekeyed"]["dwh.fact_trip"] > 0
    report = pipeline.load_dimensions(DAYS[1])
    assert counts(report) == counts(dry)
    assert report.rows > 0
    assert all("sample" not in table for table in report.tables.values())


def test_a_dry_run_of_a_day_that_is_loaded_says_so(pipeline, database):
    load(pipeline, DAYS[0])
    before = state(database)
    assert pipeline.load_dimensions(DAYS[0], dry_run=True).unchanged
    assert state(database) == before


def test_a_dry_run_is_refused_where_the_load_is_and_notes_no_failure(database, lake):
    pipeline = mp.Pipeline(lake=lake, warehouse=database)
    write_day(lake, DAYS[0], {"routes": routes(**{f"R{n:02}": 10 for n in range(40)})})
    write_day(lake, DAYS[1], {"routes": routes(R00=10)})
    pipeline.load_dimensions(DAYS[0])
    with pytest.raises(mp.DataError, match=r"'R01', 'R02', 'R03', 'R04', 'R05', \.\.\."):
        pipeline.load_dimensions(DAYS[1], dry_run=True)
    assert ask(database, "SELECT count(*) FROM dwh.step_failure") == [(0,)]


def test_a_key_that_a_day_says_nothing_new_of_is_not_written(pipeline, database, lake):
    load(pipeline, DAYS[0])
    rows = "SELECT xmin::text, ctid::text FROM dwh.dim_{0} WHERE {0}_id IN ('R1', 'U1') ORDER BY 1"
    said = "SELECT xmin::text, ctid::text FROM dwh.dim_{0}_said WHERE {0}_id IN ('R1', 'U1') ORDER BY 1"
    looks = [sql.format(name) for sql in (rows, said) for name in ("route", "user")]
    before = [ask(database, sql) for sql in looks]
    assert all(len(found) == 1 for found in before)
    write_day(lake, DAYS[1], {"routes": routes(R1=10, R2=25), "users": users(("U1", "Moscow"))})
    load(pipeline, DAYS[1])
    assert [ask(database, sql) for sql in looks] == before


@pytest.mark.parametrize("zone", ["UTC", "America/Santiago", "Asia/Kathmandu"])
def test_a_log_names_raw_days_whatever_the_zone(database, lake, zone):
    pipeline = mp.Pipeline(lake=lake, warehouse=database, time_zone=zone, reject_limit=0.5, allow_vanishing=True)
    load(pipeline, *DAYS)
    runs = "SELECT from_dt::text, to_dt::text, base_fare::text FROM dwh.dim_route_said WHERE route_id = 'R2' ORDER BY 1"
    assert ask(database, runs) == [
        (DAYS[0], DAYS[1], "20.00"),
        (DAYS[1], DAYS[2], "25.00"),
        (DAYS[2], None, "20.00"),
    ]
