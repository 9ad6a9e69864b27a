"""Schedules, predictions and alerts through staging, dimensions and facts, and everything that is done to days."""

from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path

import pytest

import metropulse as mp

from . import feeds
from .city import ask, load
from .feeds import FIRST, SECOND, local, utc


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake without a day."""
    return tmp_path / "raw"


@pytest.fixture
def pipeline(database: str, lake: Path) -> mp.Pipeline:
    return feeds.pipeline_on(lake, database)


def test_the_latest_update_of_a_run_and_stop_wins_wherever_it_stands(pipeline, database, lake):
    early, late = local(1, 8, 1), local(1, 8, 5)
    folder = lake / f"dt={FIRST}"
    feeds.write(
        folder / "trip_updates",
        "a",
        [
            feeds.update("T1", 1, "S1", late, arrival_delay_sec=1),
            feeds.update("T1", 2, "S2", early, arrival_delay_sec=2),
            feeds.update("T1", None, "S1", early, arrival_delay_sec=3),
            feeds.update("T1", None, None, None, schedule_relationship="CANCELED"),
        ],
    )
    feeds.write(
        folder / "trip_updates",
        "b",
        [
            # Its stop is told by its sequence: another name of the stop does not make another row.
            feeds.update("T1", 1, "S1b", early, arrival_delay_sec=4),
            feeds.update("T1", 2, "S2", early, arrival_delay_sec=5),
            feeds.update("T1", None, "S1", late, arrival_delay_sec=6),
            feeds.update("T1", None, None, early, schedule_relationship="SCHEDULED"),
            feeds.update("T1", 1, "S1", late, arrival_delay_sec=1),
        ],
    )
    load(pipeline, FIRST)
    rows = ask(
        database,
        "SELECT stop_sequence, stop_id, arrival_delay_sec, schedule_relationship, file_no FROM dwh.fact_trip_update "
        "JOIN dwh.dim_stop USING (stop_sk) ORDER BY 1, 2",
    )
    assert rows == [
        (1, "S1", 1, "SCHEDULED", 1),
        (2, "S2", 5, "SCHEDULED", 1),
        (None, "S1", 6, "SCHEDULED", 1),
        (None, None, None, "SCHEDULED", 1),
    ]
    ledger = ask(
        database,
        "SELECT rows_read, rows_loaded, rows_duplicate, rows_superseded FROM dwh.load_ledger "
        "WHERE target = 'dwh.fact_trip_update' ORDER BY file_no",
    )
    assert ledger == [(4, 0, 1, 3), (5, 4, 0, 1)]
    assert ask(database, "SELECT count(*) FROM staging.trip_updates_raw") == [(8,)]


def test_each_content_of_an_alert_is_a_row(pipeline, database, lake):
    feeds.write_day(lake, FIRST, feeds.realtime(1))
    load(pipeline, FIRST)
    rows = ask(
        database,
        "SELECT alert_id, content, cause, effect, severity, active_from, active_to, header, informed_entities, first_seen, "
        "last_seen FROM dwh.fact_alert ORDER BY content",
    )
    same = ("CONSTRUCTION", "DETOUR", None, utc(1, 10), None)
    seen = ([{"route_id": "R1"}], utc(1, 11), utc(1, 13))
    assert rows == [("A1", "digest1", *same, "Detour", *seen), ("A1", "digest2", *same, "Longer detour", *seen)]


def test_a_run_meets_the_path_of_its_time(pipeline, database, lake):
    old, new = "[[40.0, -74.0]]", "[[41.0, -75.0]]"
    feeds.write_day(lake, FIRST, feeds.schedule(1, old))
    feeds.write_day(lake, SECOND, feeds.schedule(2, new))
    load(pipeline, SECOND, FIRST)
    met = "SELECT f.dt::text, points FROM dwh.fact_scheduled_trip f JOIN dwh.dim_shape USING (shape_sk) WHERE start_time = '08:00:00' ORDER BY 1"
    assert ask(database, met) == [(FIRST, [[40.0, -74.0]]), (SECOND, [[41.0, -75.0]])]
    # A day that does not name a path closes nothing, and the path of the day before comes back when a day is taken out.
    pipeline.undo(SECOND)
    assert ask(database, "SELECT shape_id, points, valid_to FROM dwh.dim_shape WHERE shape_id = 'SH1'") == [
        ("SH1", [[40.0, -74.0]], None)
    ]


def test_what_has_no_key_or_ends_before_it_starts_is_quarantined(pipeline, database, lake):
    folder = lake / f"dt={FIRST}"
    good = [feeds.run(f"T{n}", "08:00:00", "R1", local(1, 8)) for n in range(4)]
    bad = [
        feeds.run("T8", "", "R1", local(1, 8)),
        feeds.run("T9", "08:00:00", "R1", local(1, 8), end_ts=local(1, 7)),
    ]
    feeds.write(folder, "scheduled_trips", good + bad)
    feeds.write(folder, "scheduled_stop_times", [feeds.call("T1", "08:00:00", n, "S1", None) for n in (1, 2)])
    load(pipeline, FIRST)
    found = ask(database, "SELECT dataset, row_number, reasons FROM staging.rejected ORDER BY row_number")
    assert found == [("scheduled_trips", 5, ["no_key"]), ("scheduled_trips", 6, ["end_before_start"])]
    assert ask(database, "SELECT count(*) FROM dwh.fact_scheduled_trip") == [(4,)]
    feeds.write(folder, "scheduled_stop_times", [{"trip_id": "T1", "start_time": "08:00:00", "stop_id": "S1"}])
    with pytest.raises(mp.SchemaError, match=r"scheduled_stop_times\.parquet has no column stop_sequence"):
        pipeline.stage(FIRST)


def test_a_position_keeps_what_its_report_says_and_a_trip_its_schedule(pipeline, database, lake):
    folder = lake / f"dt={FIRST}"
    feeds.write(folder, "vehicle_positions", [feeds.position("V1", local(1, 8), **feeds.REPORT)])
    trip = {"trip_id": "2024-05-01/T1/08%3A00%3A00/V1", "start_ts": local(1, 8), "scheduled_trip_id": "T1"}
    feeds.write(folder, "trips", [trip | {"scheduled_start_time": "08:00:00"}])
    load(pipeline, FIRST)
    columns = ", ".join(feeds.REPORT)
    for table in ("staging.vehicle_positions_raw", "dwh.fact_vehicle_position"):
        assert ask(database, f"SELECT {columns} FROM {table}") == [tuple(feeds.REPORT.values())]
    for table in ("staging.trips_raw", "dwh.fact_trip"):
        kept = ask(database, f"SELECT scheduled_trip_id, scheduled_start_time FROM {table}")
        assert kept == [("T1", "08:00:00")]
    # A trip that waits for a newer day's to go keeps it too.
    feeds.write(lake / f"dt={SECOND}", "trips", [trip | {"scheduled_trip_id": "T2"}])
    load(pipeline, SECOND)
    assert ask(database, "SELECT scheduled_trip_id FROM dwh.fact_trip") == [("T2",)]
    pipeline.undo(SECOND)
    assert ask(database, "SELECT scheduled_trip_id, scheduled_start_time FROM dwh.fact_trip") == [("T1", "08:00:00")]


def test_columns_that_no_file_has_cost_no_byte(pipeline, database, lake):
    rows = [feeds.position("V1", local(1, 8, n % 60), speed=n / 100) for n in range(7_500)]
    feeds.write(lake / f"dt={FIRST}", "vehicle_positions", rows)
    load(pipeline, FIRST)
    # A header of 24 bytes, nine columns of 8 and two of 4, a line pointer of 4: 75 rows on a page of 8,168.
    pages = "SELECT count(DISTINCT (ctid::text::point)[0]) FROM {}"
    assert ask(database, pages.format("dwh.fact_vehicle_position_20240501")) == [(100,)]
    # 24 bytes, six columns of 8, two texts of 3, rounded up to 80, and 4: 97 rows on a page.
    assert ask(database, pages.format("staging.vehicle_positions_raw_20240501")) == [(78,)]
    assert ask(database, "SELECT DISTINCT trip_id, odometer_m FROM dwh.fact_vehicle_position") == [(None, None)]


def spoiled(day: int) -> dict[str, list[dict]]:
    """A first try at a day's schedule: another path, a run too many, one call on a stop that is not there."""
    wrong = feeds.schedule(day, "[[0.5, 0.5]]")
    wrong["scheduled_trips"].append(feeds.run("T3", "09:00:00", "R7", local(day, 9)))
    wrong["scheduled_stop_times"].append(feeds.call("T3", "09:00:00", 1, "S7", local(day, 9)))
    return wrong


