"""Timetables through the whole chain: staging and its quarantine, history of routes and stops, the mart."""

from __future__ import annotations

import itertools

import pytest

import metropulse as mp
from answers import REAL_DATA, needs_real_data
from expansion import DAY, FEED, ZONE, write_zip

pytestmark = [pytest.mark.core, pytest.mark.embedded]

LOS_ANGELES = "America/Los_Angeles"
BAD_CALL, BAD_STOP = "T1,late,8:00:00,S1,9\n", "S9,Null Island,0,0\n"


def rows(p: mp.Pipeline, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in p.warehouse.query(sql).to_pylist()]


QUARANTINE = (
    "SELECT dataset, file, row_number, reasons::text, row_json->>'trip_id' FROM staging.rejected ORDER BY 1, 2, 3"
)


def test_a_feeds_bad_rows_are_in_the_quarantine_as_long_as_the_day_has_them(pipeline_on, tmp_path):
    p = pipeline_on(tmp_path / "lake", time_zone=ZONE)
    bad = {**FEED, "stop_times.txt": FEED["stop_times.txt"] + BAD_CALL, "stops.txt": FEED["stops.txt"] + BAD_STOP}
    p.ingest_gtfs(write_zip(tmp_path / "bad.zip", bad), DAY)
    report = p.stage(DAY)
    assert rows(p, QUARANTINE) == [
        ("scheduled_stop_times", "stop_times.txt", 8, "{unconvertible}", "T1"),
        ("stops", "stops.txt", 5, "{coordinates}", None),
    ]
    assert report.tables["staging.rejected"].rows_rejected == 2
    assert rows(p, "SELECT count(*) FROM staging.scheduled_stop_times_raw") == [(5,)]
    assert p.stage(DAY).unchanged
    assert [row.file for row in p.rejected(reason="coordinates").rejected] == ["stops.txt"]
    p.ingest_gtfs(write_zip(tmp_path / "good.zip", {**bad, "stops.txt": FEED["stops.txt"]}), DAY)
    p.stage(DAY)
    assert [row[1] for row in rows(p, QUARANTINE)] == ["stop_times.txt"]
    purged = p.purge(0)
    assert "staging.rejected" not in purged.tables
    assert len(rows(p, QUARANTINE)) == 1
    undone = p.undo(DAY)
    written = {name: table.rows_written for name, table in undone.tables.items()}
    assert (written["staging.rejected"], written["staging.scheduled_stop_times_raw"]) == (1, 0)
    assert rows(p, QUARANTINE) == []
    assert rows(p, "SELECT count(*) FROM dwh.load_ledger") == [(0,)]


def test_a_schedule_alone_gives_routes_stops_and_a_mart(pipeline_on, tmp_path):
    p = pipeline_on(tmp_path / "lake", time_zone=ZONE)
    p.ingest_gtfs(write_zip(tmp_path / "feed.zip", FEED), DAY)
    p.run(DAY)
    assert rows(p, "SELECT route_id, name, transport_type FROM dwh.dim_route WHERE route_id LIKE 'R%' ORDER BY 1") == [
        ("R1", "1: First Street", "bus"), ("R2", "Ferry", "ferry"), ("R3", "M", "metro"),
    ]  # fmt: skip
    assert rows(p, "SELECT count(*) FROM dwh.dim_stop WHERE stop_id LIKE 'S%'") == [(3,)]
    mart = p.mart.query(
        "SELECT route_id, toHour(hour_bucket) h, scheduled_trip_cnt n FROM mart_route_hourly ORDER BY 1, 2"
    )
    assert [(row["route_id"], row["n"]) for row in mart.to_pylist()] == [("R1", 1), ("R1", 1)]
    assert p.run(DAY).unchanged


def routes_and_stops(p: mp.Pipeline) -> tuple[list[tuple], list[tuple]]:
    columns = "route_id, name, transport_type, schema_json::text, valid_from, valid_to"
    routes = rows(p, f"SELECT {columns} FROM dwh.dim_route ORDER BY 1, 5")
    return routes, rows(p, "SELECT stop_id, name, lat, lon FROM dwh.dim_stop ORDER BY 1")


@needs_real_data
@pytest.mark.slow
def test_three_versions_of_a_feed_in_any_order_give_one_history_also_after_a_correction(pipeline_on, tmp_path):
    days = {"2016-11-08": "bart-old", "2018-11-06": "bart", "2023-07-04": "bart-new"}
    feeds = {name: REAL_DATA / "gtfs" / f"{name}.zip" for name in days.values()}

    def history(order: tuple[str, ...], name: str, *, wrong: bool = False) -> tuple[list[tuple], list[tuple]]:
        p = pipeline_on(tmp_path / name, time_zone=LOS_ANGELES, allow_vanishing=True)
        if wrong:
            p.ingest_gtfs(feeds["bart-old"], "2018-11-06")
            _load(p, "2018-11-06")
        for day in order:
            p.ingest_gtfs(list(feeds.values()), day)
            _load(p, day)
        return routes_and_stops(p)

    expected = history(tuple(days), "in-order")
    assert len(expected[0]) > 14
    for number, order in enumerate(itertools.permutations(days)):
        assert history(order, f"order-{number}") == expected, order
    assert history(tuple(days), "corrected", wrong=True) == expected


@needs_real_data
@pytest.mark.slow
def test_versions_that_come_one_by_one_for_all_dates_give_that_history_too(pipeline_on, tmp_path):
    """As an agency publishes them: each call knows one version and brings it to every date, its own or not."""
    days = ("2016-11-08", "2018-11-06", "2023-07-04")
    feeds = [REAL_DATA / "gtfs" / f"{name}.zip" for name in ("bart-old", "bart", "bart-new")]

    def history(name: str, *calls) -> tuple[list[tuple], list[tuple]]:
        p = pipeline_on(tmp_path / name, time_zone=LOS_ANGELES, allow_vanishing=True)
        for source in calls:
            for day in days:
                p.ingest_gtfs(source, day)
        for day in days:
            _load(p, day)
        return routes_and_stops(p)

    expected = history("one-call", feeds)
    for number, order in enumerate(itertools.permutations(feeds)):
        assert history(f"order-{number}", *order) == expected, [feed.stem for feed in order]


def _load(p: mp.Pipeline, day: str) -> None:
    p.stage(day)
    p.load_dimensions(day)
