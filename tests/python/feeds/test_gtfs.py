"""GTFS Schedule: agencies' own feeds, held against counts and instants that were worked out without us."""

from __future__ import annotations

import zipfile
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import metropulse as mp
from answers import REAL_DATA, needs_real_data
from expansion import expand, instant, manifest, services, written

FEEDS = REAL_DATA / "gtfs"

pytestmark = [pytest.mark.core, needs_real_data]

LOS_ANGELES, NEW_YORK, MEXICO = "America/Los_Angeles", "America/New_York", "America/Mexico_City"

# By feed: zone, routes by type of transport, stops, rows of trips.txt and stop_times.txt.
WHOLE = {
    "bart-old": (LOS_ANGELES, {"metro": 6}, 47, 2_513, 31_932),
    "bart": (LOS_ANGELES, {"metro": 6}, 50, 2_525, 33_167),
    "bart-new": (LOS_ANGELES, {"metro": 12, "bus": 2}, 186, 4_225, 61_853),
    "bart-rt": (LOS_ANGELES, {"metro": 8}, 48, 2_641, 32_185),
    "caltrain": (LOS_ANGELES, {"rail": 5, "bus": 1}, 64, 185, 2_853),
    "ct": (LOS_ANGELES, {"rail": 8, "bus": 1}, 109, 176, 3_498),
    "cdmx": (MEXICO, {"bus": 131, "metro": 12, "rail": 2}, 6_021, 1_741, 70_714),
    "hart": (NEW_YORK, {"bus": 43, "tram": 1, "ferry": 1}, 2_349, 14_718, 435_507),
    "example": (LOS_ANGELES, {"bus": 5}, 9, 11, 28),
}

# Feed, service date, runs, calls, first departure and last arrival in UTC.
DAYS = [
    ("bart-old", "2016-11-06", 612, 6_763, "2016-11-06 15:50", "2016-11-07 09:35"),
    ("bart-old", "2016-11-08", 1_101, 15_457, "2016-11-08 12:00", "2016-11-09 09:35"),
    ("bart-old", "2016-12-26", 1_101, 15_457, "2016-12-26 12:00", "2016-12-27 09:35"),
    ("bart", "2018-11-04", 612, 7_061, "2018-11-04 15:43", "2018-11-05 09:39"),
    ("bart", "2018-11-06", 1_113, 16_061, "2018-11-06 11:49", "2018-11-07 09:36"),
    ("bart-new", "2023-03-14", 0, 0, None, None),
    ("bart-new", "2023-07-04", 605, 7_340, "2023-07-04 14:07", "2023-07-05 08:55"),
    ("bart-rt", "2019-03-10", 729, 6_810, "2019-03-10 14:42", "2019-03-11 08:37"),
    ("bart-rt", "2019-11-03", 729, 6_810, "2019-11-03 15:42", "2019-11-04 09:37"),
    ("caltrain", "2017-11-05", 46, 560, "2017-11-05 16:07", "2017-11-06 07:52"),
    ("caltrain", "2017-11-07", 92, 1_481, "2017-11-07 08:05", "2017-11-08 08:16"),
    ("cdmx", "2019-04-07", 26_008, 863_792, "2019-04-07 05:00", "2019-04-08 08:04:57"),
    ("cdmx", "2019-04-10", 40_346, 1_350_521, "2019-04-10 05:00", "2019-04-11 08:21:57"),
    ("hart", "2018-03-11", 1_846, 53_464, "2018-03-11 04:00", "2018-03-12 04:45"),
    ("hart", "2018-05-07", 3_135, 102_591, "2018-05-07 04:00", "2018-05-08 05:16"),
    ("ct", "2023-11-05", 32, 756, "2023-11-05 15:12", "2023-11-06 09:49"),
    ("ct", "2023-11-08", 104, 1_788, "2023-11-08 12:20", "2023-11-09 09:43"),
    ("example", "2007-06-04", 0, 0, None, None),
    ("example", "2007-06-09", 144, 600, "2007-06-09 13:00", "2007-06-10 04:56"),
]


def columns(lake: Path, day: str, name: str):
    return pq.read_table(lake / f"dt={day}" / f"{name}.parquet")


def minute(instant) -> str | None:
    return instant and f"{instant:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