@pytest.mark.parametrize("order", list(itertools.permutations(("first", "second", "correction"))))
def test_days_in_any_order_and_a_correction_give_what_loading_in_order_gives(
    database, other_database, tmp_path, order: tuple[str, ...]
):
    lake, straight = tmp_path / "raw", tmp_path / "straight"
    p = feeds.pipeline_on(lake, database)
    later = feeds.schedule(2, "[[41.0, -75.0]]")
    for step in order:
        if step == "second":
            feeds.write_day(lake, SECOND, later, feeds.realtime(2))
            load(p, SECOND)
            continue
        corrected = step == "correction" or order.index("correction") < order.index("first")
        feeds.write_day(lake, FIRST, feeds.schedule(1) if corrected else spoiled(1), feeds.realtime(1))
        load(p, FIRST)
    feeds.write_day(straight, FIRST, feeds.schedule(1), feeds.realtime(1))
    feeds.write_day(straight, SECOND, later, feeds.realtime(2))
    q = feeds.pipeline_on(straight, other_database)
    load(q, FIRST, SECOND)
    # What a bad try marked for the mart stays marked.
    volatile = {"dirty"}
    for one in (p, q):
        one.check_quality()
    found, wanted = feeds.state(database), feeds.state(other_database)
    assert {n: found[n] for n in found if n not in volatile} == {n: wanted[n] for n in wanted if n not in volatile}
    for one in (p, q):
        one.undo(FIRST)
    found, wanted = feeds.state(database), feeds.state(other_database)
    assert {n: found[n] for n in found if n not in volatile} == {n: wanted[n] for n in wanted if n not in volatile}
    for one in (p, q):
        one.undo(SECOND)
    assert feeds.state(database)["stops"] == [repr((None, None, False))]
    assert feeds.state(database)["shapes"] == [repr((None, None, None, None, False))]


