"""Real input with known answers, through the pipeline: every number of tests/data/README.md, in every order of loading."""

from __future__ import annotations

import dataclasses
import itertools
import shutil

import pytest

import metropulse as mp
import telemetry_days
from answers import (
    AUSTIN_DAYS,
    DATA,
    PROTOTYPE_DAYS,
    REAL_DATA,
    check_austin,
    check_prototype,
    needs_real_data,
    one,
    state,
)

pytestmark = [pytest.mark.core, pytest.mark.embedded]


@pytest.mark.slow(seconds=40)
def test_all_orders_and_repeats_of_the_prototypes_days_give_its_answers(pipeline_on):
    """Six orders, each with a repeat thrown in, end in one state: history, facts, ledger and mart."""
    wanted = None
    for order in itertools.permutations(PROTOTYPE_DAYS):
        p = pipeline_on(DATA / "prototype_raw")
        for dt in (*order, order[0]):
            p.run(dt)
        check_prototype(p)
        found = state(p)
        wanted = wanted or found
        for name, rows in wanted.items():
            assert found[name] == rows, f"{name} differ when loaded as {order}"


def test_a_second_run_writes_no_row_and_leaves_the_mart_alone(pipeline_on):
    """Row versions (xmin) of staging and dwh stay what they were, and so do the mart's parts."""
    p = pipeline_on(DATA / "prototype_raw")
    p.run("2024-05-01")
    tables = [row["t"] for row in p.warehouse.query(
        "select n.nspname || '.' || c.relname as t from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname in ('staging', 'dwh') and c.relkind = 'r' and c.relname <> 'quality_result' order by 1"
    ).to_pylist()]  # fmt: skip

    def versions() -> dict[str, object]:
        rows = {
            t: p.warehouse.query(
                f"select count(*) as n, max(xmin::text::bigint) as x, min(ctid)::text as c from {t}"
            ).to_pylist()
            for t in tables
        }
        parts = p.mart.query(
            "select name from system.parts where database = currentDatabase() and table = 'mart_route_hourly' and active order by name"
        ).to_pylist()
        return {**rows, "mart": parts}

    before = versions()
    assert len(tables) > 20
    report = p.run("2024-05-01")
    assert report.unchanged
    assert all(step.unchanged or step.step == "check_quality" for step in report.steps)
    assert all(step.rows == 0 for step in report.steps if step.step != "check_quality")
    assert versions() == before


def test_days_of_telemetry_alone_in_their_own_zone(pipeline_on, tmp_path):
    """No trips, riders or payments, days out of order: every number follows from the positions; another zone is refused."""
    answers = telemetry_days.write(tmp_path / "raw")
    p = pipeline_on(tmp_path / "raw", time_zone=telemetry_days.ZONE)
    for day in (2, 0, 3, 1):
        p.run(telemetry_days.DAYS[day])
    telemetry_days.check(p, answers)
    elsewhere = mp.Pipeline.from_settings(dataclasses.replace(p.settings, time_zone="UTC"))
    with pytest.raises(mp.ConfigError, match="time_zone is UTC, but this warehouse was loaded with America/Chicago"):
        elsewhere.stage(telemetry_days.DAYS[0])


@needs_real_data
def test_austins_days_in_their_own_zone(pipeline_on):
    """Real telemetry: service days span two UTC dates, one speed is impossible."""
    p = pipeline_on(REAL_DATA / "austin_raw", time_zone="America/Chicago")
    for day in (2, 0, 3, 1):
        p.run(AUSTIN_DAYS[day])
    check_austin(p)


def test_a_corrected_day_replaces_what_it_brought(pipeline_on, tmp_path):
    """Day 2 delivered again with day 3's files of trips and payments, then as it was: the first state comes back."""
    lake = tmp_path / "raw"
    shutil.copytree(DATA / "prototype_raw", lake)
    p = pipeline_on(lake)
    for dt in PROTOTYPE_DAYS:
        p.run(dt)
    wanted = state(p)
    original = (lake / "dt=2024-05-02" / "trips.parquet").read_bytes()
    (lake / "dt=2024-05-02" / "trips.parquet").unlink()
    p.run("2024-05-02")
    counts = one(p.warehouse.query(
        "select count(*) as n, (select count(*) from dwh.fact_payment where trip_sk is null) as unresolved from dwh.fact_trip"
    ))  # fmt: skip
    assert counts == {"n": 272 - 108, "unresolved": 108}
    (lake / "dt=2024-05-02" / "trips.parquet").write_bytes(original)
    p.run("2024-05-02")
    found = state(p)
    for name, rows in wanted.items():
        assert found[name] == rows, name