@pytest.mark.parametrize(("feed", "day", "trips", "stop_times", "first", "last"), DAYS)
def test_a_day_has_the_runs_calls_and_instants_that_were_counted(tmp_path, feed, day, trips, stop_times, first, last):
    report = mp.ingest_gtfs(FEEDS / f"{feed}.zip", tmp_path, day, time_zone=WHOLE[feed][0])
    runs, calls = columns(tmp_path, day, "scheduled_trips"), columns(tmp_path, day, "scheduled_stop_times")
    assert (runs.num_rows, calls.num_rows) == (trips, stop_times)
    assert (report.days[0].trips, report.days[0].stop_times) == (trips, stop_times)
    assert minute(pc.min(runs["start_ts"]).as_py()) == first
    assert minute(pc.min(calls["departure_ts"]).as_py()) == first
    assert minute(pc.max(calls["arrival_ts"]).as_py()) == last
    assert minute(pc.max(runs["end_ts"]).as_py()) == last
    assert [runs[name].null_count for name in ("trip_id", "start_time", "start_ts", "end_ts")] == [0] * 4
    assert [calls[name].null_count for name in ("trip_id", "stop_id", "arrival_ts", "departure_ts")] == [0] * 4
    assert report.days[0].rejected == 0


@pytest.mark.parametrize("feed", WHOLE)
def test_all_of_a_feeds_routes_and_stops_come_with_every_day(tmp_path, feed):
    zone, transport_types, stops, trips, stop_times = WHOLE[feed]
    day = next(row[1] for row in DAYS if row[0] == feed)
    report = mp.ingest_gtfs(FEEDS / f"{feed}.zip", tmp_path, day, time_zone=zone)
    routes = columns(tmp_path, day, "routes")
    counts = {row["values"]: row["counts"] for row in pc.value_counts(routes["transport_type"]).to_pylist()}
    assert counts == transport_types
    assert columns(tmp_path, day, "stops").num_rows == stops
    files = report.feeds[0].files
    assert (files["trips.txt"].rows_read, files["stop_times.txt"].rows_read) == (trips, stop_times)
    assert sum(table.rows_rejected for table in report.tables.values()) == 0
    listed = {file["path"]: file["rows"] for file in manifest(tmp_path, day)["files"]}
    assert listed["stops.parquet"] == stops


# By feed: the dates that its version claims, and the rows of stop_times.txt that arrive at or past 24:00.
CLAIMED = {
    # By feed_info.txt, where calendar_dates.txt adds services from 2013-11-28 on.
    "bart-old": ("2016-02-08", "2017-01-01", 870),
    "bart": ("2018-05-26", "2019-07-01", 894),
    # By feed_info.txt, where the calendars last from 2023-02-18 to 2023-09-10.
    "bart-new": ("2023-02-13", "2023-09-11", 2_025),
    "bart-rt": ("2019-02-11", "2020-02-10", 872),
    "caltrain": ("2017-10-02", "2019-10-06", 14),
    "ct": ("2023-09-23", "2024-06-01", 134),
    "cdmx": ("2018-01-01", "2019-12-31", None),
    "hart": ("2018-02-25", "2018-10-20", 2_555),
    # Its feed_info.txt names a version and no date.
    "example": ("2007-01-01", "2010-12-31", None),
}


@pytest.mark.parametrize("feed", WHOLE)
def test_a_feed_is_valid_as_its_feed_info_says_else_as_its_calendars_do(feed):
    told = mp.Pipeline().describe_gtfs(FEEDS / f"{feed}.zip")
    assert (told.zone, told.valid_from, told.valid_to) == (WHOLE[feed][0], *CLAIMED[feed][:2])