def test_only_service_dates_of_planned_runs_are_marked_for_the_mart(pipeline, database, lake):
    feeds.write_day(lake, FIRST, feeds.realtime(1))
    load(pipeline, FIRST)
    assert feeds.state(database)["dirty"] == []
    feeds.write_day(lake, FIRST, feeds.schedule(1))
    load(pipeline, FIRST)
    assert feeds.state(database)["dirty"] == sorted(repr((date(2024, 5, day),)) for day in (1, 2))


def test_retention_takes_calls_predictions_and_alerts_and_a_corrected_file_comes_again(pipeline, database, lake):
    feeds.write_day(lake, FIRST, feeds.schedule(1), feeds.realtime(1))
    load(pipeline, FIRST)
    before = feeds.state(database)
    what = ["scheduled_stop_times", "trip_updates", "alerts"]
    dry = pipeline.purge(0, what=what, dry_run=True)
    assert feeds.state(database) == before
    report = pipeline.purge(0, what=what)
    assert report.tables == dry.tables
    assert {name: table.rows_written for name, table in report.tables.items()} == {
        "dwh.fact_scheduled_stop_time": 3,
        "dwh.fact_trip_update": 3,
        "dwh.fact_alert": 2,
    }
    after = feeds.state(database)
    assert (after["calls"], after["updates"], after["alerts"]) == ([], [], [])
    assert (after["runs"], after["shapes"]) == (before["runs"], before["shapes"])
    # S9 and V1 were known from these facts alone.
    assert ask(database, "SELECT stop_id FROM dwh.dim_stop WHERE stop_id IS NOT NULL") == [("S1",)]
    assert ask(database, "SELECT count(*) FROM dwh.dim_vehicle WHERE vehicle_id IS NOT NULL") == [(0,)]
    assert pipeline.check_quality(FIRST).failed == 0
    assert pipeline.load_facts(FIRST).unchanged
    assert pipeline.purge(0, what=what).unchanged
    feeds.write(lake / f"dt={FIRST}", "scheduled_stop_times", [feeds.call("T1", "08:00:00", 1, "S4", local(1, 8))])
    load(pipeline, FIRST)
    assert ask(database, "SELECT stop_id FROM dwh.fact_scheduled_stop_time JOIN dwh.dim_stop USING (stop_sk)") == [
        ("S4",)
    ]
    pipeline.undo(FIRST)
    with pytest.raises(mp.ConfigError, match="what the mart is built from stays"):
        pipeline.purge(0, what=["scheduled_trips"])


def test_a_dataset_that_is_gone_from_a_corrected_day_takes_its_rows_with_it(pipeline, database, lake):
    feeds.write_day(lake, FIRST, feeds.schedule(1), feeds.realtime(1))
    load(pipeline, FIRST)
    for name in ("scheduled_stop_times", "trip_updates"):
        (lake / f"dt={FIRST}" / f"{name}.parquet").unlink()
    load(pipeline, FIRST)
    for table in ("staging.scheduled_stop_times_raw", "staging.trip_updates_raw", "dwh.fact_scheduled_stop_time"):
        assert ask(database, f"SELECT count(*) FROM {table}") == [(0,)]
    assert feeds.state(database)["updates"] == []
    assert ask(database, "SELECT count(*) FROM dwh.fact_scheduled_trip") == [(3,)]
    # S9 was known from calls and updates alone.
    assert ask(database, "SELECT stop_id FROM dwh.dim_stop WHERE stop_id IS NOT NULL") == [("S1",)]
