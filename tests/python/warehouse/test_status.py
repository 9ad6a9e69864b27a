"""What status says of a day, through its whole life."""

from __future__ import annotations

import json
import os
import time

import pytest

import metropulse as mp

from .city import DAYS, WORLD, ask, load, position, trip, write_day


def steps(pipeline: mp.Pipeline, day: str, **options: bool) -> dict[str, str]:
    report = pipeline.status(**options)
    (found,) = [d for d in report.days if d.dt == day]
    return {name: step.state for name, step in found.steps.items()}


def test_a_day_goes_from_missing_to_loaded_to_stale_and_back(pipeline, lake):
    assert set(steps(pipeline, DAYS[0]).values()) == {"missing"}
    pipeline.stage(DAYS[0])
    assert steps(pipeline, DAYS[0])["stage"] == "loaded"
    assert steps(pipeline, DAYS[0])["load_facts"] == "missing"
    load(pipeline, *DAYS)
    found = steps(pipeline, DAYS[0])
    assert (found["load_dimensions"], found["load_facts"], found["check_quality"]) == ("loaded", "loaded", "missing")
    pipeline.check_quality(DAYS[0])
    assert steps(pipeline, DAYS[0])["check_quality"] == "loaded"
    write_day(lake, DAYS[0], {"trips": [*WORLD[DAYS[0]]["trips"], trip(99, 1, 12)]})
    found = steps(pipeline, DAYS[0])
    assert (found["stage"], found["load_dimensions"], found["load_facts"]) == ("stale", "loaded", "stale")
    load(pipeline, DAYS[0])
    found = steps(pipeline, DAYS[0])
    assert (found["stage"], found["load_facts"], found["check_quality"]) == ("loaded", "loaded", "stale")


def test_a_touched_file_is_stale_only_if_its_bytes_differ(pipeline, lake):
    load(pipeline, DAYS[0])
    file = lake / f"dt={DAYS[0]}" / "users.parquet"
    later = time.time() + 60
    os.utime(file, (later, later))
    assert steps(pipeline, DAYS[0])["stage"] == "loaded"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"Moscow", b"Mascow"))
    os.utime(file, (later, later))
    assert steps(pipeline, DAYS[0])["load_dimensions"] == "stale"
    # An old time of change hides it from a glance, not from a look at the bytes.
    os.utime(file, (1, 1))
    assert steps(pipeline, DAYS[0])["load_dimensions"] == "loaded"
    assert steps(pipeline, DAYS[0], verify=True)["load_dimensions"] == "stale"


def test_a_vanished_file_and_other_settings_are_stale_and_a_vanished_day_is_not(pipeline, lake, database):
    load(pipeline, *DAYS[:2])
    (lake / f"dt={DAYS[0]}" / "payments.parquet").unlink()
    (day, _) = [d for d in pipeline.status().days if d.in_lake][:2]
    assert day.steps.load_facts.state == "stale"
    assert "payments.parquet is not in the lake" in day.steps.load_facts.why
    for file in (lake / f"dt={DAYS[1]}").iterdir():
        file.unlink()
    gone = pipeline.status().days[1]
    assert not gone.in_lake
    assert gone.steps.load_facts.state == "loaded"
    other = mp.Pipeline(lake=lake, warehouse=database, absent={"routes": "ignore"})
    assert "other settings" in other.status().days[0].steps.load_dimensions.why


def test_folders_that_name_no_day_are_named(pipeline, lake):
    for name in ("dt=2024-02-30", "dt=2024-5-2"):
        (lake / name).mkdir()
        (lake / name / "trips.parquet").write_bytes(b"")
    report = pipeline.status()
    assert report.misnamed_folders == ("dt=2024-02-30/", "dt=2024-5-2/")
    assert tuple(day.dt for day in report.days) == DAYS


def test_a_failure_is_kept_until_the_step_succeeds(pipeline, lake, database):
    strict = mp.Pipeline(lake=lake, warehouse=database, reject_limit=0.0)
    with pytest.raises(mp.DataError):
        strict.stage(DAYS[0])
    day = pipeline.status().days[0]
    assert day.state == day.steps.stage.state == "failed"
    assert "rejected" in day.steps.stage.why
    assert pipeline.status().failures[0].step == "stage"
    pipeline.stage(DAYS[0])
    assert pipeline.status().failures == ()


