"""Random feeds: calendars, exceptions, headways, clocks that change, times past midnight, blank times."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metropulse as mp
from expansion import WEEKDAYS, expand, write_zip, written

pytestmark = pytest.mark.core

# Zones with the days around which their clocks change; Lord Howe's by half an hour, Samoa's skipped a whole date.
CHANGES = {
    "America/Los_Angeles": ["2024-03-10", "2024-11-03"],
    "America/Mexico_City": ["2019-04-07", "2019-10-27"],
    "Europe/Lisbon": ["2024-03-31", "2024-10-27"],
    "Australia/Lord_Howe": ["2024-04-07", "2024-10-06"],
    "Pacific/Apia": ["2011-12-29", "2011-12-31"],
    "UTC": ["2024-02-29"],
}
SERVICES, TRIPS, STOPS = ("WK", "línea 2", "x"), ("T1", "T 2", "T3", "4"), ("S1", "S2", "S3")


@st.composite
def clocks(draw, most_hours: int = 27) -> int:
    return draw(st.integers(0, most_hours * 3600))


def text(at: int, *, padded: bool) -> str:
    hours = f"{at // 3600:02}" if padded else str(at // 3600)
    return f"{hours}:{at // 60 % 60:02}:{at % 60:02}"


@st.composite
def calendars(draw, day: date) -> dict[str, str]:
    weeks, exceptions = [], []
    for service in SERVICES:
        if draw(st.booleans()):
            flags = ",".join(str(int(draw(st.booleans()))) for _ in WEEKDAYS)
            start, end = (day + timedelta(days=draw(st.integers(-2, 3))) for _ in range(2))
            weeks.append(f"{service},{flags},{start:%Y%m%d},{end:%Y%m%d}")
        for near in range(-1, 2):
            if kind := draw(st.sampled_from([0, 0, 1, 2])):
                exceptions.append(f"{service},{day + timedelta(days=near):%Y%m%d},{kind}")
    files = {"calendar.txt": "\n".join([f"service_id,{','.join(WEEKDAYS)},start_date,end_date", *weeks])}
    if draw(st.booleans()):
        files["calendar_dates.txt"] = "\n".join(["service_id,date,exception_type", *exceptions])
    return files


@st.composite
def stop_times(draw) -> str:
    rows = []
    for trip in TRIPS:
        at = draw(clocks())
        for sequence in draw(st.lists(st.integers(0, 40), max_size=4, unique=True).map(sorted)):
            arrival, departure = at, at + draw(st.sampled_from([0, 30, 600]))
            at = departure + draw(st.integers(0, 7200))
            shown = [text(t, padded=draw(st.booleans())) for t in (arrival, departure)]
            blank = draw(st.sampled_from(["none", "none", "both", "arrival", "departure"]))
            shown = [
                "" if blank in ("both", name) else t for name, t in zip(("arrival", "departure"), shown, strict=True)
            ]
            rows.append(f"{trip},{shown[0]},{shown[1]},{draw(st.sampled_from(STOPS))},{sequence}")
    rows = draw(st.permutations(rows))
    return "\n".join(["trip_id,arrival_time,departure_time,stop_id,stop_sequence", *rows])


@st.composite
def frequencies(draw) -> str:
    rows = []
    for trip in draw(st.lists(st.sampled_from(TRIPS), max_size=3)):
        start = draw(clocks())
        end = start + draw(st.integers(-600, 7200))
        exact = draw(st.sampled_from(["", "0", "1"]))
        rows.append(
            f"{trip},{text(start, padded=False)},{text(max(end, 0), padded=True)},{draw(st.integers(300, 4000))},{exact}"
        )
    return "\n".join(["trip_id,start_time,end_time,headway_secs,exact_times", *rows])


@st.composite
def feeds(draw) -> tuple[str, date, dict[str, str]]:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    day = date.fromisoformat(draw(st.sampled_from(CHANGES[zone]))) + timedelta(days=draw(st.integers(-1, 1)))
    if (zone, day) == ("Pacific/Apia", date(2011, 12, 30)):
        day = date(2011, 12, 31)
    files = {
        "agency.txt": f"agency_name,agency_url,agency_timezone\nA,u,{zone}",
        "routes.txt": "route_id,route_type\nR,3",
        "stops.txt": "stop_id\n" + "\n".join(STOPS),
        "trips.txt": "route_id,service_id,trip_id\n"
        + "\n".join(f"R,{draw(st.sampled_from(SERVICES))},{trip}" for trip in TRIPS),
        "stop_times.txt": draw(stop_times()),
        **draw(calendars(day)),
    }
    if draw(st.booleans()):
        files["frequencies.txt"] = draw(frequencies())
    return zone, day, files


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(feeds())
def test_any_feed_becomes_what_csv_and_zoneinfo_make_of_it(feed):
    zone, day, files = feed
    with tempfile.TemporaryDirectory() as folder:
        source = write_zip(Path(folder, "feed.zip"), files)
        lake = Path(folder, "lake")
        mp.ingest_gtfs(source, lake, day, time_zone=zone)
        assert written(lake, str(day)) == expand(files, zone, day)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(feeds())
def test_a_day_is_the_same_bytes_whatever_days_are_asked_for_beside_it(feed):
    zone, day, files = feed
    with tempfile.TemporaryDirectory() as folder:
        source = write_zip(Path(folder, "feed.zip"), files)
        alone, among = Path(folder, "alone"), Path(folder, "among")
        mp.ingest_gtfs(source, alone, day, time_zone=zone)
        mp.ingest_gtfs(source, among, day - timedelta(days=1), days=3, time_zone=zone)
        mine = {file.name: file.read_bytes() for file in (alone / f"dt={day}").iterdir()}
        assert {file.name: file.read_bytes() for file in (among / f"dt={day}").iterdir()} == mine
