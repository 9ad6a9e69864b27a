"""The mart knows the schedule: planned runs beside what was performed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import metropulse as mp

from . import feeds
from .city import ask
from .feeds import FIRST, SECOND, local, utc


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake without a day."""
    return tmp_path / "raw"


MART = "SELECT route_id, hour_bucket, service_date, name, trip_cnt, position_cnt, scheduled_trip_cnt, avg_speed FROM mart_route_hourly ORDER BY 1, 2"


def mart_rows(p: mp.Pipeline) -> list[tuple]:
    return [tuple(row.values()) for row in p.mart.query(MART).to_pylist()]


def test_a_day_of_nothing_but_a_schedule_loads_up_to_the_mart(database, lake, mart):
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    p = feeds.pipeline_on(lake, database, **mart)
    assert p.partition_ready(FIRST, required=["routes", "scheduled_trips"]).ready
    assert not p.partition_ready(FIRST).ready
    p.run(FIRST)
    assert p.check_quality(FIRST).failed == 0
    runs = ask(
        database,
        "SELECT trip_id, start_time, route_id, shape_id, s.is_inferred, start_ts, end_ts, service_id, direction_id, block_id, "
        "headsign, exact_times, dt FROM dwh.fact_scheduled_trip JOIN dwh.dim_route USING (route_sk) "
        "JOIN dwh.dim_shape s USING (shape_sk) ORDER BY trip_id, start_time",
    )
    day, common = date(2024, 5, 1), ("WEEKDAY", 0, "B1")
    assert runs == [
        ("T1", "08:00:00", "R1", "SH1", False, utc(1, 12), utc(1, 12, 40), *common, "Downtown", None, day),
        ("T1", "08:30:00", "R1", "SH1", False, utc(1, 12, 30), None, *common, "Downtown", False, day),
        ("T2", "25:10:00", "R2", "SH9", True, utc(2, 5, 10), None, *common, None, None, day),
    ]
    calls = ask(
        database,
        "SELECT trip_id, start_time, stop_sequence, stop_id, is_inferred, arrival_ts, timepoint, shape_dist "
        "FROM dwh.fact_scheduled_stop_time JOIN dwh.dim_stop USING (stop_sk) ORDER BY 1, 3",
    )
    assert calls == [
        ("T1", "08:00:00", 1, "S1", False, utc(1, 12), 1, 100.5),
        ("T1", "08:00:00", 5, "S9", True, None, 0, 502.5),
        ("T2", "25:10:00", 1, "S1", False, utc(2, 5, 10), 1, 100.5),
    ]
    rows = mart_rows(p)
    assert [(row[0], row[1].hour, row[2].isoformat(), *row[3:]) for row in rows] == [
        ("R1", 12, FIRST, "One", 0, 0, 2, None),
        ("R2", 5, SECOND, "Two", 0, 0, 1, None),
    ]
    assert p.build_route_hourly().unchanged
    assert p.build_route_hourly(source="lake").unchanged
    assert p.run(FIRST).unchanged


def test_planned_runs_stand_beside_what_was_seen_and_go_when_their_day_is_undone(database, lake, mart):
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    feeds.write(lake / f"dt={SECOND}", "vehicle_positions", [feeds.position("V1", local(1, 8, 15))])
    p = feeds.pipeline_on(lake, database, **mart)
    p.run(FIRST)
    p.run(SECOND)
    assert [(row[0], *row[4:]) for row in mart_rows(p)] == [("R1", 0, 1, 2, 30.0), ("R2", 0, 0, 1, None)]
    assert p.build_route_hourly(source="lake").unchanged
    p.undo(FIRST)
    p.build_route_hourly()
    assert [(row[0], *row[4:]) for row in mart_rows(p)] == [("R1", 0, 1, 0, 30.0)]


def test_a_mart_of_an_earlier_version_gains_the_column_and_keeps_its_rows(database, lake, mart, run_on_mart):
    ddl = Path(__file__).parents[3] / "ddl" / "clickhouse_mart.sql"
    text = "\n".join(line.split("--")[0] for line in ddl.read_text(encoding="utf-8").splitlines())
    head, _, rest = text.partition(",\n    scheduled_trip_cnt")
    run_on_mart(head + "\n" + rest.partition("\n")[2].replace(";", ""))
    run_on_mart(
        "INSERT INTO mart_route_hourly (route_id, hour_bucket, service_date, trip_cnt) "
        "VALUES ('R7', toDateTime('2020-01-01 10:00:00', 'UTC'), '2020-01-01', 3)"
    )
    p = feeds.pipeline_on(lake, database, **mart)
    assert p.migrate(dry_run=True).mart_moved is None
    assert p.migrate().mart_moved is None
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    p.run(FIRST)
    assert [(row[0], row[4], row[6]) for row in mart_rows(p)] == [("R1", 0, 2), ("R2", 0, 1), ("R7", 3, 0)]