@pytest.mark.parametrize("feed", [feed for feed, (*_, late) in CLAIMED.items() if late is not None])
def test_calls_at_or_past_24_00_are_on_the_service_date_that_the_timetable_means(tmp_path, feed):
    """Of runs without headways, on dates on which each service runs once at least; with headways times are shifted."""
    zone, (first, last, late) = WHOLE[feed][0], CLAIMED[feed]
    with zipfile.ZipFile(FEEDS / f"{feed}.zip") as packed:
        names = [name for name in packed.namelist() if Path(name).name in ("calendar.txt", "calendar_dates.txt")]
        calendars = {Path(name).name: packed.read(name).decode("utf-8-sig") for name in names}
    seen, calls = set(), set()
    for number in range((date.fromisoformat(last) - date.fromisoformat(first)).days + 1):
        day = date.fromisoformat(first) + timedelta(days=number)
        if (running := services(calendars, day)) <= seen:
            continue
        seen |= running
        mp.ingest_gtfs(FEEDS / f"{feed}.zip", tmp_path, day, time_zone=zone)
        table = columns(tmp_path, day.isoformat(), "scheduled_stop_times")
        after = table.filter(pc.greater_equal(table["arrival_ts"], instant(zone, day, 24 * 3600)))
        calls |= set(zip(after["trip_id"].to_pylist(), after["stop_sequence"].to_pylist(), strict=True))
    assert len(calls) == late


@pytest.mark.parametrize(("feed", "day"), [("caltrain", "2017-11-05"), ("example", "2007-06-09"), ("ct", "2023-11-08")])
def test_every_row_of_a_day_is_that_of_an_independent_expansion(tmp_path, feed, day):
    with zipfile.ZipFile(FEEDS / f"{feed}.zip") as packed:
        files = {name: packed.read(name).decode("utf-8-sig") for name in packed.namelist() if name.endswith(".txt")}
    mp.ingest_gtfs(FEEDS / f"{feed}.zip", tmp_path, day, time_zone=WHOLE[feed][0])
    assert written(tmp_path, day) == expand(files, WHOLE[feed][0], date.fromisoformat(day))


def test_files_of_nobodys_standard_are_named_and_left_out(tmp_path):
    report = mp.ingest_gtfs(FEEDS / "bart-new.zip", tmp_path, "2023-07-04", time_zone=LOS_ANGELES)
    unread = report.feeds[0].unread_files
    assert {"calendar_attributes.txt", "rider_categories.txt", "route_attributes.txt", "transfers.txt"} <= set(unread)
    assert "stops.txt: plc_url" in report.tables.stops.unknown_columns
    assert (report.feeds[0].feed_version, report.feeds[0].valid_from) == ("67", "2023-02-13")


def test_odd_archives_load_or_are_refused_with_what_to_do(tmp_path):
    day = "2007-06-09"
    for name in ("example-nested-dir", "example-nested-zip"):
        report = mp.ingest_gtfs(FEEDS / f"{name}.zip", tmp_path / name, day, time_zone=LOS_ANGELES)
        assert (report.days[0].trips, report.days[0].stop_times) == (144, 600), name
    two = FEEDS / "example-nested-two-feeds.zip"
    with pytest.raises(mp.ConfigError, match=r"2 feeds, in example1 and example2.*--folder"):
        mp.ingest_gtfs(two, tmp_path / "two", day, time_zone=LOS_ANGELES)
    report = mp.ingest_gtfs(two, tmp_path / "two", day, folder="example2", time_zone=LOS_ANGELES)
    assert report.days[0].trips == 144


def test_a_bad_row_of_a_real_feed_goes_to_the_quarantine(tmp_path):
    report = mp.ingest_gtfs(FEEDS / "example-errors.zip", tmp_path, "2007-06-09", time_zone=LOS_ANGELES)
    rejected = pq.read_table(tmp_path / "dt=2007-06-09" / "_rejected.parquet").to_pylist()
    assert [(r["dataset"], r["file"], r["row_number"], r["reasons"]) for r in rejected] == [
        ("stops", "stops.txt", 6, ["coordinates"])
    ]
    assert report.tables.stops.rejected_by_reason == {"coordinates": 1}
    assert report.days[0].trips == 144


def test_versions_of_one_feed_take_the_dates_that_they_claim(tmp_path):
    versions = [FEEDS / f"{name}.zip" for name in ("bart-new", "bart-old", "bart")]
    for day, source in [("2016-11-08", "bart-old"), ("2018-11-06", "bart"), ("2023-07-04", "bart-new")]:
        report = mp.ingest_gtfs(versions, tmp_path, day, time_zone=LOS_ANGELES)
        assert Path(report.days[0].source).stem == source
    with pytest.raises(mp.NotFoundError, match="no version of the feed claims 2030-01-01"):
        mp.ingest_gtfs(versions, tmp_path, "2030-01-01", time_zone=LOS_ANGELES)