def test_misses_are_those_of_the_final_state(pipeline, lake):
    load(pipeline, DAYS[1])
    # T2 starts a day before the first version of everything; the position at 23:05 of day 1 has an inferred route.
    missed = {(m.fact, m.dimension): (m.before_first, m.gap) for m in pipeline.status().days[1].as_of_misses}
    assert missed[("dwh.fact_trip", "dwh.dim_route")] == (1, 0)
    load(pipeline, DAYS[0])
    assert "as_of_misses" not in pipeline.status().days[0]
    # On day 2 R3 is closed: what still runs on it falls into the gap, and R3's return on day 3 does not change that.
    load(pipeline, DAYS[2])
    day = pipeline.status().days[1]
    assert {(m.fact, m.dimension): (m.before_first, m.gap) for m in day.as_of_misses} == {
        ("dwh.fact_trip", "dwh.dim_route"): (0, 1)
    }
    write_day(lake, DAYS[1], {"vehicle_positions": [position(2, 8, "V2", route="R3")]})
    pipeline.load_facts(DAYS[1])
    missed = {m.fact: m.gap for m in pipeline.status().days[1].as_of_misses}
    assert missed == {"dwh.fact_trip": 1, "dwh.fact_vehicle_position": 1}


def test_the_mart_is_dirty_then_fresh(database, lake, mart):
    p = mp.Pipeline(lake=lake, warehouse=database, reject_limit=0.5, allow_vanishing=True, **mart)
    load(p, *DAYS)
    assert steps(p, DAYS[0])["build_route_hourly"] == "missing"
    assert p.status().mart.dirty
    p.build_route_hourly()
    report = p.status()
    assert {day.steps.build_route_hourly.state for day in report.days} == {"loaded"}
    assert report.mart.dirty == ()
    assert report.mart.newest_service_date == DAYS[2]
    assert report.mart.age_seconds < 600
    p.undo(DAYS[1])
    assert steps(p, DAYS[0])["build_route_hourly"] == "stale"
    p.build_route_hourly()
    assert ask(database, "SELECT count(*) FROM dwh.mart_dirty") == [(0,)]


def test_what_the_mart_lost_is_built_again(database, lake, mart, run_on_mart):
    p = mp.Pipeline(lake=lake, warehouse=database, reject_limit=0.5, allow_vanishing=True, **mart)
    load(p, *DAYS)
    p.build_route_hourly()
    rows = "SELECT * EXCEPT (snapshot_ts, vehicles, riders) FROM mart_route_hourly ORDER BY route_id, hour_bucket"
    before = p.mart.query(rows).to_pylist()
    assert p.build_route_hourly().unchanged
    for loss in (f"ALTER TABLE mart_route_hourly DROP PARTITION '{DAYS[1]}'", "DROP TABLE mart_route_hourly"):
        run_on_mart(loss)
        report = p.build_route_hourly()
        assert DAYS[1] in report.service_dates_lost
        assert report.service_dates_rebuilt == report.service_dates_lost
        assert p.mart.query(rows).to_pylist() == before
    assert p.build_route_hourly().unchanged


def test_a_question_to_the_mart_changes_nothing(database, lake, mart):
    p = mp.Pipeline(lake=lake, warehouse=database, **mart)
    for statement in ("CREATE TABLE mine (x Int32) ENGINE = Memory", "CREATE DATABASE mine"):
        with pytest.raises(mp.ConfigError, match="readonly"):
            p.mart.query(statement)
    assert p.mart.query("SELECT count() AS n FROM system.tables WHERE name = 'mine'").to_pylist() == [{"n": 0}]


def test_freshness_tells_days_rows_and_lag_of_every_table(pipeline):
    load(pipeline, *DAYS)
    report = pipeline.status()
    tables = {table.table: table for table in report.tables}
    # Twelve datasets, five dimensions and seven facts.
    assert len(tables) == 24
    assert tables["dwh.fact_trip"].days == 3
    assert tables["dwh.fact_trip"].rows_loaded == 7
    assert tables["dwh.fact_trip"].newest_dt == DAYS[2]
    assert tables["dwh.fact_trip"].lag_days > 300
    assert tables["dwh.dim_stop"].age_seconds is None
    json.dumps(report)
    assert len(pipeline.status(DAYS[0], DAYS[1]).days) == 1
