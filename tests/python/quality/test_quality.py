"""Quality checks on a warehouse that somebody spoiled: each violation is found, stored, and fails as it should."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

import metropulse as mp

DATA = Path(__file__).parents[2] / "data" / "prototype_raw"
DT = "2024-05-01"

pytestmark = [pytest.mark.core, pytest.mark.embedded]

# What is done to the warehouse, and the check that must notice. Constraints that would forbid it are dropped first:
# the checks are the second line of defence.
SPOILED = {
    "rows_loaded": "update dwh.load_ledger set rows_loaded = 0, rows_superseded = rows_superseded + rows_loaded where target like 'dwh.%'",
    "facts_conserve_rows": "delete from dwh.fact_trip where trip_id = (select min(trip_id) from dwh.fact_trip)",
    "staging_conserves_rows": "delete from staging.trips_raw where trip_id = (select min(trip_id) from staging.trips_raw)",
    "business_key_unique": "update dwh.fact_trip set trip_id = (select min(trip_id) from dwh.fact_trip)",
    "key_not_null": "alter table dwh.dim_route drop constraint dim_route_key; "
    "update dwh.dim_route set route_id = null where route_id = 'R001'",
    "unknown_member_present": "update dwh.dim_user set user_id = 'somebody' where user_sk = 0",
    "interval_starts_before_it_ends": "alter table dwh.dim_route drop constraint dim_route_from_before_to; "
    "update dwh.dim_route set valid_to = valid_from where route_id = 'R001'",
    "intervals_do_not_overlap": "drop index dwh.dim_route_open; insert into dwh.dim_route (route_id, valid_from) "
    "select route_id, valid_from + interval '1 hour' from dwh.dim_route where route_id = 'R001'",
    "one_current_version": "drop index dwh.dim_user_open; insert into dwh.dim_user (user_id, effective_from) "
    "select user_id, effective_from - interval '1 hour' from dwh.dim_user where user_sk = 1",
    "coordinates_in_range": "update dwh.fact_vehicle_position set lat = 91 where position_sk = (select min(position_sk) from dwh.fact_vehicle_position)",
    "speed_in_range": "update dwh.fact_vehicle_position set speed = 291 where position_sk = (select min(position_sk) from dwh.fact_vehicle_position)",
    "trip_ends_after_it_starts": "update dwh.fact_trip set end_ts = start_ts - interval '1 s' where trip_id = (select min(trip_id) from dwh.fact_trip)",
    "mart_holds_its_rows": "update dwh.mart_build set rows = rows + 1",
}


def test_each_violation_is_found_and_stored(pipeline_on):
    """One warehouse, spoiled and restored in turn: each violation fails its own check, with severity error."""
    p = pipeline_on(DATA)
    p.run(DT)
    clean = p.check_quality(DT)
    # The prototype's days have no stops, so trips made inferred members of them: worth a warning.
    assert [(c.name, c.table, c.severity) for c in clean.checks if not c.passed] == [
        ("inferred_members", "dwh.dim_stop", "warn")
    ]
    names = {check.name for check in clean.checks}
    assert set(SPOILED) <= names
    for name, sql in SPOILED.items():
        with psycopg.connect(p.settings.warehouse) as link:
            # Everything is undone by the rollback; the checks read what a second, prepared state shows.
            link.execute(sql)
            found = {}
            for check in clean.checks:
                if check.name == name and not check.sql.lstrip().lower().startswith("select toint64"):
                    found[check.table] = link.execute(check.sql).fetchone()[0]
            link.rollback()
        if found:
            expected = {c.table: c.found for c in clean.checks if c.name == name}
            assert any(found[table] != expected[table] for table in found), f"{name} did not notice: {sql}"


def test_an_error_fails_and_a_warning_does_not(pipeline_on):
    p = pipeline_on(DATA)
    p.run(DT)
    with psycopg.connect(p.settings.warehouse, autocommit=True) as link:
        link.execute(
            "update dwh.fact_payment set trip_sk = null, trip_id = 'gone' where payment_id = (select min(payment_id) from dwh.fact_payment)"
        )
    warned = p.check_quality(DT)
    assert (warned.failed, warned.warned) == (0, 2)
    with psycopg.connect(p.settings.warehouse, autocommit=True) as link:
        link.execute(SPOILED["speed_in_range"])
    with pytest.raises(mp.QualityError, match="speed_in_range") as caught:
        p.check_quality(DT)
    assert not caught.value.retryable
    assert caught.value.report["failed"] == 1
    stored = p.warehouse.query(
        "select name, table_name, severity, found, expected from dwh.quality_result where not passed and name <> 'inferred_members' order by checked_at, name"
    ).to_pylist()
    assert [(row["name"], row["severity"], row["found"]) for row in stored] == [
        ("payment_has_its_trip", "warn", "1"),
        ("payment_has_its_trip", "warn", "1"),
        ("speed_in_range", "error", "1"),
    ]


def test_files_without_a_row_are_worth_a_warning(pipeline_on, tmp_path):
    """An extract that failed half way leaves such files, and takes the day's rows away."""
    lake = tmp_path / "raw"
    shutil.copytree(DATA, lake)
    file = lake / f"dt={DT}" / "vehicle_positions.parquet"
    file.chmod(0o644)
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    p = pipeline_on(lake)
    found = next(step for step in p.run(DT).steps if step.step == "check_quality")
    empty = [(c.table, c.severity) for c in found.checks if c.name == "files_hold_rows" and not c.passed]
    assert empty == [("dwh.fact_vehicle_position", "warn")]
    assert found.failed == 0


def test_a_day_that_brought_nothing_fails_the_first_check(pipeline_on):
    p = pipeline_on(DATA)
    p.run(DT)
    with pytest.raises(mp.QualityError, match="rows_loaded"):
        p.check_quality("2024-05-03")
