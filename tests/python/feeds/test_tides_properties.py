"""Random raw days out as TIDES and in again: what the standard can hold comes back equal, to the last bit."""

from __future__ import annotations

import struct
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metropulse as mp
from tides_packages import COLUMNS, FARE_MEDIA, FILL, STATUSES, days_of, held, read_day, write_day

pytestmark = pytest.mark.core

# Zones with days around which their clocks change.
ZONES = {
    "America/Chicago": "2024-11-02",
    "Australia/Lord_Howe": "2024-04-06",
    "Asia/Kathmandu": "2024-05-01",
    "UTC": "2024-02-28",
}
texts = st.one_of(
    st.sampled_from(["", "NA", "NaN", " x ", 'a"b', "a,b", "line\nbreak", "\r", "línea", "1"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=6),
)
some = st.one_of(st.none(), texts)
# What a device says in metres a second, as GTFS-Realtime has it: a 32-bit number.
speeds = st.integers(0, 5_000).map(lambda n: struct.unpack("f", struct.pack("f", n / 100))[0] * 3.6)


def numbers(least: float, most: float) -> st.SearchStrategy[float | None]:
    return st.one_of(st.none(), st.floats(least, most, allow_nan=False))


def instants(day: str) -> st.SearchStrategy[datetime]:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return st.integers(-36 * 3_600_000_000, 36 * 3_600_000_000).map(lambda n: start + timedelta(microseconds=n))


@st.composite
def positions(draw, day: str):
    return {
        "event_ts": draw(instants(day)),
        "vehicle_id": draw(texts.filter(bool)),
        "route_id": draw(some),
        "lat": draw(st.floats(1, 89)),
        "lon": draw(st.floats(-179, 179)),
        "speed": draw(st.one_of(st.none(), speeds)),
        "heading": draw(numbers(-10, 400)),
        "trip_id": draw(some),
        "stop_id": draw(some),
        "current_stop_sequence": draw(st.one_of(st.none(), st.integers(-3, 90))),
        "current_status": draw(st.sampled_from([None, "PARKED", *STATUSES])),
        "odometer_m": draw(numbers(-5, 1e7)),
    }


@st.composite
def trips(draw, day: str):
    start = draw(instants(day))
    clock = st.builds(
        "{}:{:02}:{:02}".format, st.sampled_from(["5", "05", "25", "00", "110"]), st.integers(0, 59), st.integers(0, 59)
    )
    return {
        "trip_id": draw(texts.filter(bool)),
        "user_id": draw(some),
        "route_id": draw(some),
        "vehicle_id": draw(some),
        "start_ts": start,
        "end_ts": draw(st.sampled_from([None, start, start + timedelta(hours=2, microseconds=1)])),
        "start_stop_id": draw(some),
        "end_stop_id": draw(some),
        "scheduled_trip_id": draw(some),
        "scheduled_start_time": draw(st.one_of(st.none(), clock)),
    }


@st.composite
def payments(draw, day: str):
    return {
        "payment_id": draw(texts.filter(bool)),
        "user_id": draw(some),
        "trip_id": draw(some),
        "amount": draw(st.one_of(st.none(), st.integers(-10_000, 10_000).map(lambda cents: Decimal(cents).scaleb(-2)))),
        "currency": draw(some),
        "payment_method": draw(st.sampled_from([None, "card", *FARE_MEDIA])),
        "paid_at": draw(instants(day)),
    }


@st.composite
def raw_days(draw):
    zone = draw(st.sampled_from(sorted(ZONES)))
    days = {}
    vehicles = draw(
        st.lists(
            st.fixed_dictionaries({
                "vehicle_id": texts.filter(bool),
                "capacity": st.none(),
                "commissioned_at": st.one_of(st.none(), instants("2019-01-01")),
                "decommissioned_at": st.one_of(st.none(), instants("2024-06-30")),
            }),
            max_size=4,
            unique_by=lambda row: row["vehicle_id"],
        )
    )  # fmt: skip
    for day in days_of(ZONES[zone], draw(st.integers(1, 3))):
        days[day] = {
            # One that nothing is wrong with: a day of which nothing is left is none.
            "vehicle_positions": [
                dict.fromkeys(COLUMNS["vehicle_positions"])
                | {"event_ts": datetime.fromisoformat(day).replace(tzinfo=UTC), "vehicle_id": "bus 1", "lat": 1.5, "lon": 2.5},
                *draw(st.lists(positions(day), max_size=6)),
            ],
            "trips": draw(st.lists(trips(day), max_size=5, unique_by=lambda row: row["trip_id"])),
            "payments": draw(st.lists(payments(day), max_size=5, unique_by=lambda row: row["payment_id"])),
            # TIDES has one fleet for all days.
            "vehicles": vehicles,
        }  # fmt: skip
    return zone, days


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(raw=raw_days())
def test_what_tides_can_hold_comes_back_equal(file_format, raw):
    zone, days = raw
    with tempfile.TemporaryDirectory() as folder:
        lake, package, again = (Path(folder, name) for name in ("lake", "package", "again"))
        for day, datasets in days.items():
            write_day(lake, day, **datasets)
        first, end = min(days), days_of(max(days), 2)[1]
        mp.export_tides(lake, package, first, end, time_zone=zone, file_format=file_format, fill=FILL)
        found = mp.ingest_tides(package, again, time_zone=zone)
        assert [day.dt for day in found.days] == sorted(days)
        assert sum(table.rows_rejected for table in found.tables.values()) == 0
        for day, datasets in days.items():
            for name, rows in datasets.items():
                assert read_day(again, day, name) == held(name, rows), (day, name)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_generated_city_comes_back_equal(file_format, tmp_path):
    zone, days = "Europe/Moscow", days_of("2024-05-01", 2)
    with mp.Pipeline(lake=tmp_path / "lake", time_zone=zone) as p:
        p.generate(days[0], days=len(days), scale=0.02)
        told = p.export_tides(tmp_path / "package", days[0], "2024-05-03", file_format=file_format, fill=FILL)
    mp.ingest_tides(tmp_path / "package", tmp_path / "again", time_zone=zone)
    assert told.tables["vehicle_locations"].rows_written > 1_000
    for day in days:
        for name in ("vehicle_positions", "trips", "payments", "vehicles"):
            expected, found = (
                held(name, read_day(tmp_path / "lake", day, name)),
                read_day(tmp_path / "again", day, name),
            )
            assert expected, name
            # The city draws speeds in kilometres an hour, of which metres a second hold 15 digits.
            assert [shown(row) for row in found] == [shown(row) for row in expected], (day, name)


def shown(row):
    return {
        column: float(f"{value:.14g}") if column == "speed" and value is not None else value
        for column, value in row.items()
    }
